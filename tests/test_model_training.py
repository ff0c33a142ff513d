"""model/training.py: what a run leaves, that it learns, resumes to the same curve, and says what goes wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

from datasets.members import ShardError  # noqa: E402
from datasets.video import clip_facts  # noqa: E402
from model import training  # noqa: E402
from model.building import make_frozen, make_loader  # noqa: E402
from model.config import RunConfig  # noqa: E402
from model.ema import Ema  # noqa: E402
from model.feed import Feed  # noqa: E402
from model.parallel import Processes  # noqa: E402
from model.pipeline import TogetherVideoPipeline  # noqa: E402
from model.presets import preset  # noqa: E402
from model.run_folder import RunError, RunFolder  # noqa: E402
from tests.small_runs import curve, small_run, tensors, write_shards  # noqa: E402
from tests.test_stream import damage  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("training"))


def test_a_run_leaves_all_that_it_promises(shards: Path, tmp_path: Path) -> None:
    lines: list[Any] = []
    run = small_run(steps=7, save_every=2, sample_every=4, log_every=3, warmup=4)
    summary = training.run(run, shards=shards, out=tmp_path / "run", progress=lines.append)
    folder = RunFolder(tmp_path / "run")
    assert folder.config() == run
    assert [path.name for path in sorted((folder.path / "state").iterdir())] == ["step-00000006", "step-00000007"]
    assert [line.step for line in lines] == [line["step"] for line in folder.log_lines()] == [3, 6, 7]
    assert [line.lr for line in lines] == [0.75 * run.train.lr, run.train.lr, run.train.lr]
    assert all(math.isfinite(line.loss) and line.seconds > 0 and 0 <= line.wait <= 1 for line in lines)
    board = EventAccumulator(str(folder.path / "log"))
    board.Reload()
    assert [round(one.value, 5) for one in board.Scalars("train/loss")] == [round(line.loss, 5) for line in lines]
    samples = sorted((folder.path / "samples").iterdir())
    assert [path.name for path in samples] == ["step-00000004.mp4", "step-00000007.mp4"]
    assert all(clip_facts(path.read_bytes()).frames == 4 for path in samples)
    assert (summary.steps, summary.began_at, summary.skipped, summary.out) == (7, 0, 0, str(folder.path))
    assert summary.epochs == 1
    assert 0 < 7 * summary.step_s < summary.seconds - summary.start_s
    # What generates is the average.
    kept = tensors(folder.path)
    network = TogetherVideoPipeline.from_pretrained(folder.path).network
    assert network.shape == run.network
    for name, weight in network.named_parameters():
        assert torch.equal(weight, kept[f"ema/{name}"]), name
    assert any(not torch.equal(kept[f"ema/{name}"], kept[f"network/{name}"]) for name, _ in network.named_parameters())
    assert [path.name for path in folder.path.glob(".*")] == [".lock"]


def test_it_learns(shards: Path, tmp_path: Path) -> None:
    run = small_run("network.noise.mean=0.5", "network.noise.std=0.3", steps=40, log_every=4, dropout=0.0)
    summary = training.run(run, shards=shards, out=tmp_path / "run")
    assert summary.last_loss < 0.5 * summary.first_loss


def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_and_samples(shards: Path, tmp_path: Path) -> None:
    run = small_run(lr=1e30, warmup=0, save_every=1)
    with pytest.raises(
        training.DivergedError, match=r"step 2: want a finite loss .* on s\d-.*, s\d-.*; kept: "
    ) as caught:
        training.run(run, shards=shards, out=tmp_path / "run")
    found = RunFolder(tmp_path / "run").latest()
    assert found is not None
    assert found[0] == 1
    assert str(found[1]) in str(caught.value)
    assert all(tensor.isfinite().all() for name, tensor in tensors(tmp_path / "run").items())
    assert [line["step"] for line in RunFolder(tmp_path / "run").log_lines()] == [1]


def test_damaged_samples_are_skipped_and_counted(
    shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = damage(shards, tmp_path, "mask.npz")
    # Five batches an epoch: the damaged sample's turn comes twice, before and after the state.
    run = small_run(steps=10, save_every=5, workers=0, precision="no")
    lines: list[Any] = []
    summary = training.run(run, shards=copy, out=tmp_path / "run", progress=lines.append)
    assert summary.skipped == lines[-1].skipped == 2
    assert [line.skipped for line in lines][4] == 1
    assert "skipped a damaged sample" in caplog.text
    whole = curve(tmp_path / "run")
    state = tmp_path / "run" / "state" / "step-00000010"
    for file in state.iterdir():
        file.unlink()
    state.rmdir()
    again = training.run(run, shards=copy, out=tmp_path / "run", resume=True)
    assert (again.began_at, again.skipped) == (5, 2)
    assert curve(tmp_path / "run") == whole


def test_a_damaged_sample_stops_the_run_when_that_is_asked_for(shards: Path, tmp_path: Path) -> None:
    copy = damage(shards, tmp_path, "pose.npz")
    with pytest.raises(ShardError, match=r"damaged/shards/train-000001.tar: s\d-\S+: pose.npz: ") as caught:
        training.run(small_run(steps=6), shards=copy, out=tmp_path / "run", on_error="raise")
    assert "\n" not in str(caught.value)


def test_where_everything_is_damaged_the_run_stops(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, samples=2)
    for shard in (shards / "shards").glob("*.tar"):
        shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(ShardError, match=r"s[01]-"):
        training.run(small_run(), shards=shards, out=tmp_path / "run")


def other_run(**train: Any) -> RunConfig:
    return small_run("network.fusion=sum", **train)


@pytest.mark.parametrize(
    ("run", "options", "problem"),
    [
        pytest.param(small_run(steps=2), {}, "want a new run, got one that is there; --resume", id="taken"),
        pytest.param(
            other_run(lr=0.5), {"resume": True},
            'want network.fusion="softmax", train.lr=0.001 as the run began, got network.fusion="sum", train.lr=0.5',
            id="another configuration",
        ),
        pytest.param(small_run(steps=2), {"out": "none", "resume": True}, "none: want a run to resume", id="none"),
        pytest.param(small_run(), {"shards": "nowhere"}, "--shards: .*nowhere/index.parquet: want", id="no shards"),
        pytest.param(small_run(), {"split": "val"}, "--shards: .*want samples of split 'val'", id="no such split"),
        pytest.param(small_run(stride=(9, 9)), {}, "--shards: .*want clips of 29 frames", id="clips too short"),
        pytest.param(small_run("base=."), {"out": "x"}, r"base: want pretrained modules from \., got", id="no base"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_said_at_once(
    shards: Path, tmp_path_factory: pytest.TempPathFactory, run: RunConfig, options: dict[str, Any], problem: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "refused"
    if not (folder / "run").exists():
        training.run(small_run(steps=2), shards=shards, out=folder / "run")
    before = sorted(path.name for path in folder.rglob("*"))
    options = {"shards": shards, **options}
    if options["shards"] == "nowhere":
        options["shards"] = folder / "nowhere"
    with pytest.raises(RunError, match=problem):
        training.run(run, **{**options, "out": folder / options.get("out", "run")})
    assert {path.name for path in folder.rglob("*")} - set(before) <= {"none", "x", ".lock"}


def test_the_average_follows_its_formula_and_is_shown_only_within() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    ema = Ema({"w": weight}, decay=0.25)
    weight.data.fill_(5.0)
    ema.update(1)  # (1 + 1) / (10 + 1) is less than 0.25
    assert torch.allclose(ema.shadow["w"], torch.tensor([1.0, 2.0]) * 2 / 11 + 5 * 9 / 11)
    ema.update(1000)
    want = (torch.tensor([1.0, 2.0]) * 2 / 11 + 5 * 9 / 11) * 0.25 + 5 * 0.75
    assert torch.allclose(ema.shadow["w"], want)
    with ema.shown():
        assert torch.allclose(weight, want)
    assert weight.tolist() == [5.0, 5.0]


def test_a_feed_goes_on_over_epochs_and_its_state_is_that_of_the_batch_taken(shards: Path) -> None:
    run = small_run(workers=2)

    def loader() -> Any:
        return make_loader(run, shards, split="train", on_error="raise", processes=Processes.here())

    with Feed(loader()) as feed:
        taken, states = [], []
        for _ in range(12):
            taken.append(feed.take()["key"])
            states.append(feed.state)
        assert feed.waited_s > 0
    keys = [key for batch in taken[:5] for key in batch]
    assert len(keys) == len(set(keys)) == 9
    assert [state["epoch"] for state in states] == [0] * 5 + [1] * 5 + [2] * 2
    for at in (0, 3, 4, 8):
        again = loader()
        again.load_state_dict(json.loads(json.dumps(states[at])))
        with Feed(again) as feed:
            assert [feed.take()["key"] for _ in range(3)] == taken[at + 1 : at + 4]


def test_frozen_parts_without_a_base_are_the_same_in_every_process() -> None:
    run = preset("svd_reduced")
    (codec, clip), (again, clip_again) = (make_frozen(run, Processes.here()) for _ in range(2))
    assert clip is not None
    assert clip_again is not None
    for one, other in ((codec, again), (clip, clip_again)):
        weights, same = one.state_dict(), other.state_dict()
        assert weights
        assert all(torch.equal(weights[name], same[name]) for name in weights)

"""model/training.py: what a run leaves, that it learns, resumes to the same curve, and says what goes wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

from datasets.members import ShardError  # noqa: E402
from datasets.video import clip_facts  # noqa: E402
from model import training  # noqa: E402
from model.building import make_loader  # noqa: E402
from model.config import RunConfig  # noqa: E402
from model.ema import Ema  # noqa: E402
from model.feed import Feed  # noqa: E402
from model.parallel import Processes  # noqa: E402
from model.pipeline import TogetherVideoPipeline  # noqa: E402
from model.run_folder import RunError, RunFolder  # noqa: E402
from tests.small_runs import small_run, write_shards  # noqa: E402
from tests.test_stream import damage  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("training"))


def curve(out: Path) -> list[tuple[int, float, float, float]]:
    """What may not hang on an interruption."""
    return [(line["step"], line["loss"], line["norm"], line["lr"]) for line in RunFolder(out).log_lines()]


def tensors(out: Path) -> dict[str, Any]:
    """Those of the last state."""
    found = RunFolder(out).latest()
    assert found is not None
    return load_file(found[1] / "tensors-00000.safetensors")


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
    run = small_run("network.noise.mean=0.5", "network.noise.std=0.3", steps=60, log_every=10, dropout=0.0)
    summary = training.run(run, shards=shards, out=tmp_path / "run")
    assert summary.last_loss < 0.5 * summary.first_loss


@pytest.mark.parametrize(
    "train",
    [
        pytest.param({"save_every": 3, "log_every": 2}, id="within an epoch, and within a line of the log"),
        pytest.param({"save_every": 3, "accumulate": 2, "checkpointing": True}, id="two batches a step"),
        pytest.param({"save_every": 3, "workers": 0, "precision": "bf16"}, id="no workers, bfloat16"),
        pytest.param({"save_every": 100}, id="before the first state: from the start"),
    ],
)
def test_a_resumed_run_has_the_curve_of_an_uninterrupted_one(
    shards: Path, tmp_path: Path, train: dict[str, Any]
) -> None:
    run = small_run(steps=8, **train)
    whole = training.run(run, shards=shards, out=tmp_path / "whole")

    class Enough(Exception):
        pass

    def stop(line: Any) -> None:
        if line.step >= 5:
            raise Enough

    part = tmp_path / "part"
    with pytest.raises(Enough):
        training.run(run, shards=shards, out=part, progress=stop)
    assert (RunFolder(part).latest() or (0,))[0] == (0 if train["save_every"] == 100 else 3)
    again = training.run(run, shards=shards, out=part, resume=True)
    assert again.began_at == (0 if train["save_every"] == 100 else 3)
    assert curve(part) == curve(tmp_path / "whole")
    one, other = tensors(part), tensors(tmp_path / "whole")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert again.epochs == whole.epochs


def test_a_run_goes_on_beyond_its_end(shards: Path, tmp_path: Path) -> None:
    training.run(small_run(steps=6), shards=shards, out=tmp_path / "whole")
    training.run(small_run(steps=4), shards=shards, out=tmp_path / "part")
    training.run(small_run(steps=6), shards=shards, out=tmp_path / "part", resume=True)
    assert curve(tmp_path / "part") == curve(tmp_path / "whole")
    done = training.run(small_run(steps=6), shards=shards, out=tmp_path / "part", resume=True)
    assert (done.steps, done.began_at) == (6, 6)


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
        pytest.param(small_run("base=nowhere"), {"out": "x"}, "base: want pretrained .* from nowhere", id="no base"),
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


def test_other_shards_do_not_resume(shards: Path, tmp_path: Path) -> None:
    training.run(small_run(steps=2), shards=shards, out=tmp_path / "run")
    others = write_shards(tmp_path / "others", samples=4)
    with pytest.raises(RunError, match="--resume wants the shards, processes and workers that the run began with"):
        training.run(small_run(steps=4), shards=others, out=tmp_path / "run", resume=True)


@pytest.mark.parametrize("spoil", ["tensors", "place"])
def test_a_spoilt_state_is_named(shards: Path, tmp_path: Path, spoil: str) -> None:
    training.run(small_run(steps=2), shards=shards, out=tmp_path / "run")
    file = next((tmp_path / "run" / "state").glob(f"*/{spoil}-*"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(RunError, match="step-00000002"):
        training.run(small_run(steps=4), shards=shards, out=tmp_path / "run", resume=True)


def test_what_a_kill_left_half_is_cleared_away(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    training.run(small_run(steps=2), shards=shards, out=out)
    # Between the two renames of a new pipeline, in the middle of a state, and in the middle of a line.
    (out / "pipeline").rename(out / ".pipeline.before")
    (out / "state" / ".step-00000004.part").mkdir()
    (out / ".pipeline.part").mkdir()
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 3, "loss": 1.0, "norm": 1.0, "lr": 1.0}) + '\n{"step": 4, "lo')
    assert training.run(small_run(steps=2), shards=shards, out=out, resume=True).steps == 2
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == [".lock"]
    assert (out / "pipeline" / "model_index.json").is_file()
    assert [path.name for path in (out / "state").iterdir()] == ["step-00000002"]
    assert [step for step, *_ in curve(out)] == [1, 2]


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

"""python -m model.evidence: which frames are tried, what the figures mean, and a whole small campaign, twice."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchmetrics")

from datasets.store import Store  # noqa: E402
from datasets.video import clip_facts  # noqa: E402
from model.evidence import main  # noqa: E402
from model.evidence_clips import LeftOut, Trial, crossing_window, reference_frame, trial, trials  # noqa: E402
from model.evidence_runs import VARIANTS, generated, jobs  # noqa: E402
from model.evidence_scores import advantage, from_row, mean, psnr, score, spread, ssim, to_row  # noqa: E402
from model.network import DuetUNet  # noqa: E402
from model.pipeline import TogetherVideoPipeline  # noqa: E402
from model.presets import preset  # noqa: E402
from tasks.shard import Config  # noqa: E402
from tests.build_samples import bundle, judged  # noqa: E402
from tests.test_shard_task import build  # noqa: E402

SIZE = (64, 64)
DUETS = [bundle(source=f"{name}.mp4", frames=24, seed=i) for i, name in enumerate("abcdef")]
ALONE = bundle(source="alone.mp4", people=1, frames=24)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evidence")
    batch = judged(Store(root=str(folder / "store")), [*DUETS, ALONE])
    build(batch, folder / "out", Config(val_fraction=0, test_fraction=0.5))
    return folder / "out"


@pytest.mark.parametrize(
    ("contact", "length", "frames", "stride", "shown"),
    [
        pytest.param([9, 10, 11], 24, 4, 2, [7, 9, 11, 13], id="around the contact"),
        pytest.param([0, 1], 24, 4, 2, [0, 2, 4, 6], id="not before the clip"),
        pytest.param([22, 23], 24, 4, 2, [17, 19, 21, 23], id="at the end"),
        pytest.param([], 24, 4, 1, [11, 12, 13, 14], id="the middle where nobody touches"),
    ],
)
def test_the_window_lies_over_the_crossing(contact, length, frames, stride, shown) -> None:
    near = np.zeros(length, bool)
    near[contact] = True
    assert crossing_window(near, frames, stride).tolist() == shown


def test_the_reference_shows_everyone_outside_the_window() -> None:
    mask = np.zeros((2, 10, 16, 16), bool)
    mask[0, :, :8, :8] = True
    mask[1, 1, :4, :4], mask[1, 8, :8, :8], mask[1, 5, 8:, 8:] = True, True, True
    assert reference_frame(mask, np.arange(3, 7)) == 8
    assert reference_frame(mask, np.arange(2, 10)) == 1
    mask[1, 8] = mask[1, 1] = False
    assert reference_frame(mask, np.arange(3, 7)) is None


def test_trials_are_of_the_split_by_name_and_say_what_is_left_out(shards: Path) -> None:
    found = list(trials(shards, split=None, size=SIZE, frames=6, most=99))
    assert [one.key for one in found] == sorted(one.clip.key for one in [*DUETS, ALONE])
    out = [one for one in found if isinstance(one, LeftOut)]
    assert [(one.key, one.why) for one in out] == [(ALONE.clip.key, "one person only")]
    for one in found:
        if isinstance(one, Trial):
            assert one.truth.shape == (6, *SIZE, 3)
            assert np.array_equal(np.moveaxis(one.example["video"], 1, -1), one.truth)
            assert one.example["reference_frame"] not in one.example["frame"]
    in_test = {one.key for one in trials(shards, split="test", size=SIZE, frames=6, most=99)}
    in_train = {one.key for one in trials(shards, split="train", size=SIZE, frames=6, most=99)}
    assert in_test
    assert in_test.isdisjoint(in_train)
    assert len(list(trials(shards, split=None, size=SIZE, frames=6, most=2))) == 2


def test_too_short_a_clip_is_left_out(shards: Path) -> None:
    found = trial(shards, DUETS[0].clip.key, size=SIZE, frames=24)
    assert isinstance(found, LeftOut)
    assert found.why == "24 frames are fewer than a window and a reference"


def test_the_truth_scores_as_high_as_can_be_and_an_exchange_low(shards: Path) -> None:
    one = trial(shards, DUETS[0].clip.key, size=SIZE, frames=6)
    assert isinstance(one, Trial)
    best = score(one, one.truth)
    assert best.own == 1
    assert best.psnr == math.inf
    assert best.ssim == pytest.approx(1)
    assert math.isnan(best.lpips)
    assert to_row(best)["psnr"] is None
    again = from_row(json.loads(json.dumps(to_row(best))))
    assert again.confusion == best.confusion
    wrong = one.truth.copy()
    shirts = [np.median(one.truth[one.mask[i]], axis=0) for i in (0, 1)]
    wrong[one.mask[0]], wrong[one.mask[1]] = shirts[1], shirts[0]
    found = score(one, wrong)
    assert found.own < 0.2
    assert found.psnr_people < found.psnr < 40


def test_figures_of_pictures() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    off = np.clip(truth.astype(int) + rng.integers(-9, 10, truth.shape), 0, 255).astype(np.uint8)
    where = np.zeros(truth.shape[:3], bool)
    where[:, 4:9] = True
    want = 10 * np.log10(255**2 / np.mean((off[:, 4:9].astype(float) - truth[:, 4:9]) ** 2))
    assert psnr(off, truth, where) == pytest.approx(want)
    assert math.isnan(psnr(off, truth, where & False))
    assert ssim(truth, truth) == pytest.approx(1)
    assert ssim(off, truth) < 0.999


def test_differences_come_with_an_interval() -> None:
    more, low, high = advantage([0.9, 0.8, math.nan, 1.0], [0.5, 0.5, 0.5, 0.5])
    assert more == pytest.approx(0.4)
    assert 0.3 <= low <= more <= high <= 0.5
    same = advantage([0.5, 0.6], [0.6, 0.5])
    assert same[1] < 0 < same[2]
    assert all(math.isnan(value) for value in advantage([math.nan], [1.0]))
    assert mean([1.0, math.nan, 3.0]) == 2
    assert spread([1.0, 3.0]) == pytest.approx(math.sqrt(2))
    assert math.isnan(spread([1.0]))


def test_every_variant_changes_the_network_and_nothing_else(shards: Path) -> None:
    made = jobs(
        preset("tiny"), variants=list(VARIANTS), seeds=[3, 4], shards=str(shards), out="x", clips=("a",), steps=2,
        guidance=1.0, lpips=False,
    )  # fmt: skip
    assert [(job.seed, job.variant) for job in made] == [(seed, name) for seed in (3, 4) for name in VARIANTS]
    first = made[: len(VARIANTS)]
    assert len({job.digest for job in made}) == len(made)
    assert len({str(job.config.network) for job in first}) == len(VARIANTS)
    assert len({str(job.config.train) for job in first}) == 1


def test_the_noise_is_the_same_for_every_network_of_a_seed(shards: Path) -> None:
    one = trial(shards, DUETS[0].clip.key, size=SIZE, frames=6)
    assert isinstance(one, Trial)
    torch.manual_seed(0)
    network = DuetUNet.of(preset("tiny").network)
    pipeline = TogetherVideoPipeline(network)
    first, again, other = (generated(pipeline, [one], steps=2, guidance=1.0, seed=s)[one.key] for s in (0, 0, 1))
    assert first.shape == one.truth.shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


ASKED = ["--set", "train.steps=2", "--set", "train.workers=0", "--variants", "full", "sum", "--clips", "2"]


def test_a_campaign_is_measured_shown_and_not_done_twice(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["--shards", str(shards), "--out", str(out), *ASKED, "--steps", "2"]
    assert main(command) == 0
    first = capsys.readouterr()
    assert "2 runs, 0 of them done before" in first.err
    assert "sum fusion" in first.out
    found = json.loads((out / "evidence.json").read_text())
    assert set(found["variants"]) == {"full", "sum"}
    assert found["variants"]["full"]["training"][0]["steps"] == 2
    assert found["truth"]["own"] == 1
    assert found["chance"] == 0.5
    counts = np.asarray(found["variants"]["full"]["confusion"])
    assert counts.sum() > 0
    page = (out / "index.html").read_text()
    clips = sorted((out / "clips").glob("*.mp4"))
    assert len(clips) == found["clips"]
    assert all(clip.name in page for clip in clips)
    assert clip_facts(clips[0]).frames == 8
    stamp = (out / "results" / "full-0.json").stat().st_mtime_ns
    assert main([*command, "--json"]) == 0
    again = capsys.readouterr()
    assert "2 runs, 2 of them done before" in again.err
    assert json.loads(again.out)["variants"] == found["variants"]
    assert (out / "results" / "full-0.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        pytest.param(["--split", "val"], "want samples of split 'val', got none", 1, id="no such split"),
        pytest.param(["--set", "train.nothing=1"], "--set train.nothing=1", 2, id="no such field"),
    ],
)
def test_what_cannot_be_run_is_said(arguments, said, code, shards: Path, tmp_path: Path, capsys) -> None:
    assert main(["--shards", str(shards), "--out", str(tmp_path / "out"), *arguments]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_clips_of_one_person_prove_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(judged(Store(root=str(tmp_path / "store")), [ALONE]), tmp_path / "data", Config(val_fraction=0))
    assert main(["--shards", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--split", "train"]) == 2
    said = capsys.readouterr().err
    assert "one person only" in said
    assert "want clips of two people or more in split 'train'" in said

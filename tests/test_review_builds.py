"""The review loop through the command that builds: rendered clips and real footage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.corrections import FILE
from datasets.verify import verify
from tests.review_command import Said, made, verdicts
from tests.tiny_runs import TINY, run_here, tiny_motion, tiny_video


@pytest.mark.usefixtures("here")
def test_rendered_clips_through_whole_builds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], review: Callable[..., Said]
) -> None:
    for seed in range(2):
        tiny_motion(tmp_path / "motion" / f"m{seed}.npz", seed)
    out, sharp = tmp_path / "out", "judge.min_sharpness=0.9"

    def build(*more: object, setting: str = sharp) -> Any:
        arguments = [tmp_path / "motion", "--out", out, "--store", tmp_path / "store", *more]
        return run_here(capfd, *arguments, settings=(*TINY, "motion.cameras=2", setting))

    assert (build().summary["review"], build().summary["clips"]) == (2, 2)
    before = made(out)
    first, second = sorted(verdicts(out))
    assert review(out, "accept", first).code == 0
    assert review(out, "swap", first, 1, 2, "--from", 3).code == 2, "who is who is known there"
    planned = json.loads(build("--dry-run").out)["stages"]
    assert (planned["judge"], planned["render"]["run"]) == ({"run": 1, "reuse": 1, "unknown_until": None}, 0)
    done = build()
    assert (done.summary["accepted"], done.summary["review"]) == (1, 1)
    assert (done.summary["stages"]["judge"]["ran"], done.summary["stages"]["render"]["ran"]) == (1, 0)
    assert verify(out).problems == ()
    assert build(setting="judge.min_sharpness=0.8").summary["accepted"] == 1
    assert review(out, "reject", second).code == 0
    done = build()
    assert (done.summary["accepted"], done.summary["review"], done.summary["rejected"]) == (1, 0, 1)
    for _ in range(2):
        assert review(out, "undo", "--last").code == 0
    build()
    assert set(verdicts(out).values()) == {"review"}
    build("--out", tmp_path / "again", "--corrections", out / FILE)
    assert made(tmp_path / "again") == before
    assert build("--corrections", tmp_path / "none.jsonl").code == 2
    (out / FILE).write_text("{}\n")
    done = build()
    assert done.code == 2
    assert "line 1: want format 1" in done.err


@pytest.mark.usefixtures("here")
def test_footage_through_whole_builds(
    tmp_path: Path, shared: Path, capfd: pytest.CaptureFixture[str], review: Callable[..., Said]
) -> None:
    """A swap in a real clip stays through another binding of it."""
    tiny_video(shared / "footage" / "duet_case12.mp4", tmp_path / "video" / "a.mp4", frames=24)
    out = tmp_path / "out"
    same = (
        "shots.min_s=0.5", "bind.people=2", "judge.min_height=0.01", "judge.min_sharpness=0.9",
        "refine.masks=keep", "refine.estimator=none", "refine.smooth=off",
    )  # fmt: skip

    def build(*more: object, setting: str = "bind.doubt=0.75") -> Any:
        arguments = [tmp_path / "video", "--out", out, "--store", tmp_path / "store", "--weights", shared / "weights"]
        return run_here(capfd, *arguments, *more, settings=(*same, setting))

    def boxes() -> np.ndarray:
        from flows.shown import rows_of, shown

        (row,) = rows_of(str(out)).values()
        return shown(str(out), row).people.box

    assert build().summary["review"] == 1
    before = boxes()
    (key,) = verdicts(out)
    assert review(out, "swap", key, 1, 2, "--from", 12).code == 0
    assert review(out, "accept", key).code == 0
    planned = json.loads(build("--dry-run").out)["stages"]
    assert [name for name, stage in planned.items() if stage["run"]] == ["refine", "identify", "judge", "report"]
    done = build()
    assert done.summary["accepted"] == 1
    assert [name for name, stage in done.summary["stages"].items() if stage["ran"]] == [
        "refine", "identify", "judge", "report", "shard",
    ]  # fmt: skip
    after = boxes()
    assert np.array_equal(after[:, :12], before[:, :12])
    assert np.array_equal(after[:, 12:], before[::-1, 12:])
    assert build(setting="bind.doubt_s=0.1").summary["accepted"] == 1
    assert np.array_equal(boxes(), after)
    assert verify(out).problems == ()

"""A changed setting: that stage and what follows are computed again, nothing before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_runs import TINY, digests, run_here, tiny_motion, tiny_video

pytestmark = pytest.mark.usefixtures("here")


def ran(stages: dict[str, dict[str, float]]) -> list[str]:
    """The stages that made something."""
    return [name for name, stage in stages.items() if stage["ran"]]


@pytest.fixture(scope="module")
def motion_place(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("changed")
    for seed in range(2):
        tiny_motion(place / "motion" / f"m{seed}.npz", seed)
    return place


@pytest.mark.parametrize(
    ("setting", "stages"),
    [
        pytest.param(
            "shard.name=duetflow-motion", ["motion", "render", "judge", "report", "shard"], id="the first run"
        ),
        pytest.param("shard.name=duetflow-motion", [], id="the same again"),
        pytest.param("report.crf=35", ["report"], id="the preview's quality"),
        pytest.param("judge.min_height=0.01", ["judge", "report", "shard"], id="a rule"),
        pytest.param("render.crf=35", ["render", "judge", "report", "shard"], id="the picture"),
        pytest.param("motion.match=on", ["motion", "render", "judge", "report", "shard"], id="the clothes"),
        pytest.param("shard.name=duetflow-motion", ["shard"], id="back to the first settings: another shard"),
        pytest.param("shard.target_bytes=1000", [], id="smaller shards: the one that is there stays"),
    ],
)
def test_motion(motion_place, capfd, setting, stages):
    done = run_here(
        capfd, motion_place / "motion", "--out", motion_place / "out", "--store", motion_place / "store",
        settings=(*TINY, setting),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert ran(done.summary["stages"]) == stages


def test_a_batch_size_or_runner_changes_no_byte(motion_place, capfd, tmp_path):
    one = run_here(capfd, motion_place / "motion", "--out", tmp_path / "a", "--store", tmp_path / "s", settings=TINY)
    two = run_here(
        capfd, motion_place / "motion", "--out", tmp_path / "b", "--store", motion_place / "store", settings=TINY
    )
    assert one.code == two.code == 0
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


@pytest.fixture(scope="module")
def footage_place(tmp_path_factory, shared) -> Path:
    """A second of two people, small."""
    place = tmp_path_factory.mktemp("footage")
    tiny_video(shared / "footage" / "duet_case01.mp4", place / "video" / "a.mp4", frames=30)
    return place


@pytest.mark.parametrize(
    ("setting", "stages"),
    [
        pytest.param(
            "bind.doubt=0.7",
            [
                "probe",
                "shots",
                "detect",
                "track",
                "pose",
                "segment",
                "bind",
                "refine",
                "identify",
                "judge",
                "report",
                "shard",
            ],
            id="the first run",
        ),
        pytest.param("bind.doubt=0.7", [], id="the same again"),
        pytest.param(
            "segment.side=128",
            ["segment", "bind", "refine", "identify", "judge", "report", "shard"],
            id="a mask setting",
        ),
        pytest.param("identify.same_person=0.3", ["identify", "judge", "report", "shard"], id="who is who"),
    ],
)
def test_footage(footage_place, shared, capfd, setting, stages):
    done = run_here(
        capfd, footage_place / "video", "--out", footage_place / "out", "--store", footage_place / "store",
        "--weights", shared / "weights", settings=("shots.min_s=0.5", "judge.min_height=0.01", setting),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert ran(done.summary["stages"]) == stages

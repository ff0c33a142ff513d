"""`pairfs-4k` and `humanrob-300` whole, from a video to shards, on networks that the tests make: none is trained.

What is proved is that every adapter of the large presets (YOLOX-m, whole-body SimCC, BoT-SORT with OSNet, SAM 2.1)
loads, runs and hands on; not how well the published weights do.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from datasets.verify import main as verify
from datasets.video import VideoWriter
from tests import tiny_weights
from tests.tiny_runs import run_here
from tests.tiny_sam2 import IMAGE_SIZE, tiny_sam2_checkpoint

pytestmark = pytest.mark.usefixtures("here")
SETTINGS = (
    "shots.min_s=0.5",
    "segment.sam2=sam2.1-hiera-tiny",
    "refine.sam2=sam2.1-hiera-tiny",
    "refine.image_size=64",
    f"segment.image_size={IMAGE_SIZE}",
    # What untrained networks see is no person to judge by; that it reaches the shards is what counts here.
    "judge.min_height=0.0",
    "judge.min_coverage=0.0",
    "judge.min_body=0.0",
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Every network of both presets."""
    from tasks.backends.weights import TABLE

    folder = tmp_path_factory.mktemp("weights")
    tiny_weights.write(folder, ("yolox-m", "rtmw-l-384", "osnet-x1.0", "yunet"))
    tiny_sam2_checkpoint(folder / TABLE["sam2.1-hiera-tiny"].file)
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Two figures who walk towards each other."""
    path = tmp_path_factory.mktemp("video") / "pair.mp4"
    frames = tiny_weights.people_video(16, (192, 256))
    with VideoWriter(path, fps=Fraction(16), size=(192, 256)) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.parametrize(
    ("preset", "kinds"),
    [
        pytest.param("pairfs-4k", {}, id="pairfs-4k"),
        pytest.param("humanrob-300", {1: "human", 2: "robot"}, id="humanrob-300, by a person's word"),
    ],
)
def test_from_a_video_to_shards(capfd, tmp_path, weights, video, preset, kinds):
    hints = ("identify.hints={pair.mp4: {1: human, 2: robot}}",) if kinds else ()
    done = run_here(
        capfd, video, "--preset", preset, "--weights", weights, "--out", tmp_path / "out",
        "--store", tmp_path / "store", settings=(*SETTINGS, *hints),
    )  # fmt: skip
    assert done.code == 0, done.err
    stages = done.summary["stages"]
    assert all(
        stages[name]["ran"] == 1
        for name in ("detect", "track", "pose", "segment", "bind", "refine", "identify", "judge")
    )
    assert done.summary["samples"] == 1, pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()
    assert verify([str(tmp_path / "out")]) == 0
    row = pq.read_table(tmp_path / "out" / "index.parquet").to_pylist()[0]
    assert row["num_people"] == 2
    if kinds:
        assert sorted(row["kinds"]) == ["human", "robot"]

"""The footage route with faces: off by default, said before any work when weights are missing, shipped when named."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.stream import ShardStream
from datasets.verify import verify
from tasks.backends.table import FACE_READER
from tasks.backends.weights import TABLE
from tests import tiny_weights
from tests.tiny_runs import run_here, tiny_video

pytestmark = pytest.mark.usefixtures("here")
SMALL = ("shots.min_s=0.5", "judge.min_height=0.01")
ON = ("face.networks=buffalo-l", "face.least_side=1")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """Two thirds of a second of two people, small; the light preset's weights, and test-made ones for faces."""
    folder = tmp_path_factory.mktemp("faces")
    tiny_video(shared / "footage" / "duet_case01.mp4", folder / "video" / "a.mp4", frames=16)
    tiny_weights.write(folder / "weights", FACE_READER)
    # Of the seeds tried, one whose network takes some of what people wear for a face.
    tiny_weights.scrfd(folder / "weights" / TABLE["scrfd-10g"].file, seed=8)
    for file in (shared / "weights").iterdir():
        (folder / "weights" / file.name).symlink_to(file)
    return folder


def run(capfd: pytest.CaptureFixture[str], place: Path, weights: Path, *more: str, settings: tuple[str, ...] = ()):
    return run_here(
        capfd, place / "video", "--out", place / "out", "--store", place / "store", "--weights", weights, *more,
        settings=(*SMALL, *settings),
    )  # fmt: skip


def test_missing_weights_are_said_before_any_work(
    place: Path, shared: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DUETFLOW_CACHE", str(tmp_path))
    # Nothing answers here: the machine is offline, as far as downloads go.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    done = run(capfd, place, shared / "weights", settings=ON)
    assert done.code == 2
    for name in FACE_READER:
        assert TABLE[name].file in done.err
    assert "buffalo_l.zip" in done.err
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("settings", "stages", "faces"),
    [
        pytest.param((), None, False, id="off: a run as it always was"),
        pytest.param(ON, ["face", "judge", "report", "shard"], True, id="on: the rest of the run is kept"),
        pytest.param(ON, [], True, id="on again: nothing to do"),
    ],
)
def test_faces_are_an_addition(
    place: Path, capfd: pytest.CaptureFixture[str], settings: tuple[str, ...], stages: list[str] | None, faces: bool
) -> None:
    plan = run(capfd, place, place / "weights", "--dry-run", settings=settings).summary
    assert ({weight["name"] for weight in plan["weights"]} >= set(FACE_READER)) == faces
    done = run(capfd, place, place / "weights", settings=settings)
    assert done.code == 0, done.err
    ran = [name for name, stage in done.summary["stages"].items() if stage["ran"]]
    if stages is None:
        assert "face" not in ran
        assert "judge" in ran
    else:
        assert ran == stages
        # The plan said so before, but for the shards, which follow from what is judged.
        planned = [name for name, stage in plan["stages"].items() if stage["run"]]
        assert planned == [name for name in stages if name != "shard"]
    assert verify(place / "out").problems == ()
    tar = next((place / "out").glob("*/train-*.tar"))
    assert (b".face.npz" in tar.read_bytes()) == faces
    samples = list(ShardStream(place / "out", split=None, include_review=True, window=16, faces=True))
    assert any(sample["face_mask"].any() for sample in samples) == faces

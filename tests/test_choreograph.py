"""python -m flows.choreograph: scenes that the motion route reads, the same from the same seed, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.choreograph import NAMES, main
from flows.command import OK, RED, USAGE
from tasks.backends.motion_files import load_motion
from tasks.motion_file import read_scene


def written(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_scenes_are_read_with_their_motions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--count", "3", "--people", "3", "--people", "2", "--scenario", "swap_places", "--seconds", "2"]
    assert main([str(tmp_path), *asked]) == OK
    assert f"3 scenes in {tmp_path}" in capsys.readouterr().out
    scenes = [read_scene(path) for path in sorted(tmp_path.glob("*.json"))]
    assert [len(scene.performers) for scene in scenes] == [3, 2, 3]
    for scene in scenes:
        clothes = {performer.clothes_seed for performer in scene.performers}
        assert scene.duration_s == 2
        assert len(clothes) == len(scene.performers), "everyone has clothes of their own"
        for performer in scene.performers:
            motion = load_motion(tmp_path / performer.motion, source=performer.motion)
            assert motion.pose.shape[0] == 1
            assert motion.pose.shape[1] / motion.fps > 2


def test_the_same_seed_writes_the_same_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("one", "4"), ("again", "4"), ("other", "5")):
        assert main([str(tmp_path / name), "--count", "2", "--seed", seed, "--seconds", "1"]) == OK
    one, again, other = (written(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert set(one.values()).isdisjoint(other.values())


def test_every_scenario_is_written(tmp_path: Path) -> None:
    assert main([str(tmp_path), "--count", str(len(NAMES)), "--seconds", "1"]) == OK
    assert {path.name.rsplit("-", 2)[0] for path in tmp_path.glob("*.json")} == set(NAMES)


def test_refusals_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "none"
    assert main([str(out), "--seconds", "9"]) == USAGE
    assert "1 to 8 s, got 0, 24, 9.0 s" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main([str(out), "--scenario", "waltz"])
    assert stopped.value.code == USAGE
    assert "waltz" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "file").write_text("in the way")
    assert main([str(tmp_path / "file"), "--count", "1"]) == RED
    assert "error: " in capsys.readouterr().err

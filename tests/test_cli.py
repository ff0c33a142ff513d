"""The command: what it says of what cannot be run, and what it prints of what it did."""

from __future__ import annotations

import os
from pathlib import Path

import onnxruntime
import pytest

from flows import checks
from flows.build_dataset import main

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty working folder, with a video, a motion file and a scene in folders of their own."""
    monkeypatch.chdir(tmp_path)
    for name in ("videos/a.mp4", "motion/a.npz", "mixed/a.mp4", "mixed/a.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"neither a video nor an array")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    return tmp_path


USAGE = [
    pytest.param(["videos", "--preset", "lihgt"], ["'lihgt'", "did you mean light"], id="unknown preset"),
    pytest.param(["nowhere"], ["nowhere", "no such file or folder"], id="missing source"),
    pytest.param(["empty"], ["empty", "got none"], id="empty folder"),
    pytest.param(["mixed"], ["videos", "motion", "--preset light or --preset motion"], id="both kinds, no preset"),
    pytest.param(["--preset", "light"], ["SOURCE", "only the preset demo"], id="no source"),
    pytest.param(["motion/a.npz", "--preset", "light"], ["video files", "motion file"], id="a file of the other route"),
    pytest.param(["videos", "--set", "shots.min_z=1"], ["did you mean shots.min_s"], id="unknown field"),
    pytest.param(["videos", "--set", "shots.min_s=long"], ["a number", "'long'"], id="value of another type"),
    pytest.param(["videos", "--set", "shots.min_s=20"], ["min_s <= max_s"], id="the stage's own check"),
    pytest.param(
        ["videos", "--set", "render.fps=3"], ["probe, bring, shots", "'render'"], id="a stage of the other route"
    ),
    pytest.param(["videos", "--runner", "threads:0"], ["threads:N", "'threads:0'"], id="no threads"),
    pytest.param(["videos", "--runner", "cluster"], ["processes:N", "'cluster'"], id="unknown runner"),
    pytest.param(["videos", "--runner", "threads://x"], ["dask://HOST:PORT"], id="an address for threads"),
    pytest.param(["videos", "--device", "gpu"], ["--device: want cpu, cuda or cuda:N", "'gpu'"], id="no such device"),
    pytest.param(["videos", "--limit", "0"], ["--limit 0", "1 or more"], id="limit of nothing"),
    pytest.param(["videos", "--seed", "-1"], ["--seed -1", "0 or more"], id="negative seed"),
    pytest.param(["videos", "--max-failed-fraction", "2"], ["0 to 1", "got 2"], id="more than all may fail"),
    pytest.param(["videos", "--max-failed-fraction", "nan"], ["0 to 1", "got nan"], id="a fraction that is none"),
    pytest.param(["videos", "--weights", "nowhere"], ["--weights nowhere", "no such folder"], id="no weights folder"),
    pytest.param(["videos", "--out", "full"], ["--out full", "other files", "letter.txt"], id="OUT with other files"),
    pytest.param(["videos", "--out", "full/letter.txt"], ["want a folder", "got a file"], id="OUT is a file"),
    pytest.param(["videos", "--out", "gs://bucket/x"], ["s3://"], id="OUT is an address"),
    pytest.param(["videos", "--out", "o", "--store", "o"], ["another folder than --store"], id="OUT is STORE"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE)
@pytest.mark.parametrize("dry", [False, True], ids=["run", "dry run"])
def test_a_command_that_cannot_run_says_why(place, capfd, arguments, said, dry):
    assert main([*arguments, *(["--dry-run"] if dry else [])]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    for words in said:
        assert words in err
    assert not (place / "out").exists()


@pytest.mark.parametrize("arguments", [["--frobnicate"], ["--seed", "x"], ["--limit"]], ids=" ".join)
def test_argparse_errors_are_usage_errors_too(place, capfd, arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "--help" in capfd.readouterr().err


def test_a_folder_that_cannot_be_written_is_said(place, capfd):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (place / "locked").mkdir(mode=0o500)
    assert main(["videos", "--out", "locked/out"]) == 2
    assert "no permission" in capfd.readouterr().err


def test_a_device_that_networks_cannot_run_on_is_said_before_any_work(place, capfd):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime has CUDA here: --device cuda is none that networks cannot run on")
    assert main(["videos", "--device", "cuda"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "error: --device cuda: want onnxruntime with CUDA, got one with " in err
    assert not (place / "out" / "light").exists()
    assert main(["videos", "--device", "cuda", "--dry-run"]) == 0, "a plan may be made elsewhere"


def test_missing_weights_are_named_before_any_work(place, capfd, monkeypatch):
    monkeypatch.setenv("DUETFLOW_CACHE", str(place / "cache"))
    # Nothing answers here: the machine is offline, as far as downloads go.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (place / "weights").mkdir()
    assert main(["videos", "--weights", "weights"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    for words in ("rtmdet_nano_person_end2end.onnx", "https://", str(place / "weights"), "movenet", "yunet"):
        assert words in err
    assert not (place / "out" / "light").exists()


def test_the_plan_names_weights_found_and_missing(place, capfd, monkeypatch):
    monkeypatch.setenv("DUETFLOW_CACHE", str(place / "cache"))
    (place / "weights").mkdir()
    (place / "weights" / "rtmdet_nano_person_end2end.onnx").write_bytes(b"weights")
    assert main(["videos", "--weights", "weights", "--dry-run"]) == 0
    out, _ = capfd.readouterr()
    assert f"rtmdet-nano: {place / 'weights' / 'rtmdet_nano_person_end2end.onnx'}" in out
    assert "movenet-lightning: missing; movenet_single_pose_lightning_ptq.tflite from https://" in out
    assert "probe         1      0" in out
    assert "more once shots has run" in out


def test_a_disk_without_room_is_said_before_any_work(place, capfd, monkeypatch):
    monkeypatch.setattr(checks, "bytes_free", lambda folder: 1000)
    assert main(["motion"]) == 2
    assert "GB free, got 0.0 GB" in capfd.readouterr().err

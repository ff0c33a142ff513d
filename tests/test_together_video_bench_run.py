"""The bench on a training run: it generates the videos itself, once, and says what a generator that fails says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("diffusers")

from datasets.store import Store, content_key
from flows.together_video_bench import main
from model.config import FaceConfig
from tasks.generated import VERSION, Config, pipeline_digest, pipeline_of
from tests.build_samples import bundle, judged
from tests.model_inputs import nano
from tests.test_model_pipeline import pipeline
from tests.test_shard_task import build


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A dataset of two drawn clips."""
    root = tmp_path_factory.mktemp("drawn")
    build(judged(Store(str(root / "store")), [bundle(source=f"{name}.mp4") for name in "ab"]), root / "out")
    return root / "out"


def command(out: Path, run: Path, folder: Path, shared: Path) -> list[str]:
    return [
        "--real", str(out), "--generated", str(run), "--out", str(folder / "bench"), "--store", str(folder / "store"),
        "--weights", str(shared / "weights"), "--workers", "1", "--steps", "1", "--frames", "4", "--limit", "1",
    ]  # fmt: skip


def videos(store: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in store.rglob("generate/*/*/video.mp4")}


def test_a_run_generates_each_clip_once(out, tmp_path, shared, capfd):
    run = tmp_path / "run"
    network = nano(face_shape=FaceConfig(embedding=512, depth=2))
    pipeline(network).save_pretrained(str(run / "pipeline"))
    assert main(command(out, run, tmp_path, shared)) == 0
    (row,) = [row for row in pq.read_table(tmp_path / "bench" / "scores.parquet").to_pylist() if row["key"]]
    assert (row["subject"], row["frames"], row["width"], row["height"]) == ("generated", 4, 16, 16)
    assert "the first 4 of 20 real frames" in row["notes"]
    assert row["PSNR"] < 40, "an untrained network"
    made = videos(tmp_path / "store")
    assert len(made) == 1
    assert main(command(out, run, tmp_path, shared)) == 0
    assert videos(tmp_path / "store") == made, "nothing is generated twice"


def test_every_choice_that_changes_a_video_changes_its_name():
    base = Config(checkpoint="c" * 32)
    others = [replace(base, **one) for one in ({"frames": 4}, {"steps": 2}, {"guidance": 1.5}, {"seed": 1})]
    assert len({content_key("generate", VERSION, one, ["real=1"], {}) for one in (base, *others)}) == 5
    assert base.options() == ["--seed", "0"], "what nobody chose is the command's to choose"
    assert replace(base, frames=4, guidance=1.5).options() == ["--frames", "4", "--guidance", "1.5", "--seed", "0"]


def test_a_changed_file_is_another_checkpoint(tmp_path):
    store, folder = Store(str(tmp_path / "store")), tmp_path / "run" / "pipeline"
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "weights.bin").write_bytes(b"one")
    assert pipeline_of(tmp_path / "run") == pipeline_of(folder) == folder
    assert pipeline_of(tmp_path) is None
    first = pipeline_digest(folder, store)
    assert pipeline_digest(folder, store) == first
    (folder / "weights.bin").write_bytes(b"other")
    second = pipeline_digest(folder, store)
    (tmp_path / "run" / "config.json").write_text("{}")
    assert len({first, second, pipeline_digest(folder, store)}) == 3


def test_what_a_generator_says_when_it_fails_is_said(out, tmp_path, shared, capfd, monkeypatch):
    # Away from the sources there is no model to start, unless it is installed: then the empty pipeline is refused.
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    run = tmp_path / "run"
    (run / "pipeline").mkdir(parents=True)
    (run / "pipeline" / "model_index.json").write_text("{}")
    assert main(command(out, run, tmp_path, shared)) == 2
    err = capfd.readouterr().err
    assert "model.generate ended with code " in err
    assert "No module named" in err or "error: " in err.split("ended with code")[1]
    assert "Traceback" not in err
    assert not (tmp_path / "bench" / "scores.parquet").exists()

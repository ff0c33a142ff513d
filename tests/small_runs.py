"""Small datasets and configurations for the tests of training: steps of a few hundredths of a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from datasets.store import Store
from model.config import CodecConfig, RunConfig, UNetConfig, changed
from model.presets import preset
from model.run_folder import RunFolder
from tasks.shard import Config
from tests.build_samples import bundle, judged
from tests.test_shard_task import build

SAMPLES = 9


def write_shards(folder: Path, samples: int = SAMPLES) -> Path:
    """Clips of two or three people and 20 frames, over several shards."""
    clips = [bundle(source=f"s{at}.mp4", people=2 + at % 2) for at in range(samples)]
    batch = judged(Store(root=str(folder / "store")), clips)
    build(batch, folder / "out", Config(target_bytes=90_000, val_fraction=0, test_fraction=0))
    return folder / "out"


def small_run(*settings: str, **train: Any) -> RunConfig:
    """`tiny`, smaller: 32 pixels, four frames, eight steps, a line in the log for each."""
    run = preset("tiny")
    network = replace(
        run.network,
        size=(32, 32),
        frames=4,
        codec=CodecConfig(factor=4, scale=2.0),
        unet=UNetConfig(widths=(32,), heads=(1,), attention=(True,), cross_dim=32, time_dim=32),
        face_shape=replace(run.network.face_shape, depth=1, heads=1),
    )
    wanted: dict[str, Any] = {
        "steps": 8, "stride": (1, 3), "log_every": 1, "save_every": 100, "sample_every": 0, "warmup": 2, "workers": 2,
    }  # fmt: skip
    return changed(replace(run, network=network, train=replace(run.train, **{**wanted, **train})), settings)


def curve(out: Path) -> list[tuple[int, float, float, float]]:
    """What may not hang on an interruption."""
    return [(line["step"], line["loss"], line["norm"], line["lr"]) for line in RunFolder(out).log_lines()]


def tensors(out: Path) -> dict[str, Any]:
    """Those of the last state."""
    found = RunFolder(out).latest()
    assert found is not None
    return load_file(found[1] / "tensors-00000.safetensors")

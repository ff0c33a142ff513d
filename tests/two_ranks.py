"""What two processes do in tests/test_model_parallel.py: python -m tests.two_ranks SHARDS FOLDER, by a launcher."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from model import training
from model.building import make_loader
from model.config import RunConfig, changed
from model.parallel import Processes
from model.presets import preset
from tests.small_runs import small_run

EPOCHS = 2


def epochs(shards: Path, processes: Processes) -> list[list[tuple[str, bool]]]:
    """What three workers of this process deliver in each epoch: key, padding."""
    loader = make_loader(
        small_run(workers=3), shards, split="train", on_error="raise", processes=processes
    )  # fmt: skip
    seen = []
    for epoch in range(EPOCHS):
        loader.set_epoch(epoch)
        batches = list(loader)
        seen.append([one for b in batches for one in zip(b["key"], b["padding"].tolist(), strict=True)])
    return seen


def stopped_and_resumed(run: RunConfig, shards: Path, out: Path) -> dict[str, Any]:
    """A whole run, and one whose first half ended before; gives how far the second's beginning was."""
    half = training.run(small_run(**_train(run), steps=run.train.steps // 2), shards=shards, out=out / "part")
    again = training.run(run, shards=shards, out=out / "part", resume=True)
    whole = training.run(run, shards=shards, out=out / "whole")
    return {"half": half.steps, "began_at": again.began_at, "steps": whole.steps}


def _train(run: RunConfig) -> dict[str, Any]:
    return {name: getattr(run.train, name) for name in ("parallel", "accumulate", "checkpointing", "workers")}


def main(shards: Path, folder: Path) -> None:
    """All of it; each process writes what it saw."""
    torch.set_num_threads(1)
    processes = Processes.here()
    told: dict[str, Any] = {"epochs": epochs(shards, processes), "world": processes.world_size}
    common: dict[str, Any] = {"steps": 4, "workers": 1, "accumulate": 2, "checkpointing": True}
    for parallel in ("ddp", "fsdp"):
        run = small_run(parallel=parallel, **common)
        told[parallel] = stopped_and_resumed(run, shards, folder / parallel)
    settings = ["steps=2", "workers=0", "sample_every=0", "log_every=1", "parallel=fsdp", "precision=bf16"]
    svd = changed(preset("svd_reduced"), [f"train.{one}" for one in settings])
    told["svd"] = training.run(svd, shards=shards, out=folder / "svd").steps
    diverged = small_run(workers=1, lr=1e30, warmup=0)
    try:
        training.run(diverged, shards=shards, out=folder / "diverged")
    except training.DivergedError as error:
        told["diverged"] = str(error)
    (folder / f"{processes.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

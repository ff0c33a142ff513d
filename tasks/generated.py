"""Sample, trained run -> its video, by `python -m model.generate` in a process of its own.

Nothing of the model is imported here: a bench over finished videos needs none of it.
"""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from datasets.store import Store
from tasks.batch import Env, Item, Refused, Stage
from tasks.compare import REAL
from tasks.probe import sha256_of

VERSION = 1
VIDEO = "video.mp4"
PIPELINE, MODEL_INDEX, RUN_CONFIG = "pipeline", "model_index.json", "config.json"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a video is generated with. None: as the command has it."""

    checkpoint: str  # digest of the pipeline's files
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0

    def options(self) -> list[str]:
        """As arguments of the command."""
        named = {"frames": self.frames, "steps": self.steps, "guidance": self.guidance, "seed": self.seed}
        return [text for name, value in named.items() if value is not None for text in (f"--{name}", f"{value}")]


def pipeline_of(path: Path) -> Path | None:
    """The pipeline's folder in what may be a training run, or a pipeline; None where it is neither."""
    for folder in (path / PIPELINE, path):
        if (folder / MODEL_INDEX).is_file():
            return folder
    return None


def pipeline_digest(folder: Path, store: Store) -> str:
    """32 hex digits over a pipeline's files, by name and bytes, and the run's configuration where it has one."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    digest = hashlib.sha256()
    config = folder.parent / RUN_CONFIG
    if folder.name == PIPELINE and config.is_file():
        digest.update(config.read_bytes())
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()} {sha256_of(path, store)}\n".encode())
    return digest.hexdigest()[:32]


def compute(run: Path, shards: str, device: str | None, item: Item, config: Config, env: Env, out: Path) -> None:
    """Run the command. Raises Refused with the last line that it said where it fails."""
    command = [
        sys.executable, "-m", "model.generate", "--checkpoint", str(run), "--shards", shards, "--key", item.key,
        *config.options(), *(("--device", device) if device else ()), "--out", str(out / VIDEO),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode or not (out / VIDEO).is_file():
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise Refused(f"{item.key}: model.generate ended with code {done.returncode}: {said[0]}")
    for other in out.iterdir():
        if other.name != VIDEO:
            other.unlink()  # a side-by-side video: the bench draws its own


def generated(item: Item, run: Path, shards: str, config: Config, env: Env, device: str | None = None) -> Item:
    """The item with its generated video, made or from the store. `device` None: as the command chooses."""
    compute_here = functools.partial(compute, run, shards, device)
    stage = Stage(name="generate", version=VERSION, inputs=(REAL,), compute=compute_here)
    return stage.make(item, config, env)[0]

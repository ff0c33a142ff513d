"""Runs of the command over tiny sources: seconds each, all stages of a route real."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from datasets.npz import write_npz
from datasets.video import VideoWriter, read_frames
from tests.prefect_server import Server

ROOT = Path(__file__).resolve().parent.parent
# One clip a duet, of a second and a few dozen frames of stamp size.
TINY = (
    "motion.cameras=1",
    "motion.min_s=0.5",
    "motion.max_s=1",
    "render.width=96",
    "render.height=96",
    "render.fps=12",
    "render.textures=off",
)


def tiny_motion(path: Path, seed: int, *, seconds: float = 1.0) -> Path:
    """A motion file in the AMASS layout: somebody who stands, sways and waves, another for each seed."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(30 * seconds)) / 30
    poses = np.zeros((len(t), 156))
    # AMASS is Z-up: a quarter turn about X stands the body upright.
    poses[:, 0] = np.pi / 2
    for joint in (16, 17, 18, 19):
        poses[:, 3 * joint : 3 * joint + 3] = (
            rng.uniform(-0.6, 0.6, 3) * np.sin(2 * np.pi * t + rng.uniform(0, 6))[:, None]
        )
    trans = np.stack([0.1 * np.sin(t + seed), 0.1 * np.cos(t), np.full_like(t, 0.9)], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"poses": poses, "trans": trans, "betas": np.zeros(16)}
    # np.savez writes the time of day into the file, and with it another sha256 and another order of partners.
    write_npz(path, {**arrays, "gender": np.array("neutral"), "mocap_framerate": np.array(30.0)})
    return path


def tiny_video(source: Path, path: Path, *, frames: int, start: int = 0, size: tuple[int, int] = (256, 256)) -> Path:
    """A piece of a video at another size (h, w)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps=Fraction(25), size=size) as writer:
        for picture in read_frames(source, start=start, frames=frames, size=size):
            writer.write(picture)
    return path


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """Its `--json` object."""
        return json.loads(self.out)


def command(*arguments: object, settings: tuple[str, ...] = ()) -> list[str]:
    """The command line, with each setting as --set."""
    sets = [text for setting in settings for text in ("--set", setting)]
    return [sys.executable, "-m", "flows.build_dataset", *map(str, arguments), *sets]


def environment(server: Server) -> dict[str, str]:
    """For a command that runs in any folder."""
    return {**server.environment, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def run(server: Server, *arguments: object, settings: tuple[str, ...] = (), cwd: Path | None = None) -> Done:
    """The command in a process of its own, on the tests' server."""
    done = subprocess.run(
        command(*arguments, settings=settings),
        env=environment(server),
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def digests(out: Path) -> dict[str, str]:
    """sha256 of all that a dataset consists of: shards with their sidecars, tables, card. The report holds times."""
    files = [
        *out.glob("shards/*"),
        *out.glob("review/*"),
        *(p for p in out.glob("*") if p.is_file() and p.name[0] != "."),
    ]
    return {p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


def run_here(capfd: Any, *arguments: object, settings: tuple[str, ...] = ()) -> Done:
    """The command in this process, on one thread: no start-up, for tests that need several runs. See `here`."""
    from flows.build_dataset import main

    capfd.readouterr()
    code = main([*command(*arguments, settings=settings)[3:], "--runner", "threads:1", "--json"])
    return Done(code, *capfd.readouterr())

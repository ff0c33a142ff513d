"""Clips for tests of the footage stages: frames in, an Item as the shots stage leaves it out."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from datasets.records import Artifact, Clip, save_record
from datasets.store import Store
from datasets.video import VideoWriter
from tasks.batch import Env, Item


def clip_item(frames: Iterable[np.ndarray], folder: Path, *, fps: Fraction = Fraction(25), key: str = "clip") -> Item:
    """An item whose `shots` artifact holds these (h, w, 3) uint8 RGB frames."""
    frames = list(frames)
    folder.mkdir(parents=True, exist_ok=True)
    size = frames[0].shape[:2]
    with VideoWriter(folder / "00000000.mp4", fps=fps, size=size) as writer:
        for frame in frames:
            writer.write(np.ascontiguousarray(frame))
    clip = Clip(
        key=key,
        source=f"{key}.mp4",
        sha256="0" * 64,
        file="00000000.mp4",
        start=0,
        frames=len(frames),
        fps=fps,
        size=size,
        audio=False,
        licence="",
    )
    save_record(clip, folder / "00000000.npz")
    shots = Artifact(key=f"shots-of-{key}", path=str(folder))
    return Item(
        key=key, source=clip.source, path=clip.source, part="00000000", frames=len(frames), artifacts={"shots": shots}
    )


def env_at(folder: Path, weights: Path) -> Env:
    """A run's surroundings with its own store; nothing is downloaded."""
    return Env(store=Store(str(folder / "store")), weights=str(weights), download=False)

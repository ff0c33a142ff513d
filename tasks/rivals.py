"""Clip, Detections -> ids of other trackers on the very same boxes: what the benchmark compares with.

They get all that they ask for: the frames, and the appearance (re-ID 0248) of every box in every frame, background
blacked out as for our own tracklets, since that is where the network is at its best.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.npz import read_npz, write_npz
from datasets.records import Clip, Detections, load_record
from tasks.backends.boxmot import BoxMOTTracker, TrackerName
from tasks.backends.table import ReIDName, embedder
from tasks.batch import Env, Item, Stage
from tasks.clips import clip_of
from tasks.detect import where
from tasks.frames import FRAMES
from tasks.track import masked_crop

VERSION = 1
IDS, LOOKS = "ids.npz", "looks.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A tracker of BoxMOT and how it is set."""

    name: TrackerName
    buffer_s: float  # how long a lost track waits for its person
    settings: tuple[tuple[str, float | bool | str], ...] = ()  # arguments of BoxMOT's own class


# How the settings were chosen: `python -m tests.bench.rivals` tries GRID on crossings of another seed, the best IDF1
# wins. A buffer of 4 s is the whole clip.
CHOSEN: tuple[Rival, ...] = (
    Rival(name="bytetrack", buffer_s=4.0),
    Rival(name="botsort", buffer_s=4.0),
    Rival(name="occluboost", buffer_s=4.0),
)


@dataclass(frozen=True, kw_only=True)
class LooksConfig:
    """What appearance is taken with."""

    reid: ReIDName = "reid-0248"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Who is compared with."""

    rivals: tuple[Rival, ...] = CHOSEN


def compute_looks(item: Item, config: LooksConfig, env: Env, out: Path) -> None:
    """Unit appearance vectors of every detection of every frame, (N, E) float32, into looks.npz."""
    _, path = clip_of(item)
    found = load_record(Detections, item.folder("detect") / "detections.npz")
    network = embedder(config.reid, where(env))
    looks = np.zeros((len(found.frame), network.width), np.float32)
    for t, frame in enumerate(FRAMES.read(path)):
        rows = np.flatnonzero(found.frame == t)
        if len(rows):
            crops = [masked_crop(frame, found.box[i], found.box[rows[rows != i]]) for i in rows]
            looks[rows] = network.embed(np.stack(crops))
    write_npz(out / LOOKS, {"looks": looks})


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Each rival's id for each detection, (N,) int64, -1 where it follows nothing, into ids.npz."""
    clip, path = clip_of(item)
    found = load_record(Detections, item.folder("detect") / "detections.npz")
    looks = read_npz(item.folder("looks") / LOOKS)["looks"]
    write_npz(out / IDS, {rival.name: follow(rival, clip, path, found, looks) for rival in config.rivals})


def follow(rival: Rival, clip: Clip, path: Path, found: Detections, looks: np.ndarray) -> np.ndarray:
    """One tracker over one clip: (N,) int64 ids of the detections; -1 where it follows nothing."""
    settings: dict[str, Any] = dict(rival.settings)
    tracker = BoxMOTTracker(rival.name, clip.fps, rival.buffer_s, settings=settings)
    ids = np.full(len(found.frame), -1, np.int64)
    rows_of = np.searchsorted(found.frame, np.arange(clip.frames + 1))
    pictures = FRAMES.read(path) if tracker.wants_frames else iter(())
    for t in range(clip.frames):
        rows = slice(rows_of[t], rows_of[t + 1])
        ids[rows] = tracker.update(found.box[rows], found.score[rows], looks[rows], next(pictures, None))
    return ids


LOOKS_STAGE = Stage(
    name="looks",
    version=VERSION,
    inputs=("shots", "detect"),
    compute=compute_looks,
    weights=lambda config: (config.reid,),
)
STAGE = Stage(name="rivals", version=VERSION, inputs=("shots", "detect", "looks"), compute=compute)

"""Crossing, Detections -> the same crossing with worse detections, fewer frames, or no appearance to go by."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from datasets.records import Clip, Detections, People, Segments, Tracklets, load_record, save_record
from datasets.video import VideoWriter
from tasks.batch import Env, Item, Stage
from tasks.clips import clip_of
from tasks.filming import ABOUT
from tasks.frames import FRAMES
from tasks.ops.stress import KINDS, sparse, thinned

VERSION = 2
RATE, LOOKS = "rate", "looks"
NAMES = (*KINDS, RATE, LOOKS)
_STEPS = (2, 3)  # of `rate`: every second or third frame


@dataclass(frozen=True, kw_only=True)
class Config:
    """How a clip is made harder."""

    kind: str
    draw: int = 0  # numbers the draws of one kind

    def __post_init__(self) -> None:
        if self.kind not in NAMES or self.draw < 0:
            raise ValueError(f"stress: want one of {', '.join(NAMES)} and draw 0 or more, got {self.kind}, {self.draw}")


@dataclass(frozen=True, kw_only=True)
class BlindConfig:
    """Appearance is taken away whole."""


def named(text: str) -> Config:
    """The stress of a name: drops, or drops-2 for its second draw. Raises ValueError for another."""
    kind, _, number = text.partition("-")
    if number and not number.isdigit():
        raise ValueError(f"stress: want one of {', '.join(NAMES)}, maybe with -2, -3, ..., got {text!r}")
    return Config(kind=kind, draw=int(number or 1) - 1)


def names(count: int) -> tuple[str, ...]:
    """The first `count` stresses: each kind once, then each a second time, and so on.

    >>> names(6)
    ('drops', 'merged', 'jitter', 'rate', 'looks', 'drops-2')
    """
    return tuple(NAMES[i % len(NAMES)] + (f"-{i // len(NAMES) + 1}" if i >= len(NAMES) else "") for i in range(count))


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Write detections.npz; for `rate` also the slower clip with its truth."""
    clip, path = clip_of(item)
    found = load_record(Detections, item.folder("detect") / "detections.npz")
    seed = int(hashlib.sha256(clip.key.encode()).hexdigest()[:8], 16)
    rng = np.random.default_rng((seed, NAMES.index(config.kind), config.draw))
    if config.kind == RATE:
        step = int(rng.choice(_STEPS))
        worse = thinned(found if config.draw == 0 else sparse(found, float(clip.fps), rng), step)
        _slower(item, clip, path, step, out)
    elif config.kind == LOOKS:
        worse = found if config.draw == 0 else sparse(found, float(clip.fps), rng)
    else:
        worse = KINDS[config.kind](found, float(clip.fps), rng)
    save_record(worse, out / "detections.npz")


def taken(item: Item) -> Item:
    """The item with the worse detections, and the slower clip, in the place of its own."""
    made = item.artifacts["stress"]
    places = {**item.artifacts, "detect": made}
    if (Path(made.path) / "clip.npz").is_file():
        places["shots"] = made
    del places["stress"]
    return replace(item, artifacts=places)


def blinds(name: str) -> bool:
    """Whether a stress of this name takes appearance away."""
    return name.partition("-")[0] == LOOKS


def blind_track(item: Item, config: BlindConfig, env: Env, out: Path) -> None:
    """Tracklets without appearance; the camera moved as it did."""
    tracklets = load_record(Tracklets, item.folder("track") / "tracklets.npz")
    save_record(replace(tracklets, embedding=np.zeros_like(tracklets.embedding)), out / "tracklets.npz")
    shutil.copyfile(item.folder("track") / "camera.npz", out / "camera.npz")


def blind_segment(item: Item, config: BlindConfig, env: Env, out: Path) -> None:
    """Segments without appearance."""
    segments = load_record(Segments, item.folder("segment") / "segments.npz")
    save_record(replace(segments, embedding=np.zeros_like(segments.embedding)), out / "segments.npz")


def _slower(item: Item, clip: Clip, path: Path, step: int, out: Path) -> None:
    """Every `step`-th frame of a clip and of its truth, written as a clip of its own."""
    kept = np.arange(0, clip.frames, step)
    fps = Fraction(clip.fps, step)
    with VideoWriter(out / clip.file, fps=fps, size=clip.size) as writer:
        for t, frame in enumerate(FRAMES.read(path)):
            if t % step == 0:
                writer.write(np.ascontiguousarray(frame))
    save_record(replace(clip, frames=len(kept), fps=fps), out / "clip.npz")
    people = load_record(People, item.folder("shots") / "people.npz")
    rows = (np.arange(people.num_people)[:, None] * people.num_frames + kept[None]).ravel()
    slow = {
        name: getattr(people, name)[:, kept]
        for name in ("box", "keypoint", "score", "flag", "present", "visible", "confidence")
    }
    save_record(replace(people, **slow, mask=people.mask.select(rows), events=()), out / "people.npz")
    shutil.copyfile(item.folder("shots") / ABOUT, out / ABOUT)


STAGE = Stage(name="stress", version=VERSION, inputs=("shots", "detect"), compute=compute)
BLIND_TRACK = Stage(name="track", version=VERSION, inputs=("track",), compute=blind_track)
BLIND_SEGMENT = Stage(name="segment", version=VERSION, inputs=("segment",), compute=blind_segment)

"""Unseen clips -> what is generated of them: a window over each clip's crossing, and a reference frame outside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets.stream import ShardStream
from model.clips import Source, clip_sample
from model.who import LEAST_PIXELS, palettes, told_apart, touching, worn
from model.windows import example

# A window spans so long: a crossing and a step before and after it.
SPAN_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """A clip to be generated and what the outcome is held to."""

    key: str
    example: dict[str, Any]  # of model.windows, people in the sample's order
    truth: np.ndarray  # (T, H, W, 3) uint8
    mask: np.ndarray  # (P, T, H, W) bool
    palette: np.ndarray  # (P, COLOURS, 3): everyone's colours, of the whole clip
    fps: float  # of the window


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A clip that cannot tell anything about identity, and why."""

    key: str
    why: str


def trials(
    source: Source,
    *,
    split: str | None,
    size: tuple[int, int],
    frames: int,
    most: int,
    keys: Collection[str] | None = None,
) -> Iterator[Trial | LeftOut]:
    """The first `most` clips of a split by name (None: of all), or those of `keys`, as trials of `frames` frames.

    Raises ShardError for damage.
    """
    refs = ShardStream(source, split=split, window=1, size=size).refs
    wanted = sorted(ref.key for ref in refs if keys is None or ref.key in keys)
    for key in wanted[:most]:
        yield trial(source, key, size=size, frames=frames)


def trial(source: Source, key: str, *, size: tuple[int, int], frames: int) -> Trial | LeftOut:
    """One clip as a trial, or why it is none: one person, too short, equal clothes, nobody seen outside the window."""
    whole = clip_sample(source, key, size=size)
    # The last frame is the reference, for which another is chosen here.
    video, mask, fps = whole["video"][:-1], whole["mask"][:, :-1], float(whole["fps"])
    people, length = mask.shape[:2]
    if people < 2:
        return LeftOut(key=key, why="one person only")
    stride = min(max(1, round(SPAN_S * fps / frames)), (length - 2) // max(1, frames - 1))
    if stride < 1:
        return LeftOut(key=key, why=f"{length} frames are fewer than a window and a reference")
    if (mask.sum(axis=(1, 2, 3)) < LEAST_PIXELS).any():
        return LeftOut(key=key, why="somebody is hardly seen")
    palette = palettes(video, mask)
    if not told_apart(worn(video, mask, palette)):
        return LeftOut(key=key, why="people's clothes are too alike to measure by")
    shown = crossing_window(touching(mask), frames, stride)
    reference = reference_frame(mask, shown)
    if reference is None:
        return LeftOut(key=key, why="no frame outside the window shows everyone")
    sample = clip_sample(source, key, size=size, frames=frames, stride=stride, start=int(shown[0]), reference=reference)
    return Trial(
        key=key, example=example(sample), truth=video[shown], mask=mask[:, shown], palette=palette, fps=fps / stride
    )


def crossing_window(near: np.ndarray, frames: int, stride: int) -> np.ndarray:
    """Frames (T,) around the middle of the contact `near` (clip's frames,) bool; around the clip's where none is."""
    length, span = len(near), (frames - 1) * stride
    at = np.flatnonzero(near)
    middle = int(at[len(at) // 2]) if len(at) else length // 2
    # One frame more must remain outside, for the reference.
    start = min(max(0, middle - span // 2), length - 1 - span)
    return start + np.arange(frames) * stride


def reference_frame(mask: np.ndarray, shown: np.ndarray) -> int | None:
    """The frame outside the window in which the least seen person is seen best; None where nobody stands in any."""
    outside = np.delete(np.arange(mask.shape[1]), np.s_[shown[0] : shown[-1] + 1])
    if not len(outside):
        return None
    seen = mask[:, outside].sum(axis=(2, 3)).min(axis=0)
    return int(outside[seen.argmax()]) if seen.max() >= LEAST_PIXELS else None

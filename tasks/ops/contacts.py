"""People -> the stretches in which somebody touches somebody, or has no mask: where a mask is worth a second look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.records import People
from tasks.ops.boxes import iou

CLEAN_VISIBLE = 0.9  # share of the body that is seen in a clean frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Frames [start, stop) in which these people have to be told apart."""

    start: int
    stop: int
    people: tuple[int, ...]
    clean: tuple[tuple[int, ...], ...]  # for each of the people: clean frames around the stretch, ascending


def touching(people: People, touch: float) -> np.ndarray:
    """(P, T) bool: the person's box overlaps another's by more than `touch`, intersection over union."""
    num, frames = people.present.shape
    out = np.zeros((num, frames), bool)
    for t in range(frames):
        who = np.flatnonzero(people.present[:, t])
        if len(who) > 1:
            overlap = iou(people.box[who, t], people.box[who, t])
            np.fill_diagonal(overlap, 0)
            out[who, t] = overlap.max(1) > touch
    return out


def clean_frames(people: People, touch: float, least_confidence: float = 0.5) -> np.ndarray:
    """(P, T) bool: the person stands apart, whole, with a mask, and is surely this person."""
    masked = (np.diff(people.mask.offset) > 0).reshape(people.present.shape)
    sure = people.confidence >= least_confidence
    return people.present & masked & sure & (people.visible >= CLEAN_VISIBLE) & ~touching(people, touch)


def stretches(people: People, *, touch: float, bridge: int, margin: int, away: int, most: int) -> list[Stretch]:
    """Where people touch or lack a mask, by first frame; pauses of up to `bridge` frames do not part a stretch.

    margin: frames added on both sides; away, most: clean frames are looked for up to so many frames off, and up to so
    many are taken on each side, nearest first.
    """
    near = touching(people, touch)
    masked = (np.diff(people.mask.offset) > 0).reshape(people.present.shape)
    wanted = near | (people.present & ~masked)
    clean = clean_frames(people, touch)
    out = []
    for start, stop in _runs(np.asarray(wanted.any(0)), bridge):
        who = np.flatnonzero(wanted[:, start:stop].any(1))
        begin, end = max(start - margin, 0), min(stop + margin, people.num_frames)
        around = tuple(_around(clean[p], start, stop, away, most) for p in who)
        out.append(Stretch(start=begin, stop=end, people=tuple(int(p) for p in who), clean=around))
    return out


def _around(clean: np.ndarray, start: int, stop: int, away: int, most: int) -> tuple[int, ...]:
    """The nearest clean frames before and after, spread so that they do not all show the same moment."""
    step = max(away // max(most, 1) // 2, 1)
    before = [t for t in range(start - 1, max(start - away, 0) - 1, -1) if t >= 0 and clean[t]]
    after = [t for t in range(stop, min(stop + away, len(clean))) if clean[t]]
    return tuple(sorted(_spread(before, most, step) + _spread(after, most, step)))


def _spread(frames: list[int], most: int, step: int) -> list[int]:
    taken: list[int] = []
    for t in frames:
        if len(taken) < most and (not taken or abs(t - taken[-1]) >= step):
            taken.append(t)
    return taken


def _runs(on: np.ndarray, bridge: int) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for t in np.flatnonzero(on).tolist():
        if out and t - out[-1][1] <= bridge:
            out[-1] = (out[-1][0], t + 1)
        else:
            out.append((t, t + 1))
    return out

"""A person's tracks, tracks that hold two people -> where the person is while they are in one box with another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.ops.boxes import covered
from tasks.ops.tracks import Track

_INSIDE = 0.6  # share of a person's last or next box that the box over two covers
_NEAR_S = 0.5  # from their last box to the first over two, and from its last to their next


def held_boxes(person: Sequence[Track], doubles: Sequence[Track], fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Frames (n,) and steadied boxes (n, 4) of a person inside boxes that hold them and another.

    The two keep their sides: someone's place between the left and the right edge of the double box, and its height in
    it, go evenly from what they were on the way in to what they are on the way out; one of both, where only that is
    known.
    """
    found = np.concatenate([track.frame for track in person])
    box = np.concatenate([track.steady for track in person])
    frames, boxes = [np.zeros(0, np.int64)], [np.zeros((0, 4))]
    for double in doubles:
        free = ~np.isin(double.frame, found)
        if not free.any():
            continue
        before, after = found < double.start, found >= double.stop
        ends = []
        if before.any() and double.start - found[before][-1] <= _NEAR_S * fps:
            ends.append((0, box[before][-1]))
        if after.any() and found[after][0] - double.stop <= _NEAR_S * fps:
            ends.append((-1, box[after][0]))
        ends = [(at, own) for at, own in ends if covered(own[None], double.steady[at][None])[0, 0] >= _INSIDE]
        if ends:
            frames.append(double.frame[free])
            boxes.append(_placed(ends, double)[free])
    order = np.argsort(np.concatenate(frames), kind="stable")
    return np.concatenate(frames)[order], np.concatenate(boxes)[order]


def _placed(ends: list[tuple[int, np.ndarray]], double: Track) -> np.ndarray:
    """(n, 4) the person's box in each frame of the double."""
    whole = double.steady
    side = np.array([_side(own, whole[at]) for at, own in ends])
    size = np.array([(own[2:] - own[:2]) / (whole[at][2:] - whole[at][:2]) for at, own in ends])
    share = np.linspace(0, 1, len(whole))[:, None] if len(ends) > 1 else np.zeros((len(whole), 1))
    side = side[0] * (1 - share) + side[-1] * share
    extent = whole[:, 2:] - whole[:, :2]
    own = extent * np.minimum(size[0] * (1 - share) + size[-1] * share, 1.0)
    low = whole[:, :2] + side * (extent - own)
    return np.concatenate([low, low + own], 1)


def _side(own: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """(2,) 0 at the left, upper edge, 1 at the right, lower edge."""
    room = np.maximum((whole[2:] - whole[:2]) - (own[2:] - own[:2]), 1e-6)
    return np.clip((own[:2] - whole[:2]) / room, 0, 1)

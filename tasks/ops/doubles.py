"""Boxes that hold two people: a detector's answer to an embrace. None of them is anybody's tight box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.ops.boxes import area, covered, iou
from tasks.ops.tracks import Track

_INSIDE = 0.8  # share of a single person's box that a box over two covers
_WIDER = 1.25  # than either of the two
_LONGEST_S = 1.6  # that a box over two lasts; one that lasts longer is somebody, with the other hidden behind
_SAME = 0.8  # intersection over union of a box with the one before or after it, from which it is that one's person
_NEAR_S = 0.4  # in which two people end in one box, or come out of it


def unions(box: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(N,) bool: boxes of one frame that are nothing but two others, side by side, in one.

    Both others must be found about as surely, lie within it, hardly overlap, and fill it.
    """
    n = len(box)
    out = np.zeros(n, bool)
    if n < 3:
        return out
    inside, apart, width = covered(box, box), iou(box, box), box[:, 2] - box[:, 0]
    for i in range(n):
        parts = [
            j for j in range(n) if j != i and inside[j, i] >= _INSIDE and width[i] >= _WIDER * width[j]
            and score[j] >= 0.5 * score[i]
        ]  # fmt: skip
        for k, a in enumerate(parts):
            for b in parts[k + 1 :]:
                both = np.concatenate([np.minimum(box[a, :2], box[b, :2]), np.maximum(box[a, 2:], box[b, 2:])])
                if apart[a, b] < 0.3 and area(both) >= 0.7 * area(box[i]):
                    out[i] = True
    return out


def doubles(tracks: Sequence[Track], fps: float) -> np.ndarray:
    """(N,) bool: tracks into which two tracks end at their beginning, or out of which two come at their end.

    One that begins, or ends, with the very box of somebody is that person, who steps before the other and spreads
    their arms.
    """
    start, stop = np.array([t.start for t in tracks], int), np.array([t.stop for t in tracks], int)
    near = _NEAR_S * fps
    out = np.zeros(len(tracks), bool)
    for i, own in enumerate(tracks):
        if own.stop - own.start > _LONGEST_S * fps:
            continue
        few = max(round(near), 1)
        into = np.flatnonzero((own.start - near <= stop) & (stop <= own.start + near / 2) & (start < own.start))
        after = np.flatnonzero((own.stop - near / 2 <= start) & (start <= own.stop + near) & (stop > own.stop))
        if any(_goes_on(tracks[j], own) for j in into.tolist() if j != i) or any(
            _goes_on(own, tracks[j]) for j in after.tolist() if j != i
        ):
            continue
        out[i] = _two_within(np.median(own.steady[:few], 0), [tracks[j].steady[-1] for j in into.tolist() if j != i])
        out[i] |= _two_within(np.median(own.steady[-few:], 0), [tracks[j].steady[0] for j in after.tolist() if j != i])
    return out


def _goes_on(one: Track, two: Track) -> bool:
    """Whether the second begins, in the very next frames, with the box that the first ended with."""
    at_once = 0 <= two.start - one.stop <= 2
    return at_once and float(iou(one.steady[-1][None], two.steady[0][None])[0, 0]) >= _SAME


def _two_within(whole: np.ndarray, parts: Sequence[np.ndarray]) -> bool:
    """Whether two boxes that hardly overlap lie within a box that is wider for its height than either.

    Who steps before the other and hides them is as wide as before for their height.
    """
    shape = (whole[2] - whole[0]) / (whole[3] - whole[1])
    fits = [
        part for part in parts
        if covered(part[None], whole[None])[0, 0] >= _INSIDE
        and shape >= _WIDER * (part[2] - part[0]) / (part[3] - part[1])
    ]  # fmt: skip
    return any(iou(a[None], b[None])[0, 0] < 0.3 for k, a in enumerate(fits) for b in fits[k + 1 :])

"""People who were not found for some frames -> how much of them is to be seen there, and the box of that part."""

from __future__ import annotations

import numpy as np

from tasks.ops.boxes import covered
from tasks.ops.cast import Shot
from tasks.ops.spans import Spans

_LONG_S = 1.5  # not found for longer, with nobody in front: behind something that we know nothing of
_SIDES = 0.15  # of a box's width, each side: what a body in front leaves free of its own box


def seen_between(box: np.ndarray, visible: np.ndarray, spans: Spans, counts: list[list[bytes]], shot: Shot) -> None:
    """Fill in `visible` (P, T), and boxes (P, T, 4) of parts, where a person is present without a mask; in place.

    Who stands lower in the picture stands in front. A person whom nobody covers was missed by the detector, unless it
    missed them for long.
    """
    long = np.zeros(spans.present.shape, bool)
    for gap in spans.gaps:
        long[gap.person, gap.start : gap.stop] = gap.stop - gap.start > _LONG_S * shot.fps
    for p, t in zip(*np.nonzero(spans.present), strict=True):
        if counts[p][t]:
            continue
        found = spans.row[p, t] >= 0
        before = [q for q in np.flatnonzero(spans.present[:, t]) if q != p and spans.box[q, t, 3] > spans.box[p, t, 3]]
        share = 1.0
        if not found:
            box[p, t], share = _behind(spans.box[p, t], spans.box[before, t])
        hidden = long[p, t] and share > 0.5
        visible[p, t] = max(share, 0.5) if found else 0.0 if hidden else share


def _behind(own: np.ndarray, fronts: np.ndarray) -> tuple[np.ndarray, float]:
    """A box (4,) and those in front of it (N, 4) -> the box of what they leave, and its share."""
    part = own.copy()
    share = 1.0
    for front in fronts:
        slim = front.copy()
        inset = _SIDES * (front[2] - front[0])
        slim[[0, 2]] += inset, -inset
        share = min(share, 1 - float(covered(own[None], slim[None])[0, 0]))
        if slim[1] > own[1] + 0.25 * (own[3] - own[1]):
            continue
        if slim[0] <= part[0] < slim[2] < part[2]:
            part[0] = slim[2]
        elif part[0] < slim[0] < part[2] <= slim[2]:
            part[2] = slim[0]
    return part, share

"""A tracklet's boxes and its carried mask -> where the mask has drifted off to something else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.records import Tracklets
from tasks.ops.boxes import iou
from tasks.ops.clean import ALONE, contacts

HELD = 0.5  # intersection over union with the found box from which a mask is still on its person
_NEAR = 3  # frames from a prompt within which another would say nothing new


def drifted(rows: np.ndarray, tracklets: Tracklets, tight: np.ndarray, prompted: Sequence[int]) -> int | None:
    """The row of a tracklet at which its mask is furthest off, None where it holds.

    rows (M,) of the tracklet, tight (M, 4) the mask's tight boxes there, zeros where it has none; prompted: frames in
    which it was already shown. Only rows that stand apart count: in contact the found box may be another's, or two
    people's.
    """
    overlap = contacts(tracklets.frame, tracklets.box)[rows]
    held = np.array([iou(tracklets.box[row][None], box[None])[0, 0] for row, box in zip(rows, tight, strict=True)])
    away = np.array([min((abs(int(t) - p) for p in prompted), default=_NEAR + 1) for t in tracklets.frame[rows]])
    off = np.where((overlap <= ALONE) & (away > _NEAR) & (held < HELD), held, np.inf)
    return int(rows[off.argmin()]) if len(off) and np.isfinite(off.min()) else None

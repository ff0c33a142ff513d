"""Tracklets that nobody looked at -> the rows at which they are best seen."""

from __future__ import annotations

import numpy as np

from tasks.ops.boxes import contact

_LEAST = 3  # rows of a tracklet worth a look
_CLEAR = 0.5  # intersection over union with another box from which a crop shows both


def unlooked(frame: np.ndarray, box: np.ndarray, tracklet: np.ndarray, embedding: np.ndarray) -> dict[int, np.ndarray]:
    """frame -> rows: for each tracklet without an appearance vector, the row in which it stands clearest, if it does.

    frame (N,) ascending, box (N, 4), tracklet (N,), embedding (N, E) with rows of zeros where none was taken.
    """
    touch = np.zeros(len(frame))
    for t in np.unique(frame):
        here = np.flatnonzero(frame == t)
        touch[here] = contact(box[here])
    chosen: dict[int, list[int]] = {}
    for name in np.unique(tracklet[tracklet >= 0]):
        rows = np.flatnonzero(tracklet == name)
        if len(rows) < _LEAST or embedding[rows].any():
            continue
        # Of equally clear rows the middle one: a tracklet is cut where it is unsure, so its ends are the worst.
        best = rows[np.lexsort((np.abs(np.arange(len(rows)) - len(rows) // 2), touch[rows].round(2)))[0]]
        if touch[best] <= _CLEAR:
            chosen.setdefault(int(frame[best]), []).append(int(best))
    return {t: np.array(rows) for t, rows in sorted(chosen.items())}

"""Tracklets -> the rows in which a person is best seen: standing apart, surely found, spread over time."""

from __future__ import annotations

import itertools

import numpy as np

from tasks.ops.boxes import contact

ALONE = 0.1  # intersection over union with the next person up to which a person stands apart


def contacts(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(N,) the largest intersection over union of each row's box with another of its frame; `frame` ascends."""
    out = np.zeros(len(frame))
    for start, stop in itertools.pairwise(np.flatnonzero(np.diff(frame, prepend=-1, append=-1))):
        out[start:stop] = contact(box[start:stop])
    return out


def clean_rows(frame: np.ndarray, box: np.ndarray, tracklet: np.ndarray, *, every: int) -> np.ndarray:
    """Rows (M,), ascending, from which to take a tracklet's appearance.

    Of each tracklet: the rows that stand apart, at least `every` frames from one to the next; when none does, the
    one that overlaps least, so that no tracklet goes without. Rows of tracklet -1 are left out.
    """
    overlap = contacts(frame, box)
    chosen: list[int] = []
    for name in np.unique(tracklet[tracklet >= 0]):
        rows = np.flatnonzero(tracklet == name)
        apart = rows[overlap[rows] <= ALONE]
        if not len(apart):
            chosen.append(int(rows[overlap[rows].argmin()]))
            continue
        last = -every
        for row in apart:
            if frame[row] - last >= every:
                chosen.append(int(row))
                last = int(frame[row])
    return np.array(sorted(chosen), np.int64)

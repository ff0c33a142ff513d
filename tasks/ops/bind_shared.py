"""Chains of tracks -> in which frames it could be seen that a track is another's.

Two people in one another's arms are often found in one box, and it holds either. Whose it is called nobody can say by
looking, and nobody is wronged by it: that two people were exchanged is an error only where they are not both there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.ops.bind_paths import path_of
from tasks.ops.boxes import paired_iou
from tasks.ops.tracks import Track

# Intersection over union with where somebody is from which a box may be theirs: less than the half that makes a box
# somebody's, for where they are between two sights is known only by and large.
_SAME = 0.4
_LONGEST_S = 2.0  # between two sights of somebody, over which it is known where they are


def tellable(tracks: Sequence[Track], chains: Sequence[Sequence[int]], fps: float) -> np.ndarray:
    """(K, N) frames of each of N tracks in which it lies elsewhere than each of K people, or it is not known where.

    chains: the tracks of each person, one or more. A person is where they were found, and between two sights that are
    at most _LONGEST_S apart on the straight way from one to the other.
    """
    length = [len(track.frame) for track in tracks]
    frame = np.concatenate([track.frame for track in tracks])
    steady = np.concatenate([track.steady for track in tracks])
    which = np.repeat(np.arange(len(tracks)), length)
    out = np.tile(np.array(length), (len(chains), 1))
    for k, chain in enumerate(chains):
        path = path_of([tracks[i] for i in chain])
        known, there = _places(path.found, path.steady, frame, _LONGEST_S * fps)
        same = known[paired_iou(steady[known], there) >= _SAME]
        out[k] -= np.bincount(which[same], minlength=len(tracks))
    return out


def _places(found: np.ndarray, steady: np.ndarray, frame: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) of frame at which it is known where somebody is who was found (F,) at steady (F, 4), and where (n, 4).

    most: frames that two sights may lie apart.
    """
    after = np.searchsorted(found, frame)
    b = np.minimum(after, len(found) - 1)
    a = np.where(found[b] == frame, b, np.maximum(b - 1, 0))
    within = (found[a] <= frame) & (frame <= found[b]) & (found[b] - found[a] <= most)
    rows = np.flatnonzero(within)
    a, b = a[rows], b[rows]
    share = (frame[rows] - found[a]) / np.maximum(found[b] - found[a], 1)
    return rows, steady[a] + share[:, None] * (steady[b] - steady[a])

"""Poses and masks of one frame -> whose pose it is: a pose belongs to the person whose mask holds it."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from tasks.ops.pose_owner import borrowed_poses

_SEEN = 0.2
_HOME = 0.25  # how much better another's mask must hold a pose than the own one, each, before it changes hands


def held(keypoint: np.ndarray, score: np.ndarray, masks: np.ndarray, *, slack: int = 0) -> np.ndarray:
    """(N, M) share of each pose's seen joints that each mask holds; keypoint (N, J, 2), score (N, J), masks (M, h,
    w)."""
    inside = at_keypoints(masks, keypoint)
    seen = score >= _SEEN
    return (inside & seen[:, None]).sum(-1) / np.maximum(seen.sum(-1), 1)[:, None]


def at_keypoints(masks: np.ndarray, keypoint: np.ndarray) -> np.ndarray:
    """(N, M, J) bool: whether joint j of pose n lies inside mask m; joints outside the frame lie in none."""
    h, w = masks.shape[1:]
    x, y = np.floor(keypoint[..., 0]).astype(int), np.floor(keypoint[..., 1]).astype(int)
    within = (x >= 0) & (y >= 0) & (x < w) & (y < h)
    inside = masks[:, np.clip(y, 0, h - 1), np.clip(x, 0, w - 1)]
    return inside.transpose(1, 0, 2) & within[:, None]


def bind_poses(
    box: np.ndarray, keypoint: np.ndarray, score: np.ndarray, masks: np.ndarray, corner: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """(N,) for each of N people the index of the pose that is theirs, -1 where none is.

    box (N, 4), keypoint (N, J, 2), score (N, J), masks (N, h, w) bool of one frame, or of a window of it that holds
    them and begins at `corner` (x, y). A pose that is another's seen
    twice goes; the rest is an exact assignment of poses to masks, in which a pose stays with its box unless both
    gain by a change.
    """
    n = len(box)
    usable = (score >= _SEEN).any(1)
    usable &= ~borrowed_poses(box, keypoint, score)
    share = held(keypoint - np.array(corner, np.float32), score, masks) + _HOME * np.eye(n)
    share[~usable] = 0.0
    _, column = linear_sum_assignment(-share)
    owner = np.full(n, -1)
    for pose, person in enumerate(column):
        if usable[pose]:
            owner[person] = pose
    return owner

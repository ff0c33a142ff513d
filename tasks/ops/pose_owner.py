"""Poses of one frame -> which of them lie on the body of someone else."""

from __future__ import annotations

import numpy as np


def borrowed_poses(box: np.ndarray, keypoint: np.ndarray, score: np.ndarray, *, min_score: float = 0.2) -> np.ndarray:
    """(N,) bool: rows whose pose is that of another row, seen through an overlapping box.

    box (N, 4), keypoint (N, J, 2), score (N, J) of one frame. A top-down pose network finds the most striking
    person of its crop; where two boxes overlap that can be the same one twice. The row whose box the pose fills
    better keeps it.
    """
    borrowed = np.zeros(len(box), bool)
    fit = [_fit(box[i], keypoint[i], score[i] >= min_score) for i in range(len(box))]
    for i in range(len(box)):
        for j in range(i + 1, len(box)):
            if _same(box[i], box[j], keypoint[i], keypoint[j], np.minimum(score[i], score[j]) >= min_score):
                borrowed[i if fit[i] < fit[j] else j] = True
    return borrowed


def _same(
    box_a: np.ndarray, box_b: np.ndarray, keypoint_a: np.ndarray, keypoint_b: np.ndarray, seen: np.ndarray
) -> bool:
    """Most joints lie within a tenth of the smaller person's height of each other, though the boxes differ."""
    if seen.sum() < 4:
        return False
    height = min(box_a[3] - box_a[1], box_b[3] - box_b[1])
    apart = np.linalg.norm(keypoint_a[seen] - keypoint_b[seen], axis=-1)
    return float(np.median(apart)) < 0.1 * float(height)


def _fit(box: np.ndarray, keypoint: np.ndarray, seen: np.ndarray) -> float:
    """Intersection over union of a box and the box of its pose."""
    if seen.sum() < 2:
        return 0.0
    low, high = keypoint[seen].min(0), keypoint[seen].max(0)
    shared = np.clip(np.minimum(box[2:], high) - np.maximum(box[:2], low), 0, None)
    area = float(np.prod(shared))
    return area / max(float(np.prod(box[2:] - box[:2]) + np.prod(high - low)) - area, 1e-6)

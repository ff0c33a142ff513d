"""Keypoints against keypoints: COCO's object keypoint similarity, for every pair at once."""

from __future__ import annotations

import numpy as np

from datasets.skeleton import skeleton as layout


def oks(
    estimate: np.ndarray,
    truth: np.ndarray,
    area: np.ndarray,
    *,
    skeleton: str = "coco17",
    labelled: np.ndarray | None = None,
) -> np.ndarray:
    """Object keypoint similarity of N estimates with M truths, (N, M) float64 in 0..1.

    estimate (N, J, 2) and truth (M, J, 2) in pixels; area (M,) of each truth's body in square pixels; labelled (M, J)
    bool, the joints that count (all when None). A truth with no labelled joint gives 0. OKS = mean over labelled joints
    of exp(-d^2 / (2 s^2 k^2)) with s^2 the area and k = 2 sigma (COCO keypoint evaluation, cocoeval.py, computeOks).

    >>> same = np.zeros((1, 17, 2))
    >>> float(oks(same, same, np.array([100.0]))[0, 0])
    1.0
    """
    sigma = np.asarray(layout(skeleton).sigma)
    if estimate.shape[1:] != (len(sigma), 2) or truth.shape[1:] != (len(sigma), 2):
        raise ValueError(f"oks: want (N, {len(sigma)}, 2) for {skeleton}, got {estimate.shape} and {truth.shape}")
    if labelled is None:
        labelled = np.ones(truth.shape[:2], bool)
    distance = ((estimate[:, None].astype(np.float64) - truth[None]) ** 2).sum(-1)
    spread = 2 * (2 * sigma) ** 2 * (np.asarray(area, np.float64)[:, None] + np.spacing(1))
    near = np.exp(-distance / spread[None])
    count = labelled.sum(1)
    return np.where(count > 0, (near * labelled[None]).sum(-1) / np.maximum(count, 1), 0.0)

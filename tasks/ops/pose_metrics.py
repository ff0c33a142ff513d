"""Estimated poses against true ones, row by row: COCO's object keypoint similarity, and joints in place (PCK)."""

from __future__ import annotations

import numpy as np

from tasks.ops.oks import oks

PCK_SHARE = 0.1


def row_oks(estimate: np.ndarray, truth: np.ndarray, labelled: np.ndarray, area: np.ndarray) -> np.ndarray:
    """OKS of each estimate with its own truth, (N,) float64 0..1; NaN where no joint is labelled.

    estimate and truth (N, 17, 2) pixels, labelled (N, 17) bool, area (N,) of the person's true mask in square pixels,
    as COCO takes it (see tasks.ops.oks). Only the first 17 joints of an estimate count, COCO's body.
    """
    pairs = [
        oks(estimate[i : i + 1, :17], truth[i : i + 1], area[i : i + 1], labelled=labelled[i : i + 1])[0, 0]
        for i in range(len(truth))
    ]
    return np.where(labelled.any(1), np.array(pairs, np.float64).reshape(len(truth)), np.nan)


def joints_in_place(estimate: np.ndarray, truth: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Which joints are within PCK_SHARE of the person's size of their place, (N, 17) bool; an unlabelled one is not.

    The size is the longer side of the tight box around all 17 true joints, labelled or not (PCK: Yang and Ramanan,
    Articulated Human Detection with Flexible Mixtures of Parts, PAMI 2013, section 6.2: alpha max(h, w), alpha 0.1).
    """
    size = (truth.max(1) - truth.min(1)).max(1)
    distance = np.linalg.norm(estimate[:, :17].astype(np.float64) - truth, axis=-1)
    return np.asarray((distance <= PCK_SHARE * size[:, None]) & labelled)

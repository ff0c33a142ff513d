"""Masks against true masks: region similarity J and contour accuracy F of DAVIS; who touches whom by the truth."""

from __future__ import annotations

import math

import cv2
import numpy as np

# DAVIS: a contour pixel is right when the other contour lies within this share of the picture's diagonal.
CONTOUR_REACH = 0.008
# Two people touch when their masks, each grown by this share of the picture's diagonal, meet: DAVIS's own tolerance of
# where a contour is.
TOUCH_REACH = CONTOUR_REACH


def region_similarity(found: np.ndarray, truth: np.ndarray) -> float:
    """J: intersection over union of two (h, w) bool masks; 1 when both are empty.

    Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016, section 4.

    >>> region_similarity(np.array([[1, 1, 0]], bool), np.array([[0, 1, 1]], bool)) == 1 / 3
    True
    """
    union = int((found | truth).sum())
    return float((found & truth).sum() / union) if union else 1.0


def contour_accuracy(found: np.ndarray, truth: np.ndarray, reach: float = CONTOUR_REACH) -> float:
    """F: harmonic mean of precision and recall of the contour pixels of two (h, w) bool masks.

    A contour pixel counts when one of the other mask's lies within `reach` of the diagonal, rounded up to pixels
    (Perazzi et al., CVPR 2016, section 4; davis2017-evaluation, metrics.py, f_measure, whose contour definition and
    disk this uses). 1 when both are empty, 0 when one is.
    """
    radius = math.ceil(reach * math.hypot(*truth.shape))
    window = _window(found | truth, radius + 2)
    a, b = contour(found[window]), contour(truth[window])
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    near_a, near_b = _grow(a, radius), _grow(b, radius)
    precision, recall = (a & near_b).sum() / a.sum(), (b & near_a).sum() / b.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def contour(mask: np.ndarray) -> np.ndarray:
    """The pixels whose right, lower, or lower right neighbour is on the other side of the mask's rim, (h, w) bool.

    As DAVIS draws it (davis2017-evaluation, metrics.py, _seg2bmap): the last row and column look along the rim only.
    """
    right, below, corner = mask.copy(), mask.copy(), mask.copy()
    right[:, :-1] = mask[:, 1:]
    below[:-1] = mask[1:]
    corner[:-1, :-1] = mask[1:, 1:]
    edge = (mask ^ right) | (mask ^ below) | (mask ^ corner)
    edge[-1] = (mask ^ right)[-1]
    edge[:, -1] = (mask ^ below)[:, -1]
    edge[-1, -1] = False
    return edge


def touching(masks: list[np.ndarray]) -> np.ndarray:
    """(P,) bool: whose mask, grown by TOUCH_REACH of the picture's diagonal, meets another's, grown so too."""
    count = len(masks)
    out = np.zeros(count, bool)
    if count < 2:
        return out
    radius = math.ceil(TOUCH_REACH * math.hypot(*masks[0].shape))
    grown = [_grow(mask, radius) if mask.any() else mask for mask in masks]
    for i in range(count):
        for j in range(i + 1, count):
            if (grown[i] & grown[j]).any():
                out[[i, j]] = True
    return out


def _window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The part of the picture in which a mask lies, with a margin."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    return slice(max(y - margin, 0), y + h + margin), slice(max(x - margin, 0), x + w + margin)


def _grow(mask: np.ndarray, radius: int) -> np.ndarray:
    """Dilated by a disk: all offsets at most `radius` long."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x * x + y * y <= radius * radius).astype(np.uint8)
    return cv2.dilate(mask.view(np.uint8), disk).view(bool)

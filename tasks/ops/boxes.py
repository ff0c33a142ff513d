"""Boxes against boxes. All are xyxy, half-open, pixels."""

from __future__ import annotations

import numpy as np


def area(box: np.ndarray) -> np.ndarray:
    """(..., 4) -> (...) square pixels; 0 for a box turned inside out."""
    return np.clip(box[..., 2] - box[..., 0], 0, None) * np.clip(box[..., 3] - box[..., 1], 0, None)


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4), (M, 4) -> (N, M) square pixels that both cover."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return area(np.concatenate([low, high], -1))


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4), (M, 4) -> (N, M) intersection over union, 0 for empty boxes.

    >>> iou(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 3, 2.0]])).round(2).tolist()
    [[0.33]]
    """
    both = intersection(a, b)
    union = area(a)[:, None] + area(b)[None] - both
    return np.where(union > 0, both / np.where(union > 0, union, 1), 0.0)


def paired_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4), (N, 4) -> (N,) intersection over union of each with its like in order, 0 for empty boxes."""
    both = area(np.concatenate([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])], -1))
    union = area(a) + area(b) - both
    return np.where(union > 0, both / np.where(union > 0, union, 1), 0.0)


def covered(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4), (M, 4) -> (N, M) share of each a that b covers."""
    own = area(a)[:, None]
    return np.where(own > 0, intersection(a, b) / np.where(own > 0, own, 1), 0.0)


def contact(box: np.ndarray) -> np.ndarray:
    """(N, 4) boxes of one frame -> (N,) the largest intersection over union of each with another."""
    if len(box) < 2:
        return np.zeros(len(box))
    pairs = iou(box, box)
    np.fill_diagonal(pairs, 0)
    return pairs.max(1)


def parts_of_others(box: np.ndarray, score: np.ndarray, *, inside: float = 0.9, smaller: float = 0.5) -> np.ndarray:
    """(N,) bool: boxes that lie inside a surer one and are much smaller: a torso or a leg found beside its person.

    inside: share of the box that the other must cover; smaller: the box's area at most this share of the other's.
    """
    if len(box) < 2:
        return np.zeros(len(box), bool)
    size = area(box)
    part = (covered(box, box) >= inside) & (size[:, None] <= smaller * size[None]) & (score[:, None] < score[None])
    return np.asarray(part.any(1))

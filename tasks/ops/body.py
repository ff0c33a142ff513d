"""Keypoints -> drawn bodies: the region that a 2-D pose surely, or probably, covers."""

from __future__ import annotations

import cv2
import numpy as np

# The first 17 joints of every skeleton here are COCO's body.
NOSE, EARS, SHOULDERS, HIPS = 0, (3, 4), (5, 6), (11, 12)
_LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))
_LEG = frozenset(_LIMBS[4:])
_TORSO = (5, 6, 12, 11)
_SUBPIXEL = 4  # cv2 draws with 4 fractional bits


def body_scale(keypoint: np.ndarray, score: np.ndarray, box: np.ndarray, min_score: float) -> float:
    """A body's unit of length in pixels: its torso where the pose shows one, else a share of its box.

    A torso seen from its end is short though the body is not, so the box gives the least and the most that is believed.
    """
    longer = float(max(box[2] - box[0], box[3] - box[1]))
    low, high = 0.15 * longer, 0.45 * longer
    if (score[list(SHOULDERS + HIPS)] < min_score).any():
        return 0.6 * low + 0.4 * high
    torso = _mean(keypoint[list(SHOULDERS)]) - _mean(keypoint[list(HIPS)])
    return float(min(max(np.hypot(*torso), low), high))


def draw_body(
    keypoint: np.ndarray, score: np.ndarray, scale: float, size: tuple[int, int], *, girth: float, min_score: float
) -> np.ndarray:
    """The limbs, torso and head of one pose as (h, w) bool.

    keypoint (J, 2) in pixels of `size`; `scale` is `body_scale`; `girth` 1 draws about a clothed body, 0.3 its bones.
    """
    canvas = np.zeros(size, np.uint8)
    point = np.round(keypoint.clip(-4096, 4096) * (1 << _SUBPIXEL)).astype(np.int32)
    seen = (score >= min_score).tolist()
    at = point.tolist()

    def stroke(a: list[int], b: list[int], width: float) -> None:
        cv2.line(canvas, a, b, 1, max(1, round(width * girth * scale)), cv2.LINE_8, _SUBPIXEL)

    for a, b in _LIMBS:
        if seen[a] and seen[b]:
            stroke(at[a], at[b], 0.42 if (a, b) in _LEG else 0.28)
    if all(seen[joint] for joint in _TORSO):
        torso = keypoint[list(_TORSO)]
        middle = _mean(torso)
        shrunk = middle + (torso - middle) * (0.4 + 0.6 * min(girth, 1.0))
        cv2.fillConvexPoly(canvas, cv2.convexHull(np.round(shrunk).astype(np.int32)), 1)
        stroke(_between(at, SHOULDERS), _between(at, HIPS), 0.55)
    # Nose and ears lie in the middle of the head, which is as wide as it is: its bones are not thin.
    _draw_head(canvas, keypoint, seen, scale * max(girth, 0.6))
    return canvas.view(bool)


def _between(at: list[list[int]], pair: tuple[int, int]) -> list[int]:
    """The middle of two joints, towards 0 where it falls between two units."""
    return [int((a + b) / 2) for a, b in zip(at[pair[0]], at[pair[1]], strict=True)]


def _mean(points: np.ndarray) -> np.ndarray:
    """The mean of a few (n, 2) points: ndarray.mean spends most of its time on what is not the mean."""
    return np.add.reduce(points, 0) / len(points)


def _draw_head(canvas: np.ndarray, keypoint: np.ndarray, seen: list[bool], scale: float) -> None:
    face = [joint for joint in (NOSE, *EARS) if seen[joint]]
    if not face:
        return
    head = _mean(keypoint[face])
    middle = np.round(head).astype(int).tolist()
    cv2.circle(canvas, middle, max(1, round(0.3 * scale)), 1, -1)
    if all(seen[joint] for joint in SHOULDERS):
        neck = _mean(keypoint[list(SHOULDERS)])
        width = max(1, round(0.22 * scale))
        cv2.line(canvas, middle, np.round(neck).astype(int).tolist(), 1, width)


def bone_lengths(keypoint: np.ndarray, score: np.ndarray, min_score: float) -> np.ndarray:
    """Lengths of the eight limbs, shoulders and hips, (..., 10) pixels; NaN where an end is not seen."""
    pairs = np.array([*_LIMBS, SHOULDERS, HIPS])
    length = np.linalg.norm(keypoint[..., pairs[:, 0], :] - keypoint[..., pairs[:, 1], :], axis=-1)
    seen = (score[..., pairs[:, 0]] >= min_score) & (score[..., pairs[:, 1]] >= min_score)
    return np.where(seen, length, np.nan)

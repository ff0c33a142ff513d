"""A mask, the same body's poses in two frames -> the mask as that body would have it in the other frame."""

from __future__ import annotations

import cv2
import numpy as np

Window = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels of the frame

# Pairs of COCO's joints that flesh hangs on: limbs, the torso's sides, its upper and lower end, the head's sides.
_BONES = np.array(
    [
        (5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (5, 11), (6, 12), (5, 6), (11, 12),
        (0, 5), (0, 6),
    ]
)  # fmt: skip
_LEAST = 4  # bones below which a pose tells too little of a body
_SHORT = 1e-3


def bone_warp(
    mask: np.ndarray, there: np.ndarray, here: np.ndarray, known: np.ndarray, window: Window
) -> np.ndarray | None:
    """A mask (H, W) bool of the whole frame, taken along from pose `there` to pose `here`: (h, w) bool of the window.

    None with too little of a pose.

    there, here (J, 2) in pixels of the frame; known (J,) bool: joints that both have. Each pixel goes with the bone
    that it is nearest to: as far along it as a share of its length, and as many pixels off it or beyond its end.
    """
    bones = _BONES[known[_BONES].all(1)]
    if len(bones) < _LEAST:
        return None
    x0, y0, x1, y1 = window
    x, y = np.meshgrid(np.arange(x0, x1, dtype=np.float32) + 0.5, np.arange(y0, y1, dtype=np.float32) + 0.5)
    best = np.full(x.shape, np.inf, np.float32)
    to_x, to_y = np.zeros_like(x), np.zeros_like(y)
    for a, b in bones.tolist():
        base, along, length = _axis(here[a], here[b])
        from_base, from_along, from_length = _axis(there[a], there[b])
        dx, dy = x - base[0], y - base[1]
        u, v = dx * along[0] + dy * along[1], dy * along[0] - dx * along[1]
        on = np.clip(u, 0, length)
        off = (u - on) ** 2 + v**2
        nearer = off < best
        best[nearer] = off[nearer]
        u, v = (on * (from_length / length) + (u - on))[nearer], v[nearer]
        to_x[nearer] = from_base[0] + u * from_along[0] - v * from_along[1]
        to_y[nearer] = from_base[1] + u * from_along[1] + v * from_along[0]
    return cv2.remap(mask.view(np.uint8), to_x - np.float32(0.5), to_y - np.float32(0.5), cv2.INTER_NEAREST).view(bool)


def _axis(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.float32]:
    """Where a bone begins, its direction and its length in pixels."""
    step = (b - a).astype(np.float32)
    length = np.float32(max(float(np.hypot(*step)), _SHORT))
    direction = step / length if length > _SHORT else np.array([0, 1], np.float32)
    return a.astype(np.float32), direction, length

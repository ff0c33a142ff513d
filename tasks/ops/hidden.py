"""A picture of several people -> the same with all but one painted over, so that a network finds only that one."""

from __future__ import annotations

import cv2
import numpy as np

_CELLS = 64  # the ground is blurred at this size: what it looked like is not to be seen
_SPREAD = 5.0  # cells
_EDGE = 0.01  # of the picture's side: masks end a little inside of what they mask


def paint_over(picture: np.ndarray, others: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 with `others` (h, w) bool, and a seam about them, replaced by the blurred ground around them.

    `own` (h, w) bool stays as it is. The ground is what belongs to neither; where there is none, grey. Of grey, black,
    the mean colour, scattered pixels and this, MoveNet is disturbed least by this (README, measurements).
    """
    reach = 2 * max(1, round(_EDGE * max(picture.shape[:2]))) + 1
    over = cv2.dilate(others.view(np.uint8), np.ones((reach, reach), np.uint8)).view(bool) & ~own
    x, y, w, h = cv2.boundingRect(over.view(np.uint8))
    out = picture.copy()
    if w:
        inside = over[y : y + h, x : x + w]
        out[y : y + h, x : x + w][inside] = _ground(picture, over | own)[y : y + h, x : x + w][inside]
    return out


def _ground(picture: np.ndarray, people: np.ndarray) -> np.ndarray:
    """What lies behind people, (h, w, 3) uint8: the ground blurred over them, each pixel by how much of it is seen."""
    h, w = people.shape
    share = (~people).astype(np.float32)
    small = cv2.resize(picture * share[..., None], (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    seen = cv2.resize(share, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    colour = cv2.GaussianBlur(small, (0, 0), _SPREAD)
    weight = cv2.GaussianBlur(seen, (0, 0), _SPREAD)[..., None]
    ground = np.where(weight > 1e-3, colour / np.maximum(weight, 1e-3), 114.0)
    return cv2.resize(ground.clip(0, 255).astype(np.uint8), (w, h), interpolation=cv2.INTER_LINEAR)

"""A picture of several people -> the same with all but one painted over, so that a network finds only that one."""

from __future__ import annotations

import cv2
import numpy as np

_EDGE = 0.01  # of the picture's side: masks end a little inside of what they mask
# Of black, the mean colour, the blurred ground, scattered pixels of it and grey, measured with MoveNet on rendered
# duets and on COCO pictures with others pasted in: black helps least, the others differ by no more than the two kinds
# of pictures do. Grey is the plainest.
_GREY = 114


def paint_over(picture: np.ndarray, others: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 with `others` (h, w) bool, and a seam about them, in grey. `own` (h, w) bool stays as it is."""
    reach = 2 * max(1, round(_EDGE * max(picture.shape[:2]))) + 1
    over = cv2.dilate(others.view(np.uint8), np.ones((reach, reach), np.uint8)).view(bool) & ~own
    out = picture.copy()
    out[over] = _GREY
    return out

"""Frame, box, mask -> the fixed-size crop that a network wants, and points of the crop back in the frame."""

from __future__ import annotations

import cv2
import numpy as np


def square_around(box: np.ndarray, margin: float) -> tuple[float, float, float]:
    """The square (x, y, side) about a box's centre, its side the box's longer one times `margin`.

    >>> square_around(np.array([10, 20, 30, 60]), 1.5)
    (-10.0, 10.0, 60.0)
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    side = max(x1 - x0, y1 - y0, 1.0) * margin
    return (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side


def cut_square(frame: np.ndarray, square: tuple[float, float, float], size: int) -> np.ndarray:
    """The square of a frame at (size, size, 3), black where it leaves the frame."""
    x, y, side = square
    factor = int(side / (2 * size)) + 1
    if factor > 1:
        # Linear sampling of a large picture skips pixels: whole squares of them are averaged first.
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        cells = int(np.ceil((side + 1) / factor))
        whole = pad_cut(frame, (x0, y0, x0 + cells * factor, y0 + cells * factor))
        frame = cv2.resize(whole, (cells, cells), interpolation=cv2.INTER_AREA)
        x, y, side = (x - x0) / factor, (y - y0) / factor, side / factor
    scale = size / side
    # Pixel centres lie at half pixels on both sides, so that a point p of the frame lies at (p - corner) * scale.
    shift = np.array([[scale, 0, -x * scale + (scale - 1) / 2], [0, scale, -y * scale + (scale - 1) / 2]])
    return cv2.warpAffine(frame, shift, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def pad_cut(frame: np.ndarray, rectangle: tuple[int, int, int, int]) -> np.ndarray:
    """A whole-pixel rectangle (x0, y0, x1, y1) of a frame or mask, zero where it leaves the frame."""
    x0, y0, x1, y1 = rectangle
    height, width = frame.shape[:2]
    out = np.zeros((y1 - y0, x1 - x0, *frame.shape[2:]), frame.dtype)
    top, bottom, left, right = max(y0, 0), min(y1, height), max(x0, 0), min(x1, width)
    if top < bottom and left < right:
        out[top - y0 : bottom - y0, left - x0 : right - x0] = frame[top:bottom, left:right]
    return out


def person_crop(frame: np.ndarray, box: np.ndarray, mask: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """A person's box stretched to (h, w, 3), black outside the mask (of the frame's size) when there is one.

    This is what re-identification networks are trained on: the box alone, its shape not kept.
    """
    height, width = frame.shape[:2]
    x0, y0 = np.clip(np.floor(box[:2]).astype(int), 0, (width - 1, height - 1))
    x1, y1 = np.clip(np.ceil(box[2:]).astype(int), (x0 + 1, y0 + 1), (width, height))
    piece = frame[y0:y1, x0:x1]
    if mask is not None:
        piece = piece * mask[y0:y1, x0:x1, None].astype(np.uint8)
    shrinks = piece.shape[0] > size[0] and piece.shape[1] > size[1]
    return cv2.resize(piece, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

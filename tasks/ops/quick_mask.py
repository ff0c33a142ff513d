"""Box -> a rough mask of the person in it, before anything is known of the pose: enough to leave the background out."""

from __future__ import annotations

import cv2
import numpy as np

_BOX = (96, 48)  # (h, w) that the box has in the piece that is cut
_RIM = 10  # pixels around it: what is surely not the person
_SEED = 20250518
_ITERATIONS = 2


def quick_mask(frame: np.ndarray, box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB, box (4,), other people's boxes (M, 4) -> mask (96, 48) bool, stretched over the box.

    GrabCut (Rother et al., SIGGRAPH 2004) from a body's usual shape, the rim around the box for background; where other
    boxes lie is background too, save for the body's own core. Its random numbers are set anew at each call: equal input
    gives equal masks. Where colours tell nothing apart, the usual shape is the answer.
    """
    height, width = _BOX
    scale = np.array([width, height]) / np.maximum(box[2:] - box[:2], 1.0)
    shift = _RIM - box[:2] * scale
    matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
    label = _LABEL.copy()
    for other in others:
        a0, b0, a1, b1 = np.round(other * np.tile(scale, 2) + np.tile(shift, 2)).astype(int)
        piece = label[max(b0, 0) : max(b1, 0), max(a0, 0) : max(a1, 0)]
        piece[piece != cv2.GC_FGD] = cv2.GC_BGD
    cv2.setRNGSeed(_SEED)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    picture = _shrink(frame, box, matrix, label.shape)
    label, _, _ = cv2.grabCut(picture, label, None, *models, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    mask = ((label == cv2.GC_FGD) | (label == cv2.GC_PR_FGD))[_RIM:-_RIM, _RIM:-_RIM]
    return mask if 0.2 < mask.mean() < 0.9 else _USUAL


def _shrink(frame: np.ndarray, box: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The box and its rim at the piece's size; the frame's edge goes on beyond it."""
    rim = _RIM * (box[2:] - box[:2]) / np.array(_BOX[::-1])
    low = np.floor(np.maximum(box[:2] - rim - 1, 0)).astype(int)
    high = np.ceil(np.minimum(box[2:] + rim + 1, frame.shape[1::-1])).astype(int)
    piece = frame[low[1] : high[1], low[0] : high[0]]
    factor = max(int(min(1 / matrix[0, 0], 1 / matrix[1, 1])), 1)
    if factor > 1:
        # Averaged first: the warp below would leave pixels out.
        inner = max(piece.shape[1] // factor, 1), max(piece.shape[0] // factor, 1)
        ratio = np.array(inner) / piece.shape[1::-1]
        piece = cv2.resize(piece, inner, interpolation=cv2.INTER_AREA)
    else:
        ratio = np.ones(2)
    there = np.array(
        [
            [matrix[0, 0] / ratio[0], 0, matrix[0, 2] + matrix[0, 0] * low[0]],
            [0, matrix[1, 1] / ratio[1], matrix[1, 2] + matrix[1, 1] * low[1]],
        ]
    )
    return cv2.warpAffine(piece, there, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _usual_shape() -> np.ndarray:
    """A body that fills its box: head, trunk, legs; (96, 48) bool."""
    shape = np.zeros(_BOX, np.uint8)
    height, width = _BOX
    for y, half_width, half_height in ((0.1, 0.17, 0.1), (0.36, 0.34, 0.24), (0.74, 0.36, 0.26)):
        centre, axes = (width // 2, round(y * height)), (round(half_width * width), round(half_height * height))
        cv2.ellipse(shape, centre, axes, 0, 0, 360, 1, -1)
    return shape.astype(bool)


def _first_label() -> np.ndarray:
    """GrabCut's labels before it runs: rim, perhaps not, perhaps, and the core that is surely the person."""
    label = np.full((_BOX[0] + 2 * _RIM, _BOX[1] + 2 * _RIM), cv2.GC_BGD, np.uint8)
    inner = label[_RIM:-_RIM, _RIM:-_RIM]
    inner[:] = np.where(_USUAL, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    core = (_BOX[1] // 2, round(0.33 * _BOX[0])), (round(0.12 * _BOX[1]), round(0.16 * _BOX[0]))
    cv2.ellipse(inner, *core, 0, 0, 360, cv2.GC_FGD, -1)
    return label


_USUAL = _usual_shape()
_LABEL = _first_label()

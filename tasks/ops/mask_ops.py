"""Masks -> masks: parts that hang together, holes, tight boxes, who gets a pixel that two claim."""

from __future__ import annotations

import cv2
import numpy as np
from pycocotools import mask as coco

from datasets.masks import Masks


def box_of(mask: np.ndarray) -> np.ndarray:
    """The tight box of a (h, w) bool mask, (4,) float32 xyxy, half-open; zeros when the mask is empty.

    >>> box_of(np.eye(3, dtype=bool))
    array([0., 0., 3., 3.], dtype=float32)
    """
    if mask.flags.f_contiguous and not mask.flags.c_contiguous:
        y, x, h, w = cv2.boundingRect(mask.T.view(np.uint8))
    else:
        x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    return np.array([x, y, x + w, y + h], np.float32)


def boxes_of(masks: Masks) -> np.ndarray:
    """The tight boxes of all masks, (N, 4) float32 as of `box_of`, without decoding them."""
    out = np.zeros((len(masks), 4), np.float32)
    filled = np.flatnonzero(np.diff(masks.offset) > 0)
    if len(filled):
        xywh = coco.toBbox([{"size": list(masks.size), "counts": masks.counts(int(i))} for i in filled])
        out[filled] = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
    return out


def keep_body(mask: np.ndarray, anchor: np.ndarray | None, *, min_share: float = 0.08) -> np.ndarray:
    """The parts of a mask that can be one person: the largest, and others of some size that `anchor` (a skeleton)
    touches.

    Holes smaller than 2 % of the body are filled; larger ones are the gap between an arm and a hip.
    """
    # Outlines take a tenth of the time that labels take, and tell whether there is anything to label.
    parts, holes = _outlines(mask)
    if parts > 1:
        mask = _body_parts(mask, anchor, min_share)
    return fill_holes(mask, 0.02) if holes else mask


def _outlines(mask: np.ndarray) -> tuple[int, int]:
    """How many parts (8-connected) and holes (4-connected, away from the border) a mask has."""
    _, tree = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tree is None:
        return 0, 0
    parent = tree[0, :, 3]
    return int((parent < 0).sum()), int((parent >= 0).sum())


def _body_parts(mask: np.ndarray, anchor: np.ndarray | None, min_share: float) -> np.ndarray:
    count, part, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    touched = np.zeros(count, bool)
    if anchor is not None:
        touched[part[anchor & mask]] = True
    if touched.any():
        area_touched = np.where(touched, area, 0)
        largest = int(area_touched.argmax())
    else:
        largest = int(area.argmax())
    keep = touched & (area >= min_share * area[largest])
    keep[largest] = True
    return keep[part]


def fill_holes(mask: np.ndarray, max_share: float) -> np.ndarray:
    """A mask without holes that are smaller than this share of its area."""
    _, part, stats, _ = cv2.connectedComponentsWithStats((~mask).view(np.uint8), connectivity=4)
    h, w = mask.shape
    x, y, width, height = (
        stats[:, i] for i in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT)
    )
    inside = (x > 0) & (y > 0) & (x + width < w) & (y + height < h)
    small = inside & (stats[:, cv2.CC_STAT_AREA] < max_share * max(int(np.count_nonzero(mask)), 1))
    small[0] = False  # the mask itself
    return mask | small[part] if small.any() else mask


def drop_specks(mask: np.ndarray, min_share: float = 0.03) -> np.ndarray:
    """A mask without parts that are smaller than this share of its largest part."""
    if not mask.size:
        return mask
    count, part, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    keep = stats[:, cv2.CC_STAT_AREA] >= min_share * stats[1:, cv2.CC_STAT_AREA].max()
    keep[0] = False
    return keep[part]


def move_mask(mask: np.ndarray, box_from: np.ndarray, box_to: np.ndarray) -> np.ndarray:
    """A (h, w) bool mask shifted and scaled as its box is."""
    scale = (box_to[2:] - box_to[:2]) / np.maximum(box_from[2:] - box_from[:2], 1.0)
    shift = box_to[:2] - box_from[:2] * scale
    matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]], np.float32)
    h, w = mask.shape
    return cv2.warpAffine(mask.view(np.uint8), matrix, (w, h), flags=cv2.INTER_NEAREST).astype(bool)

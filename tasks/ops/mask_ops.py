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
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


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
    count, part, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if count <= 1:
        return mask
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    touched = np.zeros(count, bool)
    if anchor is not None and (anchor & mask).any():
        touched[np.unique(part[anchor & mask])] = True
        touched[0] = False
        area_touched = np.where(touched, area, 0)
        largest = int(area_touched.argmax())
    else:
        largest = int(area.argmax())
    keep = touched & (area >= min_share * area[largest])
    keep[largest] = True
    return fill_holes(keep[part], 0.02)


def fill_holes(mask: np.ndarray, max_share: float) -> np.ndarray:
    """A mask without holes that are smaller than this share of its area."""
    count, part, stats, _ = cv2.connectedComponentsWithStats((~mask).view(np.uint8), connectivity=4)
    h, w = mask.shape
    x, y, width, height = (
        stats[:, i] for i in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT)
    )
    inside = (x > 0) & (y > 0) & (x + width < w) & (y + height < h)
    small = inside & (stats[:, cv2.CC_STAT_AREA] < max_share * max(int(mask.sum()), 1))
    small[part[mask][0] if mask.any() else 0] = False
    return mask | small[part] if count > 1 else mask


def drop_specks(mask: np.ndarray, min_share: float = 0.03) -> np.ndarray:
    """A mask without parts that are smaller than this share of its largest part."""
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

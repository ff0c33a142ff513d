"""A clip's masks -> pieces of them: each is unpacked once, and only where it is lit."""

from __future__ import annotations

import cv2
import numpy as np

from datasets.masks import Masks
from tasks.ops.mask_ops import boxes_of

Window = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels of the frame
_MAX_BYTES = 64 << 20  # of pieces kept; those that do not fit any more are unpacked at each use


class MaskCrops:
    """Masks of one clip by their position in `Masks`; position -1 is an empty mask."""

    def __init__(self, masks: Masks) -> None:
        self.masks = masks
        self.extent = boxes_of(masks)  # (N, 4) float32, as of `box_of`
        self._pieces: dict[int, np.ndarray] = {}
        self._held = 0

    def window(self, index: np.ndarray, margin: int = 0) -> Window:
        """What holds all of these masks, and a margin where the frame has one; one pixel when they are empty."""
        boxes = self.extent[index[index >= 0]]
        boxes = boxes[boxes[:, 2] > boxes[:, 0]]
        if not len(boxes):
            return 0, 0, 1, 1
        height, width = self.masks.size
        x0, y0 = (boxes[:, :2].min(0).astype(int) - margin).tolist()
        x1, y1 = (boxes[:, 2:].max(0).astype(int) + margin).tolist()
        return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)

    def stack(self, index: np.ndarray, window: Window) -> np.ndarray:
        """These masks in a window that holds them, (len(index), h, w) bool."""
        x0, y0, x1, y1 = window
        out = np.zeros((len(index), y1 - y0, x1 - x0), bool)
        for mask, i in zip(out, index.tolist(), strict=True):
            if i >= 0:
                left, top, right, bottom = self.extent[i].astype(int).tolist()
                mask[top - y0 : bottom - y0, left - x0 : right - x0] = self._piece(i)
        return out

    def _piece(self, i: int) -> np.ndarray:
        """Mask i in its tight box, (h, w) bool."""
        if i in self._pieces:
            return self._pieces[i]
        x0, y0, x1, y1 = self.extent[i].astype(int).tolist()
        if x1 <= x0:
            return np.zeros((0, 0), bool)
        # Unpacked masks lie in memory by columns.
        columns = self.masks.decode(i).T[x0:x1, y0:y1]
        piece = cv2.transpose(columns.view(np.uint8)).view(bool)
        if self._held + piece.nbytes <= _MAX_BYTES:
            self._pieces[i] = piece
            self._held += piece.nbytes
        return piece

"""Clip size -> training size: one geometry for pixels, masks and poses, so that they stay on each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from datasets.window_masks import Grid, grid_of

Fit = Literal["crop", "stretch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A clip's picture, scaled and then cut."""

    source: tuple[int, int]  # (h, w) of the clip
    scaled: tuple[int, int]  # (h, w) after scaling
    offset: tuple[int, int]  # (y, x) of the cut in the scaled picture
    size: tuple[int, int]  # (h, w) of the cut

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """The cut of scaled frames (..., h, w, 3)."""
        (y, x), (height, width) = self.offset, self.size
        return np.ascontiguousarray(frames[..., y : y + height, x : x + width, :])

    def grid(self) -> Grid:
        """The source pixel under each pixel's middle."""
        return grid_of(self.source, scaled=self.scaled, offset=self.offset, crop=self.size)

    def points(self, xy: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the clip, in pixels of this view."""
        scale = np.array([self.scaled[1] / self.source[1], self.scaled[0] / self.source[0]], np.float32)
        return xy * scale - np.array(self.offset[::-1], np.float32)

    def inside(self, xy: np.ndarray) -> np.ndarray:
        """Whether points of this view (..., 2) lie in it."""
        return np.asarray(((xy >= 0) & (xy < self.size[::-1])).all(axis=-1))

    def boxes(self, xyxy: np.ndarray) -> np.ndarray:
        """Boxes (..., 4) of the clip, in pixels of this view and clipped to it."""
        corners = self.points(xyxy.reshape(*xyxy.shape[:-1], 2, 2))
        return np.clip(corners, 0, np.array(self.size[::-1], np.float32)).reshape(xyxy.shape)


def view_of(source: tuple[int, int], size: tuple[int, int] | None, fit: Fit) -> View:
    """The view of a clip at a size (h, w): "crop" keeps the shape of things and cuts what is over, from the middle.

    >>> view_of((480, 832), (256, 256), "crop").scaled
    (256, 444)
    """
    height, width = size or source
    if fit == "stretch" or size is None:
        return View(source=source, scaled=(height, width), offset=(0, 0), size=(height, width))
    scale = max(height / source[0], width / source[1])
    scaled = max(height, round(source[0] * scale)), max(width, round(source[1] * scale))
    offset = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    return View(source=source, scaled=scaled, offset=offset, size=(height, width))

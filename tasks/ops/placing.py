"""Pixels of a file beside a video -> pixels of a clip: turned, stretched and cut as the video's pictures are."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from datasets.masks import Masks, encode_rle

# Annotators work on pictures made smaller; their sides are rounded, so shapes agree to about this.
_SAME_SHAPE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The video's picture: as stored, with square pixels, and upright with even sides. Sizes are (h, w)."""

    coded: tuple[int, int]
    square: tuple[int, int]  # before turning
    quarter_turns: int  # clockwise
    mirrored: bool  # before turning
    upright: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """Mirror, turn, scale each axis, cut to `size`. Points and boxes are continuous: pixel i covers i to i + 1."""

    given: tuple[int, int]  # (h, w) of the file's picture
    mirrored: bool
    quarter_turns: int
    scale: tuple[float, float]  # x, y, after turning
    size: tuple[int, int]  # (h, w) of the clip

    @property
    def plain(self) -> bool:
        """Whether nothing changes."""
        return not self.mirrored and not self.quarter_turns and self.scale == (1.0, 1.0) and self.given == self.size

    def points(self, xy: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the file's picture in the clip's, float32."""
        x, y = xy[..., 0].astype(np.float64), xy[..., 1].astype(np.float64)
        height, width = self.given
        if self.mirrored:
            x = width - x
        for _ in range(self.quarter_turns):
            x, y, height, width = height - y, x, width, height
        return np.stack([x * self.scale[0], y * self.scale[1]], axis=-1).astype(np.float32)

    def boxes(self, xyxy: np.ndarray) -> np.ndarray:
        """Boxes (N, 4) of the file's picture in the clip's, float32, not clipped."""
        corners = self.points(xyxy.reshape(-1, 2, 2))
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)

    def masks(self, masks: Masks) -> Masks:
        """Masks of the file's picture in the clip's."""
        if self.plain:
            return masks
        return Masks.from_counts((self._mask(masks, i) for i in range(len(masks))), size=self.size)

    def _mask(self, masks: Masks, i: int) -> bytes:
        if not masks.counts(i):
            return b""
        mask = masks.decode(i)
        if self.mirrored:
            mask = mask[:, ::-1]
        mask = np.ascontiguousarray(np.rot90(mask, -self.quarter_turns)).view(np.uint8)
        height, width = mask.shape[:2]
        whole = max(round(width * self.scale[0]), 1), max(round(height * self.scale[1]), 1)
        if whole != (width, height):
            way = cv2.INTER_AREA if whole[0] <= width and whole[1] <= height else cv2.INTER_LINEAR
            mask = (cv2.resize(mask * np.uint8(255), whole, interpolation=way) >= 128).view(np.uint8)
        out = np.zeros(self.size, bool)
        part = mask[: self.size[0], : self.size[1]]
        out[: part.shape[0], : part.shape[1]] = part
        return encode_rle(out, self.size)


def place(given: tuple[int, int] | None, frame: Frame, clip: tuple[int, int]) -> Placing | None:
    """How pixels of a picture of the size `given` (h, w) come into a clip of the size `clip`; None when they cannot.

    A file without a size speaks of the upright video. Tried in this order: the upright picture, also with the odd row
    or column that the clip has not; the picture as stored, not turned or not stretched; any of these made smaller or
    larger evenly.
    """
    full = frame.square if frame.quarter_turns % 2 == 0 else frame.square[::-1]
    to_clip = clip[1] / frame.upright[1], clip[0] / frame.upright[0]
    turned = frame.coded if frame.quarter_turns % 2 == 0 else frame.coded[::-1]

    def placing(size: tuple[int, int], of: tuple[int, int], turns: int, mirrored: bool) -> Placing:
        high, wide = size if turns % 2 == 0 else size[::-1]
        scale = of[1] / wide * to_clip[0], of[0] / high * to_clip[1]
        return Placing(given=size, mirrored=mirrored, quarter_turns=turns, scale=scale, size=clip)

    if given is None or given == frame.upright:
        return placing(frame.upright, frame.upright, 0, False)
    if given in (full, turned):
        return placing(given, full, 0, False)
    if given == frame.coded:
        return placing(given, full, frame.quarter_turns, frame.mirrored)
    if _same_shape(given, full) or _same_shape(given, turned):
        return placing(given, full, 0, False)
    if _same_shape(given, frame.coded):
        return placing(given, full, frame.quarter_turns, frame.mirrored)
    return None


def _same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return abs(a[0] * b[1] / (a[1] * b[0]) - 1) <= _SAME_SHAPE

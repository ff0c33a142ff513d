"""Masks <-> COCO run-length bytes: one bytes blob and offsets for any number of frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pycocotools import mask as coco


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Masks:
    """N binary masks of one size as COCO compressed RLE. An empty mask is zero bytes."""

    rle: np.ndarray  # (B,)   uint8  all counts strings, one after another
    offset: np.ndarray  # (N+1,) int64  mask i is rle[offset[i]:offset[i+1]]
    size: tuple[int, int]  # (h, w) pixels

    def __post_init__(self) -> None:
        rle, offset = np.asarray(self.rle), np.asarray(self.offset)
        if rle.dtype != np.uint8 or rle.ndim != 1:
            raise ValueError(f"masks.rle: want (B,) uint8, got {rle.shape} {rle.dtype}")
        if offset.dtype != np.int64 or offset.ndim != 1 or len(offset) < 1:
            raise ValueError(f"masks.offset: want (N+1,) int64, got {offset.shape} {offset.dtype}")
        if offset[0] != 0 or offset[-1] != len(rle) or np.any(np.diff(offset) < 0):
            raise ValueError(f"masks.offset: want 0 .. {len(rle)} ascending, got {offset[0]} .. {offset[-1]}")
        for array in (rle, offset):
            array.setflags(write=False)
        object.__setattr__(self, "rle", rle)
        object.__setattr__(self, "offset", offset)
        object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))

    def __len__(self) -> int:
        return len(self.offset) - 1

    def counts(self, i: int) -> bytes:
        """The COCO compressed counts of mask i; b"" when it is empty."""
        return self.rle[self.offset[i] : self.offset[i + 1]].tobytes()

    def decode(self, i: int) -> np.ndarray:
        """Mask i as (h, w) bool.

        >>> Masks.encode([np.eye(3, dtype=bool)], size=(3, 3)).decode(0).sum()
        np.int64(3)
        """
        counts = self.counts(i)
        if not counts:
            return np.zeros(self.size, bool)
        return coco.decode({"size": list(self.size), "counts": counts}).view(bool)

    def areas(self) -> np.ndarray:
        """Pixels of each mask, (N,) int64."""
        out = np.zeros(len(self), np.int64)
        filled = np.flatnonzero(np.diff(self.offset) > 0)
        if len(filled):
            # pycocotools counts its arguments in a uint8: it takes at most 255 masks at a time.
            for i in range(0, len(filled), 255):
                part = filled[i : i + 255]
                out[part] = coco.area([{"size": list(self.size), "counts": self.counts(int(j))} for j in part])
        return out

    def boxes(self) -> np.ndarray:
        """The tight box of each mask, xyxy, half-open, pixels, (N, 4) float32; zeros for an empty one."""
        out = np.zeros((len(self), 4), np.float32)
        filled = np.flatnonzero(np.diff(self.offset) > 0)
        for i in range(0, len(filled), 255):
            part = filled[i : i + 255]
            out[part] = coco.toBbox([{"size": list(self.size), "counts": self.counts(int(j))} for j in part])
        out[:, 2:] += out[:, :2]
        return out

    def inside(self, other: Masks) -> np.ndarray:
        """Whether each mask lies wholly in the other's mask of the same position, (N,) bool.

        >>> whole, part = np.ones((2, 2), bool), np.eye(2, dtype=bool)
        >>> Masks.encode([whole, part], size=(2, 2)).inside(Masks.encode([part, whole], size=(2, 2))).tolist()
        [False, True]
        """
        out = np.ones(len(self), bool)
        for i in np.flatnonzero(np.diff(self.offset) > 0):
            mine, theirs = ({"size": list(self.size), "counts": one.counts(int(i))} for one in (self, other))
            # Empty counts are no RLE of COCO's.
            out[i] = bool(theirs["counts"]) and coco.area(coco.merge([mine, theirs], intersect=True)) == coco.area(mine)
        return out

    def select(self, index: Sequence[int] | np.ndarray) -> Masks:
        """The masks at these positions, in this order; -1 gives an empty mask."""
        return Masks.from_counts((b"" if i < 0 else self.counts(int(i)) for i in index), size=self.size)

    @staticmethod
    def from_counts(counts: Iterable[bytes], *, size: tuple[int, int]) -> Masks:
        """Masks from COCO compressed counts; b"" is an empty mask."""
        pieces = list(counts)
        offset = np.zeros(len(pieces) + 1, np.int64)
        np.cumsum([len(piece) for piece in pieces], out=offset[1:])
        return Masks(rle=np.frombuffer(b"".join(pieces), np.uint8).copy(), offset=offset, size=size)

    @staticmethod
    def encode(masks: Iterable[np.ndarray], *, size: tuple[int, int]) -> Masks:
        """Masks from (h, w) boolean arrays. Raises ValueError for an array of another size."""
        return Masks.from_counts((encode_rle(mask, size) for mask in masks), size=size)


def encode_window(mask: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> bytes:
    """`encode_rle` of a (h, w) boolean piece whose first pixel lies at `corner` (x, y) of a frame of this size."""
    (x, y), (h, w) = corner, mask.shape
    whole = np.zeros(size[::-1], bool)
    whole[x : x + w, y : y + h] = cv2.transpose(mask.view(np.uint8)).view(bool)
    return encode_rle(whole.T, size)


def encode_rle(mask: np.ndarray, size: tuple[int, int]) -> bytes:
    """COCO compressed counts of one (h, w) boolean mask; b"" when it is empty."""
    if mask.shape != tuple(size):
        raise ValueError(f"mask: want (h, w) = {tuple(size)}, got {mask.shape}")
    if not mask.any():
        return b""
    lit = mask.view(np.uint8) if mask.dtype == bool else mask.astype(np.uint8)
    # COCO's runs go down the columns. cv2 turns a picture several times faster than numpy does.
    return coco.encode(lit if lit.flags.f_contiguous else cv2.transpose(lit).T)["counts"]

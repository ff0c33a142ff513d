"""Run-length masks -> masks of a window's frames at training size, without ever painting a full-size one.

COCO's counts run down the columns (cocoapi, maskApi.c, rleToString): 5 bits a byte and a continue bit, from the third
count on as the difference to the count two before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.masks import Masks

# Counts of a mask that any video can have fit in 7 groups of 5 bits.
_MAX_GROUPS = 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """The runs of N masks of one size, in pixels counted down the columns: lit are start <= pixel < stop."""

    start: np.ndarray  # (R,) int64  ascending within a mask
    stop: np.ndarray  # (R,) int64
    mask: np.ndarray  # (R,) int64  which of the N, ascending


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Which source pixel each pixel of the training picture is taken from."""

    row: np.ndarray  # (h,) int64 ascending
    column: np.ndarray  # (w,) int64 ascending


def decode_runs(masks: Masks, index: np.ndarray) -> Runs:
    """The runs of the masks at these positions.

    Raises ValueError when counts are no COCO counts, or do not add up to the pixels of the mask.
    """
    pieces = [masks.rle[masks.offset[i] : masks.offset[i + 1]] for i in index]
    data = np.concatenate([np.zeros(0, np.uint8), *pieces]).astype(np.int64) - 48
    sizes = np.array([len(piece) for piece in pieces], np.int64)
    last = np.flatnonzero(data & 32 == 0)  # the byte that ends each count
    first = np.concatenate([np.zeros(1, np.int64), last[:-1] + 1])[: len(last)]
    # Counts before each mask, by the bytes before it.
    before = np.searchsorted(last, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))
    if len(data) and (data.min() < 0 or data.max() > 63 or last[-1:] != len(data) - 1):
        raise ValueError("rle: want the bytes of COCO counts, got others")
    if np.any(last[before[1:][sizes > 0] - 1] != np.cumsum(sizes)[sizes > 0] - 1):
        raise ValueError("rle: want whole counts in each mask, got one cut short")
    counts = _counts(data, first, last, before)
    ends = _within(np.cumsum(counts), before)
    filled = sizes > 0
    if np.any(counts < 0) or np.any(ends[before[1:][filled] - 1] != masks.size[0] * masks.size[1]):
        raise ValueError(f"rle: want counts of 0 or more that add up to {masks.size[0]} * {masks.size[1]} pixels")
    order = np.arange(len(counts)) - np.repeat(before[:-1], np.diff(before))
    lit = np.flatnonzero(order & 1)
    mask = np.repeat(np.arange(len(sizes)), np.diff(before))
    return Runs(start=ends[lit - 1], stop=ends[lit], mask=mask[lit])


def grid_of(size: tuple[int, int], *, scaled: tuple[int, int], offset: tuple[int, int], crop: tuple[int, int]) -> Grid:
    """The source pixels under the middles of a crop's pixels, when (h, w) `size` is scaled and cut at `offset`.

    >>> grid_of((4, 8), scaled=(2, 4), offset=(0, 1), crop=(2, 2)).column.tolist()
    [3, 5]
    """
    axes = (
        np.minimum(((np.arange(n) + at + 0.5) * full / to).astype(np.int64), full - 1)
        for full, to, at, n in zip(size, scaled, offset, crop, strict=True)
    )
    row, column = axes
    return Grid(row=row, column=column)


def sample_masks(masks: Masks, index: np.ndarray, grid: Grid) -> np.ndarray:
    """The masks at these positions, at the grid's pixels: (N, h, w) bool. Raises ValueError as decode_runs does."""
    runs = decode_runs(masks, index)
    columns, repeat = np.unique(grid.column, return_inverse=True)
    height, width, count = len(grid.row), len(columns), len(index)
    # Where a source pixel stands among the sampled ones: all sampled columns before it, and the rows above in its own.
    rows_above = np.searchsorted(grid.row, np.arange(masks.size[0] + 1))
    columns_before = np.searchsorted(columns, np.arange(masks.size[1] + 2))
    in_column = np.diff(columns_before)

    def place(pixel: np.ndarray) -> np.ndarray:
        x, y = np.divmod(pixel, masks.size[0])
        return columns_before[x] * height + in_column[x] * rows_above[y]

    base = runs.mask * (height * width)
    edges = np.empty(2 * len(runs.mask) + 2, np.int64)
    edges[0], edges[-1] = 0, count * height * width
    edges[1:-1:2], edges[2:-1:2] = base + place(runs.start), base + place(runs.stop)
    lit = np.zeros(len(edges) - 1, bool)
    lit[1::2] = True
    flat = np.repeat(lit, np.diff(edges)).reshape(count, width, height)
    if width != len(grid.column):
        flat = flat[:, repeat]
    return np.ascontiguousarray(flat.transpose(0, 2, 1))


def _counts(data: np.ndarray, first: np.ndarray, last: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Counts from groups of 5 bits, and from differences to the count two before."""
    if len(last) == 0:
        return np.zeros(0, np.int64)
    groups = last - first + 1
    if groups.max() > _MAX_GROUPS:
        raise ValueError(f"rle: want counts of {_MAX_GROUPS} bytes at most, got {groups.max()}")
    shift = 5 * (np.arange(len(data)) - np.repeat(first, groups))
    value = np.add.reduceat((data & 31) << shift, first)
    value -= np.where(data[last] & 16, np.int64(1) << (5 * groups), 0)
    order = np.arange(len(value)) - np.repeat(before[:-1], np.diff(before))
    odd, even = order & 1 == 1, (order & 1 == 0) & (order > 0)
    chain = np.where(odd, _within(np.cumsum(np.where(odd, value, 0)), before), 0)
    chain += np.where(even, _within(np.cumsum(np.where(even, value, 0)), before), 0)
    return np.where(order == 0, value, chain)


def _within(running: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Running sums that start anew at each mask."""
    base = np.concatenate([np.zeros(1, np.int64), running])[before[:-1]]
    return running - np.repeat(base, np.diff(before))

"""Frames, masks -> points on people, followed from frame to frame: on whose mask each lies, and when."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tasks.ops.mask_crops import MaskCrops
from tasks.ops.tracks import Track

_SIDE = 176  # pixels that tall people are high in the picture that points are followed in ...
_MOST_SIDE = 640  # ... and its longer side at most
_APART = 8  # pixels there from one point to the next; with 6 people are bound alike, at half as much again
_PATCH = (11, 11)  # pixels about a point that are looked for in the next frame
_LEVELS = 3  # halvings of the picture in which a point may have moved far
_BACK = 0.7  # pixels off its place at which a point that is followed to the next frame and back is lost
_TEXTURE = 1e-4  # least eigenvalue of the patch's gradients, of which a point is taken


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointTracks:
    """M sights of points on masks, ascending by frame."""

    point: np.ndarray  # (M,) int: which point
    frame: np.ndarray  # (M,) int
    segment: np.ndarray  # (M,) int: row of Segments whose mask, and no other, holds the point there

    def __post_init__(self) -> None:
        if not len(self.point) == len(self.frame) == len(self.segment):
            raise ValueError(
                "PointTracks: want point, frame and segment of one length, "
                f"got {len(self.point)}, {len(self.frame)} and {len(self.segment)}"
            )
        if (np.diff(self.frame) < 0).any():
            raise ValueError("PointTracks: want sights ascending by frame")


def watched(tracks: Sequence[Track], frames: int, *, window: int, reach: int) -> np.ndarray:
    """(T,) bool: frames in which points may tell who is who.

    Between each track's end and every other's beginning up to `window` frames later, and `reach` frames around: where
    nobody comes or goes there is nothing to tell.
    """
    out = np.zeros(frames, bool)
    start = np.sort([track.start for track in tracks])
    for track in tracks:
        first, last = np.searchsorted(start, [track.stop, track.stop + window + 1], side="left")
        if last > first:
            out[max(track.stop - reach, 0) : int(start[last - 1]) + reach] = True
    return out


def follow_points(frames: Iterable[np.ndarray], crops: MaskCrops, frame: np.ndarray, wanted: np.ndarray) -> PointTracks:
    """Points that begin on people's masks and are followed as long as they can be.

    frames: (h, w, 3) uint8 RGB, the clip's, in order, read as far as the last wanted one; frame (N,): of each mask of
    `crops`, ascending; wanted (T,) bool: frames that are looked at. Points are followed over unbroken runs of these:
    by pyramidal Lucas-Kanade (Bouguet 2000), forward and back, and lost where they do not come back to their place
    (Kalal et al., "Forward-backward error", ICPR 2010). New ones are taken where no point is, at the corners
    of Shi and Tomasi (CVPR 1994), on masks alone.
    """
    size = crops.masks.size
    scale = _scale(crops, size)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    alive = _Points(number=np.zeros(0, np.int32), place=np.zeros((0, 2), np.float32))
    before: np.ndarray | None = None
    count, last = 0, int(np.flatnonzero(wanted).max(initial=-1))
    for t, picture in enumerate(itertools.islice(frames, last + 1)):
        if not wanted[t]:
            before = None
            continue
        grey = _grey(picture, scale)
        alive = alive.moved(before, grey) if before is not None else alive.none()
        rows = np.arange(*np.searchsorted(frame, [t, t + 1]))
        window = crops.window(rows)
        masks = crops.stack(rows, window)
        new = _corners(grey, masks, window, scale, alive.place)
        number = np.arange(count, count + len(new), dtype=np.int32)
        count += len(new)
        alive = alive.joined(number, new)
        own = _only_mask(alive.place / scale, masks, window)
        seen = own >= 0
        found.append((alive.number[seen], np.full(int(seen.sum()), t, np.int32), rows[own[seen]].astype(np.int32)))
        before = grey
    if not found:
        empty = np.zeros(0, np.int32)
        return PointTracks(point=empty, frame=empty, segment=empty)
    point, at, segment = (np.concatenate(one) for one in zip(*found, strict=True))
    return PointTracks(point=point, frame=at, segment=segment)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Points:
    """Points of one frame, in pixels of the small picture."""

    number: np.ndarray  # (N,)
    place: np.ndarray  # (N, 2) float32

    def moved(self, before: np.ndarray, now: np.ndarray) -> _Points:
        """Where they are in the next frame, without those that were lost."""
        if not len(self.number):
            return self
        # With this flag no patch is compared anew where it was found: what it differs by is not used.
        way = {
            "winSize": _PATCH, "maxLevel": _LEVELS, "minEigThreshold": _TEXTURE,
            "flags": cv2.OPTFLOW_LK_GET_MIN_EIGENVALS,
        }  # fmt: skip
        there, good, _ = cv2.calcOpticalFlowPyrLK(before, now, self.place[:, None], None, **way)  # type: ignore[call-overload]
        back, returned, _ = cv2.calcOpticalFlowPyrLK(now, before, there, None, **way)  # type: ignore[call-overload]
        there = there[:, 0]
        x, y = there.T
        off_x, off_y = (back[:, 0] - self.place).T
        kept = (good[:, 0] > 0) & (returned[:, 0] > 0) & (np.sqrt(off_x * off_x + off_y * off_y) < _BACK)
        kept &= (x >= 0) & (y >= 0) & (x <= now.shape[1] - 1) & (y <= now.shape[0] - 1)
        return _Points(number=self.number[kept], place=there[kept])

    def joined(self, number: np.ndarray, place: np.ndarray) -> _Points:
        """With new ones."""
        return _Points(number=np.concatenate([self.number, number]), place=np.concatenate([self.place, place]))

    def none(self) -> _Points:
        """None of them."""
        return _Points(number=self.number[:0], place=self.place[:0])


def _scale(crops: MaskCrops, size: tuple[int, int]) -> float:
    """The small picture's pixels for one of the frame; nothing is enlarged."""
    sides = (crops.extent[:, 2:] - crops.extent[:, :2]).max(1) if len(crops.extent) else np.zeros(0)
    lit = sides[sides > 0]
    tall = float(np.quantile(lit, 0.9)) if len(lit) else float(max(size))
    return min(1.0, _SIDE / tall, _MOST_SIDE / max(size))


def _grey(picture: np.ndarray, scale: float) -> np.ndarray:
    height, width = picture.shape[:2]
    small = max(round(width * scale), 2), max(round(height * scale), 2)
    return cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), small, interpolation=cv2.INTER_AREA)


def _corners(
    grey: np.ndarray, masks: np.ndarray, window: tuple[int, int, int, int], scale: float, taken: np.ndarray
) -> np.ndarray:
    """(K, 2) the best corner of each cell of `_APART` pixels that lies on a mask and holds no point yet."""
    if not masks.any():
        return np.zeros((0, 2), np.float32)
    x0, y0, x1, y1 = (round(v * scale) for v in window)
    # A sliver at the right or lower edge may be less than a pixel of the small picture.
    x0, y0 = min(x0, grey.shape[1] - 1), min(y0, grey.shape[0] - 1)
    x1, y1 = min(max(x1, x0 + 1), grey.shape[1]), min(max(y1, y0 + 1), grey.shape[0])
    whole = functools.reduce(np.bitwise_or, masks).view(np.uint8)
    lit = cv2.resize(whole, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST).view(bool)
    worth = cv2.cornerMinEigenVal(grey[y0:y1, x0:x1], 5)
    high, wide = -(-worth.shape[0] // _APART), -(-worth.shape[1] // _APART)
    cells = np.zeros((high * _APART, wide * _APART), np.float32)
    np.copyto(cells[: worth.shape[0], : worth.shape[1]], worth, where=lit)
    cells = cells.reshape(high, _APART, wide, _APART)
    most = np.maximum.reduce([*np.moveaxis(cells.max(1), -1, 0)])
    column, row = (np.floor(taken).astype(int) - (x0, y0)).T // _APART
    inside = (column >= 0) & (row >= 0) & (column < wide) & (row < high)
    most[row[inside], column[inside]] = 0
    row, column = np.nonzero(most > _TEXTURE)
    best = cells[row, :, column].reshape(-1, _APART * _APART).argmax(-1)
    return np.stack([x0 + column * _APART + best % _APART, y0 + row * _APART + best // _APART], 1).astype(np.float32)


def _only_mask(place: np.ndarray, masks: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """(N,) which of the masks (K, h, w) of a window holds each place (N, 2) of the frame; -1: none, or several."""
    out = np.full(len(place), -1)
    if not len(masks):
        return out
    x, y = (np.round(place).astype(int) - window[:2]).T
    inside = np.flatnonzero((x >= 0) & (y >= 0) & (x < masks.shape[2]) & (y < masks.shape[1]))
    held = masks[:, y[inside], x[inside]]
    one = held.sum(0) == 1
    out[inside[one]] = held[:, one].argmax(0)
    return out

"""Each frame's evidence for a person -> the same joined along the picture's motion, from both time directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Window = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels of the picture
_LEAN = 0.8  # how much a neighbouring frame's word counts against the frame's own
_LAST = 0.94  # what is left of a certainty a frame on: after half a second without an own word, a third
_NOISE = 14.0  # levels by which a pixel may change between frames and still be the same point


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What one frame says of one person: log odds against the background, and how much that counts."""

    window: Window
    odds: np.ndarray  # (h, w) float32
    weight: np.ndarray  # (h, w) float32  0..1


Flow = Callable[[int, int], np.ndarray]  # from frame a to its neighbour b, (h, w, 2) float32 pixels


def sureness(pictures: Sequence[np.ndarray], a: int, b: int, flow: np.ndarray) -> np.ndarray:
    """(h, w) 0..1: how well frame b, taken along the flow from a to b, shows what frame a shows."""
    moved = warp(pictures[b], flow, (0, 0), cv2.BORDER_REPLICATE)
    off = cv2.blur(cv2.absdiff(pictures[a], moved), (3, 3)).max(2).astype(np.float32)
    return np.exp(-((off / _NOISE) ** 2))


def warp(picture: np.ndarray, flow: np.ndarray, corner: tuple[float, float], border: int) -> np.ndarray:
    """picture read at x + flow(x) + corner; what lies outside is 0, or the edge's with BORDER_REPLICATE."""
    h, w = flow.shape[:2]
    grid = _grid(h, w) + flow
    if corner != (0, 0):
        grid += np.array(corner, np.float32)
    return cv2.remap(picture, grid, None, cv2.INTER_LINEAR, borderMode=border)


def _grid(h: int, w: int) -> np.ndarray:
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    return np.stack([x, y], 2)


def join(
    own: Sequence[Sequence[Evidence | None]], motion: Callable[[int, int], tuple[np.ndarray, np.ndarray]]
) -> list[list[Evidence | None]]:
    """Evidence (P lists of T) averaged along the motion: each frame's, and that of frames before and after it.

    `motion(a, b)` gives the flow from frame a to its neighbour b and how sure it is of each pixel, (h, w, 2) and
    (h, w). A weighted mean, so that evidence of neighbouring frames, which errs alike, does not add up to false
    certainty. What neighbours say fades slowly while a frame has no word of its own: a person whom nobody found is
    carried on.
    """
    people, frames = len(own), len(own[0]) if own else 0
    before = _passed(own, motion, range(frames), -1)
    after = _passed(own, motion, range(frames - 1, -1, -1), 1)
    out: list[list[Evidence | None]] = [[None] * frames for _ in range(people)]
    for p in range(people):
        for t in range(frames):
            now = own[p][t]
            if now is None:
                continue
            total, weight = now.odds * now.weight, now.weight.copy()
            for side in (before[p][t], after[p][t]):
                if side is not None:
                    total += _LEAN * side[1] * side[0]
                    weight += _LEAN * side[1]
            out[p][t] = Evidence(window=now.window, odds=total / np.maximum(weight, 1e-3), weight=weight)
    return out


_Word = tuple[np.ndarray, np.ndarray]  # odds, how much they count


def _passed(
    own: Sequence[Sequence[Evidence | None]],
    motion: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
    order: range,
    back: int,
) -> list[list[_Word | None]]:
    """What the frames on one side hand on to each frame, itself not counted; `back` leads to the frame before."""
    out: list[list[_Word | None]] = [[None] * len(order) for _ in own]
    last: list[tuple[Window, np.ndarray, np.ndarray] | None] = [None] * len(own)
    for t in order:
        needed = [p for p in range(len(own)) if own[p][t] is not None and last[p] is not None]
        if needed:
            flow, sure = motion(t, t + back)
        for p, row in enumerate(own):
            now, there = row[t], last[p]
            if now is None:
                last[p] = None
                continue
            odds, weight = now.odds, now.weight
            if there is not None:
                x0, y0, x1, y1 = now.window
                corner = float(x0 - there[0][0]), float(y0 - there[0][1])
                came = warp(np.dstack([there[1] * there[2], there[2]]), flow[y0:y1, x0:x1], corner, cv2.BORDER_CONSTANT)
                said, known = came[..., 0] / np.maximum(came[..., 1], 1e-3), came[..., 1] * (_LAST * sure[y0:y1, x0:x1])
                out[p][t] = said, known
                odds = (odds * weight + _LEAN * known * said) / np.maximum(weight + _LEAN * known, 1e-3)
                weight = np.maximum(weight, known)
            last[p] = (now.window, odds, weight)
    return out

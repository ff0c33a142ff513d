"""Frames, where nobody is -> what stands behind the people: a picture of it, moved along with the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

# Colours are compared in the units of the colour tables: the root of the light, 32 steps from black to white.
_ROOT = (32.0 * np.sqrt(np.arange(256) / 255.0)).astype(np.float32)
_MIN_SPREAD, _MAX_SPREAD = 0.6, 6.0
_PLAIN = 0.7  # how much a background may differ from place to place to be guessed where it was never seen
_SAMPLES = 24  # frames that a background is put together of, and fewer where each must be brought to its place
_MOVED_SAMPLES = 12
_REACH_S = 1.0  # with a moving camera: how far off these frames may be; errors of the camera's path add up
_KEY_S = 0.2  # with a moving camera: one background for so many seconds
_STILL = 0.35  # pixels that a resting camera's picture may seem to move in half a second
_MISS = 1.5  # pixels from which a point does not follow the camera
_AROUND = 0.03  # of the picture's side: how far what was never seen is guessed from
_SHADOW = 0.8  # of the root of the light that a shadow leaves at least (0.64 of the light)
_DARKER = 1.5  # nats that a shadow is less likely than light


def in_roots(picture: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB as float32 0..32 in which noise is about even."""
    return _ROOT[picture]


def camera_step(flow: np.ndarray, still: np.ndarray) -> np.ndarray | None:
    """The homography that takes a frame's pixels to another's, (3, 3), or None where the background does not tell.

    flow (h, w, 2) from the first to the second; still (h, w) bool: pixels that are nobody's.
    """
    h, w = still.shape
    step = max(2, round(max(h, w) / 40))
    rows, columns = np.nonzero(still[::step, ::step])
    if len(rows) < 24:
        return None
    y, x = rows * step, columns * step
    start = np.stack([x, y], 1).astype(np.float32)
    # OpenCV seeds the generator of its RANSAC anew at each call.
    matrix, kept = cv2.findHomography(start, start + flow[y, x], cv2.RANSAC, _MISS)
    if matrix is None or kept.mean() < 0.4 or not np.isfinite(matrix).all():
        return None
    return matrix


def is_still(pictures: Sequence[np.ndarray], free: Sequence[np.ndarray], fps: float) -> bool:
    """Whether the camera rests: frames half a second apart, and the first and the last, lie on each other."""
    gap, last = max(1, round(0.5 * fps)), len(pictures) - 1
    pairs = [(t, t + gap) for t in range(0, last - gap + 1, gap)] + ([(0, last)] if last else [])
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    moved = []
    for a, b in pairs:
        still = free[a] & free[b]
        if still.sum() < 100:
            continue
        grey = [cv2.cvtColor(pictures[t], cv2.COLOR_RGB2GRAY) for t in (a, b)]
        # A plain wall shows no motion; what has structure does.
        structure = np.abs(cv2.Laplacian(grey[0], cv2.CV_32F, ksize=3))
        told = still & (structure > 12.0)
        shift = flow.calc(grey[0], grey[1], None)[told if told.sum() >= 50 else still]
        moved.append(float(np.median(np.hypot(shift[:, 0], shift[:, 1]))))
    return bool(moved) and float(np.quantile(moved, 0.8)) < _STILL


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backdrop:
    """What is behind the people of one frame, where other frames have shown it."""

    picture: np.ndarray  # (h, w, 3) float32, in roots
    spread: np.ndarray  # (h, w) float32  how much it varies, in the same units
    known: np.ndarray  # (h, w) bool
    open: np.ndarray  # (h, w) bool  seen open, and not only guessed from what lies around

    def log_density(self, roots: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
        """Log density of each pixel's colour a bin of the colour tables, (h, w) float32; -inf where not known.

        roots (h, w, 3) float32 of the window x0, y0, x1, y1. A Gaussian a pixel, or the same colour in shadow.
        """
        x0, y0, x1, y1 = window
        there, spread = self.picture[y0:y1, x0:x1], self.spread[y0:y1, x0:x1]
        off = _square(roots - there)
        gain = (roots * there).sum(2) / np.maximum(_square(there), 1.0)
        shaded = np.clip(gain, _SHADOW, 1.0)
        off_shaded = _square(roots - there * shaded[..., None])
        double = 2 * spread * spread
        # A guess that may be darker too would take dark clothes for shadow.
        shadow = np.where(self.open[y0:y1, x0:x1], -off_shaded / double - _DARKER, -np.inf)
        likely = np.maximum(-off / double, shadow)
        out = likely - 3 * np.log(spread) - np.float32(1.5 * np.log(2 * np.pi))
        return np.where(self.known[y0:y1, x0:x1], out, -np.inf).astype(np.float32)


@dataclass(slots=True, kw_only=True)
class Scenery:
    """The backgrounds of a run of frames; `step[t]` takes frame t's pixels to frame t + 1's, None where unknown."""

    pictures: Sequence[np.ndarray]  # T of (h, w, 3) uint8
    free: Sequence[np.ndarray]  # T of (h, w) bool: certainly nobody
    step: Sequence[np.ndarray | None] | None  # None: the camera rests
    fps: float
    _kept: dict[int, Backdrop] = field(default_factory=dict)
    _last: tuple[int, Backdrop] | None = None  # one frame's people are asked for one after another

    def at(self, t: int) -> Backdrop:
        """The background of one frame."""
        if self.step is None:
            return self._key(0)
        if self._last is None or self._last[0] != t:
            self._last = t, self._moved(t)
        return self._last[1]

    def _moved(self, t: int) -> Backdrop:
        every = max(1, round(_KEY_S * self.fps))
        key = min(t // every * every + every // 2, len(self.pictures) - 1)
        there = self._key(key)
        path = self._path(t, key)
        if t == key or path is None:
            known = there.known if path is not None else np.zeros_like(there.known)
            return Backdrop(picture=there.picture, spread=there.spread, known=known, open=there.open)
        size, back = there.known.shape[::-1], cv2.WARP_INVERSE_MAP
        return Backdrop(
            picture=cv2.warpPerspective(there.picture, path, size, flags=cv2.INTER_LINEAR | back),
            spread=cv2.warpPerspective(there.spread, path, size, flags=cv2.INTER_LINEAR | back, borderValue=1.0),
            known=cv2.warpPerspective(there.known.view(np.uint8), path, size, flags=back).view(bool),
            open=cv2.warpPerspective(there.open.view(np.uint8), path, size, flags=back).view(bool),
        )

    def _key(self, key: int) -> Backdrop:
        if key not in self._kept:
            self._kept[key] = self._gathered(key)
        return self._kept[key]

    def _gathered(self, key: int) -> Backdrop:
        last = len(self.pictures) - 1
        reach = last if self.step is None else round(_REACH_S * self.fps)
        low, high = max(key - reach, 0), min(key + reach, last)
        most = _SAMPLES if self.step is None else _MOVED_SAMPLES
        # The frame itself is always there: where the camera cannot be followed it is the only one.
        spread = np.linspace(low, high, min(most, high - low + 1)).round().astype(int)
        chosen = np.unique(np.append(spread, key))
        sample, free = [], []
        for t in chosen.tolist():
            path = np.eye(3) if self.step is None else self._path(key, t)
            if path is None:
                continue
            picture, empty = self.pictures[t], self.free[t].view(np.uint8)
            if self.step is not None and t != key:
                size, back = empty.shape[::-1], cv2.WARP_INVERSE_MAP
                picture = cv2.warpPerspective(picture, path, size, flags=cv2.INTER_LINEAR | back)
                empty = cv2.warpPerspective(empty, path, size, flags=back)
            sample.append(picture)
            free.append(empty.view(bool))
        return _middle(np.stack(sample), np.stack(free))

    def _path(self, a: int, b: int) -> np.ndarray | None:
        """The homography from frame a's pixels to frame b's."""
        if self.step is None:
            return np.eye(3)
        out = np.eye(3)
        for t in range(min(a, b), max(a, b)):
            step = self.step[t]
            if step is None:
                return None
            out = step @ out
        return out if a <= b else np.linalg.inv(out)


def _middle(sample: np.ndarray, free: np.ndarray) -> Backdrop:
    """Median and spread over the frames (N, h, w, 3) in which a pixel is nobody's (N, h, w)."""
    used = int(free.sum(0).max(initial=0))
    values = np.sort(np.where(free[..., None], sample, np.int16(999)), axis=0)[: max(used, 1)]
    num = free.sum(0)
    known = num >= min(4, max(2, len(sample) // 2))

    def quantile(share: float) -> np.ndarray:
        at = np.maximum(((num - 1) * share).round().astype(int), 0)
        picked = np.take_along_axis(values, np.broadcast_to(at[None, ..., None], (1, *at.shape, 3)), axis=0)[0]
        return in_roots(np.minimum(picked, 255).astype(np.uint8))

    spread = np.sqrt(_square(quantile(0.8) - quantile(0.2)) / 3) / 1.68  # of a Gaussian: 1.68 sigma between them
    seen = Backdrop(
        picture=quantile(0.5),
        spread=np.clip(cv2.blur(spread, (3, 3)), _MIN_SPREAD, _MAX_SPREAD).astype(np.float32),
        known=known,
        open=known,
    )
    return seen if known.all() or not known.any() else _filled(seen)


def _filled(seen: Backdrop) -> Backdrop:
    """What nobody has ever left open, as what lies around it: a floor or a wall goes on behind a person.

    Only where the surroundings are plain: a motley background tells nothing of what it hides.
    """
    lit = seen.known.astype(np.float32)
    mean, square, weight = seen.picture * lit[..., None], (seen.picture**2).sum(2) / 3 * lit, lit
    sigma = _AROUND * max(lit.shape)
    # On a picture of a quarter the side: the blur is as wide.
    small = [cv2.resize(one, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA) for one in (mean, square, weight)]
    mean, square, weight = (cv2.GaussianBlur(one, (0, 0), sigma / 4) for one in small)
    there = np.maximum(weight, 1e-6)
    mean, square = mean / there[..., None], square / there
    varied = np.sqrt(np.maximum(square - (mean**2).sum(2) / 3, 0.0))
    size = lit.shape[::-1]
    mean, varied, weight = (cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in (mean, varied, weight))
    return Backdrop(
        picture=np.where(seen.known[..., None], seen.picture, mean),
        spread=np.where(seen.known, seen.spread, np.maximum(varied, _MIN_SPREAD)).astype(np.float32),
        known=seen.known | ((weight > 0.02) & (varied < _PLAIN)),
        open=seen.known,
    )


def _square(vectors: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> squared lengths (h, w): faster by columns than a sum over the last axis."""
    return vectors[..., 0] ** 2 + vectors[..., 1] ** 2 + vectors[..., 2] ** 2

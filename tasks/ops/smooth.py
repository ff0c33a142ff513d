"""Keypoints over time -> the same with less noise: nothing lags, nothing fast is flattened, nothing clean is moved.

Each joint is fitted by a parabola about every frame, weighted by the scores, over as many frames as agree with it: the
widest window whose estimate does not contradict that of a narrower one (intersection of confidence intervals:
Goldenshluger & Nemirovski, 1997; Katkovnik, IEEE Trans. Signal Processing 47, 1999). A window that reaches as far back
as ahead has no lag; a punch makes it short. How much noise there is comes from the joint itself: its sixth differences,
in which moving bodies have next to nothing and noise has almost all.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_ORDER = 6  # of the differences that tell noise from motion
_GAIN = float(np.sqrt(924.0))  # of white noise in them: the root of the sum of squares of 1, 6, 15, 20, 15, 6, 1
_MEDIAN = float(np.sqrt(np.log(2.0)))  # of the root mean square of two unit normals
_AROUND_S = 0.5  # the noise at a frame is that of so many seconds before and after
_REACH_S = 0.2  # the widest window, before and after
_AGREE = (
    1.4  # standard deviations about each window's estimate: 1 leaves a third more jitter, 2 takes 2 % more of a kick
)
# Shares of the body's size. Motion capture filmed exactly has up to 0.34 % of noise of its own over a second of a body,
# MoveNet's poses of people who stand alone 0.5 to 1 %: below the first nothing is smoothed, above the second all.
_CLEAN, _NOISY = 0.0045, 0.0075
_MOST = 3.0  # a joint is at most so many times as noisy as its body: what is more is motion
_FLOOR = 0.05  # least weight of a joint that is seen at all


def smooth(
    keypoint: np.ndarray, score: np.ndarray, size: np.ndarray, *, fps: float, min_score: float = 0.05
) -> np.ndarray:
    """(T, J, 2) keypoints of one person, smoothed where there is noise, float32.

    score (T, J) 0..1: joints below `min_score` are neither used nor moved; size (T,) the body's size in pixels. Where
    the body's noise is below 0.45 % of its size nothing moves, so exact keypoints stay as they are.
    """
    seen = score >= min_score
    sigma = noise(keypoint, seen, fps=fps) * _doubt(keypoint, seen, size, fps)
    if not (sigma > 0).any():
        return keypoint.astype(np.float32)
    weight = np.where(seen, np.clip(score, _FLOOR, 1.0).astype(np.float64), 0.0)
    best = _widest(keypoint.astype(np.float64), weight, sigma, max(2, round(_REACH_S * fps)))
    return np.where(seen[..., None], best, keypoint).astype(np.float32)


def noise(keypoint: np.ndarray, seen: np.ndarray, *, fps: float) -> np.ndarray:
    """(T, J) the noise of each joint about each frame: a standard deviation on either axis, in pixels.

    keypoint (T, J, 2), seen (T, J) bool. It is the median of the sixth differences of the second about the frame, so
    that a jump does not count; where a joint is seen too rarely, that of all its frames; 0 where there is none.
    """
    high = _high(keypoint, seen)
    reach = max(1, round(_AROUND_S * fps))
    near = _around(high, reach)
    few = np.isfinite(near).sum(-1) < max(reach // 2, 1)
    sigma = np.where(few, _median(high.T)[None], _median(near))
    return np.minimum(sigma, _MOST * _body(high, reach)[:, None])


def _high(keypoint: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(T, J) what one frame's sixth differences say of the noise; NaN where a joint is not seen throughout."""
    out = np.full(seen.shape, np.nan)
    if len(seen) > _ORDER:
        rough = np.sqrt((np.diff(keypoint.astype(np.float64), _ORDER, axis=0) ** 2).mean(-1)) / (_GAIN * _MEDIAN)
        whole = sliding_window_view(seen, _ORDER + 1, axis=0).all(-1)
        out[_ORDER // 2 : -(_ORDER // 2)] = np.where(whole, rough, np.nan)
    return out


def _around(values: np.ndarray, reach: int) -> np.ndarray:
    """(T, ..., 2 reach + 1) the values of the frames about each frame, NaN beyond the ends."""
    pad = np.full((reach, *values.shape[1:]), np.nan)
    return sliding_window_view(np.concatenate([pad, values, pad]), 2 * reach + 1, axis=0)


def _body(high: np.ndarray, reach: int) -> np.ndarray:
    """(T,) the noise of the middle joint: limbs that are thrown do not make a body noisy, a network does."""
    return _median(_around(_median(high), reach))


def _doubt(keypoint: np.ndarray, seen: np.ndarray, size: np.ndarray, fps: float) -> np.ndarray:
    """(T, 1) 0 where a body is as clean as motion capture, 1 where it is as noisy as a network."""
    level = _body(_high(keypoint, seen), max(1, round(_AROUND_S * fps))) / np.maximum(size, 1.0)
    return np.clip((level - _CLEAN) / (_NOISY - _CLEAN), 0, 1)[:, None]


def _median(values: np.ndarray) -> np.ndarray:
    """The median over the last axis of what is not NaN; 0 where all is."""
    count = np.isfinite(values).sum(-1)
    ordered = np.sort(values, -1)  # NaN goes last
    middle = [
        np.take_along_axis(ordered, np.maximum(at, 0)[..., None], -1)[..., 0] for at in ((count - 1) // 2, count // 2)
    ]
    return np.where(count > 0, (middle[0] + middle[1]) / 2, 0.0)


def _widest(point: np.ndarray, weight: np.ndarray, sigma: np.ndarray, most: int) -> np.ndarray:
    """The estimate (T, J, 2) of the widest window that contradicts no narrower one."""
    best = point.copy()
    low = point - _AGREE * sigma[..., None]
    high = point + _AGREE * sigma[..., None]
    going = (weight > 0) & (sigma > 0)
    for reach in range(1, most + 1):
        fit, spread = parabola(point, weight, reach)
        bound = _AGREE * (sigma * spread)[..., None]
        low, high = np.maximum(low, fit - bound), np.minimum(high, fit + bound)
        going &= (low <= high).all(-1)
        best = np.where(going[..., None], fit, best)
    return best


def parabola(point: np.ndarray, weight: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Each frame's value of the parabola fitted to the frames up to `reach` before and after it, (T, J, 2), and how
    much of the points' noise it keeps, (T, J).

    point (T, J, 2); weight (T, J), 0 for points that are not there. A point's noise is taken to be as the inverse
    root of its weight. Where too few points tell a parabola from a line, a line is fitted, then a constant (Cleveland,
    JASA 74, 1979: local regression with tricube weights).
    """
    step = np.arange(-reach, reach + 1)
    kernel = (1 - np.abs(step / (reach + 1)) ** 3) ** 3
    pad = ((reach, reach), (0, 0))
    w = sliding_window_view(np.pad(weight, pad), 2 * reach + 1, axis=0)
    x = sliding_window_view(np.pad(point, (*pad, (0, 0))), 2 * reach + 1, axis=0)
    local = w * kernel
    ways = _at_zero(local, step)
    fit = (ways[:, :, None] * x).sum(-1)
    spread = np.sqrt((ways**2 / np.where(w > 0, w, 1)).sum(-1) * weight)
    return fit, spread


def _at_zero(local: np.ndarray, step: np.ndarray) -> np.ndarray:
    """(T, J, K) what each of K weighted points adds to the fit's value at step 0."""
    s = [(local * step**k).sum(-1) for k in range(5)]
    # First row of the inverse of the moments' matrix, by cofactors.
    a, b, c = s[2] * s[4] - s[3] ** 2, s[2] * s[3] - s[1] * s[4], s[1] * s[3] - s[2] ** 2
    whole = s[0] * a + s[1] * b + s[2] * c
    many = (local > 0).sum(-1)
    square = (many >= 4) & (whole > 1e-9)
    line = s[0] * s[2] - s[1] ** 2
    straight = (many >= 3) & (line > 1e-9)
    safe, safe_line = np.where(square, whole, 1), np.where(straight, line, 1)
    quadratic = (a / safe)[..., None] + (b / safe)[..., None] * step + (c / safe)[..., None] * step**2
    linear = (s[2] / safe_line)[..., None] - (s[1] / safe_line)[..., None] * step
    flat = 1 / np.where(s[0] > 0, s[0], 1)
    pick = np.where(square[..., None], quadratic, np.where(straight[..., None], linear, flat[..., None]))
    return local * pick

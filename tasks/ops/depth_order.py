"""Evidence of people who overlap -> who is in front of whom, frame by frame."""

from __future__ import annotations

import numpy as np

from tasks.ops.carry import Evidence

_CLEAR = 2.0  # nats a pixel at most
_FEET = 0.5  # nats for the one whose feet are lower: on a floor they are nearer; in a lift, or a jump, they are not
_SURE = 1.0  # nats from colours at which the feet no longer count
_SMOOTH_S = 0.25
_MOST = 2.0
_FEW = 20  # pixels of an overlap that tell nothing


def told_by_colours(a: Evidence, b: Evidence, body_a: np.ndarray, body_b: np.ndarray) -> float:
    """Nats a pixel for a in front of b where both bodies are drawn; NaN where they hardly overlap.

    body_a and body_b (h, w) bool of the windows of the evidence. Whose colours are seen there is in front.
    """
    x0, y0 = max(a.window[0], b.window[0]), max(a.window[1], b.window[1])
    x1, y1 = min(a.window[2], b.window[2]), min(a.window[3], b.window[3])
    if x0 >= x1 or y0 >= y1:
        return np.nan
    in_a = np.s_[y0 - a.window[1] : y1 - a.window[1], x0 - a.window[0] : x1 - a.window[0]]
    in_b = np.s_[y0 - b.window[1] : y1 - b.window[1], x0 - b.window[0] : x1 - b.window[0]]
    both = body_a[in_a] & body_b[in_b]
    if np.count_nonzero(both) < _FEW:
        return np.nan
    return float(np.clip(a.odds[in_a][both] - b.odds[in_b][both], -_CLEAR, _CLEAR).mean())


def in_front(told: np.ndarray, lower: np.ndarray, fps: float) -> np.ndarray:
    """(T,) nats for a in front of b: what colours tell (T,), NaN where nothing, smoothed in time, and the feet.

    lower (T,): 1 where a's feet are lower in the picture, -1 where b's are, 0 where it is even or not known.
    """
    known = np.isfinite(told)
    reach = max(1, round(_SMOOTH_S * fps))
    kernel = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
    value = np.convolve(np.where(known, told, 0.0), kernel, "same")[: len(told)]
    count = np.convolve(known.astype(float), kernel, "same")[: len(told)]
    colour = np.where(count > 0, value / np.maximum(count, 1e-9), 0.0)
    feet = _FEET * lower * np.clip(1 - np.abs(colour) / _SURE, 0, 1)
    return np.clip(colour + feet, -_MOST, _MOST)

"""Feet and clothes of people who overlap -> who is taken to be in front, where colours do not tell."""

from __future__ import annotations

import numpy as np

_FEET = 1.0  # nats for the one whose feet are lower: on a floor they are nearer to the camera
_LOWER = 0.15  # torsos by which feet lie lower when they surely do
_LIFTED = 0.7  # torsos from which one of the two is off the floor, and feet tell nothing
_SMOOTH_S = 0.25
_DIFFERENT = 0.5  # of their colours that two share when each pixel tells by itself whose it is


def alike(table_a: np.ndarray, table_b: np.ndarray) -> float:
    """0..1: how far two people's colours, log densities (B,), are the same; 0 where they tell the two apart.

    The Bhattacharyya coefficient of the two, from where colours begin to be shared.
    """
    shared = float(np.exp((table_a.astype(np.float64) + table_b) / 2).sum())
    return min(max((shared - _DIFFERENT) / (1 - _DIFFERENT), 0.0), 1.0)


def in_front(foot_a: np.ndarray, foot_b: np.ndarray, torso: np.ndarray, likeness: float, fps: float) -> np.ndarray:
    """(T,) nats for a in front of b; negative for b in front.

    foot (T,) the y of each one's lower foot, NaN where it is not seen; torso (T,) their unit of length; likeness as of
    `alike`: people in other clothes are told apart pixel by pixel, an arm in front and a leg behind.
    """
    with np.errstate(invalid="ignore"):
        gap = (foot_a - foot_b) / np.maximum(torso, 1.0)
        known = np.isfinite(gap) & (np.abs(gap) < _LIFTED)
    reach = max(1, round(_SMOOTH_S * fps))
    kernel = 1.0 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
    total = np.convolve(np.where(known, np.clip(gap / _LOWER, -1, 1), 0.0), kernel)[reach:-reach]
    count = np.convolve(known.astype(float), kernel)[reach:-reach]
    return _FEET * likeness * total / np.maximum(count, 1e-9)

"""Bodies over a floor that they float above or sink into -> the height to take off each frame.

Motion made on another body leaves feet a few centimetres off. Support is where some part of the lowest 3 cm of the
surface stands still; there the lowest point belongs on the floor. In between (a jump) the correction runs on smoothly,
so that a jump keeps its height and its flight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

NEAR_M = 0.03  # of the lowest vertex: what may be standing
STILL_M_S = 0.45  # slower than this stands; a shoe that rolls or skates a little still counts
STILL_S = 0.1  # for this long: the top of a hop is still for less
JUMP_M = 0.18  # above the usual support: in the air, or carried, however still
FLIGHT = 0.35  # share of a free flight's height that a gap without support must reach to be one
GRAVITY = 9.81
SLOPE_M_S = 0.8  # how fast the correction may change
SMOOTH_S = 0.03


def lowest(vertices: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Height of the lowest vertex and least speed among those near it, (T,) metres and (T,) metres a second.

    vertices (T, V, 3), Y up.
    """
    height = vertices[:, :, 1]
    low = height.min(axis=1)
    speed = np.zeros(len(vertices))
    for t in range(len(vertices)):
        before, after = max(t - 1, 0), min(t + 1, len(vertices) - 1)
        near = np.flatnonzero(height[t] < low[t] + NEAR_M)
        moved = np.linalg.norm(vertices[after, near] - vertices[before, near], axis=1)
        speed[t] = moved.min() * fps / max(after - before, 1)
    return low.astype(np.float64), speed


def support(low: np.ndarray, speed: np.ndarray, fps: float, base: float | None = None) -> np.ndarray:
    """Frames in which the body stands, kneels or leans on something that is still and not up in the air, (T,) bool.

    `base` is the usual height of support; None takes it from the still frames themselves.
    """
    still = speed < STILL_M_S
    width = max(2, round(STILL_S * fps))
    if len(still) > width:
        still = ndimage.binary_opening(np.pad(still, width, mode="edge"), np.ones(width))[width:-width]
    if base is None:
        base = usual_support(low, still)
    stands = still & (low < base + JUMP_M)
    for start, stop in _runs(~stands):
        # In free flight for D seconds a body rises g D^2 / 8. One that stays far below that has skating feet, not air
        # under them; one that stays up high all the same is carried.
        ends = (low[start - 1] if start else base, low[stop] if stop < len(low) else base)
        rise = (low[start:stop] - np.linspace(*ends, stop - start)).max()
        if rise < min(JUMP_M, FLIGHT * GRAVITY * ((stop - start) / fps) ** 2 / 8):
            stands[start:stop] = True
    return stands


def _runs(flag: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each run of true."""
    edge = np.flatnonzero(np.diff(np.concatenate([[False], flag, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edge.reshape(-1, 2)]


def usual_support(low: np.ndarray, still: np.ndarray) -> float:
    """The height that the body's support usually has: the lower third of its still frames, or its lowest frames."""
    return float(np.quantile(low[still], 1 / 3) if still.any() else np.quantile(low, 0.05))


def correction(low: np.ndarray, stands: np.ndarray, fps: float, fallback: float) -> np.ndarray:
    """The height to take off each frame, (T,): support comes to the floor and nothing goes below it.

    low (T,) height of the lowest vertex, stands (T,) bool. `fallback` is used where nothing ever stands.
    """
    frames = np.arange(len(low))
    if not stands.any():
        return np.minimum(np.full(len(low), fallback), low)
    target = np.interp(frames, frames[stands], low[stands])
    # Nothing may go below the floor, so what is lower than the line between two supports pulls it down.
    target = np.minimum(target, low)
    # The largest curve below the target that changes no faster than SLOPE_M_S.
    step = SLOPE_M_S / fps
    for order in (range(1, len(low)), range(len(low) - 2, -1, -1)):
        for t in order:
            neighbour = target[t - 1] if order.step > 0 else target[t + 1]
            target[t] = min(target[t], neighbour + step)
    smooth = ndimage.gaussian_filter1d(target, SMOOTH_S * fps, mode="nearest")
    return np.minimum(smooth, low)


def corrections(lows: Sequence[np.ndarray], speeds: Sequence[np.ndarray], fps: float) -> list[np.ndarray]:
    """The correction of each person of a group that moves together, so that one who is carried stays up.

    lows, speeds: for each person as `lowest` gives them.
    """
    bases = [usual_support(low, speed < STILL_M_S) for low, speed in zip(lows, speeds, strict=True)]
    ground = min(bases)
    out = []
    for low, speed, own in zip(lows, speeds, bases, strict=True):
        base = own if own < ground + JUMP_M else ground
        out.append(correction(low, support(low, speed, fps, base), fps, base))
    return out

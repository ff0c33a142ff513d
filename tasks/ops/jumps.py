"""Keypoints over time -> which of them are jumps: a joint found elsewhere for some frames, and then where it was.

Of every joint the smoothest path that leaves out the fewest frames is found, exactly (dynamic programming over pairs of
kept frames). Smooth means that its velocity varies little in total: leaving frames out of a movement, however fast,
saves nothing, for the rest must make the same changes; leaving out a jump saves four times its size.
"""

from __future__ import annotations

import numpy as np

# What a frame left out costs, in body sizes of velocity a frame, at 30 frames a second: for a joint that the network
# doubts, and what certainty adds. A kick's foot changes by 0.25 from frame to frame; its network is sure of it.
_LEFT_OUT, _SURE = 0.1, 0.25
_DEAD = 3.0  # standard deviations of noise that a change of velocity may be of, for nothing


def jumps(
    keypoint: np.ndarray,
    score: np.ndarray,
    size: np.ndarray,
    sigma: np.ndarray,
    *,
    fps: float,
    min_score: float = 0.05,
    longest_s: float = 0.25,
) -> np.ndarray:
    """(T, J) bool: the seen joints that are jumps of up to `longest_s`.

    keypoint (T, J, 2), score (T, J) 0..1, joints below `min_score` are not seen; size (T,) the body's size in pixels,
    sigma (T, J) the keypoints' noise.
    """
    seen = score >= min_score
    frames, joints = seen.shape
    most = max(2, round(longest_s * fps) + 1)  # frames from one that is kept to the next
    x, unit = keypoint.astype(np.float64), np.maximum(size, 1.0)
    dead = _DEAD * sigma / unit[:, None]
    price = (_LEFT_OUT + _SURE * score) * 30.0 / fps
    spent = np.concatenate([np.zeros((1, joints)), np.cumsum(np.where(seen, price, 0.0), axis=0)])
    again = (_LEFT_OUT + _SURE) * 30.0 / fps * most  # to begin anew somewhere else
    # cost[t, g]: the best path that ends at t and came from t - g; g = 0: it begins there.
    cost = np.full((frames, most + 1, joints), np.inf)
    came = np.zeros((frames, most + 1, joints), np.int32)  # the g of the frame before; of a beginning, the last frame
    ended = np.zeros(joints)  # the best that ended before t, less what is spent up to its end
    ended_at = np.full(joints, -1)
    speed = np.zeros((frames, most + 1, joints, 2))
    for t in range(frames):
        first = ended + again >= 0  # nothing before is kept
        cost[t, 0] = np.where(seen[t], np.where(first, 0.0, ended + again) + spent[t], np.inf)
        came[t, 0] = np.where(first, -1, ended_at)
        for g in range(1, min(most, t) + 1):
            speed[t, g] = (x[t] - x[t - g]) / g  # pixels a frame
            turn = np.linalg.norm(speed[t, g] - speed[t - g], axis=-1) / unit[t - g]  # (most + 1, J)
            turn = np.maximum(turn - dead[t - g], 0)
            turn[0] = 0.0  # a beginning has no velocity
            whole = cost[t - g] + turn
            came[t, g] = whole.argmin(0)
            left_out = spent[t] - spent[t - g + 1]
            cost[t, g] = np.where(seen[t], whole.min(0) + left_out, np.inf)
        done = cost[t].min(0) - spent[t + 1]
        better = done < ended
        ended, ended_at = np.where(better, done, ended), np.where(better, t, ended_at)
    return seen & ~_kept(cost, came, ended_at)


def _kept(cost: np.ndarray, came: np.ndarray, last: np.ndarray) -> np.ndarray:
    """(T, J) the frames of each joint's best path, walked back from its last."""
    frames, _, joints = cost.shape
    kept = np.zeros((frames, joints), bool)
    for j in range(joints):
        t = int(last[j])
        g = int(cost[t, :, j].argmin()) if t >= 0 else 0
        while t >= 0:
            kept[t, j] = True
            if g == 0:
                t = int(came[t, 0, j])
                g = int(cost[t, :, j].argmin()) if t >= 0 else 0
            else:
                t, g = t - g, int(came[t, g, j])
    return kept

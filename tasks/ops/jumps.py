"""Keypoints over time -> which of them are jumps: a joint found elsewhere for some frames, and then where it was.

Of every joint the smoothest path that leaves out the fewest frames is found, exactly (dynamic programming over pairs of
kept frames). Smooth means that its velocity changes little in total: leaving frames out of a movement, however fast,
saves nothing, for the rest must make the same changes; leaving out a jump saves four times its size.
"""

from __future__ import annotations

import numpy as np

# What a frame left out costs, in body sizes of velocity a frame, at 30 frames a second: for a joint that the network
# doubts, and what certainty adds. A kick's foot changes by 0.25 from frame to frame; its network is sure of it.
_LEFT_OUT, _SURE = 0.1, 0.25
_DEAD = 1.2  # standard deviations of noise that a change of velocity may be of, for nothing


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
    x, unit = keypoint.astype(np.float64), np.maximum(np.asarray(size, np.float64), 1.0)
    price = (_LEFT_OUT + _SURE * score) * 30.0 / fps
    spent = np.concatenate([np.zeros((1, joints)), np.cumsum(np.where(seen, price, 0.0), axis=0)])
    again = _again(seen, most, (_LEFT_OUT + _SURE) * 30.0 / fps * most)
    reach, spread = _reach(most)
    # cost[t, g]: the best path that ends at t and came from t - g; g = 0: it begins there.
    cost = np.full((frames, most + 1, joints), np.inf)
    came = np.zeros((frames, most + 1, joints), np.int32)  # the g of the frame before; of a beginning, the last frame
    ended = np.zeros(joints)  # the best that ended before t, less what is spent up to its end
    ended_at = np.full(joints, -1)
    speed = np.zeros((frames, most + 1, joints, 2))  # pixels a frame
    for t in range(frames):
        first = ended + again[t] >= 0  # nothing before is kept
        cost[t, 0] = np.where(seen[t], np.where(first, 0.0, ended + again[t]) + spent[t], np.inf)
        came[t, 0] = np.where(first, -1, ended_at)
        step = np.arange(1, min(most, t) + 1)
        if len(step):
            start = t - step
            speed[t, step] = (x[t] - x[start]) / step[:, None, None]
            change = np.linalg.norm(speed[t, step][:, None] - speed[start], axis=-1) * reach[step][..., None]
            free = _DEAD * sigma[start][:, None] * spread[step][..., None]
            turn = np.maximum(change - free, 0) / unit[start][:, None, None]
            turn[:, 0] = 0.0  # a beginning has no velocity
            whole = cost[start] + turn
            came[t, step] = whole.argmin(1)
            cost[t, step] = np.where(seen[t], whole.min(1) + spent[t] - spent[start + 1], np.inf)
        done = cost[t].min(0) - spent[t + 1]
        better = done < ended
        ended, ended_at = np.where(better, done, ended), np.where(better, t, ended_at)
    return seen & ~_kept(cost, came, ended_at)


def _again(seen: np.ndarray, most: int, price: float) -> np.ndarray:
    """(T, J) what it costs to begin anew at a frame: nothing after more frames without the joint than a step may
    have."""
    frames = np.arange(len(seen))[:, None]
    last = np.maximum.accumulate(np.where(seen, frames, -1), axis=0)
    before = np.concatenate([np.full((1, seen.shape[1]), -1), last[:-1]])
    return np.where((before >= 0) & (frames - before <= most), price, 0.0)


def _reach(most: int) -> tuple[np.ndarray, np.ndarray]:
    """(most + 1, most + 1) for steps of so many frames, after and before: by what a change of velocity is multiplied,
    and the standard deviations of noise in that.

    It is the longer step: what the other velocity would have led to, less where it went. A change that counted by the
    frame would be halved by leaving out one of the two frames between which a joint jumps.
    """
    step = np.maximum(np.arange(most + 1, dtype=np.float64), 1)
    after, before = step[:, None], step[None, :]
    longer = np.maximum(after, before)
    return longer, longer * np.sqrt(after**-2 + (1 / after + 1 / before) ** 2 + before**-2)


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

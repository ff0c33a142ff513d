"""Keypoints over time -> which frames have left and right exchanged: the whole body, or its arms or legs alone.

A pose network that takes a back for a front, or one leg for the other, makes joints jump to their mirror's place and
back. Exactly the most plausible sequence of exchanges is found (Viterbi over pairs of frames): the one under which
joints go on as they went. Speed is compared, not place: when somebody turns, left and right meet in the picture and
pass each other at speed, and an exchange there would have both bounce.
"""

from __future__ import annotations

import numpy as np

from datasets.skeleton import Skeleton

# Exchanged as a whole: arms with their hands, legs with their feet. The face's 68 points are named by their side in the
# picture, whatever the body is taken for, and stay.
_ARMS, _LEGS, _HEAD = range(5, 11), range(11, 17), range(1, 5)
_STATES = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0]], bool)  # (S, G) arms, legs, head
_STAY = np.array([0.0, 0.25, 0.4, 0.4])  # each frame in a state: a long exchange takes a sharp jump at its ends
_SWITCH = 1.5  # a change of state
_SCALE = 0.06  # of the body's size: a change of speed, a frame, that counts 1; less counts less
_CAP = 3.0  # and the most that one joint's counts
_SEEN = 0.15


def flips(
    keypoint: np.ndarray, score: np.ndarray, size: np.ndarray, *, fps: float, sigma: np.ndarray | None = None
) -> np.ndarray:
    """(T, 3) bool: in which frames of one person arms, legs and head have left and right exchanged.

    keypoint (T, J, 2) whose first 17 joints are COCO's, score (T, J) 0..1, size (T,) the body's size in pixels, sigma
    (T, J) the keypoints' noise in pixels.
    """
    frames = len(keypoint)
    if frames < 3:
        return np.zeros((frames, 3), bool)
    cost = np.stack([_jerk(keypoint, score, size, joints, fps, sigma) for joints in (_ARMS, _LEGS, _HEAD)])
    return _STATES[_viterbi(_of_states(cost))]


def exchange(array: np.ndarray, flipped: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """An array (T, J, ...) with left and right exchanged where `flipped` (T, 3) says so, new."""
    out = array.copy()
    mirror = np.array(skeleton.mirror)
    for g, joints in enumerate(_members(skeleton)):
        where = flipped[:, g]
        out[np.ix_(where, joints)] = array[np.ix_(where, mirror[joints])]
    return out


def _members(skeleton: Skeleton) -> list[np.ndarray]:
    """Joints of arms, legs and head: of the body, and what hangs on it."""
    groups = [list(_ARMS), list(_LEGS), list(_HEAD)]
    if len(skeleton.joints) == 133:
        groups[0] += range(91, 133)
        groups[1] += range(17, 23)
    return [np.array(group) for group in groups]


def _jerk(
    keypoint: np.ndarray, score: np.ndarray, size: np.ndarray, joints: range, fps: float, sigma: np.ndarray | None
) -> np.ndarray:
    """(T, 2, 2, 2) what the change of speed at each frame costs when it, the frame before and the one after are
    exchanged or not; 0 at both ends, and where joints are not seen in all three."""
    left = np.array([j for j in joints if j % 2 == 1])  # COCO's left joints are the odd ones
    own = keypoint[:, np.stack([left, left + 1])].astype(np.float64)  # (T, 2, K, 2)
    both = np.stack([own, own[:, ::-1]])  # (2, T, 2, K, 2): as named, and exchanged
    sure = score[:, np.stack([left, left + 1])]
    pair = np.where((sure >= _SEEN).all(1), sure.min(1), 0.0)  # (T, K)
    weight = np.minimum(np.minimum(pair[:-2], pair[1:-1]), pair[2:])
    scale = _SCALE * 30.0 / fps * np.asarray(size, np.float64)[1:-1, None]
    if sigma is not None:
        # Noise changes speeds by the root of six standard deviations on either axis.
        scale = scale + 2.5 * sigma[1:-1][:, np.stack([left, left + 1])].mean(1)
    cost = np.zeros((len(keypoint), 2, 2, 2))
    for a, b, c in np.ndindex(2, 2, 2):
        change = np.linalg.norm(both[a, :-2] - 2 * both[b, 1:-1] + both[c, 2:], axis=-1).mean(1)
        cost[1:-1, a, b, c] = (weight * np.minimum(change / scale, _CAP)).sum(-1)
    return cost


def _of_states(cost: np.ndarray) -> np.ndarray:
    """(G, T, 2, 2, 2) of the groups -> (T, S, S, S) of the states."""
    at = _STATES.astype(int)
    whole = np.zeros((cost.shape[1], len(at), len(at), len(at)))
    for g in range(len(cost)):
        s = at[:, g]
        whole += cost[g][:, s[:, None, None], s[None, :, None], s[None, None, :]]
    return whole


def _viterbi(cost: np.ndarray) -> np.ndarray:
    """(T,) the cheapest sequence of states for costs (T, S, S, S) of each frame, its neighbours' states given."""
    frames, states = cost.shape[:2]
    switch = _SWITCH * (1 - np.eye(states))
    best = _STAY[:, None] + _STAY[None, :] + switch  # (before, now) of frames 0 and 1
    back = np.zeros((frames, states, states), int)
    for t in range(1, frames - 1):
        through = best[:, :, None] + cost[t]  # (before, now, after)
        back[t] = through.argmin(0)
        best = through.min(0) + switch + _STAY[None, :]
    path = np.zeros(frames, int)
    path[-2], path[-1] = np.unravel_index(int(best.argmin()), best.shape)
    for t in range(frames - 2, 0, -1):
        path[t - 1] = back[t, path[t], path[t + 1]]
    return path

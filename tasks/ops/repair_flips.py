"""Steps -> frames in which a pose has left and right exchanged: a flip is sudden, a turn of the body is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.records import VISIBLE, People
from datasets.skeleton import COCO17
from tasks.ops.repair_steps import JOINTS, Scales, Steps, surprise

_FLIP = 8.0  # nats for left and right to change from one frame to the next
_MOST = 16.0  # nats: a pose that is off altogether says no more; of both sides of one pose the same joints are asked
_SCALES = Scales(most_pose=_MOST)
_NOSE, _EYES, _LEFT, _RIGHT, _HIPS = 0, (1, 2), 5, 6, (11, 12)
_TORSO = 0.2  # of the box's height: a torso that is not foreshortened
_LARGE = 64  # pixels of a body's height, from which the face tells more than the picture's grid
_FACES = 5  # frames that show the face, from which it is believed
_SIDED = [j for j in range(JOINTS) if COCO17.mirror[j] != j]
_MIRROR = [COCO17.mirror[j] for j in _SIDED]


def flipped(people: People, steps: Steps) -> np.ndarray:
    """(P, T) bool: frames whose left and right are to be exchanged. Steps must be of these people.

    Whether sides change between two frames is found by dynamic programming over the clip, from where the joints would
    go and with what velocity. Which side of a change is the wrong one: where the face is seen, that on which the left
    shoulder is not to the face's left; else whichever has fewer frames.
    """
    num, frames = people.present.shape
    out = np.zeros((num, frames), bool)
    for p in range(num):
        change = _changes(steps, p)
        if change.any():
            out[p] = _wrong_side(people, p, np.cumsum(change) % 2 == 1)
    return out


def _changes(steps: Steps, p: int) -> np.ndarray:
    """(T,) bool: left and right change between the frame before and this one."""
    joint, size = steps.joint[p], steps.size[p]
    one, other = joint[:, _SIDED], joint[:, _MIRROR]
    frames = len(joint)
    stay, turn = one[1:] - one[:-1], other[1:] - one[:-1]
    position = np.zeros((frames, 2))
    position[1:] = _nats((stay, turn), size[1:], steps.still[p, 1:], unknown=(0.0, np.inf))
    position[:, 1] += _FLIP
    if (position[:, 1] - position[:, 0] > 2 * _MOST).all():
        return np.zeros(frames, bool)
    # Seen from the frame between: the sides of t - 2 and of t are mirrored where they changed.
    bends = [last - 2 * one[1:-1] + first for first in (one[:-2], other[:-2]) for last in (one[2:], other[2:])]
    velocity = np.zeros((frames, 2, 2))  # [change into t - 1, change into t]
    velocity[2:] = _nats(bends, size[2:], steps.steady[p, 2:], unknown=(0.0,) * 4).reshape(-1, 2, 2)
    return _cheapest(position, velocity)


def _nats(ways: Sequence[np.ndarray], size: np.ndarray, spread: np.ndarray, unknown: tuple[float, ...]) -> np.ndarray:
    """(N, K) nats of K ways, (N, J, 2) pixels each, by the joints that all of them know; `unknown` where those are
    fewer than four.
    """
    far = np.sqrt((np.stack(ways) ** 2).sum(-1)) / size[:, None]
    known = np.isfinite(far).all(0)
    nats = np.stack([surprise(np.where(known, way, np.nan), spread, _SCALES) for way in far], 1)
    return np.where(np.isfinite(nats), nats, np.array(unknown))


def _cheapest(position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """(T,) bool of the course of changes that costs least; frame 0 has none."""
    frames = len(position)
    best, back = [0.0, float("inf")], []
    for t in range(1, frames):
        ways = [[best[a] + float(velocity[t, a, b]) for a in (0, 1)] for b in (0, 1)]
        back.append([int(way[1] < way[0]) for way in ways])
        best = [min(way) + float(position[t, b]) for b, way in enumerate(ways)]
    out = np.zeros(frames, bool)
    at = int(best[1] < best[0])
    for t in range(frames - 1, 0, -1):
        out[t] = bool(at)
        at = back[t - 1][at]
    return out


def _wrong_side(people: People, p: int, other: np.ndarray) -> np.ndarray:
    """Which of the two sides of the changes is wrong: (T,) bool `other`, or its complement where there are poses."""
    posed = (people.score[p] > 0).any(1)
    side = np.where(other, -1, 1)
    faces = _faces(people, p)
    seen = int((faces * side).sum())
    if abs(seen) >= max(_FACES, 0.7 * np.abs(faces).sum()):
        return (other if seen > 0 else ~other) & posed
    return (other if (side * posed).sum() >= 0 else ~other) & posed


def _faces(people: People, p: int) -> np.ndarray:
    """(T,) +1 where a face is seen above shoulders the right way round, -1 the wrong way, 0 where that is not clear."""
    point = people.keypoint[p].astype(np.float64)
    across = point[:, _LEFT] - point[:, _RIGHT]
    up = point[:, [_LEFT, _RIGHT]].mean(1) - point[:, list(_HIPS)].mean(1)
    # The picture's y runs down. A body that bends over, or stands on its hands, tells nothing simple.
    tall = -up[:, 1]
    upright = (tall > np.abs(up[:, 0])) & (tall > _TORSO * (people.box[p, :, 3] - people.box[p, :, 1]))
    seen = (people.flag[p][:, [_NOSE, *_EYES, _LEFT, _RIGHT, *_HIPS]] == VISIBLE).all(1)
    clear = (np.abs(across[:, 0]) > 0.4 * tall) & (people.box[p, :, 3] - people.box[p, :, 1] >= _LARGE)
    return np.where(seen & upright & clear, np.sign(across[:, 0]), 0.0)

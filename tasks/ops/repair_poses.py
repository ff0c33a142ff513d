"""People, steps -> whose pose is whose: poses on the wrong body found, by the masks that hold them and through time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.records import HIDDEN, VISIBLE, People
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.repair_steps import JOINTS, SEEN, Steps
from tasks.ops.repair_swaps import cheapest, permutations

_BODY = 6.0  # nats for a pose of which the body's mask holds nothing
_HIDDEN = 0.25  # weight of a joint that is said to be hidden: it may well lie in another's mask
_CHANGE = 3.0  # nats for each body whose pose changes hands from one frame to the next
_AWAY = 0.3  # nats a frame for each body with another row's pose
_SLACK = 10.0  # nats by which holding may be worse than at home and still be looked at
_SAME = 0.03  # median distance, in body sizes, up to which two poses are one seen twice
_JUMP = 5.0  # nats of a step from which a pose has jumped


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """Whose pose is whose."""

    slot: np.ndarray  # (P, T) the row whose pose is that of body p
    emptied: np.ndarray  # (P, T) bool: the pose is nobody's: another's seen twice, or off the body


def own_poses(people: People, steps: Steps, crops: MaskCrops) -> Poses:
    """For every frame the assignment of poses to bodies that costs least over the whole clip (Viterbi, exact)."""
    holds = held_by(people, crops)
    body = _body_nats(people, steps, holds)
    slot = _assign(body, steps)
    return Poses(slot, _nobodys(people, steps, body, slot))


def held_by(people: People, crops: MaskCrops) -> np.ndarray:
    """(T, P, P) [t, p, q]: the share of pose p's joints that mask q holds; NaN without such a pose or mask.

    Where a body stands apart and its pose lies in its box, the box is believed: no mask is unpacked.
    """
    num, frames = people.present.shape
    point = people.keypoint[:, :, :JOINTS]
    seen = (people.score[:, :, :JOINTS] >= SEEN) & people.present[..., None]
    flag = people.flag[:, :, :JOINTS]
    weight = np.where(seen, np.where(flag == VISIBLE, 1.0, np.where(flag == HIDDEN, _HIDDEN, 0.0)), 0.0)
    total = weight.sum(-1)
    box = crops.extent.reshape(num, frames, 4)
    lit = box[..., 2] > box[..., 0]
    out = np.full((frames, num, num), np.nan)
    for q in range(num):
        low, high = box[q, None, :, None, :2], box[q, None, :, None, 2:]
        within = ((point >= low) & (point < high)).all(-1)
        inside = within & seen
        share = (weight * inside).sum(-1) / np.maximum(total, 1e-9)  # (P, T)
        # The box tells enough where all others' poses are outside of it and the own one inside.
        others = np.delete(share, q, 0).max(0, initial=0)
        unsure = lit[q] & ((others > 0) | (share[q] < 0.7))
        for t in np.flatnonzero(unsure):
            x0, y0, x1, y1 = box[q, t].astype(int).tolist()
            mask = crops.stack(np.array([q * frames + t]), (x0, y0, x1, y1))[0]
            at = np.floor(point[:, t]).astype(int) - (x0, y0)
            on = mask[at[..., 1].clip(0, y1 - y0 - 1), at[..., 0].clip(0, x1 - x0 - 1)] & inside[:, t]
            share[:, t] = (weight[:, t] * on).sum(-1) / np.maximum(total[:, t], 1e-9)
        out[:, :, q] = np.where(lit[q] & (total > 0), share, np.nan).T
    return out


def _body_nats(people: People, steps: Steps, holds: np.ndarray) -> np.ndarray:
    """(T, P, P) nats against pose p being that of body q; half of the most where there is no pose or no mask."""
    return np.where(np.isfinite(holds), _BODY * (1 - np.nan_to_num(holds)), _BODY / 2)


def _assign(body: np.ndarray, steps: Steps) -> np.ndarray:
    """(P, T) the row whose pose each body has."""
    frames, num = body.shape[:2]
    orders = permutations(num)
    bodies = np.arange(num)
    total = sum((body[:, orders[:, q], q] for q in range(num)), np.zeros((frames, len(orders))))
    away = (orders != orders[0]).sum(1)
    total += _AWAY * away
    near = total - total[:, :1] < _SLACK
    # Another's pose is looked for only about frames in which the own one is off the body, or has jumped.
    own_jump = np.zeros(frames, bool)
    own_jump[1:] = (np.diagonal(steps.pose[1:], axis1=1, axis2=2) >= _JUMP).sum(1) >= 2
    better = near & (total < total[:, :1] + _AWAY * away)
    better[:, 0] = False
    if not (better.any() or own_jump.any()):
        return np.repeat(bodies[:, None], frames, 1)
    near[:, 0] = True
    options = [orders[row] for row in near]
    node = [total[t, near[t]] for t in range(frames)]
    edge = [np.zeros((1, 1))]
    for t in range(1, frames):
        before, after = options[t - 1][:, None], options[t][None]
        edge.append((steps.pose[t][before, after] + _CHANGE * (before != after)).sum(-1))
    chosen, _, _ = cheapest(node, edge)
    return np.stack([options[t][k] for t, k in enumerate(chosen)], 1)


def _nobodys(people: People, steps: Steps, body: np.ndarray, slot: np.ndarray) -> np.ndarray:
    """(P, T) bool: bodies whose pose is another's seen twice, or lies off the body after a jump."""
    num, frames = slot.shape
    rows, all_frames = np.arange(num)[:, None], np.arange(frames)
    joint = steps.joint[slot, all_frames[None]]
    cost = body[all_frames[None], slot, rows]  # (P, T) nats of the pose that each body has
    jump = np.zeros((num, frames + 1))
    jump[:, 1:frames] = steps.pose[all_frames[1:], slot[:, :-1], slot[:, 1:]]
    out = np.zeros((num, frames), bool)
    for p in range(num):
        for q in range(p + 1, num):
            apart = np.sqrt(((joint[p] - joint[q]) ** 2).sum(-1)) / np.minimum(steps.size[p], steps.size[q])[:, None]
            many = np.isfinite(apart).sum(-1) >= 4
            near = np.where(many[:, None], np.nan_to_num(apart, nan=np.inf), np.inf)
            same = many & (_median(near) < _SAME)
            for start, stop in runs(same):
                against = [_against(cost[i], jump[i], start, stop) for i in (p, q)]
                loser = (p, q)[int(np.argmax(against))]
                # Two who stand in line look alike for a moment, but neither jumps there.
                if jump[loser, [start, stop]].max() >= _JUMP and abs(against[0] - against[1]) > _CHANGE:
                    out[loser, start:stop] = True
    off = (cost > 0.85 * _BODY) & np.isfinite(joint).any((2, 3))
    for p in range(num):
        for start, stop in runs(off[p] & ~out[p]):
            if jump[p, start] >= _JUMP and jump[p, stop] >= _JUMP and _outlies(joint[p], start, stop):
                out[p, start:stop] = True
    return out


def _outlies(joint: np.ndarray, start: int, stop: int) -> bool:
    """Whether the poses on both sides of start .. stop are nearer to each other than to what lies between."""
    before, first, last, after = joint[start - 1], joint[start], joint[stop - 1], joint[min(stop, len(joint) - 1)]
    away = [_median(np.sqrt(((a - b) ** 2).sum(-1))[None])[0] for a, b in ((before, first), (last, after))]
    across = _median(np.sqrt(((before - after) ** 2).sum(-1))[None])[0]
    return bool(np.isfinite(across) and across < 0.5 * min(away))


def _against(cost: np.ndarray, jump: np.ndarray, start: int, stop: int) -> float:
    return float(cost[start:stop].mean() * 2 + jump[start] + jump[stop])


def _median(values: np.ndarray) -> np.ndarray:
    """The median over the last axis of what is finite; inf counts as not there."""
    count = np.isfinite(values).sum(-1)
    ordered = np.sort(values, -1)
    return np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[..., None], -1)[..., 0]


def runs(on: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of the stretches of true in a (T,) bool array.

    >>> runs(np.array([1, 1, 0, 1], bool))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]

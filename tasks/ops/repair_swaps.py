"""Steps -> who is whom through the clip: exchanges of identity found and undone, by an exact method over all frames.

Between two frames the people may have been exchanged by some permutation, or their poses alone. What a sequence of
such steps costs is a sum over frames of terms that see two of them in a row (who went where, and with what velocity),
so that the cheapest sequence of all is found exactly by dynamic programming (Viterbi, 1967), and, run in both
directions, how much dearer the cheapest one is that differs at a given frame. That poses may change hands alone keeps
two poses on the wrong bodies from passing for two people in each other's place; who has them is asked elsewhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tasks.ops.repair_steps import FOUND, Steps, bend

_MOST_ALL = 6  # so many people: every permutation is looked at; of more, those that move at most four rows
_POSES_ALONE = 8.0  # nats against two poses, and not their bodies, changing hands in one step
_MOST_KEPT = 64  # steps into one frame, the likeliest by positions: of a knot of people more are possible
_CHUNK = 256  # frames whose permutations are priced at a time


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Who is whom."""

    slot: np.ndarray  # (P, T) the row that identity p has at frame t; at the first frame its own
    margin: np.ndarray  # (T,) nats by which the best course with another step into frame t is worse; inf: none is near
    rival: np.ndarray  # (T, P) that other step: row p at t - 1 is this row at t
    moved: tuple[int, ...]  # frames at which rows change hands


def find_order(steps: Steps, *, swap_nats: float, slack: float = 16.0, settled: np.ndarray | None = None) -> Order:
    """The course of identities that costs least.

    swap_nats: nats against two rows changing hands in one step, half of it for each row that is moved; slack: steps
    that by positions alone are worse than staying by more than this are not followed further, whatever the velocities;
    settled (T,) bool: steps into these frames are known to keep every row.
    """
    num, frames = steps.state.shape
    options, node = [], []
    for t, (body, alone, nats) in enumerate(_options(steps, swap_nats, slack)):
        some = slice(0, 1) if settled is not None and settled[t] else slice(None)
        options.append((body[some], alone[some]))
        node.append(nats[some])
    edge = [np.zeros((1, 1))]
    edge += [_between(steps, t, _poses(*options[t - 1]), _poses(*options[t])) for t in range(1, frames)]
    same = [_kinds(body) for body, _ in options]
    chosen, margin, second = cheapest(node, edge, same)
    slot = np.empty((num, frames), np.int64)
    rival = np.empty((frames, num), np.int64)
    slot[:, 0], rival[0] = np.arange(num), np.arange(num)
    for t in range(1, frames):
        slot[:, t] = options[t][0][chosen[t]][slot[:, t - 1]]
        rival[t] = options[t][0][second[t]]
    moved = tuple(t for t in range(1, frames) if (slot[:, t] != slot[:, t - 1]).any())
    return Order(slot, margin, rival, moved)


def _poses(body: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """(K, P) where the poses go: with the bodies, or where they go alone."""
    return np.where(alone[:, :1] >= 0, alone, body)


def _kinds(body: np.ndarray) -> np.ndarray:
    """(K,) int: equal for steps that take the bodies the same way."""
    return np.unique(body, axis=0, return_inverse=True)[1].ravel()


@lru_cache(maxsize=8)
def permutations(num: int) -> np.ndarray:
    """(K, P) permutations of rows that are looked at, staying first."""
    if num <= _MOST_ALL:
        return np.array(list(itertools.permutations(range(num))), np.int64)
    found = {tuple(range(num))}
    for few in itertools.combinations(range(num), 4):
        for order in itertools.permutations(few):
            row = list(range(num))
            for a, b in zip(few, order, strict=True):
                row[a] = b
            found.add(tuple(row))
    return np.array(sorted(found), np.int64)  # staying is the first in order


def _options(steps: Steps, swap_nats: float, slack: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each frame what the step into it may be, staying first: where the bodies go (K, P); where their poses go
    when those go alone (K, P), else -1; nats by positions (K,), against staying.
    """
    num, frames = steps.state.shape
    orders = permutations(num)
    moved = (orders != orders[0]).sum(1)
    found = steps.state.T == FOUND
    for start in range(0, frames, _CHUNK):
        at = np.arange(start, min(start + _CHUNK, frames))
        idle = _idle(orders, found[np.maximum(at - 1, 0)], found[at])
        whole, pose = _total(steps.link[at], orders), _total(steps.pose[at], orders)
        together = whole + 0.5 * swap_nats * moved
        alone = pose + 0.5 * _POSES_ALONE * moved
        for i, t in enumerate(at):
            near = (together[i] < slack) & ~idle[i]
            near[0] = True
            off = (alone[i] < slack) & ~idle[i] & (moved > 0)
            if t == 0:
                near[1:], off[:] = False, False
            body = np.concatenate([orders[near], np.repeat(orders[:1], off.sum(), 0)])
            apart = np.concatenate([np.full((near.sum(), num), -1), orders[off]])
            nats = np.concatenate([together[i, near], alone[i, off]])
            kept = np.r_[0, 1 + np.argsort(nats[1:], kind="stable")[: _MOST_KEPT - 1]]
            yield body[kept], apart[kept], nats[kept]


def _total(link: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """(T, K) nats of each permutation against that of staying, the first."""
    total = sum((link[:, p, orders[:, p]] for p in range(orders.shape[1])), np.zeros((len(link), len(orders))))
    return np.asarray(total - total[:, :1])


def _idle(orders: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(T, K) bool: permutations that move two rows of which nothing was seen before, or nothing after: exchanges of
    what is not there, which nothing tells from none.
    """
    moves = orders != orders[0]
    back = np.argsort(orders, 1) != orders[0]  # that row q is where a moved row goes to
    return np.asarray(((~before).astype(int) @ moves.T > 1) | ((~after).astype(int) @ back.T > 1))


def _between(steps: Steps, t: int, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(K, L) nats by velocities: `before` leads into frame t - 1, `after` into frame t."""
    if t < 2 or (len(before) == 1 and len(after) == 1):
        return np.zeros((len(before), len(after)))
    num = before.shape[1]
    all_before, all_after = np.divmod(np.arange(len(before) * len(after)), len(after))
    back = np.argsort(before, 1)  # row at t - 1 -> row at t - 2
    middle = np.tile(np.arange(num), len(all_before))
    nats = bend(steps, t, back[all_before].ravel(), middle, after[all_after].ravel())
    return nats.reshape(len(before), len(after), num).sum(2)


def cheapest(
    node: list[np.ndarray], edge: list[np.ndarray], kind: list[np.ndarray] | None = None
) -> tuple[list[int], np.ndarray, list[int]]:
    """Viterbi both ways over T frames' options: the best course, nats by which the best one through another option is
    worse (T,), inf where there is none, and that option.

    node[t] (K,) nats of each option; edge[t] (L, K) nats between those of t - 1 and these; kind[t] (K,) int: options of
    one kind do not count as another.
    """
    frames = len(node)
    ahead, behind = [node[0]], [np.zeros(len(node[-1]))]
    for t in range(1, frames):
        ahead.append((ahead[-1][:, None] + edge[t]).min(0) + node[t])
    for t in range(frames - 1, 0, -1):
        behind.append((edge[t] + (node[t] + behind[-1])[None]).min(1))
    behind.reverse()
    # From the end backwards, so that of courses that cost the same one is followed, and not two by halves.
    chosen = [int(ahead[-1].argmin())]
    for t in range(frames - 1, 0, -1):
        chosen.append(int((ahead[t - 1] + edge[t][:, chosen[-1]]).argmin()))
    chosen.reverse()
    margin, second = np.full(frames, np.inf), list(chosen)
    for t in range(frames):
        if len(node[t]) > 1:
            cost, best = ahead[t] + behind[t], chosen[t]
            same = kind[t] == kind[t][best] if kind else np.arange(len(cost)) == best
            other = np.where(same, np.inf, cost)
            if np.isfinite(other).any():
                second[t] = int(other.argmin())
                margin[t] = max(float(other[second[t]] - cost[best]), 0.0)
    return chosen, margin, second

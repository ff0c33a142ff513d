"""Costs with named people -> whose each track is: exact dynamic programming over who was last seen where.

Unlike a plain path cover it knows what each person looks like all along the clip, and where a person is bound to be.
Tracks come in by first frame. A state says which track each person was last seen on; of all ways to reach a state only
the cheapest can be part of the best whole (Bellman 1957). States are few: a frame holds few people. When they would be
more than `_MOST`, the cheapest go on, so that time and memory stay linear in the number of tracks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NOBODY = -1
_MOST = 600  # states: all that five people can be in on five tracks, five times over


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """N tracks by first frame, K people. Costs are in nats; infinite where something cannot be."""

    own: np.ndarray  # (K, N) for a track to be a person's
    nobody: np.ndarray  # (N,) for a track to be nobody's
    link: np.ndarray  # (N, N) for the second to follow the first
    start: np.ndarray  # (N,) for a person to begin there
    end: np.ndarray  # (N,)


def assign(problem: Problem) -> tuple[np.ndarray, float]:
    """(N,) the person of each track, NOBODY for those of nobody, and the cost of that.

    Raises ValueError when nothing fits: a track that can be neither anybody's nor nobody's.
    """
    people, tracks = problem.own.shape
    # Row -1 of what may precede a track: a person who was not seen yet.
    before = np.vstack([problem.link, problem.start[None]])
    last = np.full((1, people), -1)
    total = np.zeros(1)
    history: list[tuple[np.ndarray, np.ndarray]] = []  # of each state: the one before it, and the track's person
    for j in range(tracks):
        step = before[last, j] + problem.own[None, :, j]  # (S, K)
        cost = np.concatenate([total[:, None] + step, total[:, None] + problem.nobody[j]], 1)  # (S, K + 1)
        state, person = np.nonzero(np.isfinite(cost))
        if not len(state):
            raise ValueError(f"bind: track {j} of {tracks} can be neither one of {people} people's nor nobody's")
        value = cost[state, person]
        follow = last[state]
        taken = np.flatnonzero(person < people)
        follow[taken, person[taken]] = j
        kept = _cheapest(follow, value)
        history.append((state[kept], np.where(person[kept] < people, person[kept], NOBODY)))
        last, total = follow[kept], value[kept]
    total = total + np.append(problem.end, 0.0)[last].sum(1)
    at = int(total.argmin())
    owner = np.full(tracks, NOBODY)
    best = float(total[at])
    for j in range(tracks - 1, -1, -1):
        state, person = history[j]
        owner[j] = person[at]
        at = int(state[at])
    return owner, best


def _cheapest(states: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices of the cheapest of each group of equal states (S, K), and of those at most `_MOST`, cheapest first."""
    order = np.argsort(value, kind="stable")
    _, first = np.unique(states[order], axis=0, return_index=True)
    return order[np.sort(first)[:_MOST]]

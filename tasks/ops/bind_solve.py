"""Costs -> who is whom: the exact best cover of all tracks by people; and margins of cost as certainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

_FORBIDDEN = 1e6  # nats; finite, so that the solver always has an answer, and larger than all real costs together


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """Tracks in chains, one a person."""

    chains: tuple[tuple[int, ...], ...]  # tracks of each person, in time
    cost: float


def cover(
    link: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    nobody: np.ndarray,
    *,
    person: float,
    people: int | None = None,
) -> Cover:
    """The cheapest cover of N tracks by disjoint chains.

    link (N, N): nats for track j to follow track i, infinite where it cannot; start, end, nobody (N,): nats for a chain
    to begin or end at a track, and for a track to be in none; person: nats for each chain; people: exactly so many
    chains (fewer only if there are fewer tracks that can start one), or as many as cost least.

    A path cover of a directed acyclic graph is a bipartite matching (each track's end with the next one's
    beginning): Zhang et al., "Global data association for multi-object tracking using network flows", CVPR 2008. It
    is solved exactly.
    """
    matrix = _matrix(link, start, end, nobody, person, people)
    column, best = _solve(matrix)
    n = len(start)
    following = {i: int(column[i]) for i in range(n) if column[i] < n and column[i] != i}
    first = sorted(int(column[row]) for row in range(n, len(matrix)) if column[row] < n)
    chains = []
    for i in first:
        chain = [i]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        chains.append(tuple(chain))
    return Cover(chains=tuple(chains), cost=best)


def _matrix(
    link: np.ndarray, start: np.ndarray, end: np.ndarray, nobody: np.ndarray, person: float, people: int | None
) -> np.ndarray:
    """Rows: each track's end, then beginnings of people; columns: each track's beginning, then ends of people."""
    n = len(start)
    most = n if people is None else people
    matrix = np.full((n + most, n + most), _FORBIDDEN)
    matrix[:n, :n] = np.where(np.isfinite(link), link, _FORBIDDEN)
    # A track matched with itself is in no chain.
    np.fill_diagonal(matrix[:n, :n], nobody)
    matrix[n:, :n] = start[None] + (person if people is None else 0.0)
    matrix[:n, n:] = end[:, None]
    # A person without any track: free when the number is open, the last resort when it is given.
    matrix[n:, n:] = 0.0 if people is None else _FORBIDDEN / 10
    return matrix


def _solve(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    row, column = linear_sum_assignment(matrix)
    return column, float(matrix[row, column].sum())


# Nats of evidence are not independent (two people who turn back turn together; one bad box spoils place and velocity):
# over the drawn and filmed crossings of tests/bench/bind.py, wrong steps had margins as if each nat were this many.
_NATS = 1.2


def certainty(margin: float) -> float:
    """Nats of margin -> 0..1: the likelihood of the best cover less that of the next best, of their sum, tempered.

    >>> round(certainty(0.0), 2), round(certainty(3.0), 2)
    (0.0, 0.85)
    """
    return float(np.tanh(max(margin, 0.0) / (2 * _NATS)))

"""Costs -> who is whom: the exact best cover of all tracks by people, and how much worse the next best is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

_FORBIDDEN = 1e6  # nats; finite, so that the solver always has an answer, and larger than all real costs together


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """Tracks in chains, one a person, and how sure each step of a chain is."""

    chains: tuple[tuple[int, ...], ...]  # tracks of each person, in time
    margins: tuple[
        tuple[float, ...], ...
    ]  # nats by which the best cover without that step is worse, one less than tracks
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
    # That people are few is an assumption, not evidence: in the doubt a further person costs half.
    relief = person / 2 if people is None else 0.0
    lenient, least = matrix.copy(), best - relief * len(first)
    lenient[n:, :n] -= relief
    chains, margins = [], []
    for i in first:
        chain = [i]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        sure = [_margin(lenient, chain[:k], chain[k:], least) for k in range(1, len(chain))]
        chains.append(tuple(chain))
        margins.append(tuple(sure))
    return Cover(chains=tuple(chains), margins=tuple(margins), cost=best)


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


def _margin(matrix: np.ndarray, before: list[int], after: list[int], best: float) -> float:
    """How much worse the best cover is in which those before and those after are different people.

    All of them must still be somebody's: that a short track may be nobody's does not make the others' identity unsure.
    """
    other = matrix.copy()
    other[np.ix_(before, after)] = _FORBIDDEN
    other[before + after, before + after] = _FORBIDDEN
    return max(_solve(other)[1] - best, 0.0)


def certainty(margin: float) -> float:
    """Nats of margin -> 0..1: the likelihood of the best cover less that of the next best, of their sum.

    >>> round(certainty(0.0), 2), round(certainty(3.0), 2)
    (0.0, 0.91)
    """
    return float(np.tanh(max(margin, 0.0) / 2))

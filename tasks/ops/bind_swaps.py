"""Chains of tracks -> by how much what stands is better than each assignment in which two people are exchanged.

The others that matter are those in which, from some moment on or for a while, two people go by each other's name. All
such exchanges of two people at the places where their tracks end and begin are weighed with everything that is known:
the steps at both ends, and the looks of all that would change hands, before and after.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.ops.bind_cost import Network

Places = int | np.ndarray

_AHEAD = 12  # places where tracks end that an exchange may last for; longer ones last to the end


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exchange:
    """Two people who go by each other's name from one place on, to another or to the end."""

    people: tuple[int, int]
    begin: tuple[int, int]  # how many tracks of either stay before it
    stop: tuple[int, int]  # and the first that stay after it; the number of tracks: none
    cost: float  # nats by which it is worse than what stands; negative: better


def exchanges(
    chains: list[list[int]], network: Network, alike: np.ndarray, sure: np.ndarray | None = None
) -> Iterator[Exchange]:
    """Every exchange. alike (N, N): nats for two tracks being one person by their looks; on the diagonal how much a
    track's look counts, 0..1, 0 where there is none.

    sure (N,) bool: tracks that were seen clearly; all, when not given. Where such change hands, the step from the last
    sure track to the next counts half, and the steps over all that lies between half: either misleads where the other
    does not.
    """
    clear = np.ones(len(network.first), bool) if sure is None else sure
    for p, q in itertools.combinations(range(len(chains)), 2):
        a, b = chains[p], chains[q]
        sure_a, sure_b = _Sure(a, clear, network), _Sure(b, clear, network)
        found = list(_crossings(a, b, network, sure_a, sure_b, halved=sure is not None))
        if not found:
            continue
        at = np.array([place[:4] for place in found])
        costs = np.array([place[4] for place in found]) + _Looks(a, b, alike).worse(*at.T)
        for (i, j, k, m, _), cost in zip(found, costs.tolist(), strict=True):
            yield Exchange(people=(p, q), begin=(i, j), stop=(k, m), cost=cost)


def _crossings(
    a: list[int], b: list[int], network: Network, sure_a: _Sure, sure_b: _Sure, *, halved: bool
) -> Iterator[tuple[int, int, int, int, float]]:
    """(i, j, k, m, nats): that a[i:k] and b[j:m] change hands, and by how much worse that is but for looks.

    halved: of the steps from track to track and of those from sure track to sure track half each.
    """
    places = list(_places(a, b, network, sure_a, sure_b))
    for n, (i, j, first, wide) in enumerate(places):
        yield i, j, len(a), len(b), (first + wide) / 2 if halved else first
        for k, m, second, wider in places[n + 1 : n + 1 + _AHEAD]:
            if k < i or m < j or _leaves_nobody((i, k, len(a)), (j, m, len(b))):
                continue
            steps = first + second if k > i and m > j else _handed((a, i, k), (b, j, m), network)
            u, v, w, x = sure_a.count[i], sure_a.count[k], sure_b.count[j], sure_b.count[m]
            if halved and (v > u or x > w):
                if _leaves_nobody((u, v, len(sure_a.chain)), (w, x, len(sure_b.chain))):
                    continue
                both = v > u and x > w
                over = wide + wider if both else _handed((sure_a.chain, u, v), (sure_b.chain, w, x), network)
                steps = (steps + over) / 2
            yield i, j, k, m, steps


def _leaves_nobody(of_a: tuple[int, int, int], of_b: tuple[int, int, int]) -> bool:
    """Whether somebody gives all tracks away and gets none: (first of the stretch, one past it, number of tracks)."""
    (i, k, n), (j, m, o) = of_a, of_b
    return (i == 0 and k == n and j == m) or (j == 0 and m == o and i == k)


def _handed(of_a: tuple[list[int], int, int], of_b: tuple[list[int], int, int], network: Network) -> float:
    """Nats by which it is worse, from track to track, that a[i:k] and b[j:m] change hands, where one of both is empty:
    whoever gives a stretch away goes on over the hole, and whoever gets it no longer goes past it."""
    (a, i, k), (b, j, m) = of_a, of_b
    if m > j:
        a, i, k, b, j, m = b, j, m, a, i, k
    if k == i:
        return 0.0
    given = _step(a, i, a, k, network) - _step(a, i, a, i, network) - _step(a, k, a, k, network)
    taken = _step(b, j, a, i, network) + _step(a, k, b, j, network) - _step(b, j, b, j, network)
    return given + taken


def exchanged(chains: list[list[int]], by: Exchange) -> list[list[int]]:
    """The chains after an exchange."""
    out = [list(chain) for chain in chains]
    (p, q), (i, j), (k, m) = by.people, by.begin, by.stop
    a, b = chains[p], chains[q]
    out[p], out[q] = a[:i] + b[j:m] + a[k:], b[:j] + a[i:k] + b[m:]
    return out


def settle(
    chains: list[list[int]], network: Network, alike: np.ndarray, sure: np.ndarray | None = None, most: int = 50
) -> list[list[int]]:
    """The chains after the best exchanges, one after another, as long as one makes the whole cheaper."""
    for _ in range(most):
        best = min(exchanges(chains, network, alike, sure), key=lambda one: one.cost, default=None)
        if best is None or best.cost >= -1e-6:
            break
        chains = exchanged(chains, best)
    return chains


def handed_frames(chains: list[list[int]], one: Exchange, network: Network, told: np.ndarray | None = None) -> int:
    """Frames of the longer of both stretches that change hands.

    told (K, N): of `bind_shared.tellable`, for the people of the chains; then those alone in which it could be seen.
    """
    (p, q), (i, j), (k, m) = one.people, one.begin, one.stop
    given, taken = chains[p][i:k], chains[q][j:m]
    if told is not None:
        return max(int(told[q, given].sum()), int(told[p, taken].sum()))
    return max(int((network.stop[part] - network.first[part]).sum()) for part in (given, taken))


class _Sure:
    """Where the sure tracks of a chain lie."""

    def __init__(self, chain: list[int], clear: np.ndarray, network: Network) -> None:
        self.count = np.concatenate([[0], clear[chain].cumsum()]).tolist()
        self.chain = [i for i in chain if clear[i]]

    def between(self, i: int, k: int) -> int:
        return self.count[k] - self.count[i]


def _places(
    a: list[int], b: list[int], network: Network, sure_a: _Sure, sure_b: _Sure
) -> Iterator[tuple[int, int, float, float]]:
    """(i, j, nats, nats): a may go on with b's tracks from j on, and b with a's from i on, and how much worse that is
    from track to track, and from sure track to sure track.

    Both have to be between tracks then: a's next begins no sooner than b's last ends, and the other way round. A
    chain's tracks are in order of time, so for each i that is a range of j.
    """
    never = network.stop.max(initial=0) + 1
    last_b = np.concatenate([[-1], network.stop[b]])  # of b's first j tracks
    next_b = np.concatenate([network.first[b], [never]])
    for i in range(len(a) + 1):
        last_a = network.stop[a[i - 1]] if i else -1
        next_a = network.first[a[i]] if i < len(a) else never
        for j in range(int(np.searchsorted(next_b, last_a)), int(np.searchsorted(last_b, next_a, side="right"))):
            if (i, j) in ((0, 0), (len(a), len(b)), (0, len(b)), (len(a), 0)):
                continue  # nothing would change, or two people become one
            crossed = _step(a, i, b, j, network) + _step(b, j, a, i, network)
            if np.isfinite(crossed):
                full = crossed - _step(a, i, a, i, network) - _step(b, j, b, j, network)
                c, d, u, v = sure_a.chain, sure_b.chain, sure_a.count[i], sure_b.count[j]
                wide = _step(c, u, d, v, network) + _step(d, v, c, u, network)
                wide -= _step(c, u, c, u, network) + _step(d, v, d, v, network)
                yield i, j, full, float(wide)


def _step(a: list[int], i: int, b: list[int], j: int, network: Network) -> float:
    """Nats of going from the i first tracks of a to the tracks of b from j on."""
    if i and j < len(b):
        return float(network.link[a[i - 1], b[j]])
    if i:
        return float(network.end[a[i - 1]])
    return float(network.start[b[j]]) if j < len(b) else 0.0


def parted(chain: list[int], alike: np.ndarray) -> Iterator[tuple[int, float]]:
    """(at, nats): by how much looks are worse when a chain's first `at` tracks are one person and the rest another."""
    looks = _Looks(chain, [], alike)
    for at in range(1, len(chain)):
        yield at, looks.now - looks.of([(0, at)]) - looks.of([(at, len(chain))])


def _weight(alike: np.ndarray) -> np.ndarray:
    return np.minimum(np.diag(alike), 1.0)


class _Looks:
    """Likeness of two chains whatever stretches they exchange, from sums over rectangles (integral images)."""

    def __init__(self, a: list[int], b: list[int], alike: np.ndarray) -> None:
        both = [*a, *b]
        own = alike[both][:, both]  # a third of the time of np.ix_
        weight = _weight(own)
        np.fill_diagonal(own, 0.0)
        self.split = len(a)
        self.total = np.zeros((len(both) + 1, len(both) + 1))
        np.cumsum(own, axis=0, out=own)
        np.cumsum(own, axis=1, out=self.total[1:, 1:])
        self.weight = np.concatenate([[0.0], weight.cumsum()])
        self.now = self.of([(0, len(a))]) + self.of([(len(a), len(both))])

    def worse(self, i: np.ndarray, j: np.ndarray, k: np.ndarray, m: np.ndarray) -> np.ndarray:
        """(E,) nats by which looks are worse when a[i:k] and b[j:m] change hands, of (E,) each."""
        n, end = self.split, len(self.weight) - 1
        j, m = j + n, m + n
        return np.asarray(self.now - self.of([(0, i), (j, m), (k, n)]) - self.of([(n, j), (i, k), (m, end)]))

    def of(self, parts: Sequence[tuple[Places, Places]]) -> np.ndarray:
        """Nats for one person made of these stretches: of n(n - 1) / 2 pairs, n - 1 are independent."""
        t = self.total
        total = sum(t[b, d] - t[a, d] - t[b, c] + t[a, c] for a, b in parts for c, d in parts)
        weight = np.asarray(sum(self.weight[b] - self.weight[a] for a, b in parts))
        return np.asarray(np.divide(total, weight, out=np.zeros(weight.shape), where=weight > 0))

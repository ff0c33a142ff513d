"""Chains of tracks -> how probable each step from track to track is, and which brief stretches are better left open.

What stands is set against every exchange of two people (`bind_swaps`), not against the next best alone: three ways to
be wrong that are each a little worse are together as likely as one that is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tasks.ops.bind_cost import Network
from tasks.ops.bind_swaps import Exchange, exchanges, handed_frames, parted

# Evidence is not independent: who turns back turns with the other, one bad box spoils place and velocity, looks repeat.
# Over 5,800 exchanges in the true chains of 637 filmed crossings, as filmed and with worse detections, a logistic
# regression wants 2.2 to 2.6 nats for one; of clips whose least probable step is at 0.4 to 0.5 then 59 % are right
# throughout, at 0.6 to 0.7 85 %, from 0.9 on 99 %.
_NATS = 2.0
_SURELY = 3.0  # nats beside which a brief stretch is given to one of two; of less it is left open
_BRIEF_S = 0.5  # the longest stretch that is: whoever had it is found again at once, and their way is known over it
_STAYS = 4  # times the frames from which an exchange counts: who is seen for less may only be seen badly
_LOOKS = 2.0  # what looks count where one may have gone and another come
_PASSES = 8  # each leaves open all that is unsure and lies apart; more than four were never needed


def left_open(
    chains: list[list[int]], network: Network, alike: np.ndarray, sure: np.ndarray, *, least: int, fps: float
) -> list[list[int]]:
    """The chains without brief stretches that might as well be the other's: in the midst of a contact, a few frames.

    Nobody loses all tracks. least: frames from which an exchange counts.
    """
    for _ in range(_PASSES):
        unsure = [
            one for one in exchanges(chains, network, alike, sure)
            if one.cost < _SURELY and least <= handed_frames(chains, one, network) <= _BRIEF_S * fps
        ]  # fmt: skip
        drop: set[int] = set()
        for one in sorted(unsure, key=lambda one: one.cost):
            parts = [set(chains[p][a:b]) for p, a, b in zip(one.people, one.begin, one.stop, strict=True)]
            whole = any(set(chains[p]) <= part | drop for p, part in zip(one.people, parts, strict=True))
            # What has just been left open changes the steps beside it: its neighbours wait for the next pass.
            if not whole and not drop & _about(chains, one):
                drop |= parts[0] | parts[1]
        if not drop:
            break
        chains = [[i for i in chain if i not in drop] for chain in chains]
    return chains


def alternatives(
    chains: list[list[int]],
    network: Network,
    alike: np.ndarray,
    sure: np.ndarray,
    least: int = 1,
    told: np.ndarray | None = None,
) -> list[list[tuple[list[float], ...]]]:
    """For each chain and each step of it from track to track: the nats by which what could stand there instead is
    worse, in three views: exchanges of all tracks; of the sure ones alone, which the fragments between them may forbid;
    and that one person goes there and another comes.

    sure (N,) bool: tracks that were seen clearly; least: frames from which an exchange counts; told (K, N): how many of
    a track's frames do when it goes to another, of `bind_shared.tellable`; all, when not given.
    """
    out: list[list[tuple[list[float], ...]]] = [[([], [], []) for _ in chain[1:]] for chain in chains]
    for one in exchanges(chains, network, alike, sure):
        if handed_frames(chains, one, network, told) >= least:
            for person, at in _ends(one, chains):
                out[person][at - 1][0].append(one.cost)
    seen = [p for p, chain in enumerate(chains) if sure[chain].any()]
    place = [[k for k, i in enumerate(chains[p]) if sure[i]] for p in seen]
    clear = [[chains[p][k] for k in at] for p, at in zip(seen, place, strict=True)]
    theirs = None if told is None else told[seen]
    for one in exchanges(clear, network, alike):
        if handed_frames(clear, one, network, theirs) >= least:
            for person, at in _ends(one, clear):
                for step in range(place[person][at - 1], place[person][at]):
                    out[seen[person]][step][1].append(one.cost)
    for person, chain, where in zip(seen, clear, place, strict=True):
        for at, nats in _partings(chain, network, alike, least):
            for step in range(where[at - 1], where[at]):
                out[person][step][2].append(nats)
    return out


def _partings(chain: list[int], network: Network, alike: np.ndarray, least: int) -> Iterator[tuple[int, float]]:
    """(at, nats): by how much it is worse that a chain's first `at` tracks are one person and the rest another.

    That there is one person more costs nothing here: it guards against ghosts, and they are not seen clearly. Looks
    count twice, as they do where two people are exchanged: two clothes that differ are found at the wrong one there.
    Of 583 bindings that are right, of four seeds, three more are doubted for partings at all.
    """
    length = (network.stop[chain] - network.first[chain]).cumsum()
    for at, looks in parted(chain, alike):
        if min(length[at - 1], length[-1] - length[at - 1]) >= _STAYS * least:
            last, first = chain[at - 1], chain[at]
            link = float(network.link[last, first])
            border = float(network.end[last] + network.start[first])
            yield at, border + _LOOKS * looks - (link if np.isfinite(link) else 0.0)


def probability(views: Sequence[Sequence[float]]) -> float:
    """0..1: how probable what stands is, of it and all that could stand instead; of views, the one most in doubt.

    views: nats by which each alternative is worse.

    >>> probability([[], []]), probability([[0.0], []])
    (1.0, 0.5)
    >>> round(probability([[3.0], [3.0, 3.0]]), 2)
    0.69
    """
    odds = max(sum(float(np.exp(-max(nats, 0.0) / _NATS)) for nats in view) for view in views)
    return 1.0 / (1.0 + odds)


def _ends(one: Exchange, chains: list[list[int]]) -> list[tuple[int, int]]:
    """The steps at which an exchange begins and stops: (person, number of the track that comes after)."""
    places = [(person, at) for place in (one.begin, one.stop) for person, at in zip(one.people, place, strict=True)]
    return [(person, at) for person, at in places if 0 < at < len(chains[person])]


def _about(chains: list[list[int]], one: Exchange) -> set[int]:
    """The tracks that change hands and those before and after them."""
    return {
        i for p, a, b in zip(one.people, one.begin, one.stop, strict=True) for i in chains[p][max(a - 1, 0) : b + 1]
    }

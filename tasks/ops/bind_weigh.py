"""Tracks -> who is whom, with everything weighed: looks, stature, and the steps from track to track; and how surely.

Two views of a contact are weighed together, for they err at different times: from the last clear piece before it to the
first after it, and from one fragment within it to the next. Where two could change over there, or one have gone and
another come, at little cost, it is not sure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.ops.bind_assign import Problem, assign
from tasks.ops.bind_cost import Costs, Network
from tasks.ops.bind_doubt import alternatives, left_open, probability
from tasks.ops.bind_shared import tellable
from tasks.ops.bind_solve import cover
from tasks.ops.bind_swaps import settle
from tasks.ops.colour_looks import ColourLooks, by_colours
from tasks.ops.look_model import alike_of, learn, to_people
from tasks.ops.stature import by_stature
from tasks.ops.tracks import Track

# A look at a fragment shows two people who touch: how much it counts, of one at somebody who stands clear. From 0.15 to
# 0.5 nothing depends on it.
_FRAGMENT = 0.3
_COLOURED = 0.6  # its colours are those of its mask, which leaves most of the other out
# Frames that must change hands for an exchange to count: of one or two nobody could say whose they are, nor would care.
_LEAST_S = 0.125


def likeness_of(
    tracks: Sequence[Track],
    clear: np.ndarray,
    size: tuple[int, int],
    costs: Costs,
    colours: ColourLooks | None = None,
) -> np.ndarray:
    """(N, N) nats for two tracks being one person by what they look like: clothes, and stature; how much a track's look
    counts, 0..1, on the diagonal.

    clear (N,) bool: tracks that show somebody clearly; only of these is learned what likeness is worth. colours: of the
    masks; without them clothes are known by re-ID alone.
    """
    sure = np.flatnonzero(clear)
    own = [track for track, seen in zip(tracks, clear, strict=True) if seen]
    alike = alike_of(tracks, learn(own, costs.look), np.where(clear, 1.0, _FRAGMENT))
    if colours is not None:
        alike = _with_colours(alike, by_colours(tracks, clear, colours, costs.colours), clear, costs)
    alike[np.ix_(sure, sure)] += by_stature(own, size)
    alike[sure, sure] = 1.0
    return alike


def _with_colours(alike: np.ndarray, shades: np.ndarray, clear: np.ndarray, costs: Costs) -> np.ndarray:
    """What re-ID says (N, N), as of `alike_of`, and what colours say (N, N), NaN where they are not known."""
    counted = np.where(clear, 1.0, _COLOURED)
    known = np.isfinite(shades)
    both = shades * np.outer(counted, counted)
    out = np.where(known, both + (1 - costs.colours.told_twice) * alike, alike)
    np.fill_diagonal(out, np.maximum(np.diag(alike), np.where(known.any(1), counted, 0.0)))
    return np.asarray(out)


def anchored(network: Network, alike: np.ndarray, *, person: float, people: int | None, least: int) -> list[list[int]]:
    """Chains of clear tracks, one a person: the cheapest cover; then again, now that people have looks.

    people: exactly so many; None: as many as cost least, and `least` or more.
    """
    link = network.link - alike
    first = cover(link, network.start, network.end, network.nobody, person=person, people=people)
    if people is None and len(first.chains) < least:
        first = cover(link, network.start, network.end, network.nobody, person=person, people=least)
    chains = _by_looks([list(chain) for chain in first.chains], network, alike)
    return settle(chains, network, alike)


def weighed(
    chains: list[list[int]],
    tracks: Sequence[Track],
    network: Network,
    alike: np.ndarray,
    clear: np.ndarray,
    fps: float,
) -> tuple[list[list[int]], list[list[float]]]:
    """The tracks of each person after the last exchanges, and 0..1 how probable each step from track to track is.

    Brief stretches of which it cannot be said whose they are are nobody's then. An exchange of what holds both people
    is no alternative: see `bind_shared`.
    """
    least = max(round(_LEAST_S * fps), 2)
    chains = left_open(settle(chains, network, alike, clear), network, alike, clear, least=least, fps=fps)
    views = alternatives(chains, network, alike, clear, least, tellable(tracks, chains, fps))
    return chains, [[probability(step) for step in steps] for steps in views]


def _by_looks(chains: list[list[int]], network: Network, alike: np.ndarray) -> list[list[int]]:
    """The chains again, now that each person has a look; repeated until nothing changes."""
    used = np.zeros(len(alike), bool)
    used[[i for chain in chains for i in chain]] = True
    for _ in range(4):
        if len(chains) < 2:
            break
        nobody = np.where(used, np.inf, 0.0)
        owner, _ = assign(
            Problem(
                own=np.where(used[None], -to_people(chains, alike), np.inf),
                nobody=nobody,
                link=network.link,
                start=network.start,
                end=network.end,
            )
        )
        again = [np.flatnonzero(owner == k).tolist() for k in range(len(chains))]
        if again == chains or not all(again):
            break
        chains = again
    return chains

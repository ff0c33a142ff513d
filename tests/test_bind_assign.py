"""Costs -> whose each track is: as good as the best of all, by brute force; and what an exchange would cost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tasks.ops.bind_assign import NOBODY, Problem, assign
from tasks.ops.bind_cost import Network
from tasks.ops.bind_swaps import exchanged, exchanges, likeness, margins, settle


def problem(seed: int, people: int, tracks: int) -> Problem:
    """Random costs; track i may be followed by those after it, mostly."""
    rng = np.random.default_rng(seed)
    link = np.where(np.triu(rng.random((tracks, tracks)) < 0.7, 1), rng.normal(0, 3, (tracks, tracks)), np.inf)
    return Problem(
        own=rng.normal(0, 2, (people, tracks)), nobody=rng.random(tracks) * 4, link=link,
        start=rng.random(tracks) * 3, end=rng.random(tracks) * 3,
    )  # fmt: skip


def cost_of(p: Problem, owner: tuple[int, ...]) -> float:
    """The cost of an assignment, written out."""
    total = sum(p.nobody[i] for i, k in enumerate(owner) if k == NOBODY)
    for k in range(len(p.own)):
        chain = [i for i, own in enumerate(owner) if own == k]
        if chain:
            total += p.start[chain[0]] + p.end[chain[-1]] + sum(p.own[k, i] for i in chain)
            total += sum(p.link[a, b] for a, b in itertools.pairwise(chain))
    return float(total)


@pytest.mark.parametrize("people", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_the_assignment_is_the_best_of_all(seed: int, people: int) -> None:
    one = problem(seed, people, 6)
    owner, cost = assign(one)
    best = min(cost_of(one, other) for other in itertools.product(range(-1, people), repeat=6))
    assert cost == pytest.approx(best)
    assert cost_of(one, tuple(owner.tolist())) == pytest.approx(best)


def test_a_track_that_can_be_nobodys_nor_anybodys_is_named() -> None:
    one = problem(0, 2, 4)
    own, nobody = one.own.copy(), one.nobody.copy()
    own[:, 2], nobody[2] = np.inf, np.inf
    with pytest.raises(ValueError, match="track 2 of 4"):
        assign(Problem(own=own, nobody=nobody, link=one.link, start=one.start, end=one.end))


# Two people, three tracks each: 0, 2, 4 and 1, 3, 5. Going on costs 0, changing over 3; but for the last step: 1.
LINK = np.full((6, 6), np.inf)
for _a, _b in ((0, 2), (1, 3), (2, 4), (3, 5)):
    LINK[_a, _b] = 0.0
LINK[0, 3], LINK[1, 2], LINK[2, 5], LINK[3, 4] = 3.0, 3.0, 0.5, 0.5
LINK[0, 4] = LINK[0, 5] = LINK[1, 4] = LINK[1, 5] = 20.0
FIRST = np.array([0, 0, 10, 10, 20, 20])
NETWORK = Network(first=FIRST, stop=FIRST + 9, link=LINK, start=np.zeros(6), end=np.zeros(6), nobody=np.full(6, 50.0))
CHAINS = [[0, 2, 4], [1, 3, 5]]


def test_margins_say_what_the_cheapest_exchange_at_each_step_costs() -> None:
    # Without looks an exchange of the middle pieces would have to change over twice.
    assert margins(CHAINS, NETWORK, np.zeros((6, 6))) == [[6.0, 1.0], [6.0, 1.0]]


def test_looks_of_all_that_changes_hands_count() -> None:
    alike = np.where((np.arange(6)[:, None] - np.arange(6)) % 2 == 0, 3.0, -3.0)
    by_looks = margins(CHAINS, NETWORK, alike)
    assert by_looks[0][1] > 1.0 + 3.0
    assert by_looks[0][1] == by_looks[1][1]


def test_a_wrong_assignment_is_settled() -> None:
    alike = np.where((np.arange(6)[:, None] - np.arange(6)) % 2 == 0, 3.0, -3.0)
    assert settle([[0, 3, 4], [1, 2, 5]], NETWORK, alike) == CHAINS


def test_an_exchange_costs_what_it_says() -> None:
    alike = np.random.default_rng(3).normal(0, 2, (6, 6))
    alike = alike + alike.T
    np.fill_diagonal(alike, 4.0)

    def total(chains: list[list[int]]) -> float:
        steps = sum(LINK[a, b] for chain in chains for a, b in itertools.pairwise(chain))
        return float(steps - sum(likeness(chain, alike) for chain in chains))

    found = list(exchanges(CHAINS, NETWORK, alike))
    assert found
    for one in found:
        assert total(exchanged(CHAINS, one)) - total(CHAINS) == pytest.approx(one.cost)

"""Costs -> whose each track is: as good as the best of all, by brute force; and what an exchange would cost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tasks.ops.bind_assign import NOBODY, Problem, assign
from tasks.ops.bind_cost import Network
from tasks.ops.bind_doubt import alternatives
from tasks.ops.bind_swaps import exchanged, exchanges, settle


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


def cheapest(alike: np.ndarray) -> list[list[float]]:
    """The cheapest exchange at each step of CHAINS."""
    views = alternatives(CHAINS, NETWORK, alike, np.ones(6, bool))
    return [[min(among_all) for among_all, *_ in steps] for steps in views]


def test_alternatives_say_what_each_exchange_at_each_step_costs() -> None:
    # Without looks an exchange of the middle pieces would have to change over twice.
    assert cheapest(np.zeros((6, 6))) == [[6.0, 1.0], [6.0, 1.0]]
    for steps in alternatives(CHAINS, NETWORK, np.zeros((6, 6)), np.ones(6, bool)):
        assert all(sorted(among_all) == sorted(among_sure) for among_all, among_sure, _ in steps), "all tracks are sure"


def test_looks_of_all_that_changes_hands_count() -> None:
    alike = np.where((np.arange(6)[:, None] - np.arange(6)) % 2 == 0, 3.0, -3.0)
    by_looks = cheapest(alike)
    assert by_looks[0][1] > 1.0 + 3.0
    assert by_looks[0][1] == by_looks[1][1]


def test_a_wrong_assignment_is_settled() -> None:
    alike = np.where((np.arange(6)[:, None] - np.arange(6)) % 2 == 0, 3.0, -3.0)
    assert settle([[0, 3, 4], [1, 2, 5]], NETWORK, alike) == CHAINS


def random_network(seed: int, tracks: int) -> Network:
    """Short tracks, one after another, so that any may follow any before it; random costs, for starts and ends too."""
    rng = np.random.default_rng(seed)
    first = np.arange(tracks) * 3
    link = np.where(np.triu(np.ones((tracks, tracks), bool), 1), rng.normal(0, 3, (tracks, tracks)), np.inf)
    return Network(
        first=first, stop=first + 2, link=link, start=rng.random(tracks) * 4, end=rng.random(tracks) * 4,
        nobody=np.full(tracks, 50.0),
    )  # fmt: skip


def likeness(chain: list[int], alike: np.ndarray) -> float:
    """Nats for these tracks being one person, written out: of n(n - 1) / 2 pairs, n - 1 are independent."""
    own = alike[np.ix_(chain, chain)]
    weight = float(np.minimum(np.diag(own), 1.0).sum())
    return float(own.sum() - np.trace(own)) / weight if weight > 0 else 0.0


def total(chains: list[list[int]], network: Network, alike: np.ndarray) -> float:
    """What an assignment costs, written out."""
    steps = sum(float(network.link[a, b]) for chain in chains for a, b in itertools.pairwise(chain))
    ends = sum(float(network.start[chain[0]] + network.end[chain[-1]]) for chain in chains if chain)
    return steps + ends - sum(likeness(chain, alike) for chain in chains)


def random_alike(seed: int, tracks: int) -> np.ndarray:
    alike = np.random.default_rng(seed).normal(0, 2, (tracks, tracks))
    alike = alike + alike.T
    np.fill_diagonal(alike, 1.0)
    return alike


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "chains",
    [
        pytest.param([[0, 2, 4], [1, 3, 5]], id="in turn"),
        pytest.param([[0, 1, 6, 7], [2, 3, 4, 5, 8]], id="one is gone while the other has four tracks"),
        pytest.param([[0, 8], [1, 2, 3, 4], [5, 6, 7]], id="three people"),
    ],
)
def test_an_exchange_costs_what_it_says(chains: list[list[int]], seed: int) -> None:
    tracks = sum(len(chain) for chain in chains)
    network, alike = random_network(seed, tracks), random_alike(seed, tracks)
    found = list(exchanges(chains, network, alike))
    assert any(i == k or j == m for (i, j), (k, m) in ((one.begin, one.stop) for one in found)), "one only gives"
    for one in found:
        after = exchanged(chains, one)
        assert all(after), "nobody loses all tracks"
        assert total(after, network, alike) - total(chains, network, alike) == pytest.approx(one.cost)


@pytest.mark.parametrize("seed", range(8))
def test_settling_ends_where_no_exchange_is_better(seed: int) -> None:
    network, alike = random_network(seed, 12), random_alike(seed, 12)
    chains = settle([[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]], network, alike)
    assert sorted(i for chain in chains for i in chain) == list(range(12))
    assert min(one.cost for one in exchanges(chains, network, alike)) >= -1e-6

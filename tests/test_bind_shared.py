"""Boxes that hold two people: that they were exchanged cannot be seen, and makes nobody doubtful."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.ops.bind_cost import Costs, Network, network_of
from tasks.ops.bind_doubt import alternatives, probability
from tasks.ops.bind_shared import tellable
from tasks.ops.bind_swaps import Exchange, handed_frames
from tasks.ops.bind_weigh import weighed
from tasks.ops.tracks import Track
from tests.test_bind_evidence import FPS, track

LEAST = 3


def held(apart: float = 0.0, *, gap: int = 20) -> list[Track]:
    """Two people (0 and 1) meet; while they hold each other one box (2) is found, `apart` pixels off where they are;
    then both again (3 and 4)."""
    later = 20 + gap
    return [
        track(0, 20, (80, 95), width=50), track(0, 20, (125, 110), width=50),
        track(20, later, (102 + apart, 102 + apart), width=62),
        track(later, later + 20, (95, 80), width=50), track(later, later + 20, (110, 125), width=50),
    ]  # fmt: skip


CHAINS = [[0, 2, 3], [1, 4]]


def test_a_box_over_both_is_where_the_other_is_too() -> None:
    told = tellable(held(), CHAINS, FPS)
    assert told.shape == (2, 5)
    assert told[0].tolist() == [0, 15, 0, 0, 15]
    assert told[1].tolist() == [15, 0, 0, 15, 0]


@pytest.mark.parametrize(
    ("tracks", "frames"),
    [
        pytest.param(held(), 0, id="held in one box"),
        pytest.param(held(10), 0, id="a little off"),
        pytest.param(held(80), 20, id="somewhere else"),
        pytest.param(held(gap=49), 0, id="for nearly two seconds"),
        pytest.param(held(gap=50), 50, id="for longer, nobody knows where the other went"),
    ],
)
def test_frames_count_where_the_other_is_not(tracks: list[Track], frames: int) -> None:
    assert tellable(tracks, CHAINS, FPS)[1, 2] == frames


def test_before_the_first_sight_and_after_the_last_nobody_knows_where_somebody_is() -> None:
    early, late = track(0, 20, (100, 100)), track(30, 50, (100, 100))
    own = track(20, 30, (100, 100))
    assert tellable([early, own, late], [[1]], FPS).tolist() == [[20, 0, 20]]


def test_where_somebody_was_found_is_known_in_the_only_frame_of_theirs() -> None:
    once, there, elsewhere = track(7, 8, (100, 100)), track(5, 10, (100, 100)), track(5, 10, (200, 200))
    assert tellable([once, there, elsewhere], [[0]], FPS).tolist() == [[0, 4, 5]]


def test_between_two_sights_somebody_is_on_the_way_from_one_to_the_other() -> None:
    """Who walks 200 pixels in 21 frames is at each place of 40 pixels' width for a few."""
    before, after = track(0, 10, (50, 50)), track(30, 40, (250, 250))
    path = np.linspace(50, 250, 22)[1:-1]
    along, lagging = track(10, 30, (path[0], path[-1])), track(10, 30, (path[0] - 30, path[-1] - 30))
    assert tellable([before, along, lagging, after], [[0, 3]], FPS).tolist() == [[0, 0, 20, 0]]


def test_where_somebody_is_found_is_known_however_long_they_were_gone() -> None:
    before, again, other = track(0, 10, (100, 100)), track(90, 100, (200, 200)), track(88, 92, (200, 200))
    assert tellable([before, other, again], [[0, 2]], FPS)[0].tolist() == [0, 2, 0]


def test_an_exchange_counts_in_the_frames_in_which_it_could_be_seen() -> None:
    tracks = held()
    network = Network(
        first=np.array([one.start for one in tracks]), stop=np.array([one.stop for one in tracks]),
        link=np.zeros((5, 5)), start=np.zeros(5), end=np.zeros(5), nobody=np.zeros(5),
    )  # fmt: skip
    of_box = Exchange(people=(0, 1), begin=(1, 1), stop=(2, 1), cost=0.0)
    for_good = Exchange(people=(0, 1), begin=(2, 1), stop=(3, 2), cost=0.0)
    assert handed_frames(CHAINS, of_box, network) == 20
    told = tellable(tracks, CHAINS, FPS)
    assert handed_frames(CHAINS, of_box, network, told) == 0
    assert handed_frames(CHAINS, for_good, network, told) == 15


@pytest.mark.parametrize(
    ("gap", "doubted"),
    [
        pytest.param(20, False, id="held in one box"),
        pytest.param(50, True, id="for so long that the other may be anywhere"),
    ],
)
def test_who_held_whom_in_one_box_is_no_doubt(gap: int, doubted: bool) -> None:
    tracks, clear = held(gap=gap), np.array([True, True, False, True, True])
    network = network_of(tracks, 100, FPS, (300, 400), Costs())
    chains, sure = weighed(CHAINS, tracks, network, np.zeros((5, 5)), clear, FPS)
    assert chains == CHAINS
    every = alternatives(CHAINS, network, np.zeros((5, 5)), clear, LEAST)
    blind = [[probability(step) for step in steps] for steps in every]
    assert blind[0][0] < 0.65, "of what is to be seen of the box alone"
    if doubted:
        assert sure == blind
    else:
        assert sure[0][0] > blind[0][0] + 0.1


def test_the_view_of_sure_tracks_knows_it_too() -> None:
    """It leaves out who has no such track: rows go with the people, not with their numbers."""
    tracks = [track(0, 5, (300, 300)), *held()]
    chains = [[0], [2, 5], [1, 3, 4]]
    network = network_of(tracks, 100, FPS, (300, 400), Costs())
    clear = np.array([False, True, True, True, True, True])
    told = tellable(tracks, chains, FPS)
    into_the_box = [
        alternatives(chains, network, np.zeros((6, 6)), clear, LEAST, known)[2][0][1] for known in (None, told)
    ]
    assert [len(nats) for nats in into_the_box] == [2, 1], "of two exchanges one hands over the box alone"

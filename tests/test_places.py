"""Places to look at: which two a doubt is about, where they would be exchanged, and who is none of them."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from datasets.records import Event, People
from tasks.ops.places import places_of
from tests.draw_people import FPS, Figure, draw_clip
from tests.test_judge import DUET, judged, with_confidence

T = 60
STRETCH = (20, 40)


@functools.cache
def four() -> People:
    """Person 1 walks past 2, 3 and 4, who stand; beside 2 about frame 10, 3 about frame 30, 4 about frame 50."""
    places = [0.22, 0.5, 0.78]
    standing = [Figure(start=(x, 0.9), stop=(x, 0.9), height=0.4) for x in places]
    return draw_clip((Figure(start=(0.05, 0.9), stop=(0.95, 0.9), height=0.4), *standing), frames=T)[0]


def doubt(start: int, stop: int, *who: int) -> Event:
    return Event(kind="doubt", start=start, stop=stop, people=tuple(p - 1 for p in who), note="")


def doubted(*events: Event, low: dict[int, tuple[int, int]] | None = None) -> People:
    """The four with these doubts; `low` are people (from 1) whose confidence is 0.3 from a frame to a frame."""
    confidence = four().confidence.copy()
    for p, (start, stop) in (low or {}).items():
        confidence[p - 1, start:stop] = 0.3
    return dataclasses.replace(four(), events=events, confidence=confidence)


@pytest.mark.parametrize(
    ("people", "pair", "frames"),
    [
        pytest.param(doubted(doubt(*STRETCH, 3, 4)), (3, 4), (20, 39), id="one doubt names two who stand apart"),
        pytest.param(
            doubted(doubt(*STRETCH, 2), doubt(*STRETCH, 4)), (2, 4), (20, 39), id="two doubts at the same time"
        ),
        pytest.param(
            doubted(doubt(20, 32, 2), doubt(28, 40, 4)), (2, 4), (28, 31), id="two doubts, a while at the same time"
        ),
        pytest.param(
            doubted(doubt(20, 30, 2, 4), doubt(28, 40, 3)),
            (2, 4),
            (20, 29),
            id="a doubt of two, and a longer one beside it",
        ),
        pytest.param(doubted(doubt(*STRETCH, 1)), (1, 3), (29, 31), id="a doubt of one: who is nearest then"),
        pytest.param(doubted(doubt(40, 60, 1)), (1, 4), (46, 49), id="a doubt of one: who is nearest later"),
        pytest.param(
            doubted(doubt(0, 60, 1), low={1: (44, 56)}),
            (1, 4),
            (46, 49),
            id="a long doubt: who is nearest where least sure",
        ),
        pytest.param(doubted(low={2: STRETCH, 4: STRETCH}), (2, 4), (20, 39), id="two of low confidence"),
        pytest.param(doubted(low={1: STRETCH}), (1, 3), (29, 31), id="one of low confidence"),
        pytest.param(
            doubted(doubt(*STRETCH, 3, 4), low={1: STRETCH}), (3, 4), (20, 39), id="a doubt stands above confidence"
        ),
        pytest.param(doubted(doubt(*STRETCH, 1, 2, 3)), (1, 3), (29, 31), id="three are doubted: the closest two"),
    ],
)
def test_the_pair_that_a_doubt_is_about(people: People, pair: tuple[int, int], frames: tuple[int, int]) -> None:
    (place,) = places_of(people, FPS)
    assert tuple(p + 1 for p in place.people) == pair
    assert frames[0] <= place.frame <= frames[1]
    assert not place.stranger


def test_who_is_alone_has_no_partner() -> None:
    people = doubted(doubt(*STRETCH, 1))
    present = people.present.copy()
    present[1:, STRETCH[0] : STRETCH[1]] = False
    (place,) = places_of(dataclasses.replace(people, present=present), FPS)
    assert (place.people, place.frame) == ((0,), 20)


def test_two_who_are_never_there_together_may_be_one_another() -> None:
    people = doubted(doubt(*STRETCH, 2, 3))
    present = people.present.copy()
    present[1, 30:], present[2, :30] = False, False
    (place,) = places_of(dataclasses.replace(people, present=present), FPS)
    assert (place.people, place.frame) == ((1, 2), 30)


def test_a_stranger_has_a_place_and_no_pair() -> None:
    first, second, third = places_of(doubted(doubt(5, 10), doubt(8, 20, 1), doubt(40, 45)), FPS)
    assert [(one.start, one.stop, one.people, one.stranger) for one in (first, third)] == [
        (5, 10, (), True),
        (40, 45, (), True),
    ]
    assert (second.start, second.stop, second.people) == (8, 20, (0, 1))


SAID = "person 1 may be somebody else at 1.20 s: identity confidence 0.60 < 0.65"


@pytest.mark.parametrize(
    ("events", "reasons", "places"),
    [
        pytest.param((), (SAID,), [(24, 36, (1, 3))], id="no stretch is unsure: the half second that is told"),
        pytest.param((doubt(28, 32, 1, 4),), (SAID,), [(28, 32, (1, 4))], id="an unsure stretch has it"),
        pytest.param(
            (doubt(28, 32, 2, 4),), (SAID,), [(24, 36, (1, 3)), (28, 32, (2, 4))], id="an unsure stretch of others"
        ),
        pytest.param((doubt(50, 55, 1, 4),), (SAID,), [(24, 36, (1, 3)), (50, 55, (1, 4))], id="one at another time"),
        pytest.param((), ("person 1 is blurred: sharpness 0.010 < 0.020",), [], id="another reason"),
    ],
)
def test_a_person_doubted_by_confidence_alone(
    events: tuple[Event, ...], reasons: tuple[str, ...], places: list[tuple[int, int, tuple[int, int]]]
) -> None:
    found = places_of(doubted(*events), FPS, reasons)
    assert [(one.start, one.stop, tuple(p + 1 for p in one.people)) for one in found] == places


def test_the_rule_on_confidence_tells_a_place() -> None:
    """What judge writes is what is read here."""
    _, (reason,), _ = judged(DUET, change=with_confidence(1, 20, 34, 0.55))
    assert reason.startswith("person 2 may be somebody else at")
    people = with_confidence(1, 20, 34, 0.55)(draw_clip(DUET, frames=50)[0])
    (place,) = places_of(people, FPS, (reason,))
    assert place.people == (0, 1)
    assert 20 <= place.frame < 34


def test_nothing_in_doubt_nothing_to_look_at() -> None:
    assert places_of(doubted(), FPS) == ()
    assert np.all(four().confidence == 1)

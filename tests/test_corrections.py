"""A person's words, and what they make of People that a later detector binds otherwise."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pytest

from datasets.corrections import (
    Correction,
    clip_digest,
)
from datasets.records import Event, People
from tasks.ops.corrections import (
    MISFIT,
    WORD,
    accepted_still,
    everyone,
    final_verdict,
    heed,
    kinds_said,
    strangers,
)
from tasks.ops.exchange import best_cut, exchange, without
from tasks.ops.sightings import chain_of, sighting, who_stands
from tasks.ops.swaps import chains_of_swap
from tests.draw_people import FPS, Figure, clip_of, draw_clip

T = 60
DIGEST = "d" * 32


@functools.cache
def crossing() -> People:
    """Two who change places, meeting about frame 30, and a third who stands aside."""
    figures = (
        Figure(start=(0.1, 0.9), stop=(0.75, 0.9), height=0.5),
        Figure(start=(0.75, 0.9), stop=(0.1, 0.9), height=0.5, shirt=(60, 90, 200)),
        Figure(start=(0.93, 0.9), stop=(0.93, 0.9), height=0.5, shirt=(60, 170, 90)),
    )
    return draw_clip(figures, frames=T)[0]


def swapped(people: People, a: int, b: int, start: int, stop: int = T) -> People:
    people = exchange(people, a, b, start)
    return exchange(people, a, b, stop) if stop < T else people


def word(name: str, seen: People | None = None, **fields: object) -> Correction:
    """A word as flows.review makes it of the people that were seen."""
    if seen is not None:
        fields["anchors"] = everyone(seen, float(FPS))
    made = Correction(word=name, clip=DIGEST, key="drawn", **fields)  # type: ignore[arg-type]
    return made.identified(0)


def swap_word(people: People, a: int, b: int, start: int, stop: int | None = None) -> Correction:
    anchors = chains_of_swap(people, a - 1, b - 1, start, stop, float(FPS))
    return word("swap", people=(a, b), start=start, stop=stop, anchors=anchors)


def same(one: People, two: People) -> bool:
    names = ("box", "keypoint", "score", "flag", "present", "visible")
    arrays = all(np.array_equal(getattr(one, name), getattr(two, name)) for name in names)
    return arrays and bool(
        np.array_equal(one.mask.rle, two.mask.rle) and np.array_equal(one.mask.offset, two.mask.offset)
    )


def detected_anew(people: People, seed: int) -> People:
    """As another detector has it: boxes off by some pixels, a tenth of the frames missing."""
    rng = np.random.default_rng(seed)
    box = people.box + rng.normal(0, 2.0, people.box.shape).astype(np.float32)
    present = people.present & (rng.random(people.present.shape) > 0.1)
    return dataclasses.replace(people, box=box.astype(np.float32), present=present)


def reordered(people: People, order: list[int]) -> People:
    """The same people under other numbers."""
    index = [p * T + t for p in order for t in range(T)]
    rows = ("box", "keypoint", "score", "flag", "present", "visible", "confidence")
    return dataclasses.replace(
        people, **{name: getattr(people, name)[order] for name in rows}, mask=people.mask.select(index)
    )


# --- what a swap makes of people


def test_a_swap_exchanges_every_array_from_its_very_frame() -> None:
    shown = crossing()
    made, misfits = heed(shown, [swap_word(shown, 1, 2, 17)])
    assert misfits == {}
    assert same(made, swapped(shown, 0, 1, 17))
    assert made.events[-1] == Event(
        kind="repair", start=17, stop=18, people=(0, 1), note=f"{WORD}: exchanged from here on"
    )


def test_a_swap_with_an_end_exchanges_only_so_far() -> None:
    shown = crossing()
    made, misfits = heed(shown, [swap_word(shown, 1, 2, 12, 41)])
    assert misfits == {}
    assert same(made, swapped(shown, 0, 1, 12, 41))


def test_a_swap_from_the_start_keeps_the_numbers_of_its_end() -> None:
    shown = crossing()
    made, misfits = heed(shown, [swap_word(shown, 1, 2, 0, 14)])
    assert misfits == {}
    assert same(made, swapped(shown, 0, 1, 0, 14))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((1, 2, 17, None), (1, 2, 17, None), id="the same twice: a statement, so once"),
        pytest.param((1, 2, 17, None), (2, 1, 17, None), id="the same, the other way round"),
    ],
)
def test_a_statement_said_twice_is_heeded_once(first: tuple, second: tuple) -> None:
    shown = crossing()
    made, misfits = heed(shown, [swap_word(shown, *first), swap_word(shown, *second)])
    assert misfits == {}
    assert same(made, swapped(shown, 0, 1, 17))


def test_two_swaps_of_what_was_shown_are_an_exchange_between_them() -> None:
    shown = crossing()
    made, misfits = heed(shown, [swap_word(shown, 1, 2, 12), swap_word(shown, 1, 2, 44)])
    assert misfits == {}
    assert same(made, swapped(shown, 0, 1, 12, 44))


def test_a_swap_of_what_a_swap_made_takes_it_back() -> None:
    shown = crossing()
    first = swap_word(shown, 1, 2, 17)
    then, _ = heed(shown, [first])
    made, misfits = heed(shown, [first, swap_word(then, 1, 2, 17)])
    assert misfits == {}
    assert same(made, shown)


FAULTS: dict[str, Callable[[People], People]] = {
    "the same fault": lambda right: swapped(right, 0, 1, 30),
    "no fault": lambda right: right,
    "the fault three frames later": lambda right: swapped(right, 0, 1, 33),
    "other numbers": lambda right: reordered(swapped(right, 0, 1, 30), [2, 0, 1]),
    "a third one's number after it": lambda right: swapped(right, 0, 2, 30),
    "two faults": lambda right: swapped(right, 0, 1, 27, 45),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_swap_holds_whatever_a_later_detector_binds(fault: str, seed: int | None) -> None:
    right = crossing()
    said = swap_word(swapped(right, 0, 1, 30), 1, 2, 30)
    bound = FAULTS[fault](right)
    bound = bound if seed is None else detected_anew(bound, seed)
    made, misfits = heed(bound, [said])
    assert misfits == {}
    assert made.num_people == 3
    for chain in everyone(right, float(FPS))[:2]:
        away = tuple(one for one in chain if not 25 <= one[0] <= 36)
        (places,) = who_stands(made, [away])
        assert len(set(places.values())) == 1, f"{places}: one person all along"
    if fault == "no fault":
        assert same(made, bound), "what agrees already is not touched"


def test_a_swap_is_put_where_the_later_fault_is() -> None:
    right = crossing()
    said = swap_word(swapped(right, 0, 1, 30), 1, 2, 30)
    made, _ = heed(swapped(right, 0, 1, 33), [said])
    assert same(made, right)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(lambda p: without(p, 1), "nobody is found", id="one of them is gone, and the other merged"),
        pytest.param(
            lambda p: dataclasses.replace(p, box=p.box + np.float32(400)),
            "nobody is found where",
            id="all stand elsewhere",
        ),
        pytest.param(
            lambda p: dataclasses.replace(p, box=np.stack([p.box[0], p.box[0], p.box[2]])),
            "",
            id="two boxes on one body",
        ),
    ],
)
def test_a_swap_that_no_longer_fits_says_so_and_changes_nothing(change: Callable[[People], People], why: str) -> None:
    shown = swapped(crossing(), 0, 1, 30)
    later = change(shown)
    if why == "nobody is found":
        later = dataclasses.replace(later, present=later.present & (np.arange(T) < 25))
    made, misfits = heed(later, [swap_word(shown, 1, 2, 30)])
    (told,) = misfits.values()
    assert told.startswith(f"{MISFIT}: swap 1 2 from frame 30 (")
    assert why in told
    assert same(made, later)


def test_a_swap_answers_the_doubts_of_its_two_and_no_others() -> None:
    doubts = (
        Event(kind="doubt", start=2, stop=5, people=(0,), note="early"),
        Event(kind="doubt", start=26, stop=34, people=(0, 1), note="margin 0.1"),
        Event(kind="doubt", start=40, stop=44, people=(1, 2), note="another"),
    )
    confidence = np.where(np.arange(T) > 1, 0.3, 0.9) * np.ones((3, 1))
    shown = dataclasses.replace(crossing(), events=doubts, confidence=confidence.astype(np.float32))
    made, _ = heed(shown, [swap_word(shown, 1, 2, 30)])
    told = [(event.kind, event.start, event.people, event.note) for event in made.events]
    assert told == [
        ("doubt", 2, (0,), "early"),
        ("repair", 26, (0, 1), WORD),
        ("repair", 30, (0, 1), f"{WORD}: exchanged from here on"),
        ("doubt", 40, (2,), "another"),
        ("repair", 40, (0,), WORD),
    ]
    assert (made.confidence[:2, 26:] == 1).all()
    assert (made.confidence[2, 2:] == np.float32(0.3)).all()
    assert (made.confidence[:, 2:20] == np.float32(0.3)).all(), "nobody said that they had looked there"


# --- drop, kind, accept


def test_a_drop_takes_the_person_and_gives_nobody_their_pixels() -> None:
    shown = dataclasses.replace(
        crossing(),
        events=(
            Event(kind="doubt", start=3, stop=9, people=(1,), note="x"),
            Event(kind="crossing", start=28, stop=33, people=(0, 1), note="y"),
            Event(kind="exit", start=50, stop=51, people=(2,), note="z"),
        ),
    )
    made, misfits = heed(shown, [word("drop", shown, people=(2,))])
    assert misfits == {}
    assert made.num_people == 2
    assert np.array_equal(made.box, shown.box[[0, 2]])
    for p, before in ((0, 0), (1, 2)):
        assert all(np.array_equal(made.mask_at(p, t), shown.mask_at(before, t)) for t in range(0, T, 7))
    assert [(event.kind, event.people) for event in made.events] == [("crossing", (0,)), ("exit", (1,))]


def test_a_drop_follows_the_person_to_another_number() -> None:
    shown = crossing()
    later = reordered(detected_anew(shown, 3), [1, 2, 0])
    made, misfits = heed(later, [word("drop", shown, people=(2,))])
    assert misfits == {}
    assert np.array_equal(made.box, later.box[[1, 2]])


def test_a_drop_of_whom_nobody_finds_any_more_is_done() -> None:
    shown = crossing()
    later = without(shown, 2)
    assert same(heed(later, [word("drop", shown, people=(3,))])[0], later)


def test_a_drop_never_takes_another_person_along() -> None:
    shown = crossing()
    merged = without(swapped(shown, 1, 2, 15), 2)
    made, misfits = heed(merged, [word("drop", shown, people=(3,))])
    (told,) = misfits.values()
    assert "drop 3" in told
    assert same(made, merged)


def test_kinds_follow_the_person_and_the_last_word_counts() -> None:
    shown = crossing()
    words = [
        word("kind", shown, people=(3,), kind="robot"),
        word("kind", shown, people=(1,), kind="robot"),
        word("kind", shown, people=(1,), kind="human"),
    ]
    said, misfits = kinds_said(reordered(shown, [2, 1, 0]), words)
    assert misfits == {}
    assert {p: one.kind for p, one in said.items()} == {0: "robot", 2: "human"}
    said, misfits = kinds_said(without(shown, 2), words[:1])
    (told,) = misfits.values()
    assert said == {}
    assert "nobody is found where person 3 stood" in told


ACCEPTED: list = [
    pytest.param(lambda p: p, "", id="as it was"),
    pytest.param(lambda p: reordered(detected_anew(p, 5), [2, 0, 1]), "", id="another detector, other numbers"),
    pytest.param(lambda p: swapped(p, 0, 1, 20), "person 1 of then is somebody else from frame", id="exchanged"),
    pytest.param(lambda p: without(p, 2), "person 3 of then is found in only 0", id="one is gone"),
    pytest.param(lambda p: without(swapped(p, 1, 2, 15), 2), "person 2 of then", id="half of one is gone"),
]


@pytest.mark.parametrize(("change", "why"), ACCEPTED)
def test_what_was_accepted_is_held_to_what_was_seen(change: Callable[[People], People], why: str) -> None:
    shown = crossing()
    told = accepted_still(change(shown), word("accept", shown))
    assert (why in told) if why else told == ""


def test_somebody_new_was_not_accepted() -> None:
    shown = crossing()
    assert "3 people are found, 2 when it was accepted" in accepted_still(shown, word("accept", without(shown, 1)))


VERDICTS: list = [
    pytest.param("review", ["accept"], None, "accepted", (), id="accepted"),
    pytest.param("rejected", ["accept"], None, "accepted", (), id="accepted whatever the rules say"),
    pytest.param("accepted", ["reject"], None, "rejected", (WORD,), id="rejected"),
    pytest.param("review", ["accept", "reject"], None, "rejected", (WORD,), id="the last one counts: reject"),
    pytest.param("review", ["reject", "accept"], None, "accepted", (), id="the last one counts: accept"),
    pytest.param("review", [], None, "review", ("why",), id="nothing said"),
    pytest.param("accepted", ["swap"], 0, "review", ("misfit",), id="a word that does not fit"),
    pytest.param("review", ["swap"], 0, "review", ("misfit", "why"), id="and the rules' own doubt"),
    pytest.param("rejected", ["swap"], 0, "rejected", ("why",), id="rejected by the rules all the same"),
    pytest.param("review", ["swap", "accept"], 0, "accepted", (), id="accepted after a word that does not fit"),
    pytest.param("review", ["accept", "swap"], 1, "review", ("misfit", "why"), id="accepted before one"),
]


@pytest.mark.parametrize(("rules", "said", "off", "verdict", "reasons"), VERDICTS)
def test_verdicts(rules: str, said: list[str], off: int | None, verdict: str, reasons: tuple[str, ...]) -> None:
    people = crossing()
    make = {"swap": lambda: swap_word(people, 1, 2, 17), "accept": lambda: word("accept", people)}
    words = [make.get(name, lambda name=name: word(name))() for name in said]  # type: ignore[misc]
    misfits = {} if off is None else {words[off].id: "misfit"}
    why = () if rules == "accepted" else ("why",)
    assert final_verdict(rules, why, people, words, misfits) == (verdict, reasons)  # type: ignore[arg-type]


def test_nobody_is_beyond_any_word() -> None:
    nobody = crossing()
    while nobody.num_people:
        nobody = without(nobody, 0)
    verdict, reasons = final_verdict(
        "rejected", ("no people found in 60 frames",), nobody, [word("accept", nobody)], {}
    )
    assert (verdict, reasons) == ("rejected", ("no people found in 60 frames",))


def test_an_accept_holds_for_what_a_later_swap_made() -> None:
    shown = crossing()
    words = [word("accept", shown), swap_word(shown, 1, 2, 17)]
    made, misfits = heed(shown, words)
    assert final_verdict("review", ("why",), made, words, misfits) == ("accepted", ())
    assert final_verdict("review", ("why",), made, words[:1], misfits)[0] == "review"


def test_words_on_another_cut_are_strangers() -> None:
    assert strangers(DIGEST, [word("reject")]) == {}
    (told,) = strangers("e" * 32, [word("reject")]).values()
    assert "another cut of the source" in told
    clip = clip_of(crossing())
    assert clip_digest(clip) == clip_digest(dataclasses.replace(clip, key="other", source="moved.mp4"))
    assert clip_digest(clip) != clip_digest(dataclasses.replace(clip, frames=59))


# --- sightings and places


def test_sightings_are_taken_where_nobody_is_near() -> None:
    shown = crossing()
    frames = [one[0] for one in chain_of(shown, 0, 0, T, step=12)]
    assert len(frames) >= 4
    assert not any(29 <= t <= 31 for t in frames), "there they stand on each other"
    hidden = dataclasses.replace(shown, present=shown.present & (np.arange(T) >= 40))
    assert min(one[0] for one in chain_of(hidden, 0, 0, T, step=12)) >= 40


def test_who_stands_where_two_are_alike_is_not_told() -> None:
    shown = crossing()
    pile = dataclasses.replace(shown, box=np.broadcast_to(shown.box[:1], shown.box.shape) + np.float32(1))
    chain = (sighting(shown, 0, 5),)
    assert who_stands(pile, [chain]) == [{}]
    assert who_stands(shown, [chain]) == [{5: 0}]


def test_the_best_frame_to_exchange_is_where_the_paths_break() -> None:
    right = crossing()
    assert best_cut(swapped(right, 0, 1, 22), 0, 1, 5, 50, 40) == 22
    assert best_cut(right, 0, 1, 5, 50, 40) in range(27, 34), "of unbroken paths, where they meet"

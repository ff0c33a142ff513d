"""Whose colours masks show, and what that does to doubts: drawn people of known colours who pass each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import CameraMotion, Event, People, load_record, save_record
from datasets.store import Store
from tasks import refine
from tasks.batch import Env
from tasks.ops.colour_doubt import CLEARED, weigh_colours
from tasks.ops.mask_colours import MaskColours, _Look, _ratios, mask_colours
from tests.draw_people import Figure, draw_clip, found_boxes_at, store_clip

RED, BLUE, GREEN = (200, 60, 60), (60, 60, 200), (60, 180, 60)
FRAMES, FPS, DOUBT = 50, 25.0, 0.7
Pictures = list[np.ndarray]


def passing(*shirts: tuple[int, int, int]) -> tuple[People, Pictures]:
    """Two who walk past each other, the first behind the second, and whoever else stands at the side."""
    ways = (
        Figure(start=(0.2, 0.85), stop=(0.7, 0.85), shirt=shirts[0]),
        Figure(start=(0.7, 0.92), stop=(0.2, 0.92), height=0.66, shirt=shirts[1]),
        *(Figure(start=(0.9, 0.9), stop=(0.9, 0.9), shirt=shirt) for shirt in shirts[2:]),
    )
    return draw_clip(ways, frames=FRAMES)


def exchanged(people: People, start: int, stop: int) -> People:
    """The masks of the first two exchanged in frames [start, stop): their ids lie on each other there."""
    order = np.arange(people.present.size).reshape(people.present.shape)
    order[:2, start:stop] = order[1::-1, start:stop]
    return replace(people, mask=people.mask.select(order.ravel()))


def doubted(people: People, start: int, stop: int, who: Sequence[int], sure: float = 0.4) -> People:
    """Binding doubts these people in frames [start, stop)."""
    confidence = people.confidence.copy()
    confidence[list(who), start:stop] = sure
    events = tuple(Event(kind="doubt", start=start, stop=stop, people=(p,), note="may be somebody else") for p in who)
    return replace(people, confidence=confidence, events=events)


def weighed(people: People, pictures: Pictures, *, lower: bool = True) -> People:
    return weigh_colours(people, mask_colours(people, pictures, fps=FPS), fps=FPS, doubt=DOUBT, lower=lower)


def notes(people: People, kind: str) -> list[str]:
    return [event.note for event in people.events if event.kind == kind]


def test_a_mask_shows_its_own_persons_colours_and_an_exchanged_one_the_others() -> None:
    people, pictures = passing(RED, BLUE)
    right = mask_colours(people, pictures, fps=FPS)
    assert right.frame.tolist() == list(range(0, FRAMES, 3))
    assert np.isnan(right.own[[0, 1], [0, 1]]).all(), "nobody is compared with themselves"
    assert np.nanmin(right.own) > 0.7
    assert np.nanmedian(right.own) == pytest.approx(1, abs=0.05)
    assert right.told(0, 1)
    assert right.told(1, 0)
    wrong = mask_colours(exchanged(people, 27, 32), pictures, fps=FPS)
    off = (wrong.frame >= 27) & (wrong.frame < 32)
    assert wrong.own[0, 1, off].max() < 0
    assert wrong.own[1, 0, off].max() < 0
    assert np.nanmin(wrong.own[0, 1, ~off]) > 0.6


def test_who_is_dressed_alike_is_not_told_apart() -> None:
    people, pictures = passing(RED, RED, GREEN)
    colours = mask_colours(people, pictures, fps=FPS)
    assert not colours.told(0, 1)
    assert not colours.told(1, 0)
    assert colours.told(0, 2)
    least, beside = colours.others()
    assert (beside[0][least[0] < 1] == 2).all(), "only of the third do colours say anything"
    assert least.min() > 0.7


def test_a_pixel_says_no_more_than_its_most() -> None:
    # 80 pixels a nat rather one's own, and 20, of a hand, ten nats the other's.
    look = _Look(np.array([0, 1]), np.array([80, 20]))
    tables = [np.array([-1.0, -12.0]), np.array([-2.0, -2.0])]
    assert _ratios([{0: look}], tables)[0, 1, 0] == pytest.approx(0.8 * 1 - 0.2 * 3)


def test_a_part_that_is_small_beside_the_rest_of_somebody_says_nothing() -> None:
    people, pictures = passing(RED, BLUE)
    index = people.num_frames + 45
    tiny = np.zeros(people.mask.size, bool)
    full = people.mask.decode(index)
    y, x = np.nonzero(full)
    tiny[y[: len(y) // 10], x[: len(y) // 10]] = True
    masks = [people.mask.decode(i) if i != index else tiny for i in range(people.present.size)]
    colours = mask_colours(replace(people, mask=Masks.encode(masks, size=people.mask.size)), pictures, fps=FPS)
    look = colours.frame.tolist().index(45)
    assert np.isnan(colours.own[1, 0, look])
    assert np.isfinite(colours.own[0, 1, look])


def test_no_frames_and_nobody_seen_say_nothing() -> None:
    people, pictures = passing(RED, BLUE)
    unseen = replace(people, mask=people.mask.select(np.full(people.present.size, -1)))
    for some, shown in ((people, []), (unseen, pictures)):
        colours = mask_colours(some, shown, fps=FPS)
        assert np.isnan(colours.own).all()
        assert weigh_colours(some, colours, fps=FPS, doubt=DOUBT).events == some.events


def test_a_doubt_about_two_whose_masks_show_their_own_colours_is_answered() -> None:
    people, pictures = passing(RED, BLUE, GREEN)
    asked = doubted(people, 20, 32, (0, 1))
    told = weighed(asked, pictures)
    assert notes(told, "doubt") == []
    assert notes(told, "repair") == [CLEARED, CLEARED]
    assert told.confidence[:2, 20:32].min() > 0.9
    assert np.array_equal(told.confidence[:, :20], people.confidence[:, :20])
    assert np.array_equal(told.box, people.box)
    assert np.array_equal(told.mask.areas(), people.mask.areas())


@pytest.mark.parametrize(
    ("shirts", "sure"),
    [
        pytest.param((RED, RED, GREEN), 0.4, id="dressed alike"),
        pytest.param((RED, BLUE, GREEN), 0.01, id="binding is all but sure of the contrary"),
    ],
)
def test_a_doubt_stays_where_colours_do_not_answer_it(shirts: Sequence[tuple[int, int, int]], sure: float) -> None:
    people, pictures = passing(*shirts)
    asked = doubted(people, 20, 32, (0, 1), sure)
    told = weighed(asked, pictures)
    assert told.events == asked.events
    assert np.array_equal(told.confidence, asked.confidence)


def test_a_doubt_stays_where_the_masks_are_the_others() -> None:
    people, pictures = passing(RED, BLUE)
    asked = doubted(exchanged(people, 26, 34), 24, 36, (0, 1))
    told = weighed(asked, pictures, lower=False)
    assert told.events == asked.events


def test_doubts_about_nobody_stay() -> None:
    people, pictures = passing(RED, BLUE)
    stranger = Event(kind="doubt", start=5, stop=9, people=(), note="somebody found here is none of the people")
    asked = replace(people, events=(stranger,))
    assert weighed(asked, pictures).events == (stranger,)


def test_an_id_that_lies_on_somebody_else_is_doubted_whatever_binding_said() -> None:
    people, pictures = passing(RED, BLUE)
    told = weighed(exchanged(people, 27, 34), pictures)
    doubts = [event for event in told.events if event.kind == "doubt"]
    assert {event.people for event in doubts} == {(0, 1), (1, 0)}
    for event in doubts:
        p, q = event.people
        assert f"person {p + 1}'s mask shows the colours of person {q + 1}" in event.note
        assert event.start <= 22, "a quarter of a second around is unsure, too"
        assert event.stop >= 39
    assert told.confidence[:2, 28:33].max() < 0.5
    assert np.array_equal(told.confidence[:, :15], people.confidence[:, :15])


def test_a_persons_word_is_not_contradicted() -> None:
    people, pictures = passing(RED, BLUE)
    wrong = exchanged(people, 27, 34)
    told = weighed(wrong, pictures, lower=False)
    assert told.events == wrong.events
    assert np.array_equal(told.confidence, wrong.confidence)


def test_who_looks_alike_and_is_far_away_keeps_no_doubt_up() -> None:
    people, pictures = passing(RED, BLUE, RED)
    told = weighed(doubted(people, 20, 32, (0, 1)), pictures)
    assert notes(told, "doubt") == []


def test_who_looks_alike_and_is_doubted_at_the_same_time_keeps_it_up() -> None:
    people, pictures = passing(RED, BLUE, RED)
    told = weighed(doubted(people, 20, 32, (0, 1, 2)), pictures)
    assert [event.people for event in told.events if event.kind == "doubt"] == [(0,), (2,)]


@pytest.mark.parametrize(
    ("looks", "answered"),
    [
        pytest.param([0.9] * 10, True, id="all speak for it"),
        pytest.param([0.9] * 8 + [0.4] * 2, True, id="two of ten do not"),
        pytest.param([0.9] * 7 + [0.4] * 3, False, id="three of ten do not"),
        pytest.param([0.9] * 5 + [np.nan] * 5, True, id="half are seen"),
        pytest.param([0.9] * 4 + [np.nan] * 6, False, id="fewer are"),
        pytest.param([0.6] * 10, False, id="all speak for it, but weakly"),
        pytest.param([np.nan] * 10, False, id="none is seen"),
    ],
)
def test_how_many_looks_answer_a_doubt(looks: list[float], answered: bool) -> None:
    people, _ = passing(RED, BLUE)
    frame = np.arange(0, FRAMES, 2)
    own = np.ones((2, 2, len(frame)))
    own[0, 1, 10:20] = own[1, 0, 10:20] = looks
    told = weigh_colours(
        doubted(people, 20, 40, (0, 1), 0.2), MaskColours(frame=frame, own=own), fps=FPS, doubt=DOUBT, lower=False
    )
    assert (notes(told, "doubt") == []) == answered


def test_one_who_is_not_told_from_the_other_has_no_answer() -> None:
    people, _ = passing(RED, BLUE)
    frame = np.arange(0, FRAMES, 2)
    own = np.ones((2, 2, len(frame)))
    own[1, 0] = np.nan
    asked = doubted(people, 20, 40, (0,))
    assert weigh_colours(asked, MaskColours(frame=frame, own=own), fps=FPS, doubt=DOUBT).events == asked.events


@pytest.mark.parametrize("at", [0, 7, 15])
def test_a_single_look_is_not_heard(at: int) -> None:
    people, _ = passing(RED, BLUE)
    frame = np.arange(0, FRAMES, 3)[:16]
    own = np.full((2, 2, 16), np.nan)
    own[0, 1], own[1, 0] = 1.0, 1.0
    own[0, 1, at] = -1.0
    told = weigh_colours(people, MaskColours(frame=frame, own=own), fps=FPS, doubt=DOUBT)
    assert told.events == people.events
    own[0, 1, max(at - 1, 0) : at + 2] = -1.0
    told = weigh_colours(people, MaskColours(frame=frame, own=own), fps=FPS, doubt=DOUBT)
    assert [event.people for event in told.events] == [(0, 1)]


@pytest.mark.parametrize(("colours", "kinds"), [(True, ["repair", "repair"]), (False, ["doubt", "doubt"])])
def test_the_stage_hears_the_colours(tmp_path: Path, colours: bool, kinds: list[str]) -> None:
    people, pictures = passing(RED, BLUE)
    asked = doubted(people, 20, 32, (0, 1))
    rows = [(t, people.box[p, t]) for t in range(FRAMES) for p in range(2)]
    store = Store(str(tmp_path / "store"))
    item = store_clip(store, "drawn", people, pictures)

    def tracked(out: Path) -> None:
        save_record(found_boxes_at(rows), out / "tracklets.npz")
        save_record(CameraMotion(step=np.tile(np.eye(2, 3, dtype=np.float32), (FRAMES, 1, 1))), out / "camera.npz")

    track, _ = store.make("track", "a" * 32, tracked)
    bind, _ = store.make("bind", "b" * 32, lambda out: save_record(asked, out / "people.npz"))
    item = replace(item, artifacts={**item.artifacts, "track": track, "bind": bind})
    config = refine.Config(repair=False, masks="keep", estimator=None, smooth=False, colours=colours)
    refine.compute(item, config, Env(store=store, weights="", download=False, threads=1), tmp_path)
    told = load_record(People, tmp_path / "people.npz")
    assert [event.kind for event in told.events] == kinds
    assert (told.confidence[:2, 20:32].min() > DOUBT) == colours


def test_a_doubt_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"refine\.doubt: want a confidence, 0 to 1, got 1\.5"):
        refine.Config(doubt=1.5)

"""Whoever a person takes out of a clip still stands in its pictures: nobody else gets their mask or their pose."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from datasets.corrections import clip_digest
from datasets.records import Event, People, load_record
from datasets.store import Store
from tasks import refine
from tasks.batch import Batch, Env, Item
from tasks.clips import clip_record
from tasks.ops.corrections import everyone, heed
from tasks.ops.dropped import dropped, first_of, with_rivals
from tasks.ops.exchange import exchange, without
from tests.brought_video import Route, add_boxes, add_keypoints, drawn
from tests.draw_people import FPS
from tests.test_corrections import crossing, same, swap_word, word


def test_who_is_dropped_is_as_they_are_when_the_word_is_heeded() -> None:
    shown = crossing()
    swap = swap_word(shown, 1, 2, 40)
    after = heed(shown, [swap])[0]
    said = [swap, word("drop", after, people=(2,))]
    (gone,) = dropped(shown, said)
    assert same(gone, without(without(exchange(shown, 0, 1, 40), 2), 0))
    assert dropped(shown, [swap]) == []


def test_a_drop_that_no_longer_fits_takes_nobody_out() -> None:
    shown = crossing()
    assert dropped(without(shown, 2), [word("drop", shown, people=(3,))]) == []


def test_rivals_come_after_the_people_and_go_again() -> None:
    event = Event(kind="crossing", start=28, stop=33, people=(0, 1), note="y")
    shown = dataclasses.replace(crossing(), events=(event,))
    said = [word("drop", shown, people=(1,)), word("drop", shown, people=(3,))]
    stay, gone = heed(shown, said)[0], dropped(shown, said)
    whole = with_rivals(stay, gone)
    assert whole.num_people == 3
    assert np.array_equal(whole.box, shown.box[[1, 0, 2]])
    masks = [[whole.mask_at(i, t).sum() for t in (5, 50)] for i in range(3)]
    assert masks == [[shown.mask_at(p, t).sum() for t in (5, 50)] for p in (1, 0, 2)]
    back = first_of(whole, 1)
    assert same(back, stay)
    assert back.events == stay.events


def _second_box(people: People, frames: int) -> People:
    """A second box on the first person, in so many of the frames; elsewhere it lies apart."""
    one = without(without(people, 2), 1)
    box = one.box.copy()
    box[:, :frames] += 2
    box[:, frames:] += np.array([0, -60, 0, -60], np.float32)
    return dataclasses.replace(one, box=box)


@pytest.mark.parametrize(("frames", "people"), [(60, 3), (31, 3), (30, 4)])
def test_a_second_box_on_somebody_is_no_rival_of_theirs(frames: int, people: int) -> None:
    shown = crossing()
    assert with_rivals(shown, [_second_box(shown, frames)]).num_people == people


def test_nobody_has_rivals_where_nobody_stays() -> None:
    nobody = crossing()
    for _ in range(3):
        nobody = without(nobody, 0)
    assert with_rivals(nobody, [crossing()]).num_people == 0


def refined(item: Item, folder: Path) -> People:
    """What `refine` makes of a clip as `bind` left it."""
    (folder / "no weights").mkdir(exist_ok=True)
    env = Env(store=Store(str(folder / "store")), weights=str(folder / "no weights"), download=False)
    done = refine.STAGE.run(Batch(items=(item,)), refine.Config(), env)
    assert not done.rejects
    return load_record(People, done.items[0].folder("refine") / "people.npz")


def test_masks_of_those_who_stay_are_what_they_were_beside_the_dropped(tmp_path: Path) -> None:
    """Without the other as a rival, some of the other's pixels were the person's own where they cross."""
    truth = drawn(tmp_path / "in")
    add_boxes(tmp_path / "in", truth)
    add_keypoints(tmp_path / "in", truth)
    (item,) = Route(tmp_path).run(tmp_path / "in" / "two.mp4", until="bind").items
    both = refined(item, tmp_path)
    drop = dataclasses.replace(
        word("drop", anchors=everyone(both, float(FPS)), people=(2,)), clip=clip_digest(clip_record(item))
    )
    one = refined(dataclasses.replace(item, words=(drop,)), tmp_path)
    assert one.num_people == 1
    assert same(one, first_of(both, 1))

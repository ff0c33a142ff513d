"""Where people touch or have no mask, and the clean frames around; new masks in the place of old ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import HIDDEN, VISIBLE, People
from tasks.ops.contacts import stretches
from tasks.ops.with_masks import Remasked, with_masks
from tests.draw_people import Figure, draw_clip

PASS = [Figure(start=(0.2, 0.85), stop=(0.8, 0.85)), Figure(start=(0.8, 0.95), stop=(0.2, 0.95))]
APART = [Figure(start=(0.2, 0.9), stop=(0.25, 0.9)), Figure(start=(0.8, 0.9), stop=(0.75, 0.9))]


def without_masks(people: People, person: int, frames: range) -> People:
    """The people with some of a person's masks emptied."""
    t = people.num_frames
    gone = {person * t + f for f in frames}
    counts = [b"" if i in gone else people.mask.counts(i) for i in range(len(people.mask))]
    return replace(people, mask=Masks.from_counts(counts, size=people.mask.size))


def test_two_who_pass_are_one_stretch_with_clean_frames_on_both_sides() -> None:
    people, _ = draw_clip(PASS, frames=60)
    (one,) = stretches(people, touch=0.05, bridge=3, margin=2, away=20, most=2)
    assert one.people == (0, 1)
    assert 15 < one.start < 30 < one.stop < 45
    for clean in one.clean:
        assert len(clean) == 4
        assert clean[1] < one.start + 2 < one.stop - 2 <= clean[2]
        assert clean[1] - clean[0] >= 5, "the two clean frames of a side show different moments"


@pytest.mark.parametrize(
    ("figures", "lost", "wanted"),
    [
        pytest.param(APART, None, [], id="nobody touches: nothing to do"),
        pytest.param(APART, range(20, 24), [(18, 26, (1,))], id="a person without a mask for four frames"),
    ],
)
def test_stretches(figures: list[Figure], lost: range | None, wanted: list[tuple[int, int, tuple[int, ...]]]) -> None:
    people, _ = draw_clip(figures, frames=50)
    people = without_masks(people, 1, lost) if lost is not None else people
    found = stretches(people, touch=0.05, bridge=3, margin=2, away=20, most=2)
    assert [(one.start, one.stop, one.people) for one in found] == wanted


def test_an_unsure_person_gives_no_clean_frames() -> None:
    people, _ = draw_clip(PASS, frames=60, confidence=0.2)
    (one,) = stretches(people, touch=0.05, bridge=3, margin=2, away=20, most=2)
    assert one.clean == ((), ())


def test_new_masks_bring_their_boxes_shares_and_flags() -> None:
    people, _ = draw_clip(APART, frames=10)
    t, before = 4, people.mask_at(0, 4)
    half = before.copy()
    half[: int(people.box[0, t, [1, 3]].mean())] = False
    new = Remasked(frame=t, people=(0,), corner=(0, 0), mask=half[None], claim=half[None])
    after = with_masks(people, {t: new})
    assert (after.mask_at(0, t) == half).all()
    ys, xs = np.nonzero(half)
    assert after.box[0, t].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert (after.flag[0, t, 13:17] == VISIBLE).all(), "knees and ankles lie in what is left"
    assert (after.flag[0, t, :5] != VISIBLE).all(), "the head does not"
    for name in ("box", "visible", "flag"):
        rest = np.arange(10) != t
        assert (getattr(after, name)[:, rest] == getattr(people, name)[:, rest]).all()
        assert (getattr(after, name)[1] == getattr(people, name)[1]).all()


def test_an_emptied_mask_is_a_hidden_person_who_keeps_the_box() -> None:
    people, _ = draw_clip(PASS, frames=60)
    t = 30
    none = np.zeros((1, *people.mask.size), bool)
    after = with_masks(people, {t: Remasked(frame=t, people=(0,), corner=(0, 0), mask=none, claim=none)})
    assert not after.mask_at(0, t).any()
    assert after.visible[0, t] == 0
    assert (after.box[0, t] == people.box[0, t]).all()
    assert (after.flag[0, t] != VISIBLE).all()
    assert (after.flag[0, t] == HIDDEN).any(), "behind the other one"


def test_pixels_of_someone_else_are_not_taken() -> None:
    people, _ = draw_clip(PASS, frames=60)
    t = 30
    everything = np.ones((1, *people.mask.size), bool)
    after = with_masks(people, {t: Remasked(frame=t, people=(0,), corner=(0, 0), mask=everything, claim=everything)})
    assert (after.mask_at(1, t) == people.mask_at(1, t)).all()
    assert (after.mask_at(0, t) == ~people.mask_at(1, t)).all()

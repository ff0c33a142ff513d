"""Whose found box is whose, and what counts where mask and detector disagree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import People, Tracklets
from tasks.ops.own_boxes import LEAST_SEEN, expected_boxes, own_rows, settle_boxes
from tests.draw_people import Figure, draw_clip, found_boxes_at

T = 6
BOX = (100.0, 50.0, 140.0, 150.0)


def people_at(box: tuple[float, ...], visible: float = 1.0) -> People:
    """Two people, the first with this box and share in every frame, the second far away."""
    people, _ = draw_clip(
        [Figure(start=(0.1, 0.9), stop=(0.1, 0.9)), Figure(start=(0.9, 0.9), stop=(0.9, 0.9))], frames=T
    )
    boxes, shares = people.box.copy(), people.visible.copy()
    boxes[0], shares[0] = box, visible
    return replace(people, box=boxes, visible=shares)


def found_at(*boxes: tuple[float, ...]) -> Tracklets:
    """The same boxes found in every frame."""
    n = len(boxes) * T
    return Tracklets(
        frame=np.repeat(np.arange(T, dtype=np.int32), len(boxes)),
        box=np.tile(np.array(boxes, np.float32).reshape(-1, 4), (T, 1)),
        score=np.full(n, 0.9, np.float32),
        tracklet=np.zeros(n, np.int32),
        embedding=np.zeros((n, 1), np.float32),
    )


def settled(masked: People, bound: People, boxes: Tracklets) -> People:
    """Under a camera that stands still."""
    rows = own_rows(bound, boxes)
    return settle_boxes(masked, boxes, rows, expected_boxes(boxes, rows, np.tile(np.eye(2, 3), (T, 1, 1))))


@pytest.mark.parametrize(
    ("bound", "masked", "visible", "found", "wanted", "seen"),
    [
        pytest.param(
            BOX, (104, 54, 140, 150), 1.0, [BOX], (102, 52, 140, 150), 1.0, id="both agree: the mean of the two"
        ),
        pytest.param(BOX, (100, 50, 120, 90), 0.3, [BOX], BOX, 0.3, id="the mask lost the legs: the found box"),
        pytest.param(BOX, BOX, 0.0, [BOX], BOX, LEAST_SEEN, id="no mask, but a box of their own: seen"),
        pytest.param(BOX, (110, 60, 120, 80), 0.0, [(10, 40, 60, 152)], (110, 60, 120, 80), 0.0, id="nobody near"),
        pytest.param(BOX, (110, 60, 120, 80), 0.4, [], (110, 60, 120, 80), 0.4, id="nobody found at all"),
    ],
)  # fmt: skip
def test_boxes(
    bound: tuple[float, ...], masked: tuple[float, ...], visible: float,
    found: list[tuple[float, ...]], wanted: tuple[float, ...], seen: float,
) -> None:  # fmt: skip
    before, boxes = people_at(bound), found_at(*found)
    after = settled(people_at(masked, visible), before, boxes)
    assert after.box[0].tolist() == [list(wanted)] * T
    assert after.visible[0] == pytest.approx(seen)
    assert (after.box[1] == before.box[1]).all()


def test_who_is_not_in_the_shot_gets_no_box() -> None:
    before = people_at(BOX)
    away = replace(before, present=np.array([[False] * T, [True] * T]))
    boxes = found_at(BOX)
    after = settled(replace(away, visible=away.visible * np.float32(0)), away, boxes)
    assert (own_rows(away, boxes)[0] == -1).all()
    assert (after.visible[0] == 0).all()


def test_a_found_box_is_one_persons_only() -> None:
    """Two people bound to nearly the same place share one found box: it goes to whom it fits better."""
    people, _ = draw_clip([Figure(), Figure()], frames=T)
    box = people.box.copy()
    box[0], box[1] = BOX, (104, 50, 144, 150)
    rows = own_rows(replace(people, box=box), found_at((103, 50, 143, 150)))
    assert (rows[0] == -1).all()
    assert rows[1].tolist() == list(range(T))


def between(gap: tuple[float, ...] | None, shift: float = 0.0) -> tuple[People, Tracklets]:
    """The first person found at BOX in frame 0 and `shift` to the right of it in the last; in those between only `gap`
    is found."""
    row = [(0, BOX), *((t, gap) for t in range(1, T - 1) if gap is not None)]
    row.append((T - 1, (BOX[0] + shift, BOX[1], BOX[2] + shift, BOX[3])))
    people = people_at(BOX, 0.0)
    box = people.box.copy()
    box[0, T - 1, [0, 2]] += shift
    found = found_boxes_at(row)
    return replace(people, box=box), found


def without_mask(people: People) -> People:
    """The first person's masks emptied."""
    counts = [b"" if i < T else people.mask.counts(i) for i in range(len(people.mask))]
    return replace(people, mask=Masks.from_counts(counts, size=people.mask.size))


def test_who_is_in_one_box_with_another_is_between_that_box_and_their_own_way() -> None:
    """50 px to the right in five frames: 10 a frame; the box over both people reaches from 90 to 260."""
    people, found = between((90, 40, 260, 152), shift=50)
    both = [(90 + 120) / 2, (40 + 50) / 2, (260 + 160) / 2, (152 + 150) / 2]
    after = settled(without_mask(people), people, found)
    assert after.box[0, 2].tolist() == both
    assert after.visible[0] == pytest.approx(LEAST_SEEN)
    assert not np.isin(after.box[0, 1:-1], found.box).all(-1).any(), "nobody is given the very box of somebody else"
    masked = settled(people, people, found)
    assert masked.box[0, 2] == pytest.approx((np.array(both) + people.box[0, 2]) / 2), "the mask counts as both"


@pytest.mark.parametrize("gap", [(400, 40, 460, 152), None])
def test_whom_no_box_covers_keeps_the_masks_box(gap: tuple[float, ...] | None) -> None:
    people, found = between(gap)
    after = settled(people, people, found)
    assert (after.box[0] == people.box[0]).all()
    assert (after.visible[0, 1:-1] == 0).all()


def test_the_expected_way_is_a_still_cameras() -> None:
    """The camera pans by 10 px a frame: who stands still is 10 px further left in each."""
    pan = np.tile(np.eye(2, 3), (T, 1, 1))
    pan[:, 0, 2] = 10.0 * np.arange(T)
    people, found = between(None, shift=-50)
    rows = own_rows(people, found)
    want = [[BOX[0] - 10 * t, BOX[1], BOX[2] - 10 * t, BOX[3]] for t in range(T)]
    assert expected_boxes(found, rows, pan)[0] == pytest.approx(np.array(want))
    assert np.isnan(expected_boxes(found, rows, pan)[1]).all(), "never found: nothing is expected"

"""Whose found box is whose, and what counts where mask and detector disagree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from datasets.records import People, Tracklets
from tasks.ops.own_boxes import LEAST_SEEN, own_rows, settle_boxes
from tests.draw_people import Figure, draw_clip

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


@pytest.mark.parametrize(
    ("bound", "masked", "visible", "found", "wanted", "seen"),
    [
        pytest.param(
            BOX, (104, 54, 140, 150), 1.0, [BOX], (102, 52, 140, 150), 1.0, id="both agree: the mean of the two"
        ),
        pytest.param(BOX, (100, 50, 120, 90), 0.3, [BOX], BOX, 0.3, id="the mask lost the legs: the found box"),
        pytest.param(BOX, BOX, 0.0, [BOX], BOX, LEAST_SEEN, id="no mask, but a box of their own: seen"),
        pytest.param(
            BOX, (110, 60, 120, 80), 0.3, [(80, 40, 190, 152)], (95, 50, 155, 116), 0.3,
            id="no box of their own, and someone's is over them: between it and the mask",
        ),
        pytest.param(
            BOX, BOX, 0.0, [(90, 40, 260, 152)], (90, 40, 260, 152), LEAST_SEEN,
            id="neither mask nor box, and one is over them: in that one",
        ),
        pytest.param(BOX, (110, 60, 120, 80), 0.0, [(10, 40, 60, 152)], (110, 60, 120, 80), 0.0, id="nobody near"),
        pytest.param(BOX, (110, 60, 120, 80), 0.4, [], (110, 60, 120, 80), 0.4, id="nobody found at all"),
    ],
)  # fmt: skip
def test_boxes(
    bound: tuple[float, ...], masked: tuple[float, ...], visible: float,
    found: list[tuple[float, ...]], wanted: tuple[float, ...], seen: float,
) -> None:  # fmt: skip
    before, boxes = people_at(bound), found_at(*found)
    after = settle_boxes(people_at(masked, visible), before, boxes, own_rows(before, boxes))
    assert after.box[0].tolist() == [list(wanted)] * T
    assert after.visible[0] == pytest.approx(seen)
    assert (after.box[1] == before.box[1]).all()


def test_who_is_not_in_the_shot_gets_no_box() -> None:
    before = people_at(BOX)
    away = replace(before, present=np.array([[False] * T, [True] * T]))
    boxes = found_at(BOX)
    after = settle_boxes(replace(away, visible=away.visible * np.float32(0)), away, boxes, own_rows(away, boxes))
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

"""Whether an id is wrong where people hold each other: what boxes say, settled by masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from datasets.masks import Masks
from tasks.ops.review_metrics import holders, settled_by_masks
from tasks.ops.track_rows import TrackRows
from tests.draw_rows import Walk, rows, walk

LENGTH, SIZE = 30, (160, 260)
# Two who hold each other from frame 10 to 20: whose arms reach round the other, theirs is the box further off.
LEFT, RIGHT = (40, 80), (70, 110)  # columns of their bodies
ARMS = {0: walk(70), 1: walk(40)}
BODIES = {0: walk(40), 1: walk(70)}


def held(t: int) -> bool:
    return 10 <= t < 20


def either(while_held: Walk, else_: Walk) -> Walk:
    return lambda t: while_held(t) if held(t) else else_(t)


def masked(people: Mapping[int, Walk], columns: Mapping[int, tuple[int, int] | None]) -> TrackRows:
    """Rows with a mask of these columns for each id; None: an empty one."""
    plain = rows(people, LENGTH)
    masks = []
    for name in plain.id.tolist():
        mask = np.zeros(SIZE, bool)
        if (span := columns[name]) is not None:
            mask[50:150, slice(*span)] = True
        masks.append(mask)
    return replace(plain, mask=Masks.encode(masks, size=SIZE))


# By the truth, arms make each one's tight box the other's body.
TRUTH = masked({name: either(ARMS[name], BODIES[name]) for name in (0, 1)}, {0: LEFT, 1: RIGHT})


@pytest.mark.parametrize(
    ("columns", "wrong"),
    [
        pytest.param({0: LEFT, 1: RIGHT}, 0, id="masks are each one's own: a box without arms is no error"),
        pytest.param({0: RIGHT, 1: LEFT}, 60, id="masks are exchanged all along, boxes only while held"),
        pytest.param({0: None, 1: None}, 20, id="without masks boxes decide"),
        pytest.param({0: (40, 110), 1: (40, 110)}, 20, id="masks of either over both say nothing"),
    ],
)  # fmt: skip
def test_masks_settle_who_is_held(columns: dict[int, tuple[int, int] | None], wrong: int) -> None:
    found = masked(BODIES, columns)
    by_box = holders(TRUTH, found, LENGTH)
    assert by_box.wrong.sum() == 20
    settled = settled_by_masks(by_box, TRUTH, found)
    assert settled.wrong.sum() == wrong
    assert settled.has_wrong_id is bool(wrong)
    assert np.array_equal(settled.right, by_box.right)


def test_a_mask_on_another_person_is_a_wrong_id_though_the_box_is_right() -> None:
    truth = masked(BODIES, {0: LEFT, 1: RIGHT})
    found = masked(BODIES, {0: RIGHT, 1: None})
    by_box = holders(truth, found, LENGTH)
    assert not by_box.has_wrong_id
    settled = settled_by_masks(by_box, truth, found)
    assert settled.wrong.tolist() == [[False] * LENGTH, [True] * LENGTH]


def test_without_masks_it_is_refused() -> None:
    plain = rows(BODIES, LENGTH)
    with pytest.raises(ValueError, match="want masks on both sides, got none"):
        settled_by_masks(holders(plain, plain, LENGTH), plain, plain)

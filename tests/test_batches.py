"""Items cut into batches and put together again: nothing lost, nothing twice, about equal work."""

from __future__ import annotations

import pytest

from flows.batches import MAX_FRAMES, MAX_ITEMS, MIN_FRAMES, by_count, by_frames, by_source, costs_by_stage, merge
from tasks.batch import Batch, Cost, Item, Reject

REJECT = Reject(source="b.mp4", clip="", stage="probe", reason="broken", fault=True)
COST = Cost(stage="probe", ran=1, reused=0, seconds=1.0)


def clips(*frames: int, source: str = "a.mp4") -> Batch:
    items = tuple(Item(key=f"{source}-{i:03d}", source=source, path="", frames=n) for i, n in enumerate(frames))
    return Batch(items=items, rejects=(REJECT,), costs=(COST,))


@pytest.mark.parametrize("cut", [lambda b: by_count(b, 2), lambda b: by_frames(b, 2), by_source], ids=lambda _: "")
@pytest.mark.parametrize("frames", [[], [1], [300] * 7, [10_000, 1, 1], [5] * 500], ids=len)
def test_what_is_cut_is_put_together_again(cut, frames):
    whole = clips(*frames)
    assert merge(cut(whole)) == whole
    assert cut(whole), "a run without items still has one batch, so that its rejects go on"


@pytest.mark.parametrize(
    ("frames", "workers", "sizes"),
    [
        pytest.param([100, 100, 100, 100], 2, [2, 2], id="small clips together, to the least that is worth a task"),
        pytest.param([300] * 8, 2, [1] * 8, id="four batches a worker"),
        pytest.param([9000, 9000], 1, [1, 1], id="a long clip alone"),
        pytest.param([1000] * 40, 1, [6, 6, 6, 6, 6, 6, 4], id="no more than the most"),
        pytest.param([1] * 150, 1, [64, 64, 22], id="no more items than the most"),
    ],
)
def test_batches_hold_about_equal_frames(frames, workers, sizes):
    batches = by_frames(clips(*frames), workers)
    assert [len(batch.items) for batch in batches] == sizes
    for batch in batches:
        assert len(batch.items) <= MAX_ITEMS
        assert len(batch.items) == 1 or sum(item.frames for item in batch.items) <= max(MIN_FRAMES, MAX_FRAMES)


def test_all_clips_of_a_source_are_in_one_batch():
    mixed = merge([clips(5, 5, source="b.mp4"), clips(5, source="a.mp4"), clips(7, source="b.mp4")])
    assert [[item.source for item in batch.items] for batch in by_source(mixed)] == [["a.mp4"], ["b.mp4"] * 3]


def test_costs_are_summed_for_each_stage_in_order():
    costs = [COST, Cost(stage="shots", ran=2, reused=1, seconds=0.5, frames=9), COST]
    assert costs_by_stage(costs) == {
        "probe": Cost(stage="probe", ran=2, reused=0, seconds=2.0),
        "shots": Cost(stage="shots", ran=2, reused=1, seconds=0.5, frames=9),
    }

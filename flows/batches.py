"""Items <-> batches: how a run's work is cut into tasks, and how what came of them is put together again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from tasks.batch import Batch, Cost, Item

# A task costs about 50 ms beside its work, so a batch should be worth seconds; a run wants several batches a worker,
# so that none of them idles behind a slow one.
BATCHES_PER_WORKER = 4
MIN_FRAMES, MAX_FRAMES = 240, 6000
MAX_ITEMS = 64


def merge(batches: Iterable[Batch]) -> Batch:
    """All of several batches as one: items, rejects and costs in order."""
    batches = list(batches)
    return Batch(
        items=tuple(item for batch in batches for item in batch.items),
        rejects=tuple(reject for batch in batches for reject in batch.rejects),
        costs=tuple(cost for batch in batches for cost in batch.costs),
    )


def by_count(batch: Batch, workers: int) -> list[Batch]:
    """Batches of about equal numbers of items, for work whose weight is not known yet."""
    size = max(1, min(MAX_ITEMS, len(batch.items) // (BATCHES_PER_WORKER * workers)))
    return _batches(batch, [batch.items[i : i + size] for i in range(0, len(batch.items), size)])


def by_frames(batch: Batch, workers: int) -> list[Batch]:
    """Batches of about equal numbers of frames, in order; no item is split."""
    total = sum(item.frames for item in batch.items)
    target = min(MAX_FRAMES, max(MIN_FRAMES, total // (BATCHES_PER_WORKER * workers)))
    groups: list[list[Item]] = []
    held = target
    for item in batch.items:
        if held + item.frames > target or len(groups[-1]) == MAX_ITEMS:
            groups.append([])
            held = 0
        groups[-1].append(item)
        held += item.frames
    return _batches(batch, groups)


def by_source(batch: Batch) -> list[Batch]:
    """One batch for each source, with all its clips, for a stage that compares them."""
    items = sorted(batch.items, key=lambda item: (item.source, item.key))
    return _batches(batch, [list(group) for _, group in groupby(items, key=lambda item: item.source)])


def costs_by_stage(costs: Iterable[Cost]) -> dict[str, Cost]:
    """The costs of a run, summed for each stage, in the order in which the stages came."""
    total: dict[str, Cost] = {}
    for cost in costs:
        sofar = total.get(cost.stage, Cost(stage=cost.stage, ran=0, reused=0, seconds=0.0))
        total[cost.stage] = Cost(
            stage=cost.stage,
            ran=sofar.ran + cost.ran,
            reused=sofar.reused + cost.reused,
            seconds=sofar.seconds + cost.seconds,
            frames=sofar.frames + cost.frames,
        )
    return total


def _batches(whole: Batch, groups: Sequence[Sequence[Item]]) -> list[Batch]:
    """A batch for each group; the first carries the rejects and costs so far, so that none is lost or counted twice."""
    groups = groups or [()]
    return [
        Batch(items=tuple(group), rejects=whole.rejects if i == 0 else (), costs=whole.costs if i == 0 else ())
        for i, group in enumerate(groups)
    ]

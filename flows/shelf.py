"""Judged clips -> shards, tables, page: the tail that both routes share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.artifacts import show_funnel, show_preview
from flows.run import Run
from flows.settings import digest
from flows.work import Work
from tasks.batch import Batch, Cost, Item, Reject
from tasks.report_page import write_report
from tasks.shard import Summary, commit, plan, shard


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """What a route left: in OUT, what it turned away, and what its stages spent."""

    left: Summary
    rejects: tuple[Reject, ...]
    costs: tuple[Cost, ...]


@task(name="page", cache_policy=NO_CACHE, persist_result=False)
def page(items: Sequence[Item], rejects: Sequence[Reject], costs: Sequence[Cost], run: Run) -> Path | str:
    """`write_report` as a task."""
    facts = {"preset": run.preset, "configuration": digest(run.config)[:16]}
    return write_report(
        run.out,
        items,
        sources=len(run.sources),
        rejects=rejects,
        costs=costs,
        title=run.config.shard.name,
        corrections=run.corrections_file,
        facts=facts,
    )


def shelve(work: Work, judged: Batch, run: Run) -> Shelf:
    """Write the judged clips as a dataset into OUT, and the page over it."""
    started = time.monotonic()
    planned = plan([judged], run.config.shard, run.out, digest(run.config))
    left = commit(planned, work.spread(shard, planned.jobs, out=run.out), run.out)
    cost = Cost(stage="shard", ran=left.written, reused=left.reused, seconds=time.monotonic() - started)
    shelf = Shelf(left=left, rejects=planned.rejects, costs=(*judged.costs, cost))
    items = [planned.shipped[key].item for key in sorted(planned.shipped)]
    page(items, shelf.rejects, shelf.costs, run)
    show_funnel(run, shelf.left, shelf.rejects)
    show_preview(run, items)
    work.finish()
    return shelf

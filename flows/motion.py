"""Motion and scenes -> dataset: the motion route, one line a stage."""

from __future__ import annotations

from prefect import flow

from flows.batches import by_count, by_frames
from flows.committed import committed
from flows.intake import motion_items
from flows.run import Run
from flows.shelf import Shelf, shelve
from flows.words import with_words
from flows.work import Work
from tasks import motion as motions
from tasks import shard
from tasks.judge import judge
from tasks.render import render
from tasks.report import report


@flow(name="motion", validate_parameters=False)
def motion(run: Run) -> Shelf:
    """Every motion and scene of the run to shards, tables and a page."""
    work = Work(run, stages=4)
    read = work.each(motions.motion, by_count(motion_items(run), run.runner.workers))
    scenes = motions.compose(
        work.gather(read),
        work.settings(motions.motion),
        shard.splitter(work.settings(shard.shard)),
        keep=committed(run).duets,
    )
    rendered = work.each(render, by_frames(with_words(scenes, run.corrections), run.runner.workers))
    judged = work.each(judge, rendered)
    shown = work.each(report, judged)
    return shelve(work, work.gather(shown), run)

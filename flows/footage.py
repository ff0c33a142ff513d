"""Footage -> dataset: the footage route, one line a stage."""

from __future__ import annotations

from prefect import flow

from flows.batches import by_count, by_frames, by_source
from flows.intake import footage_items
from flows.run import Run
from flows.shelf import Shelf, shelve
from flows.words import with_words
from flows.work import Work
from tasks.bind import bind
from tasks.bring import bring
from tasks.detect import detect
from tasks.face import face
from tasks.identify import identify
from tasks.judge import judge
from tasks.pose import pose
from tasks.probe import probe
from tasks.refine import refine
from tasks.report import report
from tasks.segment import segment
from tasks.shots import shots
from tasks.track import track


@flow(name="footage", validate_parameters=False)
def footage(run: Run) -> Shelf:
    """Every video of the run to shards, tables and a page."""
    work = Work(run, stages=15)
    probed = work.each(probe, by_count(footage_items(run), run.runner.workers))
    brought = work.each(bring, probed)
    cut = work.each(shots, brought)
    detected = work.each(detect, by_frames(with_words(work.gather(cut), run.corrections), run.runner.workers))
    tracked = work.each(track, detected)
    posed = work.each(pose, tracked)
    segmented = work.each(segment, posed)
    bound = work.each(bind, segmented)
    refined = work.each(refine, bound)
    known = work.each(identify, by_source(work.gather(refined)))
    faced = work.each(face, known)
    judged = work.each(judge, by_frames(work.gather(faced), run.runner.workers))
    shown = work.each(report, judged)
    return shelve(work, work.gather(shown), run)

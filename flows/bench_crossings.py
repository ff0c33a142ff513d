"""Seed -> takes: crossings filmed, tracked by all and measured, on all workers; done takes come from the store."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from flows.bench_take import Config, Job, Take, run_job
from flows.errors import Interrupted, UsageError
from flows.progress import current
from flows.runners import begin_worker
from tasks import filming, stress
from tasks.batch import Env
from tasks.ops.crossings import Crossing, crossings

CLIPS, STRESSED = 48, 240  # of a full run; the issue asks for 40 and 200
QUICK_CLIPS, QUICK_SECONDS = 6, 2.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is filmed and measured."""

    jobs: tuple[Job, ...]
    config: Config
    env: Env
    workers: int


def jobs_of(seed: int, *, quick: bool, stressed: int | None) -> tuple[Job, ...]:
    """The jobs of a seed: clips in turn through the scenarios, their stressed forms spread evenly over them."""
    made = crossings(seed, QUICK_CLIPS, seconds=QUICK_SECONDS) if quick else crossings(seed, CLIPS)
    wanted = (0 if quick else STRESSED) if stressed is None else stressed
    return tuple(_job(crossing, i, len(made), wanted) for i, crossing in enumerate(made))


def jobs_in(folder: str, *, stressed: int | None) -> tuple[Job, ...]:
    """The jobs of clips that were filmed into folders in a folder. Raises UsageError where there is none."""
    found = sorted(path.parent for path in Path(folder).glob(f"*/{filming.ABOUT}"))
    if not found:
        raise UsageError(
            f"--clips {folder}: want folders with clip.npz, clip.mp4, people.npz and {filming.ABOUT} in it, got none"
        )
    return tuple(_job(None, i, len(found), stressed or 0, str(path)) for i, path in enumerate(found))


def _job(crossing: Crossing | None, i: int, of: int, stressed: int, folder: str | None = None) -> Job:
    return Job(crossing=crossing, folder=folder, stresses=stress.names(stressed // of + (i < stressed % of)))


def without_masks(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """The jobs with nothing measured of masks but how they track."""
    return tuple(replace(job, masks=False) for job in jobs)


def run_takes(plan: Plan) -> list[Take]:
    """Do the jobs on worker processes, in the jobs' order. Raises Interrupted when a worker is lost."""
    reporter, takes = current(), dict[int, list[Take]]()
    reporter.begin("clips", len(plan.jobs))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(plan.workers, context, begin_bench_worker, (plan.env.threads,)) as pool:
        at = {pool.submit(run_job, job, plan.config, plan.env): i for i, job in enumerate(plan.jobs)}
        try:
            for done in as_completed(at):
                takes[at[done]] = done.result()
                reporter.advance("clips", len(takes[at[done]]), _told(takes[at[done]]))
        except BrokenProcessPool as error:
            raise Interrupted(
                "a worker process ended in the middle of its work (killed, or out of memory); what was complete is "
                f"kept in {plan.env.store.root}: run the same command again to go on, with --workers 1 if memory was "
                "short"
            ) from error
        finally:
            _drop(list(at))
    return [take for i in range(len(plan.jobs)) for take in takes[i]]


def begin_bench_worker(threads: int) -> None:
    """As of the runs' workers; and nothing in it starts threads of its own."""
    begin_worker(threads)
    import cv2

    cv2.setNumThreads(threads)
    os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
    logging.getLogger("prefect").setLevel(logging.CRITICAL)


def _told(takes: Sequence[Take]) -> list[str]:
    return [f"{take.key}: turned away: {take.turned_away}" for take in takes if take.turned_away]


def _drop(futures: Sequence[Future[list[Take]]]) -> None:
    """What has not begun is not begun."""
    for future in futures:
        future.cancel()

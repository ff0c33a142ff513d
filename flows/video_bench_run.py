"""What is wanted -> jobs -> scored videos, on all workers; what is done comes from the store."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from datasets.members import ShardError
from flows.bench_crossings import begin_bench_worker
from flows.bench_take import Config
from flows.errors import Interrupted, UsageError
from flows.progress import current
from flows.shown import near, rows_of
from flows.video_bench_take import Job, Ready, Scored, make_ready, score, with_video
from tasks import generated
from tasks.backends.video_features import FeatureSource
from tasks.batch import Env, Refused

R = TypeVar("R")
_LISTED = 3
BESIDE = ".side-by-side"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command asks for."""

    real: str
    generated: str | None
    keys: tuple[str, ...] = ()
    split: str | None = None
    limit: int | None = None
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    device: str | None = None  # None: as model.generate chooses


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How it is measured."""

    config: Config
    env: Env
    workers: int
    sources: tuple[FeatureSource, ...]
    subjects: tuple[str, ...]


def jobs_of(wanted: Wanted, env: Env) -> tuple[list[Job], list[str]]:
    """The jobs by key, and what to know of which samples have none. Raises UsageError where there are none at all."""
    rows = _rows(wanted)
    if wanted.generated is None:
        return [Job(out=wanted.real, row=row) for row in _first(rows, wanted)], []
    folder = Path(wanted.generated)
    pipeline = generated.pipeline_of(folder)
    if pipeline is not None:
        made = generated.Config(
            checkpoint=generated.pipeline_digest(pipeline, env.store), frames=wanted.frames, steps=wanted.steps,
            guidance=wanted.guidance, seed=wanted.seed,
        )  # fmt: skip
        run = str(folder.absolute())
        rows_of_run = _first(rows, wanted)
        return [Job(out=wanted.real, row=row, run=run, generate=made, device=wanted.device) for row in rows_of_run], []
    return _jobs_in(folder, rows, wanted)


def _jobs_in(folder: Path, rows: Mapping[str, Mapping[str, Any]], wanted: Wanted) -> tuple[list[Job], list[str]]:
    """The jobs of a folder of KEY.mp4."""
    # model.generate puts a video for people beside each.
    files = {path.stem: path for path in sorted(folder.glob("*.mp4")) if not path.stem.endswith(BESIDE)}
    absent = [key for key in rows if key not in files]
    if wanted.keys and absent:
        raise UsageError(f"--generated {folder}: want {absent[0]}.mp4 of --key {absent[0]}, got no such file")
    if len(absent) == len(rows):
        raise UsageError(
            f"--generated {folder}: want KEY.mp4 of samples of {wanted.real}, such as {absent[0]}.mp4, or a training "
            f"run with {generated.PIPELINE}/{generated.MODEL_INDEX}, got {_listed(list(files)) or 'no .mp4 at all'}"
        )
    remarks = []
    if absent:
        remarks.append(f"{len(absent)} of {len(rows)} samples have no video and are left out: {_listed(absent)}")
    others = [key for key in files if key not in rows]
    if others:
        are = "1 video is" if len(others) == 1 else f"{len(others)} videos are"
        remarks.append(f"{are} of no sample asked for: {_listed(others)}")
    have = {key: row for key, row in rows.items() if key in files}
    return [
        Job(out=wanted.real, row=row, video=str(files[row["key"]].absolute())) for row in _first(have, wanted)
    ], remarks


def _rows(wanted: Wanted) -> dict[str, Mapping[str, Any]]:
    rows = rows_of(wanted.real)
    for key in wanted.keys:
        if key not in rows:
            raise UsageError(f"--key {key}: want a sample of {wanted.real}, got no such key{near(key, rows)}")
    some: dict[str, Mapping[str, Any]] = {key: rows[key] for key in sorted(set(wanted.keys) or rows)}
    if not wanted.keys:  # who is who in a clip in review is in doubt: it is a truth for those only who ask for it
        some = {key: row for key, row in some.items() if row["verdict"] == "accepted"}
    if wanted.split is not None:
        some = {key: row for key, row in some.items() if row["split"] == wanted.split}
    if not some:
        what = f" of split {wanted.split}" if wanted.split else ""
        raise UsageError(f"--real {wanted.real}: want one accepted sample or more{what}, got none of {len(rows)}")
    return some


def _first(rows: Mapping[str, Mapping[str, Any]], wanted: Wanted) -> list[Mapping[str, Any]]:
    return list(rows.values())[: wanted.limit]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


def prepared(jobs: Sequence[Job], plan: Plan) -> list[Ready]:
    """Every video there and lined up. Raises UsageError that names all that cannot be compared."""
    jobs = [_generated(job, plan.env) for job in _counted("generate", jobs)] if jobs[0].run else jobs
    ready = _on_workers("videos", make_ready, [(job, plan.sources, plan.env) for job in jobs], plan.workers)
    wrong = [one.trouble for one in ready if one.trouble]
    if wrong:
        raise UsageError("\n".join([f"{len(wrong)} of {len(ready)} videos cannot be compared:", *wrong]))
    return ready


def _generated(job: Job, env: Env) -> Job:
    """One after the other, in this process: a generator fills a machine, and what stops us stops it."""
    try:
        return with_video(job, env)
    except (Refused, ShardError) as error:
        raise UsageError(f"{error}") from error


def _counted(title: str, jobs: Sequence[Job]) -> Iterator[Job]:
    """The jobs, each counted when the next one is asked for."""
    reporter = current()
    reporter.begin(title, len(jobs))
    for job in jobs:
        yield job
        reporter.advance(title, 1, [])


def scored_of(ready: Sequence[Ready], plan: Plan) -> list[Scored]:
    """Every video measured, clip by clip in order, its subjects one after the other."""
    work = [(one, subject, plan.config, plan.sources, plan.env) for subject in plan.subjects for one in ready]
    return _on_workers("scored", score, work, plan.workers)


def _on_workers(title: str, function: Callable[..., R], work: Sequence[tuple[Any, ...]], workers: int) -> list[R]:
    """A function of each tuple of arguments, in order; a single worker is this process. Raises Interrupted when a
    worker is lost."""
    reporter, out = current(), list[R]()
    reporter.begin(title, len(work))
    context = multiprocessing.get_context("spawn")
    if workers == 1:  # no process to start: the same function, the same place for what it makes
        for arguments in work:
            out.append(function(*arguments))
            reporter.advance(title, 1, [])
        return out
    threads = max(1, work[0][-1].threads) if work else 1
    with ProcessPoolExecutor(min(workers, max(len(work), 1)), context, begin_bench_worker, (threads,)) as pool:
        futures = [pool.submit(function, *arguments) for arguments in work]
        try:
            for future in futures:
                out.append(future.result())
                reporter.advance(title, 1, [])
        except BrokenProcessPool as error:
            raise Interrupted(
                "a worker process ended in the middle of its work (killed, or out of memory); what was complete is "
                "kept: run the same command again to go on, with --workers 1 if memory was short"
            ) from error
        finally:
            for future in futures:
                future.cancel()
    return out

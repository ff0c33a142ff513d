"""Batches -> futures -> batches: stage after stage over all batches, each going on as soon as it is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from prefect import Task, unmapped
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import PrefectFuture

from flows.batches import merge
from flows.errors import Interrupted
from flows.progress import current
from flows.run import Run
from tasks.batch import Batch, Reject

R = TypeVar("R")
PROGRESS_EVERY_S = 2.0
TELL_S = 30.0


def label_of(batch: Batch) -> str:
    """What Prefect's pages call a batch: its first item, and how many more there are."""
    if not batch.items:
        return "nothing"
    more = f" and {len(batch.items) - 1} more" if len(batch.items) > 1 else ""
    # Prefect takes a name for a template.
    return f"{batch.items[0].key}{more}".replace("{", "{{").replace("}", "}}")


@dataclass(frozen=True, slots=True)
class Handed:
    """A batch on its way through a stage."""

    label: str
    future: PrefectFuture[Batch]


class Work:
    """The stages of one run over its batches."""

    def __init__(self, run: Run, stages: int) -> None:
        self._run, self._stages = run, stages
        self._reporter = current()
        self._futures: list[PrefectFuture[Any]] = []
        self._rejects_told: set[Reject] = set()
        self._stages_done = self._stages_out = 0
        self._shown = time.monotonic()
        self._artifact = create_progress_artifact(
            0.0, key=f"{run.route}-progress", description=f"{run.preset}: {run.out}"
        )

    def each(self, stage: Task[..., Batch], batches: Sequence[Batch] | Sequence[Handed]) -> list[Handed]:
        """Hand out every batch to a stage, with the stage's part of the configuration. Returns at once."""
        self._reporter.begin(stage.name, len(batches))
        self._stages_out += 1
        return [self._hand(stage, batch) for batch in batches]

    def _hand(self, stage: Task[..., Batch], batch: Batch | Handed) -> Handed:
        label = batch.label if isinstance(batch, Handed) else label_of(batch)
        future = stage.with_options(task_run_name=f"{stage.name} {label}").submit(
            batch.future if isinstance(batch, Handed) else batch,
            config=self.settings(stage),
            env=self._run.env,
        )
        self._futures.append(future)
        future.add_done_callback(lambda done: self._tell(stage.name, done))
        return Handed(label, future)

    def settings(self, stage: Task[..., Any]) -> Any:
        """The stage's part of the configuration."""
        return getattr(self._run.config, stage.name)

    def gather(self, handed: Sequence[Handed]) -> Batch:
        """Wait for the last stage handed out, and put its batches together.

        Raises Interrupted when a worker was lost, or the first error of a task. An item's own faults are rejects and
        raise nothing.
        """
        done: list[Batch] = []
        for one in handed:
            done.append(self._result(one.future))
            self._show(len(done) / len(handed))
        self._stages_done, self._stages_out = self._stages_done + self._stages_out, 0
        return merge(done)

    def spread(self, one: Task[..., R], jobs: Sequence[Any], **fixed: Any) -> list[R]:
        """Do a task's jobs on the workers, and wait for them all. Raises as `gather` does."""
        if not jobs:
            return []
        self._reporter.begin(one.name, len(jobs))
        futures = list(one.map(list(jobs), **{name: unmapped(value) for name, value in fixed.items()}))
        for future in futures:
            self._futures.append(future)
            future.add_done_callback(lambda _: self._reporter.advance(one.name, 1, ()))
        return [self._result(future) for future in futures]

    def finish(self) -> None:
        """All stages are done."""
        update_progress_artifact(self._artifact, progress=100.0)

    def _result(self, future: PrefectFuture[Any]) -> Any:
        try:
            return future.result()
        except Exception as error:
            raise self._root(error) from error

    def _root(self, error: Exception) -> Exception:
        """The first fault of the run; those of later stages only follow from it."""
        for future in self._futures:
            try:
                future.result(timeout=0)
            except BrokenProcessPool:
                return Interrupted(
                    "a worker process ended in the middle of its work (killed, or out of memory); what was complete is "
                    f"kept in {self._run.env.store.root}: run the same command again to go on, with fewer workers "
                    "(--runner processes:N) if memory was short"
                )
            except TimeoutError:
                continue
            except Exception as first:
                return first
        return error

    def _tell(self, stage: str, future: PrefectFuture[Batch]) -> None:
        try:
            # It is done, but a cluster may still have to send what came of it.
            batch = future.result(timeout=TELL_S)
        except Exception:
            return  # `gather` raises it
        fresh = [r for r in batch.rejects if r not in self._rejects_told]
        self._rejects_told.update(fresh)
        told = [f"{r.stage}: {r.clip or r.source}: {'failed' if r.fault else 'rejected'}: {r.reason}" for r in fresh]
        self._reporter.advance(stage, len(batch.items), told)

    def _show(self, share: float) -> None:
        now = time.monotonic()
        if now - self._shown < PROGRESS_EVERY_S:
            return
        self._shown = now
        update_progress_artifact(
            self._artifact, progress=100 * (self._stages_done + share * self._stages_out) / self._stages
        )

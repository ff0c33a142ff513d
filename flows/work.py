"""Batches, stages -> batches: each batch through one stage after another, a bounded number of them on their way."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from prefect import Task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture

from flows.batches import merge
from flows.errors import Interrupted
from flows.outage import patiently
from flows.progress import current
from flows.run import Run
from tasks.batch import Batch, Reject

R = TypeVar("R")
PROGRESS_EVERY_S = 2.0
# Batches on their way for each worker: one that it computes, and enough behind it that it never waits for the driver.
AHEAD = 3


def label_of(batch: Batch) -> str:
    """What Prefect's pages call a batch: its first item, and how many more there are."""
    if not batch.items:
        return "nothing"
    more = f" and {len(batch.items) - 1} more" if len(batch.items) > 1 else ""
    # Prefect takes a name for a template.
    return f"{batch.items[0].key}{more}".replace("{", "{{").replace("}", "}}")


@dataclass(frozen=True, slots=True)
class Chain:
    """Batches, and the stages that each of them is to go through. Nothing of it runs before it is gathered."""

    batches: Sequence[Batch]
    stages: tuple[Task[..., Batch], ...]


class Work:
    """The stages of one run over its batches.

    What the driver holds is what the clips themselves say, and a few batches on their way: not a future, a state or a
    result of every stage of every batch.
    """

    def __init__(self, run: Run, stages: int) -> None:
        self._run, self._stages = run, stages
        self._reporter = current()
        self._rejects_told: set[Reject] = set()
        self._stages_done = 0
        self._shown = time.monotonic()
        about = f"{run.preset}: {run.out}"
        self._artifact = patiently(create_progress_artifact, 0.0, key=f"{run.route}-progress", description=about)
        context = FlowRunContext.get()
        if context is not None:
            # Prefect pickles the flow's parameters, all sources of the run, into each task that it hands out.
            context.parameters = {}

    def each(self, stage: Task[..., Batch], batches: Sequence[Batch] | Chain) -> Chain:
        """Every batch through a stage more, with the stage's part of the configuration, when they are gathered."""
        if isinstance(batches, Chain):
            return Chain(batches.batches, (*batches.stages, stage))
        return Chain(batches, (stage,))

    def settings(self, stage: Task[..., Any]) -> Any:
        """The stage's part of the configuration."""
        return getattr(self._run.config, stage.name)

    def gather(self, chain: Chain) -> Batch:
        """Take all batches through their stages, the longest first, and put them together in order.

        A batch goes on to its next stage as soon as it is through one. Raises Interrupted when a worker was lost and
        its work could not be given to another, or the first error of a task. An item's own faults are rejects.
        """
        for stage in chain.stages:
            self._reporter.begin(stage.name, len(chain.batches))
        labels = [label_of(batch) for batch in chain.batches]
        size = [sum(item.frames for item in batch.items) for batch in chain.batches]
        done: dict[int, Batch] = {}

        def hand(one: int, step: int, given: Any) -> PrefectFuture[Batch]:
            stage = chain.stages[step]
            return self._submit(stage, labels[one], given, config=self.settings(stage), env=self._run.env)

        order = sorted(range(len(chain.batches)), key=lambda one: -size[one])
        steps = self._flow(order, hand, len(chain.stages), lambda one: chain.batches[one])
        for count, (one, step, batch) in enumerate(steps, start=1):
            self._tell(chain.stages[step].name, batch)
            if step + 1 == len(chain.stages):
                done[one] = batch
            self._show(count / len(chain.batches))
        self._stages_done += len(chain.stages)
        return merge(done[one] for one in range(len(chain.batches)))

    def spread(self, one: Task[..., R], jobs: Sequence[Any], **fixed: Any) -> list[R]:
        """Do a task's jobs on the workers, and wait for them all. Raises as `gather` does."""
        self._reporter.begin(one.name, len(jobs))
        done: dict[int, R] = {}

        def hand(job: int, step: int, given: Any) -> PrefectFuture[R]:
            with self._run.runner.claims(one.name, self._run.env.device):
                return one.submit(given, **fixed)

        for job, _, result in self._flow(range(len(jobs)), hand, 1, lambda job: jobs[job]):
            done[job] = result
            self._reporter.advance(one.name, 1, ())
        return [done[job] for job in range(len(jobs))]

    def finish(self) -> None:
        """All stages are done."""
        patiently(update_progress_artifact, self._artifact, progress=100.0)

    def _submit(self, stage: Task[..., Batch], label: str, given: Any, **fixed: Any) -> PrefectFuture[Batch]:
        named = stage.with_options(task_run_name=f"{stage.name} {label}")
        with self._run.runner.claims(stage.name, self._run.env.device):
            return named.submit(given, **fixed)

    def _flow(
        self,
        order: Sequence[int],
        hand: Callable[[int, int, Any], PrefectFuture[Any]],
        steps: int,
        first: Callable[[int], Any],
    ) -> Iterator[tuple[int, int, Any]]:
        """Hand out in this order, a bounded number at a time, and give (which, step, result) as each step is done.

        A step is handed out when the one before it is done, and is given that one's future: a task that waits for
        another takes no worker's place, and Prefect still knows what came of what.
        """
        waiting, finished = iter(order), queue.SimpleQueue[tuple[int, int]]()
        flying: dict[int, PrefectFuture[Any]] = {}

        def start(one: int, step: int, given: Any) -> None:
            flying[one] = future = hand(one, step, given)
            # Not the future itself: it would hold itself, and all that it holds, until the next full collection.
            future.add_done_callback(lambda _: finished.put((one, step)))

        for one in waiting:
            start(one, 0, first(one))
            if len(flying) >= AHEAD * self._run.runner.workers:
                break
        while flying:
            one, step = finished.get()
            future = flying.pop(one)
            result = self._result(future)
            if step + 1 < steps:
                start(one, step + 1, future)
            else:
                for another in waiting:
                    start(another, 0, first(another))
                    break
            yield one, step, result

    def _result(self, future: PrefectFuture[Any]) -> Any:
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise self._lost("a worker process ended in the middle of its work", "with fewer workers") from error
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("ray", "distributed"):
                raise
            what = f"the cluster lost a batch, and what computed it after that ({type(error).__name__})"
            raise self._lost(what, "on nodes with more of it") from error

    def _lost(self, what: str, advice: str) -> Interrupted:
        fewer = " (--runner processes:N)" if not self._run.runner.remote else ""
        return Interrupted(
            f"{what} (killed, or out of memory); what was complete is kept in {self._run.env.store.root}: run the same "
            f"command again to go on, {advice}{fewer} if memory was short"
        )

    def _tell(self, stage: str, batch: Batch) -> None:
        fresh = [r for r in batch.rejects if r not in self._rejects_told]
        self._rejects_told.update(fresh)
        told = [f"{r.stage}: {r.clip or r.source}: {'failed' if r.fault else 'rejected'}: {r.reason}" for r in fresh]
        self._reporter.advance(stage, len(batch.items), told)

    def _show(self, stages: float) -> None:
        now = time.monotonic()
        if now - self._shown < PROGRESS_EVERY_S:
            return
        self._shown = now
        share = 100 * (self._stages_done + stages) / self._stages
        patiently(update_progress_artifact, self._artifact, progress=share)

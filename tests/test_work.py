"""Batches on their way through stages: in what order, how many at once, and what of them is kept."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture

from flows.presets import light
from flows.run import Options, Run, prepare
from flows.work import AHEAD, Work
from tasks.batch import Batch, Cost, Item
from tests.tiny_runs import tiny_motion

SEEN: list[tuple[str, str]] = []  # stage, first key of the batch; threads share it
FUTURES: list[int] = []  # how many there were at each step
PARAMETERS: list[Any] = []
# A batch's future, and the one that it was made from, which Prefect wants to know.
MOST = 2 * AHEAD + 1


@pytest.fixture(autouse=True)
def only_what_comes() -> Iterator[None]:
    """What earlier tests left is neither collected at each step, which takes seconds, nor counted."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def held() -> int:
    """How many futures there are."""
    gc.collect()  # a future of Prefect's holds itself, until it is collected
    return sum(isinstance(one, PrefectFuture) for one in gc.get_objects())


def through(name: str, batch: Batch) -> Batch:
    """What a stage gives that does nothing but take note."""
    SEEN.append((name, batch.items[0].key))
    context = FlowRunContext.get()
    PARAMETERS.append(context and context.parameters)
    # Prefect's own threads let go of a batch a moment after it is done.
    end = time.monotonic() + 1
    while held() > MOST and time.monotonic() < end:
        time.sleep(0.02)
    FUTURES.append(held())
    return replace(batch, costs=(*batch.costs, Cost(stage=name, ran=len(batch.items), reused=0, seconds=0.0)))


@task(name="detect", cache_policy=NO_CACHE, persist_result=False)
def detect(batch: Batch, config: Any, env: Any) -> Batch:
    return through("detect", batch)


@task(name="track", cache_policy=NO_CACHE, persist_result=False)
def track(batch: Batch, config: Any, env: Any) -> Batch:
    return through("track", batch)


@task(name="pose", cache_policy=NO_CACHE, persist_result=False)
def pose(batch: Batch, config: Any, env: Any) -> Batch:
    if batch.items[0].key == "clip-3":
        raise RuntimeError("a stage that is wrong itself")
    return through("pose", batch)


def run_of(folder: Path, runner: str) -> Run:
    """A run of the footage route, of which only the stages' settings matter here."""
    motion = str(tiny_motion(folder / "m.npz", 0))
    run = prepare(Options(sources=(motion,), out=str(folder / "out"), store=str(folder / "store"), runner=runner))
    return replace(run, config=light())


def batches(*frames: int) -> list[Batch]:
    return [Batch(items=(Item(key=f"clip-{i}", source="a.mp4", path="", frames=n),)) for i, n in enumerate(frames)]


def taken(run: Run, given: list[Batch], *stages: Any) -> Batch:
    """The batches through the stages, in a flow."""

    @flow(name="taken", validate_parameters=False, task_runner=run.runner.start())
    def flow_of(run: Run) -> Batch:
        work = Work(run, stages=len(stages))
        chain: Any = given
        for stage in stages:
            chain = work.each(stage, chain)
        return work.gather(chain)

    for noted in (SEEN, FUTURES, PARAMETERS):
        noted.clear()
    return flow_of(run)


@pytest.mark.usefixtures("here")
def test_the_longest_batch_goes_first_and_what_comes_back_is_in_order(tmp_path):
    done = taken(run_of(tmp_path, "threads:1"), batches(10, 300, 20, 200), detect)
    assert [key for _, key in SEEN] == ["clip-1", "clip-3", "clip-2", "clip-0"]
    assert [item.key for item in done.items] == ["clip-0", "clip-1", "clip-2", "clip-3"]
    assert [cost.ran for cost in done.costs] == [1] * 4


@pytest.mark.usefixtures("here")
def test_what_is_done_is_let_go(tmp_path):
    run = run_of(tmp_path, "threads:1")
    taken(run, batches(*range(20)), detect, track)
    assert len(SEEN) == 40
    assert max(FUTURES) <= MOST
    assert SEEN.index(("track", "clip-19")) < SEEN.index(("detect", "clip-0")), "a batch goes on before all have begun"


@pytest.mark.usefixtures("here")
def test_a_task_is_not_given_all_sources_of_the_run(tmp_path):
    taken(run_of(tmp_path, "threads:1"), batches(1), detect)
    assert PARAMETERS == [{}]


@pytest.mark.usefixtures("here")
def test_an_error_that_is_no_clips_fault_ends_the_run(tmp_path):
    with pytest.raises(RuntimeError, match="a stage that is wrong itself"):
        taken(run_of(tmp_path, "threads:1"), batches(5, 5, 5, 5), detect, pose)

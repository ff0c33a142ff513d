"""Clips planned, cut into batches and taken through all stages of the footage route, which here do nothing but name
an artifact: what is left is what the driver, Prefect and its server cost.

    python -m tests.bench.schedule [--quick] [--clips N ...] [--runner RUNNER]

Each number of clips has a process of its own, on one warm server. `growth` is how far the driver's resident memory
rose above what it held when the flow began; a quarter of the way up to the whole tells a line from a step.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.prefect_server import running_server
from tests.tiny_runs import ROOT, environment, tiny_motion

CLIPS, QUICK = (1000, 10000), (200,)
FRAMES, CLIPS_OF_A_SOURCE = 150, 50
WATCH_S = 0.05


def rss_mb() -> float:
    """Resident memory of this process, MB."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Watch(threading.Thread):
    """Highest resident memory while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.start_mb = self.peak_mb = rss_mb()
        self._ended = threading.Event()

    def run(self) -> None:
        """Look until `end`."""
        while not self._ended.wait(WATCH_S):
            self.peak_mb = max(self.peak_mb, rss_mb())

    def end(self) -> float:
        """MB above the start."""
        self._ended.set()
        return max(self.peak_mb, rss_mb()) - self.start_mb


def cheap(name: str) -> Any:
    """A task of this name that gives every item of a batch an artifact, and makes none."""
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    return task(name=name, cache_policy=NO_CACHE, persist_result=False)(_Cheap(name))


class _Cheap:
    """What a stage gives back, without its work."""

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name
        self.__qualname__ = name

    def __call__(self, batch: Any, config: Any, env: Any) -> Any:
        from datasets.records import Artifact
        from datasets.store import content_key
        from tasks.batch import Cost

        items = []
        for item in batch.items:
            key = content_key(self.name, 1, config, [item.key], {})
            made = Artifact(key=key, path=str(env.store.path(self.name, key)))
            items.append(replace(item, artifacts={**item.artifacts, self.name: made}))
        cost = Cost(stage=self.name, ran=len(items), reused=0, seconds=0.0)
        return replace(batch, items=tuple(items), costs=(*batch.costs, cost))


def schedule(clips: int, runner: str, folder: Path) -> dict[str, Any]:
    """Take this many clips through the stages, in this process."""
    from prefect import flow

    from flows.batches import by_count, by_frames, by_source
    from flows.run import Options, Run, prepare
    from flows.work import Work
    from tasks.batch import Batch, Item

    motion = tiny_motion(folder / "m.npz", 0)
    options = Options(sources=(str(motion),), runner=runner, out=str(folder / "out"), store=str(folder / "store"))
    run = prepare(options)
    from flows.presets import light

    run = replace(run, config=light())
    names = ["probe", "shots", "detect", "track", "pose", "segment", "bind", "refine", "identify", "judge", "report"]
    stage = {name: cheap(name) for name in names}
    items = tuple(
        Item(
            key=f"source-{i // CLIPS_OF_A_SOURCE:05d}-0123abcd-{i:08d}",
            source=f"footage/source-{i // CLIPS_OF_A_SOURCE:05d}.mp4",
            path=f"/data/footage/source-{i // CLIPS_OF_A_SOURCE:05d}.mp4",
            part=f"{i:064x} footage/source-{i // CLIPS_OF_A_SOURCE:05d}.mp4 {i}",
            frames=FRAMES // 2 + i % FRAMES,
        )
        for i in range(clips)
    )

    @flow(name="schedule", validate_parameters=False, task_runner=run.runner.start())
    def scheduled(run: Run) -> int:
        work, workers = Work(run, stages=len(names)), run.runner.workers
        cut = work.each(stage["shots"], work.each(stage["probe"], by_count(Batch(items=items), workers)))
        chain: Any = by_frames(work.gather(cut), workers)
        for name in names[2:8]:
            chain = work.each(stage[name], chain)
        known = work.gather(work.each(stage["identify"], by_source(work.gather(chain))))
        done = work.gather(work.each(stage["report"], work.each(stage["judge"], by_frames(known, workers))))
        work.finish()
        return len(done.items)

    watch, began = Watch(), time.monotonic()
    watch.start()
    if scheduled(run) != clips:
        raise RuntimeError("clips were lost")
    seconds = time.monotonic() - began
    return {"clips": clips, "seconds": round(seconds, 2), "growth_mb": round(watch.end(), 1)}


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.schedule", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK[0]} clips")
    parser.add_argument("--clips", type=int, nargs="*", help=f"how many; {CLIPS} when not given")
    parser.add_argument("--runner", default="processes:2")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.here:
        print(json.dumps(schedule(arguments.clips[0], arguments.runner, Path(arguments.here))))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch, "home")
        home.mkdir()
        with running_server(home) as server:
            measured = [_one(clips, arguments.runner, Path(scratch), environment(server))
                        for clips in arguments.clips or (QUICK if arguments.quick else CLIPS)]  # fmt: skip
    rows = []
    for one in measured:
        sizes = f"{one['clips']} clips, {arguments.runner}"
        rows.append({"what": "driver memory growth, MB", "ours": one["growth_mb"], "wanted": "<= 100", "sizes": sizes})
        rows.append({"what": "planned and scheduled, s", "ours": one["seconds"], "sizes": sizes})
    print(json.dumps({"bench": "schedule", "rows": rows}))
    return 0


def _one(clips: int, runner: str, scratch: Path, env: dict[str, str]) -> dict[str, Any]:
    folder = scratch / f"{clips}"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.bench.schedule", "--clips", str(clips), "--runner", runner]
    done = subprocess.run(
        [*command, "--here", str(folder)], env={**env, "PREFECT_LOGGING_LEVEL": "CRITICAL"}, cwd=ROOT,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    print(json.dumps(result), file=sys.stderr, flush=True)
    return result


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

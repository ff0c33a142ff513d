"""Two Ray nodes beside one: tasks limited by sleep, handed out as a build hands out its batches.

    python -m tests.bench.cluster [--quick] [--engine ray|dask]

The batches go through three stages of the footage route whose functions only sleep, on a real cluster of raylets (or
Dask workers) in processes of their own, one core each, with a Prefect server. One round warms the workers, which import
the project, and does not count. The same bytes, a killed node and networks loaded once are tests/test_clusters.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster_nodes import dask_cluster, ray_cluster
from tests.prefect_server import running_server
from tests.tiny_runs import environment, tiny_motion

BATCHES, SLEEP_S = 32, 1.0
QUICK_BATCHES, QUICK_SLEEP_S = 4, 0.5
STAGES = ("detect", "track", "pose")


def driver(runner: str, folder: Path, batches: int, sleep_s: float) -> float:
    """Seconds that the batches take on a cluster, in this process; a warm-up before them."""
    import time
    from dataclasses import replace

    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    from flows.clusters import joined
    from flows.presets import light
    from flows.run import Options, Run, prepare
    from flows.work import Work
    from tasks.batch import Batch, Item

    motion = tiny_motion(folder / "m.npz", 0)
    out, store = str(folder / "out"), str(folder / "store")
    (folder / "out").mkdir(exist_ok=True)
    run = replace(prepare(Options(sources=(str(motion),), runner=runner, out=out, store=store)), config=light())

    def sleeper(name: str) -> Any:
        def sleep(batch: Batch, config: Any, env: Any) -> Batch:
            import time

            time.sleep(batch.items[0].frames / 1000)
            return batch

        return task(name=name, cache_policy=NO_CACHE, persist_result=False)(sleep)

    stages: list[Callable[..., Any]] = [sleeper(name) for name in STAGES]

    def through(run: Run, count: int, seconds: float) -> float:
        @flow(name="sleep", validate_parameters=False, task_runner=run.runner.start())
        def slept(run: Run) -> float:
            given = [Batch(items=(Item(key=f"c{i}", source="a", path="", frames=round(1000 * seconds)),))
                     for i in range(count)]  # fmt: skip
            work, began = Work(run, stages=len(stages)), time.monotonic()
            chain: Any = given
            for stage in stages:
                chain = work.each(stage, chain)
            work.gather(chain)
            return time.monotonic() - began

        return slept(run)

    with joined(run) as there:
        through(there, 2 * there.runner.workers, 0.2)
        return through(there, batches, sleep_s)


def measure(engine: str, batches: int, sleep_s: float) -> list[dict[str, object]]:
    """Seconds with one node and with two."""
    took: dict[int, float] = {}
    start = ray_cluster if engine == "ray" else dask_cluster
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch, "home")
        home.mkdir()
        with running_server(home) as server:
            for nodes in (1, 2):
                folder = Path(scratch, str(nodes))
                with start(folder, nodes=nodes, environment=environment(server)) as cluster:
                    asked = [sys.executable, "-m", "tests.bench.cluster", "--driver", cluster.runner, str(folder)]
                    env = {**cluster.environment, "PREFECT_LOGGING_LEVEL": "CRITICAL"}
                    done = subprocess.run([*asked, str(batches), str(sleep_s)], env=env, capture_output=True, text=True)
                    if done.returncode:
                        raise RuntimeError(done.stderr[-3000:])
                    took[nodes] = float(done.stdout.strip().splitlines()[-1])
    sizes = f"{engine}, {batches} batches x {len(STAGES)} stages x {sleep_s:g} s"
    return [
        {"what": "two nodes beside one, times faster", "ours": took[1] / took[2], "wanted": ">= 1.8", "sizes": sizes},
        {"what": "seconds, two nodes | one node", "ours": took[2], "other": took[1], "sizes": sizes},
    ]


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    if argv[:1] == ["--driver"]:
        print(driver(argv[1], Path(argv[2]), int(argv[3]), float(argv[4])))
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_BATCHES} batches")
    parser.add_argument("--engine", choices=["ray", "dask"], default="ray")
    arguments = parser.parse_args(argv)
    batches, sleep_s = (QUICK_BATCHES, QUICK_SLEEP_S) if arguments.quick else (BATCHES, SLEEP_S)
    print(json.dumps({"bench": "cluster", "rows": measure(arguments.engine, batches, sleep_s)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

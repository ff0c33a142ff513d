"""How often worker processes of a cluster load a network: `python -m tests.cluster_loads RUNNER WEIGHTS` prints it.

Tasks go through Prefect to the runner, as a build's do; each asks for the detector of `light`, as `detect` does.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.clusters import join_ray
from flows.runners import parse_runner
from tasks.backends import table

TASKS = 8


@task(name="detect", cache_policy=NO_CACHE, persist_result=False)
def detect(weights: str) -> tuple[int, int]:
    """Use the detector -> (process, how often it has loaded one)."""
    network = table.detector("rtmdet-nano", table.Where(directory=weights, download=False))
    list(network.detect_each([(0, np.zeros((64, 64, 3), np.uint8))], score_threshold=0.3, nms=0.65))
    return os.getpid(), table._detector.cache_info().misses


def main(runner: str, weights: str) -> None:
    """Run the tasks and print {"PROCESS": loads}, and how many tasks there were."""
    engine = parse_runner(runner)
    if engine.kind == "ray":
        join_ray(str(engine.address))  # as a build does: prefect-ray uses the connection that is there

    @flow(name="loads", task_runner=engine.start())
    def loads() -> list[tuple[int, int]]:
        return [future.result() for future in [detect.submit(weights) for _ in range(TASKS)]]

    counted: dict[int, int] = {}
    for process, misses in loads():
        counted[process] = max(misses, counted.get(process, 0))
    print(json.dumps({"tasks": TASKS, "loads": counted}))


if __name__ == "__main__":
    main(*sys.argv[1:])

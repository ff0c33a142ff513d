"""Deployments on a real server with a real worker: triggered once, and on a schedule that finds what came since."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import yaml

from datasets.verify import main as verify
from tests.prefect_server import Server
from tests.tiny_runs import ROOT, TINY, environment, tiny_motion

POOL = "duetflow"
WAIT_S = 300.0


def prefect(server: Server, *arguments: str) -> str:
    """Prefect's own command, in the project's folder."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    done = subprocess.run(command, env=environment(server), cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def deployments(prefect_server, tmp_path_factory) -> Iterator[dict[str, dict[str, Any]]]:
    """All of prefect.yaml deployed, and a worker at work."""
    prefect(prefect_server, "work-pool", "create", POOL, "--type", "process", "--overwrite")
    prefect(prefect_server, "deploy", "--all")
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    with log.open("wb") as out:
        worker = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"],
            env={**environment(prefect_server), "DUETFLOW_HOME": str(ROOT)},
            cwd=log.parent,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            yield {one["name"]: one for one in prefect_server.post("/deployments/filter")}
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two motions, and room for more."""
    place = tmp_path_factory.mktemp("deployed")
    for seed in range(2):
        tiny_motion(place / "motion" / f"m{seed}.npz", seed)
    return place


def parameters(place: Path) -> dict[str, Any]:
    """What the flow is to build: `each` keeps a motion's clips apart from those of the others."""
    return {
        "sources": [str(place / "motion")],
        "preset": "motion",
        "out": str(place / "out"),
        "store": str(place / "store"),
        "runner": "threads:1",
        "settings": [*TINY, "motion.compose=each", "judge.min_people=1"],
    }


def wait_for(server: Server, deployment: str, found: Callable[[], object]) -> None:
    """Until `found` gives something true. A run of the deployment that failed ends the wait."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        for run in runs(server, deployment, "FAILED", "CRASHED"):
            pytest.fail(f"{run['name']}: {run['state']['message']}")
        if found():
            return
        time.sleep(0.5)
    raise AssertionError("nothing came of it in time")


def runs(server: Server, deployment: str, *states: str) -> list[dict[str, Any]]:
    return server.post(
        "/flow_runs/filter",
        deployments={"id": {"any_": [deployment]}},
        flow_runs={"state": {"type": {"any_": list(states)}}},
        sort="START_TIME_ASC",
    )


def finished(server: Server, deployment: str) -> list[dict[str, Any]]:
    return runs(server, deployment, "COMPLETED")


def sources(out: Path) -> set[str]:
    return {row["source"] for row in pq.read_table(out / "index.parquet").to_pylist()}


def test_every_deployment_is_there_with_its_schedule(deployments):
    wanted = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert set(deployments) == {one["name"] for one in wanted} == {"pairfs-4k", "humanrob-300", "motion"}
    for one in wanted:
        there = deployments[one["name"]]
        assert there["work_pool_name"] == POOL
        assert there["parameters"] == one["parameters"]
        assert [schedule["schedule"]["cron"] for schedule in there["schedules"]] == [one["schedules"][0]["cron"]]
        assert all(schedule["active"] for schedule in there["schedules"])
        assert there["pull_steps"] == [
            {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $DUETFLOW_HOME }}"}}
        ]


def test_a_triggered_deployment_gives_shards_and_artifacts(prefect_server, deployments, place):
    motion = deployments["motion"]["id"]
    answer = httpx.post(
        f"{prefect_server.address}/deployments/{motion}/create_flow_run", json={"parameters": parameters(place)}
    )
    answer.raise_for_status()
    wait_for(prefect_server, motion, lambda: finished(prefect_server, motion))
    assert verify([str(place / "out")]) == 0
    assert sources(place / "out") == {"m0.npz", "m1.npz"}
    artifacts = {one["key"]: one for one in prefect_server.post("/artifacts/latest/filter")}
    funnel = yaml.safe_load(artifacts["motion-funnel"]["data"])
    assert (funnel[0]["step"], funnel[0]["count"]) == ("sources found", 2)
    assert artifacts["motion-preview"]["data"].startswith("data:image/jpeg;base64,")
    assert artifacts["motion-progress"]["data"] == 100
    tasks = [one["name"] for one in prefect_server.post("/task_runs/filter")]
    assert any(name.startswith("render m0-") for name in tasks)


def test_a_schedule_picks_up_what_came_in_between(prefect_server, deployments, place):
    motion = deployments["motion"]["id"]
    before = len(finished(prefect_server, motion))
    schedule = {"schedule": {"interval": 5}, "active": True, "slug": "often", "parameters": parameters(place)}
    answer = httpx.post(f"{prefect_server.address}/deployments/{motion}/schedules", json=[schedule])
    answer.raise_for_status()
    try:
        wait_for(prefect_server, motion, lambda: len(finished(prefect_server, motion)) > before)
        assert sources(place / "out") == {"m0.npz", "m1.npz"}
        tiny_motion(place / "m2.npz", 2).rename(place / "motion" / "m2.npz")
        wait_for(prefect_server, motion, lambda: "m2.npz" in sources(place / "out"))
        wait_for(prefect_server, motion, lambda: len(finished(prefect_server, motion)) > before + 1)
    finally:
        httpx.delete(f"{prefect_server.address}/deployments/{motion}/schedules/{answer.json()[0]['id']}")
    assert sources(place / "out") == {"m0.npz", "m1.npz", "m2.npz"}
    assert verify([str(place / "out")]) == 0
    fired = [run for run in finished(prefect_server, motion) if run["auto_scheduled"]]
    assert len(fired) >= 2

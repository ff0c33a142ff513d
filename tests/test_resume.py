"""Stop and go: a run ended in any way goes on where it was, and ends with the bytes of an undisturbed one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.prefect_server import Server
from tests.tiny_runs import ROOT, TINY, Done, command, digests, environment, run_here, tiny_motion

# Clips that take long enough to be stopped in.
SETTINGS = (*TINY, "motion.cameras=2", "render.width=320", "render.height=320", "render.fps=24")
WAIT_S = 400.0


def made(store: Path, stage: str) -> int:
    """How many finished artifacts of a stage there are."""
    return len(list(store.glob(f"{stage}/*/*/artifact.json")))


def workers(process: psutil.Process) -> list[psutil.Process]:
    """The worker processes of a command."""
    return [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]


def signalled(number: int) -> Callable[[psutil.Process], None]:
    return lambda process: process.send_signal(number)


def worker_killed(process: psutil.Process) -> None:
    for worker in workers(process):
        worker.kill()


def interrupt(server: Server, arguments: list[object], store: Path, how: Callable[[psutil.Process], None]) -> Done:
    """Start the command, end it by `how` when it has made one clip more, and see what it leaves."""
    before = made(store, "render")
    process = subprocess.Popen(
        command(*arguments, settings=SETTINGS),
        env=environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watched, end = psutil.Process(process.pid), time.monotonic() + WAIT_S
    while made(store, "render") == before and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    if process.poll() is not None:
        pytest.fail(f"ended by itself with {process.returncode}: {process.communicate()[1]}")
    children = watched.children(recursive=True)
    how(watched)
    asked = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - asked < 15, "a stop takes seconds"
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"left behind: {[child.cmdline() for child in alive]}"
    return Done(process.returncode, out, err)


WAYS = [
    (signalled(signal.SIGTERM), 143, "SIGTERM: stopping. What is complete stays"),
    (worker_killed, 1, "a worker process ended in the middle of its work"),
    (signalled(signal.SIGKILL), -signal.SIGKILL, ""),
]


@pytest.mark.usefixtures("here")
def test_a_run_ended_in_every_way_ends_like_an_undisturbed_one(prefect_server, tmp_path, capfd):
    for seed in range(4):
        tiny_motion(tmp_path / "motions" / f"m{seed}.npz", seed)
    out, store = tmp_path / "out", tmp_path / "store"
    arguments: list[object] = [tmp_path / "motions", "--out", out, "--store", store]
    for how, code, said in WAYS:
        ended = interrupt(prefect_server, [*arguments, "--json", "--runner", "processes:1"], store, how)
        assert ended.code == code, ended.err
        assert said in ended.err
        assert ended.out == ""
        assert not (out / "dataset.json").exists()
    kept = made(store, "render")
    assert kept >= len(WAYS)

    last = run_here(capfd, *arguments, settings=SETTINGS)
    assert last.code == 0, last.err
    stages, clips = last.summary["stages"], last.summary["clips"]
    assert (stages["motion"]["ran"], stages["motion"]["reused"]) == (0, 4)
    assert (stages["render"]["ran"], stages["render"]["reused"]) == (clips - kept, kept)

    fresh = run_here(
        capfd, tmp_path / "motions", "--out", tmp_path / "fresh", "--store", tmp_path / "new", settings=SETTINGS
    )
    assert fresh.summary["stages"]["render"]["reused"] == 0
    assert digests(out) == digests(tmp_path / "fresh")


STUCK = """
import sys, time
from flows.stopping import Stopped, stoppable
with stoppable(lambda text: print(text, flush=True)) as stop:
    try:
        print("ready", flush=True)
        time.sleep(60)
    except Stopped:
        {then}
sys.exit(0)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize(
    "then", ["sys.exit(stop.exit_code)", "time.sleep(60)"], ids=["that unwinds", "that does not let go"]
)
def test_a_signal_ends_a_process(number, then):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK.format(then=then)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert said == f"{number.name}: stopping. What is complete stays: the same command goes on from here\n"

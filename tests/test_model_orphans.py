"""Data workers and runs end when whoever started them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytest.importorskip("torch")

from datasets.store import Store
from tasks.shard import Config
from tests.build_samples import bundle, judged
from tests.test_shard_task import build

# As a campaign does it: a process of its own for a run, which has data workers of its own.
CAMPAIGN = """
import multiprocessing, sys, time
from model.orphans import end_with_parent
from model.stream import ShardLoader, TorchShardStream

def run(data):
    end_with_parent()
    stream = TorchShardStream(data, window=4, size=(256, 256), split=None)
    batches = iter(ShardLoader(stream, num_workers=2, persistent_workers=True))
    next(batches)
    print("loaded", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=run, args=(sys.argv[1],)).start()
    time.sleep(600)
"""


def test_runs_and_their_data_workers_end_with_a_killed_campaign(tmp_path: Path) -> None:
    samples = [bundle(source=f"{name}.mp4", frames=8) for name in "abcdefghijkl"]
    build(judged(Store(root=str(tmp_path / "store")), samples), tmp_path / "data", Config())
    script = tmp_path / "campaign.py"
    script.write_text(CAMPAIGN)
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, script, tmp_path / "data"], stdout=subprocess.PIPE, text=True, cwd=root, env=_path(root)
    ) as campaign:
        assert campaign.stdout is not None
        assert campaign.stdout.readline() == "loaded\n"
        workers = psutil.Process(campaign.pid).children(recursive=True)
        campaign.send_signal(signal.SIGKILL)
    assert len(workers) >= 3
    _until(lambda: not any(_runs(worker) for worker in workers), "the end of its processes")


def _path(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root)}


def _runs(process: psutil.Process) -> bool:
    """Whether it still does anything: an orphan that nobody buries has ended all the same."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _until(done: Callable[[], bool], what: str, seconds: float = 60) -> None:
    stop = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < stop, f"want {what} within {seconds} s, got none"
        time.sleep(0.1)

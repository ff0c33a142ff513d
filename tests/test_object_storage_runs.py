"""Whole runs with sources, store and OUT at s3:// addresses: the bytes of a local run, and no credential anywhere."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from datasets import remote, remote_source
from datasets.export import export
from datasets.folder import open_folder
from datasets.remote_scratch import scratch
from datasets.sample_list import list_samples
from datasets.stream import ShardStream
from datasets.verify import main as verify
from flows.build_dataset import main
from tests.brought_video import add_boxes, add_keypoints, add_masks, drawn
from tests.prefect_server import Server
from tests.s3_server import S3, SECRET, mirrored
from tests.test_brought_runs import SETTINGS
from tests.tiny_runs import ROOT, TINY, Done, command, digests, environment, run_here, tiny_motion

pytestmark = pytest.mark.usefixtures("here", "s3")


def digests_at(out: str) -> dict[str, str]:
    """`digests` of a dataset at an address."""
    folder = open_folder(out)
    names = [name for name in folder.names() if name.startswith(("shards/", "review/")) or "/" not in name]
    return {name: hashlib.sha256(folder.read(name)).hexdigest() for name in names if not name.startswith(".")}


def everything(bucket: str, *folders: Path) -> Iterator[tuple[str, bytes]]:
    """All that a run left, anywhere."""
    for name, _ in remote.listing(bucket):
        yield name, remote.read(f"{bucket}/{name}")
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes()


def motions(folder: Path, count: int) -> Path:
    for seed in range(count):
        tiny_motion(folder / f"m{seed}.npz", seed)
    return folder


def reads_of(s3: S3, *under: str) -> int:
    """How many objects below these were read so far."""
    return sum(s3.requests(one)["GET"] for one in under)


def test_motion_to_shards_the_same_bytes_and_then_nothing_is_read_again(
    prefect_server: Server, s3: S3, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here, bucket = motions(tmp_path / "in", 3), s3.bucket()
    mirrored(here, f"{bucket}/in")
    local = run_here(capfd, here, "--out", tmp_path / "out", "--store", tmp_path / "store", settings=TINY)
    assert local.code == 0, local.err
    told = [local]

    def build() -> tuple[Done, Counter[str]]:
        remote_source.forget()
        before = s3.requests(bucket[5:])
        done = run_here(
            capfd, f"{bucket}/in", "--out", f"{bucket}/out", "--store", f"{bucket}/store", settings=TINY
        )  # fmt: skip
        assert done.code == 0, done.err
        told.append(done)
        return done, s3.requests(bucket[5:]) - before

    first, _ = build()
    assert first.summary["out"] == f"{bucket}/out"
    assert digests_at(f"{bucket}/out") == digests(tmp_path / "out")
    generation = remote.read(f"{bucket}/out/dataset.json")
    reads = reads_of(s3, f"{bucket[5:]}/in", ".npz", ".mp4")
    again, count = build()
    assert (again.summary["stages"]["render"]["ran"], again.summary["stages"]["render"]["reused"]) == (0, 2)
    assert remote.read(f"{bucket}/out/dataset.json") == generation
    assert reads_of(s3, f"{bucket[5:]}/in", ".npz", ".mp4") == reads, "no source and no record is read a second time"
    # For each of 3 motions and 2 clips a manifest and a listing a stage, a note of the sha256; the rest is the run's.
    assert count["LIST"] <= 8 + 3 + 2 * 3
    assert count["GET"] <= 30 + 3 * 2 + 2 * 3
    assert count["HEAD"] <= 14
    assert count["PUT"] <= 14, "the page and its numbers, the lease"
    assert verify([f"{bucket}/out"]) == 0
    page = {name for name, _ in remote.listing(f"{bucket}/out/report")}
    assert {"index.html", "run.js", "clips.js"} <= page
    assert sum(name.endswith("preview.mp4") for name in page) == 2
    streamed(s3, f"{bucket}/out", tmp_path / "out")
    export(f"{bucket}/out", "coco", tmp_path / "coco")
    assert len(list((tmp_path / "coco").glob("*.coco.json"))) == 2
    capfd.readouterr()
    assert (
        main(["s3://" + bucket[5:] + "/in", "--out", f"{bucket}/out", "--store", f"{bucket}/store", "--dry-run"]) == 0
    )
    told.append(Done(0, *capfd.readouterr()))
    assert all(SECRET not in one.out + one.err for one in told)
    found = dict(
        everything(bucket, tmp_path, Path(os.environ["PREFECT_HOME"]) if "PREFECT_HOME" in os.environ else tmp_path)
    )
    assert len(found) > 60
    assert [name for name, data in found.items() if SECRET.encode() in data] == []


def streamed(s3: S3, out: str, local: Path) -> None:
    """Windows from an address are those from a folder, and a sample costs one request."""
    before = s3.requests(f"{out[5:]}/shards")
    there = list(ShardStream(out, split=None, window=4, seed=3))
    assert s3.requests(f"{out[5:]}/shards") - before == {"GET": len(there)}
    for one, other in zip(there, ShardStream(local, split=None, window=4, seed=3), strict=True):
        assert one["key"] == other["key"]
        np.testing.assert_array_equal(one["video"], other["video"])


def test_footage_comes_with_what_stands_beside_it(s3: S3, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, bucket = tmp_path / "in", s3.bucket()
    truth = drawn(folder)
    for add in (add_boxes, add_keypoints, add_masks):
        add(folder, truth)
    drawn(folder, frames=30, name="bad")
    (folder / "bad.mot.txt").write_text("1,1,5,5,nan,4\n")
    drawn(folder, frames=20, name="deep")
    (folder / "deep.masks.json").write_text("[" * 100_000)
    (folder / "broken.mp4").write_bytes(b"no video at all")
    (folder / "broken.mot.txt").write_text("nor boxes\n")
    (tmp_path / "none").mkdir()
    mirrored(folder, f"{bucket}/in")

    def build(source: object, out: object, store: object) -> Done:
        done = run_here(
            capfd, source, "--preset", "light", "--weights", tmp_path / "none", "--out", out, "--store", store,
            "--max-failed-fraction", 0.8, settings=SETTINGS,
        )  # fmt: skip
        assert done.code == 0, done.err
        return done

    build(folder, tmp_path / "out", tmp_path / "store")
    first = build(f"{bucket}/in", f"{bucket}/out", f"{bucket}/store")
    assert first.summary["samples"] == 2
    # Rejects name the file and its fault, and no folder of this machine nor the copy's.
    assert digests_at(f"{bucket}/out") == digests(tmp_path / "out")
    remote_source.forget()
    reads = reads_of(s3, f"{bucket[5:]}/in")
    again = build(f"{bucket}/in", f"{bucket}/out", f"{bucket}/store")
    assert again.summary["stages"]["bring"]["ran"] == 0
    assert reads_of(s3, f"{bucket[5:]}/in") == reads


def launched(server: Server, s3: S3, *arguments: object) -> subprocess.Popen[str]:
    own = {"DUETFLOW_SCRATCH": str(scratch()), "DUETFLOW_LEASE_S": "3"}
    return subprocess.Popen(
        command(*arguments, "--runner", "threads:1", "--json", settings=TINY),
        env={**environment(server), **s3.environment, **own},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_kill_9_leaves_the_older_dataset_and_the_next_run_the_new_one(
    prefect_server: Server,
    s3: S3,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, bucket = motions(tmp_path / "in", 2), s3.bucket()
    out, store = f"{bucket}/out", f"{bucket}/store"
    assert run_here(capfd, here, "--out", out, "--store", store, settings=TINY).code == 0
    older = digests_at(out)
    motions(here, 4)
    run = launched(prefect_server, s3, here, "--out", out, "--store", store)
    try:
        # Its lease, then more of what it made than before: it is in the middle.
        before = len(list(remote.listing(f"{store}/render")))
        end = time.monotonic() + 120
        while len(list(remote.listing(f"{store}/render"))) <= before and time.monotonic() < end:
            assert run.poll() is None, run.communicate()
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGKILL)
    finally:
        run.kill()
        run.communicate()
    assert remote.stat(f"{out}/.lock") is not None
    assert digests_at(out) == older
    assert verify([out]) == 0
    capfd.readouterr()
    monkeypatch.setenv("DUETFLOW_LEASE_S", "3")
    done = run_here(capfd, here, "--out", out, "--store", store, settings=TINY)
    assert done.code == 0, done.err
    assert done.summary["stages"]["render"]["reused"] >= 1, "what was complete is kept"
    assert len(list_samples(out, split=None, include_review=True)) > 1
    assert verify([out]) == 0

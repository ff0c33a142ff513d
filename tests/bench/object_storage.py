"""python -m tests.bench.object_storage [--clips N ...]: requests and time of a dataset at s3://, and in a folder.

Drawn clips are judged, put into shards, found again and streamed, against moto's server on this machine: the numbers of
requests are what counts; its times say little of a real store's. Nothing of Prefect runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.store import Store
from datasets.stream import ShardStream
from tasks.shard import Config, commit_dataset, plan_shards, write_shard
from tests.build_samples import bundle, judged
from tests.s3_server import S3, running_s3

KINDS = ("GET", "LIST", "HEAD", "PUT", "DELETE")


def measure(s3: S3, folder: Path, clips: int) -> list[dict[str, Any]]:
    """One row a step and place."""
    rows = []
    for place, root in (("folder", str(folder / str(clips))), ("s3", s3.bucket())):
        store, out = Store(f"{root}/store"), f"{root}/out"

        def step(name: str, do: Callable[[], Any], place: str = place) -> Any:
            before, started = s3.requests(), time.perf_counter()
            made = do()
            spent, count = time.perf_counter() - started, s3.requests() - before
            rows.append({"clips": clips, "place": place, "step": name, "seconds": round(spent, 2), **count})
            return made

        bundles = [bundle(source=f"s{i}.mp4") for i in range(clips)]
        batch = step("make artifacts", lambda store=store, bundles=bundles: judged(store, bundles))
        step("find artifacts", lambda store=store, bundles=bundles: judged(store, bundles))
        for name in ("build", "build again"):
            step(name, lambda batch=batch, out=out: _build(batch, out))
        step("stream", lambda out=out: sum(1 for _ in ShardStream(out, split=None, window=4)))
    return rows


def _build(batch: Any, out: str) -> None:
    planned = plan_shards([batch], Config(target_bytes=1 << 20), out, configuration="c0ffee")
    commit_dataset(planned, [write_shard(job, out) for job in planned.jobs], out)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.object_storage", description=__doc__)
    parser.add_argument("--clips", type=int, nargs="+", default=[10, 100], metavar="N")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name, running_s3(Path(name)) as s3:
        os.environ.update(s3.environment, DUETFLOW_SCRATCH=f"{name}/scratch")
        rows = [row for clips in arguments.clips for row in measure(s3, Path(name), clips)]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return 0
    print(f"{'clips':>6} {'place':<7} {'step':<15} {'seconds':>8} " + " ".join(f"{kind:>7}" for kind in KINDS))
    for row in rows:
        counted = " ".join(f"{row.get(kind, 0):>7}" for kind in KINDS)
        print(f"{row['clips']:>6} {row['place']:<7} {row['step']:<15} {row['seconds']:>8} {counted}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

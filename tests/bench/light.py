"""The light preset's stages from detect to bind beside the bare network and GrabCut calls that they make.

    python -m tests.bench.light [--quick] [CLIP ...]

Start-up (imports, loading networks) is left out by a round that does not count. Every call of ONNX Runtime, LiteRT and
cv2.grabCut is timed where it is made, by the seconds of the processor that the thread spends in it; the stages' own
seconds are counted the same way, so that other work on the machine disturbs neither.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

CLIPS = ("duet_case01", "group2", "humanrob_04")


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.light", description=__doc__)
    parser.add_argument("clips", nargs="*", help=f"footage by name; {', '.join(CLIPS)} when none is given")
    parser.add_argument("--quick", action="store_true", help="one clip, one round")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    shared = Path(os.environ.get("DUET_SHARED", "../shared"))
    if not (shared / "footage").is_dir():
        print(json.dumps({"bench": "light", "rows": [], "skipped": f"no {shared}; set DUET_SHARED"}))
        return 0
    names = arguments.clips or (CLIPS[:1] if arguments.quick else CLIPS)
    rows = [measure(shared, name, rounds=1 if arguments.quick else 3) for name in names]
    print(json.dumps({"bench": "light", "rows": rows}))
    return 0


def measure(shared: Path, name: str, *, rounds: int) -> dict[str, Any]:
    """One clip's row: medians over rounds."""
    ours, bare, stages = [], [], {}
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(shared, name, Path(folder))
        run(prepared, shared, Path(folder) / "warm")
        for k in range(rounds):
            with counted_calls() as calls:
                spent = run(prepared, shared, Path(folder) / str(k))
            ours.append(sum(spent.values()))
            bare.append(sum(calls.values()))
            stages = spent
    return {
        "what": f"light, detect to bind, {name}",
        "ours": round(statistics.median(ours), 3),
        "other": round(statistics.median(bare), 3),
        "ratio": round(statistics.median(a / b for a, b in zip(ours, bare, strict=True)), 3),
        "unit": "s of processor",
        "sizes": {"frames": sum(item.frames for item in prepared.items), "clips": len(prepared.items)},
        "stages": {stage: round(seconds, 3) for stage, seconds in spent_order(stages)},
        "calls": {call: round(seconds, 3) for call, seconds in sorted(calls.items())},
    }


def spent_order(stages: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Stages in running order."""
    yield from stages.items()


def prepare(shared: Path, name: str, folder: Path) -> Any:
    """The clips of a footage file, cut and encoded."""
    from datasets.store import Store
    from tasks import probe, shots
    from tasks.batch import Batch, Env

    env = Env(store=Store(str(folder / "clips")), weights=str(shared / "weights"), download=False)
    batch = Batch(items=(probe.source_item(shared / "footage" / f"{name}.mp4", f"{name}.mp4", env.store),))
    return shots.shots.fn(probe.STAGE.run(batch, probe.Config(), env), shots.Config(), env)


def run(prepared: Any, shared: Path, store: Path) -> dict[str, float]:
    """Stage -> seconds of the processor, over all clips, nothing reused."""
    from datasets.store import Store
    from tasks import bind, detect, pose, segment, track
    from tasks.batch import Env

    env = Env(store=Store(str(store)), weights=str(shared / "weights"), download=False)
    spent, batch = {}, prepared
    for stage in (detect, track, pose, segment, bind):
        started = time.process_time()
        batch = stage.STAGE.run(batch, stage.Config(), env)
        spent[stage.STAGE.name] = time.process_time() - started
    faults = [reject.reason for reject in batch.rejects if reject.fault]
    if faults:
        raise RuntimeError(f"light: {faults[0]}")
    return spent


@contextmanager
def counted_calls() -> Iterator[dict[str, float]]:
    """Times every network and GrabCut call made inside; what -> seconds of the processor."""
    import cv2
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    calls: dict[str, float] = {"onnx": 0.0, "litert": 0.0, "grabcut": 0.0}

    def timed(call: Callable[..., Any], what: str) -> Callable[..., Any]:
        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                calls[what] += time.process_time() - started

        return wrapper

    with (
        mock.patch.object(cv2, "grabCut", timed(cv2.grabCut, "grabcut")),
        mock.patch.object(onnxruntime.InferenceSession, "run", timed(onnxruntime.InferenceSession.run, "onnx")),
        mock.patch.object(Interpreter, "invoke", timed(Interpreter.invoke, "litert")),
    ):
        yield calls


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

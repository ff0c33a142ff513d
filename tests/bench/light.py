"""The light preset's stages from detect to bind beside the bare network and GrabCut calls that they make.

    python -m tests.bench.light [--quick] [CLIP ...]

A bare call is one call of `InferenceSession.run` (ONNX Runtime), `Interpreter.invoke` (LiteRT) or `cv2.grabCut`, timed
where it is made, inside the very run that is measured: no decoding, pre- or postprocessing, tracker or records.
All run with one compute thread, in one worker, over clips that are cut and encoded already; start-up (imports, loading
networks) is left out by a round that does not count, and nothing is reused from round to round, nor decoded frames.

Two rows a clip, medians over rounds in which the clips take turns. `wall` is what the issue's 1.25 is said of. Its bare
calls are counted by the processor seconds of the calling thread, which is what they take on a free core: a call that
waits for a core makes the ratio worse, never better. `processor` is all seconds of the process, all threads: what a
thread that works ahead hides from the clock is in there. Other load on the machine falls on `wall` alone.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from tests.make_videos import write_video

CLIPS = ("duet_case01", "group2", "humanrob_01")
QUICK_CLIPS, QUICK_FRAMES = CLIPS[:1], 48
WANTED = "<= 1.25"


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.light", description=__doc__)
    parser.add_argument("clips", nargs="*", help=f"footage by name; {', '.join(CLIPS)} when none is given")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FRAMES} frames of {QUICK_CLIPS[0]}, two rounds")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    shared = Path(os.environ.get("DUET_SHARED", "../shared")).absolute()
    if not (shared / "footage").is_dir():
        print(json.dumps({"bench": "light", "rows": [], "skipped": f"no {shared}; set DUET_SHARED"}))
        return 0
    import cv2

    cv2.setNumThreads(1)
    names = arguments.clips or (QUICK_CLIPS if arguments.quick else CLIPS)
    frames, rounds = (QUICK_FRAMES, 2) if arguments.quick else (None, 5)
    print(json.dumps({"bench": "light", "rows": measure(shared, names, frames=frames, rounds=rounds)}))
    return 0


def measure(shared: Path, names: Sequence[str], *, frames: int | None, rounds: int) -> list[dict[str, Any]]:
    """Two rows for each clip and for all of them: medians over rounds."""
    spent: dict[str, list[Round]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        prepared = {name: prepare(shared, name, Path(folder) / name, frames) for name in names}
        for k in range(-1, rounds):
            for name in names:
                one = run(prepared[name], shared, Path(folder) / name / f"round{k}")
                if k >= 0:
                    spent[name].append(one)
    total = {name: sum(item.frames for item in prepared[name].items) for name in names}
    rows = [row for name in names for row in rows_of(name, spent[name], f"{total[name]} frames")]
    if len(names) > 1:
        whole = [joined(turn) for turn in zip(*spent.values(), strict=True)]
        rows += rows_of("all clips", whole, f"{sum(total.values())} frames")
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One clip once through the stages; seconds."""

    wall: dict[str, float]  # by stage
    processor: dict[str, float]  # by stage, all threads
    calls: dict[str, float]  # by kind of bare call


def joined(turn: Sequence[Round]) -> Round:
    """One round of several clips as one."""

    def summed(parts: Sequence[dict[str, float]]) -> dict[str, float]:
        return {key: sum(part[key] for part in parts) for key in parts[0]}

    return Round(
        wall=summed([one.wall for one in turn]),
        processor=summed([one.processor for one in turn]),
        calls=summed([one.calls for one in turn]),
    )


def rows_of(name: str, rounds: Sequence[Round], sizes: str) -> Iterator[dict[str, Any]]:
    """The wall row and the processor row."""
    bare = [sum(one.calls.values()) for one in rounds]
    for clock, stages in (
        ("wall", [one.wall for one in rounds]),
        ("processor", [one.processor for one in rounds]),
    ):
        ours = [sum(part.values()) for part in stages]
        yield {
            "what": f"light, detect to bind, {name}, {clock} s",
            "ours": round(statistics.median(ours), 3),
            "other": round(statistics.median(bare), 3),
            "ratio": round(statistics.median(a / b for a, b in zip(ours, bare, strict=True)), 3),
            "wanted": WANTED if clock == "wall" else "",
            "sizes": sizes,
            "stages": {key: round(statistics.median(part[key] for part in stages), 3) for key in stages[0]},
            "calls": {key: round(statistics.median(one.calls[key] for one in rounds), 3) for key in rounds[0].calls},
        }


def prepare(shared: Path, name: str, folder: Path, frames: int | None) -> Any:
    """The clips of a footage file, or of its first frames, cut and encoded."""
    from datasets.records import Source, load_record
    from datasets.store import Store
    from datasets.video import read_source
    from tasks import probe, shots
    from tasks.batch import Batch, Env

    env = Env(store=Store(str(folder / "clips")), weights=str(shared / "weights"), download=False)

    def probed(path: Path) -> Batch:
        return probe.STAGE.run(Batch(items=(probe.source_item(path, path.name, env.store),)), probe.Config(), env)

    batch = probed(shared / "footage" / f"{name}.mp4")
    if frames is not None:
        item = batch.items[0]
        source = load_record(Source, item.folder("probe") / "source.npz")
        short = folder / f"{name}.mp4"
        write_video(short, read_source(item.path, source, frames=frames), rate=source.fps, options={"crf": "16"})
        batch = probed(short)
    return shots.shots.fn(batch, shots.Config(), env)


def run(prepared: Any, shared: Path, store: Path) -> Round:
    """All clips once through the stages, nothing reused."""
    from datasets.store import Store
    from tasks import bind, detect, pose, segment, track
    from tasks.batch import Env
    from tasks.frames import FRAMES

    env = Env(store=Store(str(store)), weights=str(shared / "weights"), download=False, threads=1)
    FRAMES.clear()
    wall, processor, batch = {}, {}, prepared
    with counted_calls() as calls:
        for stage in (detect, track, pose, segment, bind):
            started = time.perf_counter(), time.process_time()
            batch = stage.STAGE.run(batch, stage.Config(), env)
            wall[stage.STAGE.name] = time.perf_counter() - started[0]
            processor[stage.STAGE.name] = time.process_time() - started[1]
    faults = [reject.reason for reject in batch.rejects if reject.fault]
    if faults:
        raise RuntimeError(f"light: {faults[0]}")
    return Round(wall=wall, processor=processor, calls=calls)


@contextmanager
def counted_calls() -> Iterator[dict[str, float]]:
    """Times every network and GrabCut call made inside; kind -> processor seconds of the calling thread."""
    import cv2
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    calls: dict[str, float] = {"onnx": 0.0, "litert": 0.0, "grabcut": 0.0}

    def timed(call: Callable[..., Any], what: str) -> Callable[..., Any]:
        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            started = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                calls[what] += time.thread_time() - started

        return wrapper

    with (
        mock.patch.object(cv2, "grabCut", timed(cv2.grabCut, "grabcut")),
        mock.patch.object(onnxruntime.InferenceSession, "run", timed(onnxruntime.InferenceSession.run, "onnx")),
        mock.patch.object(Interpreter, "invoke", timed(Interpreter.invoke, "litert")),
    ):
        yield calls


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

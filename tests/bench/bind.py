"""What binding and repair cost: their share of the light route's time, and whether binding grows as the clip does.

    python -m tests.bench.bind [--quick] [CLIP ...]

A row a clip: seconds of `bind`, of following the camera (in `track`) and of `repair` as `refine` calls it on this
route, beside those of all stages from detect to refine, over footage; `repair_brought` is what it takes where ids and
masks came from outside, for it then looks for exchanges and bleeding, too. In one worker with one compute thread;
start-up is left out by a round that does not count. Then `bind` alone over drawn tracklets of three people who cross
all the time, for 1, 2, 4 and 8 minutes: CPU seconds a minute beside those of the first row. Poses and masks are left
out there: they are bound frame by frame.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from datasets.masks import Masks
from datasets.records import CameraMotion, People, Poses, Segments, Tracklets, load_record
from tasks.ops.bind import Rules, bind
from tasks.ops.cast import Shot
from tasks.ops.tracklets import Limits, Rows, cut

CLIPS = ("duet_case01", "group2", "humanrob_01")
ROUTE = ("detect", "track", "pose", "segment", "bind", "refine")
FPS = 24.0
SIZE = (480, 640)
PEOPLE = 3
MINUTES = (1, 2, 4, 8)


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bind", description=__doc__)
    parser.add_argument("clips", nargs="*", help=f"footage by name; {', '.join(CLIPS)} when none is given")
    parser.add_argument("--quick", action="store_true", help="one clip, one round, 1 and 2 minutes")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    names = arguments.clips or (CLIPS[:1] if arguments.quick else CLIPS)
    rows = lengths(MINUTES[:2], 1) if arguments.quick else lengths(MINUTES, 3)
    shared = Path(os.environ.get("DUET_SHARED", "../shared")).absolute()
    out: dict[str, Any] = {"bench": "bind", "rows": rows}
    if (shared / "footage").is_dir():
        rows[:0] = shares(shared, names, frames=48 if arguments.quick else None, rounds=1 if arguments.quick else 3)
    else:
        out["skipped"] = f"no {shared}; set DUET_SHARED"
    print(json.dumps(out))
    return 0


def shares(
    shared: Path, names: tuple[str, ...] | list[str], *, frames: int | None, rounds: int
) -> list[dict[str, Any]]:
    """A row a clip: binding beside the whole route."""
    import cv2

    from tests.bench.light import prepare

    cv2.setNumThreads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            clips = prepare(shared, name, Path(folder) / name, frames)
            spent = [route(clips, shared, Path(folder) / name / f"round{k}") for k in range(rounds + 1)][1:]
            spent = [{**one, "camera": _camera_seconds(clips)} for one in spent]
            part = {key: statistics.median(one[key] for one in spent) for key in ("bind", "camera", "repair")}
            whole = statistics.median(sum(one[stage] for stage in ROUTE) for one in spent)
            rows.append(
                {
                    "what": f"bind, camera motion and repair beside detect to refine, {name}, wall s",
                    "ours": round(sum(part.values()), 3),
                    "other": round(whole, 3),
                    "ratio": round(sum(part.values()) / whole, 4),
                    "wanted": "<= 0.10",
                    "sizes": f"{sum(item.frames for item in clips.items)} frames",
                    **{key: round(value, 3) for key, value in part.items()},
                    "repair_brought": round(statistics.median(one["repair_brought"] for one in spent), 3),
                    "stages": {key: round(statistics.median(one[key] for one in spent), 3) for key in ROUTE},
                }
            )
    return rows


def route(prepared: Any, shared: Path, store: Path) -> dict[str, float]:
    """Seconds of each stage over all clips, nothing reused, and of `repair` on what was bound."""
    from datasets.store import Store
    from tasks import bind, detect, pose, refine, segment, track
    from tasks.batch import Env
    from tasks.clips import clip_of
    from tasks.frames import FRAMES
    from tasks.ops.repair import repair

    env = Env(store=Store(str(store)), weights=str(shared / "weights"), download=False, threads=1)
    FRAMES.clear()
    spent, batch = {}, prepared
    for stage in (detect, track, pose, segment, bind, refine):
        started = time.perf_counter()
        batch = stage.STAGE.run(batch, stage.Config(), env)
        spent[stage.STAGE.name] = time.perf_counter() - started
    faults = [reject.reason for reject in batch.rejects if reject.fault]
    if faults:
        raise RuntimeError(f"bind: {faults[0]}")
    bound = [(load_record(People, item.folder("bind") / "people.npz"), clip_of(item)[0]) for item in batch.items]
    for name, brought in (("repair", False), ("repair_brought", True)):
        started = time.perf_counter()
        for people, clip in bound:
            settled = None if brought else np.ones(people.num_frames, bool)
            repair(people, fps=float(clip.fps), settled=settled, masks=brought)
        spent[name] = time.perf_counter() - started
    return spent


def _camera_seconds(clips: Any) -> float:
    """Seconds of following the camera over the clips' frames, decoded before."""
    from datasets.video import read_frames
    from tasks.clips import clip_of
    from tasks.ops.camera_motion import camera_steps

    total = 0.0
    for item in clips.items:
        clip, path = clip_of(item)
        frames = list(read_frames(path))
        started = time.perf_counter()
        camera_steps(frames, [np.zeros((0, 4), np.float32)] * len(frames), clip.size)
        total += time.perf_counter() - started
    return total


def lengths(minutes: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """A row a length: CPU seconds a minute of clip, beside those of the shortest.

    Medians of rounds through all lengths: a machine that others share is now and then half as fast.
    """
    clips = [crossing_for(float(long)) for long in minutes]
    bind(*crossing_for(0.2), Rules())
    spent: list[list[float]] = [[] for _ in clips]
    people = [0] * len(clips)
    for _ in range(rounds):
        for k, clip in enumerate(clips):
            started = time.process_time()
            people[k] = bind(*clip, Rules())[0].num_people
            spent[k].append(time.process_time() - started)
    rate = [statistics.median(one) / long for one, long in zip(spent, minutes, strict=True)]
    return [
        {
            "what": f"bind, CPU seconds a minute of clip, {long} min, {PEOPLE} people who cross",
            "ours": round(own, 3),
            "other": round(rate[0], 3),
            "ratio": round(own / rate[0], 3),
            "wanted": "<= 1.25",
            "sizes": f"{len(np.unique(clip[0].tracklet))} tracklets, {bound} people bound, {rounds} rounds",
        }
        for long, own, clip, bound in zip(minutes, rate, clips, people, strict=True)
    ]


def crossing_for(minutes: float, seed: int = 0) -> tuple[Tracklets, Poses, Segments, CameraMotion, Shot]:
    """Three people to and fro before each other; who is covered by somebody nearer is not found."""
    rng = np.random.default_rng(seed)
    frames = round(minutes * 60 * FPS)
    t = np.arange(frames) / FPS
    look = np.linalg.qr(rng.normal(size=(64, PEOPLE)))[0].T
    rows: list[tuple[int, int, list[float]]] = []
    middle = np.stack([320 + 250 * np.sin(t / (1.3 + 0.35 * p) + 2 * p) for p in range(PEOPLE)])
    for f in range(frames):
        for p in range(PEOPLE):
            hidden = any(abs(middle[p, f] - middle[q, f]) < 35 for q in range(p + 1, PEOPLE))
            if not hidden:
                x, foot, height = middle[p, f], 400 + 15 * p, 220 + 12 * p
                jitter = rng.normal(0, 2, 4)
                rows.append(
                    (f, p, [x - 45 + jitter[0], foot - height + jitter[1], x + 45 + jitter[2], foot + jitter[3]])
                )
    frame = np.array([row[0] for row in rows], np.int32)
    who = np.array([row[1] for row in rows])
    box = np.array([row[2] for row in rows], np.float32)
    vector = look[who] + rng.normal(0, 0.08, (len(rows), 64))
    vector = (vector / np.linalg.norm(vector, axis=1, keepdims=True)).astype(np.float32)
    vector[frame % 8 != 0] = 0
    limits = Limits(contact_iou=0.3, gap_s=0.25, jump=0.25, resize=2.0, alike=0.55)
    name = cut(Rows(frame=frame, box=box, track=who, embedding=vector, fps=FPS), limits)
    n = len(rows)
    return (
        Tracklets(frame=frame, box=box, score=np.full(n, 0.8, np.float32), tracklet=name, embedding=vector),
        Poses(
            frame=frame, keypoint=np.zeros((n, 17, 2), np.float32), score=np.zeros((n, 17), np.float32),
            skeleton="coco17",
        ),
        Segments(
            frame=frame[:0], tracklet=name[:0], score=np.zeros(0, np.float32), mask=Masks.from_counts([], size=SIZE),
            embedding=vector[:0],
        ),
        CameraMotion(step=np.tile(np.eye(2, 3, dtype=np.float32), (frames, 1, 1))),
        Shot(frames=frames, fps=FPS, size=SIZE),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

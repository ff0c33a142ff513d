"""Time a frame by stage: the footage route on real footage, the motion route on motion; one worker on one core.

Each route is the real command. A stage's figure is its own seconds over the frames of the clips that the run cut, so
that stages add up; for footage per frame of the clips, whoever is in them (their number is said). `plan` is what that
makes of 26 hours and of 10,000 hours at 30 frames a second.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from datasets.index import INDEX
from tests.bench.scale import run, size_mb
from tests.prefect_server import running_server
from tests.tiny_runs import ROOT, environment

SHARED = ROOT.parent / "shared"
FOOTAGE = ("group2.mp4", "duet_case01.mp4", "humanrob_01.mp4", "group3.mp4")
MOTIONS = ("dance_a.npz", "dance_b.npz", "punch.npz")
QUICK_FOOTAGE, QUICK_MOTIONS = FOOTAGE[:1], MOTIONS[:2]
# What PairFS-4K holds, and a hundred web crawls of it.
HOURS, FPS = (26, 10_000), 30


def frames_of(summary: Mapping, out: Path) -> tuple[int, float]:
    """Frames of all clips that reached the detector or the renderer, and people a clip of those that were shipped."""
    stage = "detect" if "detect" in summary["stages"] else "render"
    rows = pq.read_table(out / INDEX, columns=["num_people"]).to_pylist()
    people = sum(row["num_people"] for row in rows) / max(len(rows), 1)
    return summary["stages"][stage]["frames"], people


def measured(route: str, sources: Sequence[Path], more: Sequence[object], settings: tuple[str, ...]) -> dict:
    """Milliseconds of one worker a frame, for each stage of one route."""
    with tempfile.TemporaryDirectory() as folder:
        home, out = Path(folder) / "prefect", Path(folder) / "out"
        home.mkdir()
        with running_server(home) as server:
            env = environment(server)
            arguments = (*sources, "--out", out, "--store", Path(folder) / "store", "--runner", "processes:1", *more)
            ran = run(arguments, settings, {**env, "OMP_NUM_THREADS": "1"})
        frames, people = frames_of(ran.summary, out)
        kept = {name: 1000 * size_mb(Path(folder) / name) / frames for name in ("store", "out")}
    stages = {name: 1000 * stage["seconds"] / frames for name, stage in ran.summary["stages"].items()}
    return {
        "route": route,
        "frames": frames,
        "people_a_clip": round(people, 2),
        "ms_a_frame": {name: round(value, 2) for name, value in stages.items()},
        "ms_a_frame_all": round(sum(stages.values()), 2),
        "kb_a_frame": {name: round(value, 1) for name, value in kept.items()},
        "wall_s": round(ran.seconds, 1),
        "core_hours": {h: round(h * 3600 * FPS * sum(stages.values()) / 3.6e6) for h in HOURS},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cost", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one video, two motions")
    parser.add_argument("--shared", type=Path, default=SHARED, help="where footage, motion and weights are")
    arguments = parser.parse_args(argv)
    shared = arguments.shared
    if not shared.is_dir():
        sys.exit(f"{shared}: want the folder of footage, motion and weights, got none; name it by --shared")
    footage = [shared / "footage" / name for name in (QUICK_FOOTAGE if arguments.quick else FOOTAGE)]
    motions = [shared / "motion" / name for name in (QUICK_MOTIONS if arguments.quick else MOTIONS)]
    routes = [
        measured("footage, light", footage, ("--preset", "light", "--weights", shared / "weights"), ()),
        measured("motion, 512x512", motions, (), ()),
    ]
    rows = [
        {
            "what": f"{one['route']}: ms a frame of one worker, {name}",
            "ours": value,
            "other": one["ms_a_frame_all"],
            "ratio": round(value / one["ms_a_frame_all"], 3),
            "sizes": f"{one['frames']} frames, {one['people_a_clip']} people a clip; other: all stages",
        }
        for one in routes
        for name, value in one["ms_a_frame"].items()
    ]
    print(json.dumps({"bench": "cost", "rows": rows, "routes": routes}))


if __name__ == "__main__":
    main()

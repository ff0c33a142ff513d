"""The settings of the benchmark's other trackers, chosen: a small grid on crossings of a seed that is not reported.

    python -m tests.bench.rivals [--quick] [--seed N] [--clips N]

Each tracker gets the same detections and the same appearance (re-ID 0248, every box of every frame, masked). Tried are
our own thresholds, BoxMOT's defaults, how long a lost track waits, whether the camera's motion is followed, and how far
appearance is trusted. The best IDF1 is taken; `tasks.rivals.CHOSEN` must hold it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks.rivals import CHOSEN, OCCLUBOOST_DEFAULTS, rival

SEED, CLIPS, SECONDS = 9000, 12, 4.0

_NO_CAMERA = {"use_cmc": False}
_BOTSORT_YAML = {
    "track_high_thresh": 0.6297, "track_low_thresh": 0.1014, "new_track_thresh": 0.6246, "match_thresh": 0.7722,
    "cmc_method": "sof", "fuse_first_associate": True, "proximity_thresh": 0.6084, "appearance_thresh": 0.6189,
    "unconfirmed_emb_scale": 2.5445, "second_match_thresh": 0.288, "unconfirmed_match_thresh": 0.4115,
    "removed_stracks_buffer": 329,
}  # fmt: skip
_LOW = {"track_high_thresh": 0.4, "new_track_thresh": 0.5}
_RECOVER = {"recovery_appearance_thresh": 0.6733, "recovery_iou_thresh": 0.2438, "recovery_max_age": 113}
_GLOBAL = {**OCCLUBOOST_DEFAULTS, "det_thresh": 0.4, "new_track_thresh": 0.5, "gta_enabled": True}

GRID: dict[str, tuple[tuple[str, float, dict[str, Any]], ...]] = {
    "bytetrack": (
        ("our thresholds, 1 s", 1.0, {}),
        ("our thresholds, 4 s", 4.0, {}),
        ("match 0.9", 4.0, {"match_thresh": 0.9}),
        ("BoxMOT's defaults", 1.0, {"track_thresh": 0.6, "match_thresh": 0.9}),
        ("track 0.5", 4.0, {"track_thresh": 0.5}),
        ("track 0.6, match 0.9", 4.0, {"track_thresh": 0.6, "match_thresh": 0.9}),
    ),
    "botsort": (
        ("our thresholds, 1 s", 1.0, {}),
        ("our thresholds, 4 s", 4.0, {}),
        ("no camera", 4.0, _NO_CAMERA),
        ("appearance at any distance", 4.0, {"proximity_thresh": 1.0, "appearance_thresh": 0.25}),
        ("appearance at any distance, trusted more", 4.0, {"proximity_thresh": 1.0, "appearance_thresh": 0.45}),
        ("appearance at any distance, trusted further", 4.0, {"proximity_thresh": 1.0, "appearance_thresh": 0.6}),
        ("appearance at any distance, trusted furthest", 4.0, {"proximity_thresh": 1.0, "appearance_thresh": 0.75}),
        ("BoxMOT's defaults", 40 / 30, _BOTSORT_YAML),
        ("BoxMOT's defaults, our thresholds, 4 s", 4.0, {**_BOTSORT_YAML, **_LOW}),
        ("the same, no camera", 4.0, {**_BOTSORT_YAML, **_LOW, **_NO_CAMERA}),
        ("the same, appearance at any distance", 4.0, {**_BOTSORT_YAML, **_LOW, "proximity_thresh": 1.0}),
    ),
    "occluboost": (
        ("our thresholds, 1 s", 1.0, {}),
        ("our thresholds, 4 s", 4.0, {}),
        ("no camera", 4.0, _NO_CAMERA),
        ("with global association", 4.0, {"gta_enabled": True}),
        ("with recovery by appearance", 4.0, _RECOVER),
        ("BoxMOT's defaults", 146 / 30, OCCLUBOOST_DEFAULTS),
        (
            "BoxMOT's defaults, our thresholds, 4 s",
            4.0,
            {**OCCLUBOOST_DEFAULTS, "det_thresh": 0.4, "new_track_thresh": 0.5},
        ),
        ("the same, with global association", 4.0, _GLOBAL),
        ("the same, appearance trusted more", 4.0, {**_GLOBAL, "gta_appearance_thresh": 0.35}),
        ("the same, appearance trusted further", 4.0, {**_GLOBAL, "gta_appearance_thresh": 0.45}),
        ("the same, appearance trusted furthest", 4.0, {**_GLOBAL, "gta_appearance_thresh": 0.55}),
    ),
}


def main(argv: Sequence[str]) -> int:
    """Try the grid and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rivals", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short clips: only to see that it runs")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--store", help="keep what is made here (default: a temporary folder)")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    shared = Path(os.environ.get("DUET_SHARED", "../shared"))
    if not (shared / "weights").is_dir():
        print(json.dumps({"bench": "rivals", "rows": [], "skipped": f"no {shared}; set DUET_SHARED"}))
        return 0
    clips, seconds = (2, 1.0) if arguments.quick else (arguments.clips, SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measure(shared / "weights", arguments.store or folder, arguments.seed, clips, seconds))
    print(json.dumps({"bench": "rivals", "rows": rows}))
    return 0


def measure(weights: Path, store: str, seed: int, clips: int, seconds: float) -> Iterator[dict[str, Any]]:
    """A row for each point of the grid: its IDF1 beside that of the chosen one."""
    from tasks.backends.trackeval import scores

    tallies: dict[tuple[str, str], dict[str, Any]] = {}
    for clip, tried in prepared(weights, store, seed, clips, seconds):
        for key, made in tried.items():
            tallies.setdefault(key, {})[clip] = made
        print(f"bench: rivals: {clip}", file=sys.stderr, flush=True)
    found = {key: scores(one) for key, one in tallies.items()}
    for (name, what), figures in found.items():
        chosen = next((w for w, b, s in GRID[name] if rival(name, b, s) in CHOSEN), "")
        yield {
            "what": f"{name}: {what}{' (chosen)' if what == chosen else ''}, IDF1",
            "ours": round(figures["IDF1"], 4),
            "other": round(found[name, chosen]["IDF1"], 4) if chosen else None,
            "ratio": None,
            "wanted": "at most the chosen one's",
            "sizes": f"{clips} clips of {seconds:g} s; HOTA {figures['HOTA']:.4f}, IDSW {figures['IDSW']:.0f}",
        }


def prepared(weights: Path, store: str, seed: int, clips: int, seconds: float) -> Iterator[tuple[str, dict]]:
    """Clip by clip: (tracker, what is tried) -> its tally."""
    from datasets.npz import read_npz
    from datasets.records import Detections, load_record
    from datasets.store import Store
    from flows.bench_take import filmed_item
    from flows.presets import light
    from tasks import detect, rivals
    from tasks.backends.trackeval import tally
    from tasks.batch import Env
    from tasks.clips import clip_of
    from tasks.ops.crossing_truth import tracked_rows
    from tasks.ops.crossings import crossings
    from tasks.ops.track_rows import box_overlaps, without_ignored
    from tasks.score import truth_at

    env = Env(store=Store(store), weights=str(weights), download=False)
    for crossing in crossings(seed, clips, seconds=seconds):
        item = filmed_item(crossing, env)
        item, _ = detect.STAGE.make(item, light().detect, env)
        item, _ = rivals.LOOKS_STAGE.make(item, rivals.LooksConfig(), env)
        found = load_record(Detections, item.folder("detect") / "detections.npz")
        truth, frames = truth_at(item), clip_of(item)[0].frames
        tried = {}
        for name, points in GRID.items():
            for what, buffer_s, settings in points:
                followed, _ = rivals.STAGE.make(item, rivals.Config(rivals=(rival(name, buffer_s, settings),)), env)
                ids = read_npz(followed.folder("rivals") / rivals.IDS)[name]
                rows = without_ignored(tracked_rows(found, ids), truth.counted, truth.ignored)
                tried[name, what] = tally(box_overlaps(truth.counted, rows, frames))
        yield crossing.name, tried


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

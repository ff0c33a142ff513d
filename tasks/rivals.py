"""Clip, Detections -> ids of other trackers on the very same boxes: what the benchmark compares with.

They get all that they ask for: the frames, and the appearance (re-ID 0248) of every box in every frame, background
blacked out as for our own tracklets, since that is where the network is at its best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.npz import read_npz, write_npz
from datasets.records import Clip, Detections, load_record
from tasks.backends.boxmot import BoxMOTTracker, TrackerName
from tasks.backends.table import ReIDName, embedder
from tasks.batch import Env, Item, Stage
from tasks.clips import clip_of
from tasks.detect import where
from tasks.frames import FRAMES
from tasks.track import masked_crop

VERSION = 1
IDS, LOOKS = "ids.npz", "looks.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A tracker of BoxMOT and how it is set."""

    name: TrackerName
    buffer_s: float  # how long a lost track waits for its person
    settings: tuple[tuple[str, float | bool | str], ...] = ()  # arguments of BoxMOT's own class


def rival(name: TrackerName, buffer_s: float, settings: Mapping[str, float | bool | str]) -> Rival:
    """A tracker whose settings are a mapping."""
    return Rival(name=name, buffer_s=buffer_s, settings=tuple(sorted(settings.items())))


# BoxMOT 25's own defaults, configs/trackers/occluboost.yaml, as far as they differ from those of the class.
OCCLUBOOST_DEFAULTS: dict[str, float | bool | str] = {
    "det_thresh": 0.5679, "iou_threshold": 0.2957, "cmc_method": "sof", "min_box_area": 73,
    "aspect_ratio_thresh": 1.4888, "lambda_iou": 1.0785, "lambda_mhd": 0.3044, "lambda_shape": 1.6709,
    "use_dlo_boost": True, "dlo_boost_coef": 1.2062, "use_duo_boost": False, "s_sim_corr": False, "use_rich_s": False,
    "use_sb": True, "use_vt": True, "recovery_appearance_thresh": 0.6733, "recovery_iou_thresh": 0.2438,
    "recovery_max_age": 113, "feat_alpha": 0.8324, "track_low_thresh": 0.0447, "use_second_pass": True,
    "second_iou_thresh": 0.8132, "second_appearance_thresh": 0.3641, "second_pass_max_age": 8,
    "second_pass_min_hits": 7, "new_track_thresh": 0.7128, "confirm_hits": 2, "instant_confirm_thresh": 0.6784,
    "tentative_max_age": 3, "duplicate_iou_thresh": 0.9572, "ams_alpha0": 0.8732, "ams_threshold": 0.9206,
    "ams_buffer_size": 57, "ams_shrink_ratio": 0.6935, "lambda_emb_multiplier": 2.9476,
}  # fmt: skip

# How these were chosen: `python -m tests.bench.rivals` tries a grid on crossings of another seed; the best IDF1 wins.
# With re-ID 0248 on masked crops, appearance deserves more trust than BoxMOT's defaults give it: at any distance for
# BoT-SORT, and to bring dead tracks back to life (global association) for OccluBoost.
CHOSEN: tuple[Rival, ...] = (
    rival("bytetrack", 1.0, {"track_thresh": 0.6, "match_thresh": 0.9}),
    rival("botsort", 4.0, {"proximity_thresh": 1.0, "appearance_thresh": 0.45}),
    rival(
        "occluboost",
        4.0,
        {
            **OCCLUBOOST_DEFAULTS,
            "det_thresh": 0.4,
            "new_track_thresh": 0.5,
            "gta_enabled": True,
            "gta_appearance_thresh": 0.35,
        },
    ),
)


@dataclass(frozen=True, kw_only=True)
class LooksConfig:
    """What appearance is taken with."""

    reid: ReIDName = "reid-0248"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Who is compared with."""

    rivals: tuple[Rival, ...] = CHOSEN


def compute_looks(item: Item, config: LooksConfig, env: Env, out: Path) -> None:
    """Unit appearance vectors of every detection of every frame, (N, E) float32, into looks.npz."""
    _, path = clip_of(item)
    found = load_record(Detections, item.folder("detect") / "detections.npz")
    network = embedder(config.reid, where(env))
    looks = np.zeros((len(found.frame), network.width), np.float32)
    for t, frame in enumerate(FRAMES.read(path)):
        rows = np.flatnonzero(found.frame == t)
        if len(rows):
            crops = [masked_crop(frame, found.box[i], found.box[rows[rows != i]]) for i in rows]
            looks[rows] = network.embed(np.stack(crops))
    write_npz(out / LOOKS, {"looks": looks})


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Each rival's id for each detection, (N,) int64, -1 where it follows nothing, into ids.npz."""
    clip, path = clip_of(item)
    found = load_record(Detections, item.folder("detect") / "detections.npz")
    looks = read_npz(item.folder("looks") / LOOKS)["looks"]
    write_npz(out / IDS, {rival.name: follow(rival, clip, path, found, looks) for rival in config.rivals})


def follow(rival: Rival, clip: Clip, path: Path, found: Detections, looks: np.ndarray) -> np.ndarray:
    """One tracker over one clip: (N,) int64 ids of the detections; -1 where it follows nothing."""
    settings: dict[str, Any] = dict(rival.settings)
    tracker = BoxMOTTracker(rival.name, clip.fps, rival.buffer_s, settings=settings)
    ids = np.full(len(found.frame), -1, np.int64)
    rows_of = np.searchsorted(found.frame, np.arange(clip.frames + 1))
    pictures = FRAMES.read(path) if tracker.wants_frames else iter(())
    for t in range(clip.frames):
        rows = slice(rows_of[t], rows_of[t + 1])
        ids[rows] = tracker.update(found.box[rows], found.score[rows], looks[rows], next(pictures, None))
    return ids


LOOKS_STAGE = Stage(
    name="looks",
    version=VERSION,
    inputs=("shots", "detect"),
    compute=compute_looks,
    weights=lambda config: (config.reid,),
)
STAGE = Stage(name="rivals", version=VERSION, inputs=("shots", "detect", "looks"), compute=compute)

"""Clip, Detections -> Tracklets: who could be whom, cut wherever it is unsure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.records import CameraMotion, Clip, Detections, Tracklets, load_record, save_record
from tasks.backends.boxmot import BoxMOTTracker, TrackerName
from tasks.backends.reid import CROP, Embedder
from tasks.backends.table import ReIDName, embedder
from tasks.batch import Batch, Env, Item, Stage
from tasks.brought import TRACKS, has
from tasks.brought_rows import brought_tracklets
from tasks.clips import clip_of
from tasks.detect import where
from tasks.frames import FRAMES
from tasks.ops.boxes import contact
from tasks.ops.camera_motion import camera_steps
from tasks.ops.crops import person_crop
from tasks.ops.doubles import unions
from tasks.ops.half_boxes import halves
from tasks.ops.quick_mask import quick_mask
from tasks.ops.tracklets import Limits, Rows, adopt, cut
from tasks.ops.unlooked import unlooked

VERSION = 5


@dataclass(frozen=True, kw_only=True)
class Config:
    """How boxes become tracklets, and when these are cut."""

    tracker: TrackerName = "bytetrack"
    reid: ReIDName = "reid-0248"
    look_every_s: float = 0.3  # between the frames in which appearance is taken
    look_iou: float = 0.25  # people whose boxes overlap more are not looked at
    camera: bool = True  # follow the camera's motion, where the tracker can
    cut_iou: float = 0.3  # boxes that overlap more touch
    cut_gap_s: float = 0.25  # without a box
    cut_jump: float = 0.25  # body sizes off the foreseen place
    cut_resize: float = 2.0  # factor in area from one box to the next
    cut_look: float = 0.55  # least cosine between looks before and after


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Follow the boxes, look at some, cut."""
    clip, path = clip_of(item)
    found = load_record(Detections, item.folder("detect") / "detections.npz")
    if has(item.artifacts, TRACKS):
        save_record(brought_tracklets(item, clip, found), out / "tracklets.npz")
        save_camera(path, clip, found, out)
        return
    network = embedder(config.reid, where(env))
    half = half_boxes(found)
    tracker = BoxMOTTracker(config.tracker, clip.fps, config.cut_gap_s, config.camera)
    embedding = np.zeros((len(found.frame), network.width), np.float32)
    track = np.full(len(found.frame), -1, np.int64)
    rows_of = np.searchsorted(found.frame, np.arange(clip.frames + 1))
    looked = set(range(0, clip.frames, max(round(config.look_every_s * float(clip.fps)), 1)))
    for t, frame in pictures(path, clip, looked, every=tracker.wants_frames):
        rows = np.flatnonzero(~half[rows_of[t] : rows_of[t + 1]]) + rows_of[t]
        if t in looked and frame is not None:
            embedding[rows] = look(frame, found.box[rows], network, config)
        rows = rows[~unions(found.box[rows], found.score[rows])]
        track[rows] = tracker.update(found.box[rows], found.score[rows], embedding[rows], frame)
    whole = np.flatnonzero(~half)
    followed = Rows(
        frame=found.frame[whole],
        box=found.box[whole],
        track=track[whole],
        embedding=embedding[whole],
        fps=float(clip.fps),
    )
    adopted = replace(followed, track=adopt(followed))
    limits = Limits(
        contact_iou=config.cut_iou,
        gap_s=config.cut_gap_s,
        jump=config.cut_jump,
        resize=config.cut_resize,
        alike=config.cut_look,
    )
    name = np.full(len(found.frame), -1, np.int32)
    name[whole] = cut(adopted, limits)
    for t, rows in unlooked(found.frame, found.box, name, embedding).items():
        here = np.flatnonzero(~half[rows_of[t] : rows_of[t + 1]]) + rows_of[t]
        crops = [masked_crop(FRAMES.at(path, t), found.box[i], found.box[here[here != i]]) for i in rows]
        embedding[rows] = network.embed(np.stack(crops))
    tracklets = Tracklets(frame=found.frame, box=found.box, score=found.score, tracklet=name, embedding=embedding)
    save_record(tracklets, out / "tracklets.npz")
    save_camera(path, clip, found, out)


def save_camera(path: Path, clip: Clip, found: Detections, out: Path) -> None:
    """How the background moves from frame to frame, beside the tracklets."""
    rows_of = np.searchsorted(found.frame, np.arange(clip.frames + 1))
    boxes = [found.box[rows_of[t] : rows_of[t + 1]] for t in range(clip.frames)]
    steps = camera_steps(FRAMES.read(path), boxes, clip.size)
    save_record(CameraMotion(step=steps.astype(np.float32)), out / "camera.npz")


def pictures(path: Path, clip: Clip, looked: set[int], *, every: bool) -> Iterator[tuple[int, np.ndarray | None]]:
    """Each frame's index with its picture; when not every picture is wanted, None for those that are not looked at."""
    if every:
        yield from enumerate(FRAMES.read(path))
        return
    for t in range(clip.frames):
        yield t, FRAMES.at(path, t) if t in looked else None


def half_boxes(found: Detections) -> np.ndarray:
    """(N,) bool: boxes of an upper body whose whole body has a box as well. They belong to no tracklet."""
    half = np.zeros(len(found.frame), bool)
    for start, stop in itertools.pairwise(np.flatnonzero(np.diff(found.frame, prepend=-1, append=-1))):
        half[start:stop] = halves(found.box[start:stop], found.score[start:stop])
    return half


def look(frame: np.ndarray, box: np.ndarray, network: Embedder, config: Config) -> np.ndarray:
    """(N, E) appearance vectors of the people who stand clear; the others' rows are zeros."""
    out = np.zeros((len(box), network.width), np.float32)
    clear = np.flatnonzero(contact(box) <= config.look_iou)
    if len(clear):
        crops = [masked_crop(frame, box[i], np.delete(box, i, 0)) for i in clear]
        out[clear] = network.embed(np.stack(crops))
    return out


def masked_crop(frame: np.ndarray, box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """A person's box at the re-ID networks' size, black where it is not the person."""
    mask = quick_mask(frame, box, others).astype(np.uint8)
    crop = person_crop(frame, box, None, CROP)
    return crop * cv2.resize(mask, CROP[::-1], interpolation=cv2.INTER_NEAREST)[..., None]


STAGE = Stage(
    name="track",
    version=VERSION,
    inputs=("shots", "detect"),
    compute=compute,
    weights=lambda config: (config.reid,),
    takes=TRACKS,
    spared=lambda config, carried: (config.reid,) if has(carried, TRACKS) else (),
)


@task(name="track", cache_policy=NO_CACHE, persist_result=False)
def track(batch: Batch, config: Config, env: Env) -> Batch:
    """One batch through this stage."""
    return STAGE.run(batch, config, env)

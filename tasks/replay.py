"""Crossing with its truth, our People -> a video of the two side by side, for the benchmark's page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from datasets.records import People, load_record
from datasets.video import VideoWriter
from tasks.batch import Env, Item, Stage
from tasks.clips import clip_of
from tasks.filming import ABOUT
from tasks.frames import FRAMES
from tasks.ops.beside_truth import draw_beside, picture_size
from tasks.score import held_at, ours_at

VERSION = 1
VIDEO, POSTER = "beside.mp4", "poster.jpg"


@dataclass(frozen=True, kw_only=True)
class Config:
    """How the video is made."""

    crf: int = 27  # for eyes


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Write beside.mp4 and poster.jpg: the frame in which most people are on the wrong body, or the middle one."""
    clip, path = clip_of(item)
    folder = item.folder("shots")
    truth = load_record(People, folder / "people.npz")
    onlookers = json.loads((folder / ABOUT).read_text())["audience"]
    ours, held = ours_at(item), held_at(item.folder("score_ours"))
    off = held.wrong.sum(0) if len(held.truth) else np.zeros(clip.frames, int)
    shown = int(off.argmax()) if off.any() else clip.frames // 2
    with VideoWriter(
        out / VIDEO, fps=clip.fps, size=picture_size(clip.size), crf=config.crf, gop=24, preset="superfast"
    ) as video:
        for t, frame in enumerate(FRAMES.read(path)):
            picture = draw_beside(frame, truth, onlookers, ours, held, t)
            video.write(picture)
            if t == shown:
                _write_jpeg(out / POSTER, picture)


STAGE = Stage(name="replay", version=VERSION, inputs=("shots", "refine", "score_ours"), compute=compute)
TURNED_AWAY = Stage(name="replay", version=VERSION, inputs=("shots", "score_ours"), compute=compute)


def _write_jpeg(path: Path, picture: np.ndarray) -> None:
    good, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not good:
        raise ValueError(f"{path.name}: cv2 could not encode a picture of {picture.shape} {picture.dtype}")
    path.write_bytes(data.tobytes())

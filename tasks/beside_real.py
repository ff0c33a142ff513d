"""Compared clip -> a video of both, for the bench's page: the real one, who drives; the other, who was found in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from datasets.records import People, load_record
from datasets.video import VideoWriter
from tasks.batch import Env, Item, Stage
from tasks.clips import clip_of
from tasks.coherence import held_in
from tasks.compare import PEOPLE, real_pictures
from tasks.compare import Config as CompareConfig
from tasks.frames import FRAMES
from tasks.ops.beside_truth import draw_beside, picture_size
from tasks.replay import POSTER, VIDEO
from tasks.score import ours_at

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is shown, and how fine."""

    compare: CompareConfig
    crf: int = 27  # for eyes


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Write beside.mp4, and poster.jpg: the frame in which most people are on the wrong body, or the middle one."""
    clip, path = clip_of(item)
    truth, ours, held = load_record(People, item.folder("shots") / PEOPLE), ours_at(item), held_in(item)
    off = held.wrong.sum(0) if len(held.truth) else np.zeros(clip.frames, int)
    shown = int(off.argmax()) if off.any() else clip.frames // 2
    real = real_pictures(item, replace(config.compare, size=clip.size))
    with VideoWriter(
        out / VIDEO, fps=clip.fps, size=picture_size(clip.size), crf=config.crf, gop=24, preset="superfast"
    ) as video:
        for t, (left, right) in enumerate(zip(real, FRAMES.read(path), strict=True)):
            picture = draw_beside(left, truth, (), ours, held, t, seen=right)
            video.write(picture)
            if t == shown:
                jpeg = [cv2.IMWRITE_JPEG_QUALITY, 82]
                good, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), jpeg)
                if not good:
                    raise ValueError(f"{POSTER}: cv2 could not encode a picture of {picture.shape} {picture.dtype}")
                (out / POSTER).write_bytes(data.tobytes())


STAGE = Stage(name="beside_real", version=VERSION, inputs=("shots", "refine", "coherence"), compute=compute)
NOBODY = Stage(name="beside_real", version=VERSION, inputs=("shots", "coherence"), compute=compute)

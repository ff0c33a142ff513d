"""Clip, People, Sample -> preview: a clip's panels as a video, a poster and a timeline, for the page to show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.records import Clip, People
from datasets.video import VideoWriter, read_frames
from tasks.batch import Batch, Env, Item, Stage
from tasks.clips import clip_of, people_of
from tasks.judge import sample_of
from tasks.ops.panels import Layout, draw_panels, lay_out
from tasks.ops.places import places_of
from tasks.ops.timeline_facts import timeline

VERSION = 3


@dataclass(frozen=True, kw_only=True)
class Config:
    """How much of a clip its preview shows."""

    max_fps: float = 30.0  # faster clips show every n-th frame
    crf: int = 27  # x264's constant rate factor: for eyes, not for training


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """preview.mp4, poster.jpg and timeline.json of one judged clip."""
    clip, video = clip_of(item)
    people = people_of(item)
    layout = lay_out(people.num_people, clip.size)
    step = max(1, -int(-clip.fps // Fraction(config.max_fps)))
    sample = sample_of(item)
    best = sample.reference_frame
    with VideoWriter(
        out / "preview.mp4",
        fps=clip.fps / step,
        size=layout.size,
        crf=config.crf,
        gop=24,
        preset="superfast",  # a third less of the stage's time for a quarter more bytes
    ) as preview:
        for t, picture in _pictures(clip, video, people, layout, step, best):
            if t % step == 0:
                preview.write(picture)
            if t == best:
                _write_jpeg(out / "poster.jpg", picture)
    facts = timeline(people, clip.fps) | {
        "fps": round(float(clip.fps / step), 4),
        "best": round(float(best / clip.fps), 3),
        "panels": {"columns": layout.columns, "rows": layout.rows, "names": list(layout.names)},
        "size": list(layout.size),
        "places": [
            {"people": [p + 1 for p in at.people], "frame": at.frame}
            for at in places_of(people, clip.fps, sample.reasons)
        ],
    }
    (out / "timeline.json").write_text(json.dumps(facts, sort_keys=True, separators=(",", ":")))


STAGE_FOOTAGE = Stage(name="report", version=VERSION, inputs=("shots", "refine", "identify", "judge"), compute=compute)
STAGE_MOTION = Stage(name="report", version=VERSION, inputs=("render", "judge"), compute=compute)


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(batch: Batch, config: Config, env: Env) -> Batch:
    """The batch's judged clips with their previews."""
    motion = any("render" in item.artifacts for item in batch.items)
    return (STAGE_MOTION if motion else STAGE_FOOTAGE).run(batch, config, env)


def _pictures(
    clip: Clip, video: Path, people: People, layout: Layout, step: int, best: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The panels of every `step`-th frame and of the best one."""
    for t, frame in enumerate(read_frames(video, frames=clip.frames, size=layout.panel)):
        if t % step == 0 or t == best:
            yield t, draw_panels(frame, people, t, layout)


def _write_jpeg(path: Path, picture: np.ndarray) -> None:
    good, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not good:
        raise ValueError(f"{path.name}: cv2 could not encode a picture of {picture.shape} {picture.dtype}")
    path.write_bytes(data.tobytes())

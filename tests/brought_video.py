"""A drawn video with files beside it that say exactly who is where, and the route over it stage by stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets.perception import Boxes
from datasets.perception_mot import write_mot
from datasets.records import People
from datasets.store import Store
from datasets.video import VideoWriter
from tasks import bind, bring, detect, identify, judge, pose, probe, refine, segment, shots, track
from tasks.batch import Batch, Env
from tests.draw_people import FPS, Figure, draw_clip

FIGURES = (
    Figure(start=(0.2, 0.95), stop=(0.75, 0.95), height=0.8),
    Figure(start=(0.8, 0.9), stop=(0.3, 0.9), height=0.75, shirt=(60, 90, 220)),
)
FRAMES, SIZE = 50, (96, 128)
# Clips of a second; nobody's kind is looked at, which needs a network.
ESTIMATOR = "rtmpose-m"  # of those that a test can make weights for
LOOKLESS = identify.Config(looks=0)


def drawn(folder: Path, *, frames: int = FRAMES, size: tuple[int, int] = SIZE, name: str = "two") -> People:
    """Two people who cross in NAME.mp4, with nothing beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    people, pictures = draw_clip(FIGURES, frames=frames, size=size)
    with VideoWriter(folder / f"{name}.mp4", fps=FPS, size=size) as writer:
        for picture in pictures:
            writer.write(picture)
    return people


def add_boxes(folder: Path, people: People, *, ids: bool = True, name: str = "two") -> None:
    """NAME.mot.txt."""
    t, p = np.nonzero(people.present.T)
    visible = people.visible[p, t]
    who = p + 1 if ids else np.full(len(p), -1)
    boxes = Boxes(
        frame=t.astype(np.int32), id=who.astype(np.int64), box=people.box[p, t], visible=visible,
        score=np.ones(len(t), np.float32), size=None,
    )  # fmt: skip
    (folder / f"{name}.mot.txt").write_text(write_mot(boxes, visible >= 0.1))


def add_keypoints(
    folder: Path, people: People, *, ids: bool = True, frames: Sequence[int] | None = None, name: str = "two"
) -> None:
    """NAME.keypoints.json."""
    wanted = range(people.num_frames) if frames is None else frames
    images = [{"id": t, "frame_id": t} for t in wanted]
    rows: list[dict[str, Any]] = []
    for t in wanted:
        for p in range(people.num_people):
            joints = np.concatenate([people.keypoint[p, t], people.flag[p, t][:, None]], axis=1)
            row = {"image_id": t, "keypoints": joints.astype(float).ravel().tolist()}
            rows.append(row | {"keypoint_scores": people.score[p, t].astype(float).tolist()})
            if ids:
                rows[-1]["track_id"] = p + 1
    (folder / f"{name}.keypoints.json").write_text(json.dumps({"images": images, "annotations": rows}))


def add_masks(
    folder: Path, people: People, *, frames: Sequence[int] | None = None, names: Sequence[str] = (), name: str = "two"
) -> None:
    """NAME.masks/."""
    for p in range(people.num_people):
        person = folder / f"{name}.masks" / (names[p] if names else f"{p + 1:02d}")
        person.mkdir(parents=True, exist_ok=True)
        for t in range(people.num_frames) if frames is None else frames:
            Image.fromarray(people.mask_at(p, t)).save(person / f"{t:05d}.png")


@dataclass(frozen=True)
class Route:
    """The stages from probe on, with a store and the weights of a folder."""

    place: Path
    weights: Path | None = None
    max_s: float = 10.0
    max_side: int | None = None

    def run(self, *videos: Path, until: str = "judge") -> Batch:
        """The videos' clips after a stage."""
        none = self.place / "no weights"
        none.mkdir(exist_ok=True)
        env = Env(store=Store(str(self.place / "store")), weights=str(self.weights or none), download=False)
        batch = Batch(items=tuple(probe.source_item(video, video.name, env.store) for video in videos))
        batch = probe.probe.fn(batch, probe.Config(), env)
        batch = bring.bring.fn(batch, bring.Config(), env)
        if until == "bring":
            return batch
        cut = shots.Config(min_s=0.1, max_s=self.max_s, max_side=self.max_side, crf=10)
        batch = shots.shots.fn(batch, cut, env)
        for stage in (detect, track, pose, segment, bind, refine):
            config = pose.Config(estimator=ESTIMATOR) if stage is pose else stage.Config()
            batch = stage.STAGE.run(batch, config, env)
            if until == stage.STAGE.name:
                return batch
        batch = identify.identify.fn(batch, LOOKLESS, env)
        return judge.judge.fn(batch, judge.Config(), env)


def costs(batch: Batch) -> dict[str, int]:
    """Stage -> how many items it ran on."""
    out: dict[str, int] = {}
    for cost in batch.costs:
        out[cost.stage] = out.get(cost.stage, 0) + cost.ran
    return out

"""Clip, People -> Faces: where everyone's face is and whose, as it ships in face.npz. Off unless networks are named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.faces import FACE, encode_faces
from datasets.records import FACE_WIDTH
from tasks.backends.table import FACE_READER, face_reader
from tasks.batch import Batch, Env, Item, Stage
from tasks.clips import clip_of, people_of
from tasks.detect import where
from tasks.frames import FRAMES
from tasks.ops.face_owner import FaceLook, faces_of

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Whether faces are looked for, and which count."""

    # buffalo-l: InsightFace's SCRFD-10G and ArcFace-R50, for non-commercial research only.
    networks: Literal["none", "buffalo-l"] = "none"
    score: float = 0.5  # a detection below this is no face
    least_side: int = 24  # pixels of a face's shorter side below which it is found, but not told from others

    def __post_init__(self) -> None:
        if not 0 < self.score < 1:
            raise ValueError(f"face.score: want a score within 0 .. 1, got {self.score}")
        if self.least_side < 1:
            raise ValueError(f"face.least_side: want 1 pixel or more, got {self.least_side}")


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Look at every frame of one clip: face.npz, as it ships."""
    _, video = clip_of(item)
    people = people_of(item)
    detector, recogniser = face_reader(where(env))
    looks = []
    for frame in FRAMES.read(video, people.num_frames):
        found = detector.find(frame, score_threshold=config.score)
        clear = (found.box[:, 2:] - found.box[:, :2]).min(axis=1, initial=np.inf) >= config.least_side
        vector = np.zeros((len(clear), FACE_WIDTH), np.float32)
        vector[clear] = recogniser.embed(frame, found.landmark[clear])
        looks.append(FaceLook(box=found.box, score=found.score, vector=vector))
    (out / FACE).write_bytes(encode_faces(faces_of(looks, people)))


STAGE = Stage(
    name="face",
    version=VERSION,
    inputs=("shots", "refine"),
    compute=compute,
    weights=lambda config: FACE_READER if config.networks != "none" else (),
)


@task(name="face", cache_policy=NO_CACHE, persist_result=False)
def face(batch: Batch, config: Config, env: Env) -> Batch:
    """One batch through this stage; as it was where no networks are named."""
    return batch if config.networks == "none" else STAGE.run(batch, config, env)

"""Clip, People -> People: masks and poses again, now that it is known who is who."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.records import People, load_record, save_record
from tasks.batch import Batch, Env, Item, Stage
from tasks.brought import KEYPOINTS, MASKS, has
from tasks.clips import clip_of, words_on
from tasks.detect import where
from tasks.frames import FRAMES
from tasks.ops.corrections import REFINED, heed
from tasks.ops.steady import smooth_people
from tasks.segment import Sam2Name

VERSION = 1
# Why a person's words no longer fit, where any were said.
MISFITS = "misfits.json"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is done again with the identities known."""

    # light: everyone's masks, by colours, shape and flow; sam2: those of contacts; keep: the first pass's stay
    masks: Literal["light", "sam2", "keep"] = "light"
    sam2: Sam2Name = "sam2.1-hiera-large"
    image_size: int = 1024  # sam2: the square that frames are brought to, a multiple of 32
    smooth: bool = True  # poses are steadied: exchanged sides, jumps, tremble

    def __post_init__(self) -> None:
        if self.image_size < 64 or self.image_size % 32:
            raise ValueError(f"refine.image_size: want a multiple of 32, at least 64, got {self.image_size}")


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """One clip's people, made better; who they are is bind's word, or a person's. What was brought stands."""
    people = load_record(People, item.folder("bind") / "people.npz")
    words = [word for word in words_on(item) if word.word in REFINED]
    if words:
        people, misfits = heed(people, words)
        (out / MISFITS).write_text(json.dumps(misfits))
    people = _masked(item, people, config, env)
    if config.smooth and not has(item.artifacts, KEYPOINTS):
        people = smooth_people(people, fps=clip_of(item)[0].fps)
    save_record(people, out / "people.npz")


def _masked(item: Item, people: People, config: Config, env: Env) -> People:
    """Masks again; those that came with the source stand."""
    clip, path = clip_of(item)
    if config.masks == "keep" or not people.num_people or has(item.artifacts, MASKS):
        return people
    if config.masks == "sam2":
        from tasks.backends.sam2 import predictor
        from tasks.backends.sam2_identities import Sam2Identities

        place = where(env)
        model = predictor(config.sam2, config.image_size, place.path(config.sam2), place.device, place.threads)
        return Sam2Identities(model=model, fps=float(clip.fps)).refine(path, people)
    from tasks.backends.identity_masks import MaskRules, identity_masks

    return identity_masks(FRAMES.read(path), people, fps=float(clip.fps), rules=MaskRules())


def misfits_of(item: Item) -> list[str]:
    """Why swaps and drops that were said of a clip no longer fit it."""
    path = item.folder("refine") / MISFITS if "refine" in item.artifacts else None
    return json.loads(path.read_text()) if path is not None and path.is_file() else []


def _weights(config: Config) -> tuple[str, ...]:
    return (config.sam2,) if config.masks == "sam2" else ()


STAGE = Stage(
    name="refine",
    version=VERSION,
    inputs=("shots", "bind"),
    compute=compute,
    weights=_weights,
    heeds=REFINED,
    takes=(*KEYPOINTS, *MASKS),
    spared=lambda config, carried: _weights(config) if has(carried, MASKS) else (),
)


@task(name="refine", cache_policy=NO_CACHE, persist_result=False)
def refine(batch: Batch, config: Config, env: Env) -> Batch:
    """One batch through this stage."""
    return STAGE.run(batch, config, env)

"""Clip, People -> People: masks and poses again, now that it is known who is who; and whether the masks agree."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.records import CameraMotion, People, Tracklets, load_record, save_record
from tasks.backends.repose import repose
from tasks.backends.table import PoseName, estimator
from tasks.batch import Batch, Env, Item, Stage
from tasks.brought import KEYPOINTS, MASKS, TRACKS, boxes_stand, has
from tasks.clips import clip_of, clip_record, words_on
from tasks.detect import where
from tasks.frames import FRAMES
from tasks.ops.camera_motion import to_first_frame
from tasks.ops.colour_doubt import weigh_colours
from tasks.ops.corrections import REFINED, heed
from tasks.ops.dropped import dropped, first_of, with_rivals
from tasks.ops.mask_colours import mask_colours
from tasks.ops.own_boxes import boxes_as_found, expected_boxes, own_rows, settle_boxes
from tasks.ops.own_boxes_in_contact import contact_boxes
from tasks.ops.repair import repair
from tasks.ops.steady import smooth_people
from tasks.segment import Sam2Name

VERSION = 22
# Why a person's words no longer fit, where any were said.
MISFITS = "misfits.json"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is done again with the identities known."""

    repair: bool = True  # what broke in time is put back: brought ids that changed hands, poses on another body, ghosts

    # light: everyone's masks, by colours, shape and flow; sam2: those of contacts; keep: the first pass's stay
    masks: Literal["light", "sam2", "keep"] = "light"
    sam2: Sam2Name = "sam2.1-hiera-large"
    image_size: int = 1024  # sam2: the square that frames are brought to, a multiple of 32
    # Poses of contacts are estimated again with everyone else painted over; none: they stay. As pose.estimator.
    estimator: PoseName | None = "movenet-lightning"
    smooth: bool = True  # poses are steadied: exchanged sides, jumps, tremble

    # The colours of the masks are heard on who is who: they answer bind's doubts, and raise others.
    colours: bool = True
    doubt: float = 0.7  # confidence below which a doubt is told, as bind.doubt

    def __post_init__(self) -> None:
        if not 0 <= self.doubt <= 1:
            raise ValueError(f"refine.doubt: want a confidence, 0 to 1, got {self.doubt}")
        if self.image_size < 64 or self.image_size % 32:
            raise ValueError(f"refine.image_size: want a multiple of 32, at least 64, got {self.image_size}")


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """One clip's people, made better; who they are is bind's word, or a person's. What was brought stands."""
    people = load_record(People, item.folder("bind") / "people.npz")
    if config.repair:
        # Bind weighed looks too, and the whole clip: only ids that came from outside are looked into for exchanges.
        settled = None if has(item.artifacts, TRACKS) else np.ones(people.num_frames, bool)
        # Masks that are made again need none of their bleeding mended; the first ones, and brought ones, do.
        stay = config.masks == "keep" or has(item.artifacts, MASKS)
        people, _ = repair(people, fps=float(clip_record(item).fps), settled=settled, masks=stay)
    words = [word for word in words_on(item) if word.word in REFINED]
    gone = dropped(people, words)
    if words:
        people, misfits = heed(people, words)
        (out / MISFITS).write_text(json.dumps(misfits, sort_keys=True))
    count = people.num_people
    made = first_of(_made_again(item, with_rivals(people, gone), config, env), count)
    if config.colours and count > 1:
        # Where a person has said who is who, colours contradict nobody.
        made = _heard(item, made, config.doubt, lower=all(word.word != "swap" for word in words))
    save_record(made, out / "people.npz")


def _made_again(item: Item, people: People, config: Config, env: Env) -> People:
    """Masks, poses and boxes, all but what was brought."""
    found, to_first = _tracked(item)
    brought = own_rows(people, found) if boxes_stand(item) else None
    people = _masked(item, people, found, to_first, config, env)
    if not has(item.artifacts, KEYPOINTS):
        people = _posed(item, people, config, env)
    if config.masks != "keep" and not has(item.artifacts, MASKS):
        # From all frames, as the masks were: with nothing made again, a word about some frames changes those alone.
        people = contact_boxes(people, found, to_first, fps=float(clip_record(item).fps))
    return people if brought is None else boxes_as_found(people, found, brought)


def _heard(item: Item, people: People, doubt: float, *, lower: bool) -> People:
    """Confidence and doubts, with the colours of the masks heard."""
    clip, path = clip_of(item)
    colours = mask_colours(people, FRAMES.read(path), fps=float(clip.fps))
    return weigh_colours(people, colours, fps=float(clip.fps), doubt=doubt, lower=lower)


def _masked(item: Item, people: People, found: Tracklets, to_first: np.ndarray, config: Config, env: Env) -> People:
    """Masks again, and the boxes that go with them; masks that came with the source stand, with their boxes."""
    if not people.num_people or has(item.artifacts, MASKS):
        return people
    rows = own_rows(people, found)
    expected = expected_boxes(found, rows, to_first)
    again = people if config.masks == "keep" else _cut_again(item, people, config, env)
    return settle_boxes(again, found, rows, expected)


def _tracked(item: Item) -> tuple[Tracklets, np.ndarray]:
    """The boxes that were found, and the camera's way (T, 2, 3) back to the first frame."""
    camera = load_record(CameraMotion, item.folder("track") / "camera.npz")
    found = load_record(Tracklets, item.folder("track") / "tracklets.npz")
    return found, to_first_frame(camera.step.astype(np.float64))


def _cut_again(item: Item, people: People, config: Config, env: Env) -> People:
    clip, path = clip_of(item)
    if config.masks == "sam2":
        from tasks.backends.sam2 import predictor
        from tasks.backends.sam2_identities import Sam2Identities

        place = where(env)
        model = predictor(config.sam2, config.image_size, place.path(config.sam2), place.device, place.threads)
        return Sam2Identities(model=model, fps=float(clip.fps)).refine(path, people)
    from tasks.backends.identity_masks import MaskRules, identity_masks

    return identity_masks(FRAMES.read(path), people, fps=float(clip.fps), rules=MaskRules())


def _posed(item: Item, people: People, config: Config, env: Env) -> People:
    """Poses of contacts again, and all of them steadied."""
    clip, path = clip_of(item)
    if config.estimator is not None and people.num_people:
        network = estimator(config.estimator, where(env))
        people = repose(people, FRAMES.read(path), network, fps=clip.fps)
    return smooth_people(people, fps=clip.fps) if config.smooth else people


def misfits_of(item: Item) -> dict[str, str]:
    """Id -> why for swaps and drops that were said of a clip and no longer fit it."""
    path = item.folder("refine") / MISFITS if "refine" in item.artifacts else None
    return json.loads(path.read_text()) if path is not None and path.is_file() else {}


def _masking(config: Config) -> tuple[str, ...]:
    return (config.sam2,) if config.masks == "sam2" else ()


def _posing(config: Config) -> tuple[str, ...]:
    return (config.estimator,) if config.estimator is not None else ()


def _spared(config: Config, carried: Collection[str]) -> tuple[str, ...]:
    """Weights that are not used where masks or keypoints came with the source."""
    masks = _masking(config) if has(carried, MASKS) else ()
    return (*masks, *(_posing(config) if has(carried, KEYPOINTS) else ()))


STAGE = Stage(
    name="refine",
    version=VERSION,
    inputs=("shots", "track", "bind"),
    compute=compute,
    weights=lambda config: (*_masking(config), *_posing(config)),
    heeds=REFINED,
    takes=(*TRACKS, *KEYPOINTS, *MASKS),
    spared=_spared,
)


@task(name="refine", cache_policy=NO_CACHE, persist_result=False)
def refine(batch: Batch, config: Config, env: Env) -> Batch:
    """One batch through this stage."""
    return STAGE.run(batch, config, env)

"""Item -> Clip, People, Cast: one way to open what either route made."""

from __future__ import annotations

from pathlib import Path

from datasets.corrections import Correction, clip_digest
from datasets.records import Cast, Clip, People, load_record
from tasks.batch import Item


def clip_of(item: Item) -> tuple[Clip, Path]:
    """The item's clip and the path of its H.264 file, whichever route cut or rendered it."""
    if "render" in item.artifacts:
        folder, name = item.folder("render"), "clip"
    else:
        folder, name = item.folder("shots"), item.part
    return load_record(Clip, folder / f"{name}.npz"), folder / f"{name}.mp4"


def people_of(item: Item) -> People:
    """The item's people: exact from `render`, estimated by `bind` and `refine`."""
    stage = "render" if "render" in item.artifacts else "refine"
    return load_record(People, item.folder(stage) / "people.npz")


def cast_of(item: Item) -> Cast:
    """What and who the item's people are: known to `render`, judged by `identify`."""
    stage = "render" if "render" in item.artifacts else "identify"
    return load_record(Cast, item.folder(stage) / "cast.npz")


def words_on(item: Item) -> tuple[Correction, ...]:
    """What a person said of this very clip: words on another cut of the same footage are left out."""
    if not item.words:
        return ()
    digest = clip_digest(clip_of(item)[0])
    return tuple(word for word in item.words if word.clip == digest)

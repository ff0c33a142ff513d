"""Item -> Clip, People, Cast: one way to open what either route made."""

from __future__ import annotations

from pathlib import Path

from datasets.corrections import Correction, clip_digest
from datasets.records import Cast, Clip, People, load_record
from tasks.batch import Item


def clip_of(item: Item) -> tuple[Clip, Path]:
    """The item's clip and the path of its H.264 file, whichever route cut or rendered it."""
    stage, name = _clip(item)
    return clip_record(item), item.file(stage, f"{name}.mp4")


def clip_record(item: Item) -> Clip:
    """The item's clip alone."""
    stage, name = _clip(item)
    return load_record(Clip, item.file(stage, f"{name}.npz"))


def clip_bytes(item: Item) -> int:
    """Bytes of the clip's H.264 file."""
    stage, name = _clip(item)
    size = item.size(stage, f"{name}.mp4")
    if size is None:
        raise FileNotFoundError(f"{item.key}: want {name}.mp4 among its artifacts, got none")
    return size


def people_of(item: Item) -> People:
    """The item's people: exact from `render`, estimated by `bind` and `refine`."""
    return load_record(People, item.file(people_stage(item), "people.npz"))


def people_stage(item: Item) -> str:
    """The stage whose people an item ships."""
    return "render" if "render" in item.artifacts else "refine"


def cast_of(item: Item) -> Cast:
    """What and who the item's people are: known to `render`, judged by `identify`."""
    stage = "render" if "render" in item.artifacts else "identify"
    return load_record(Cast, item.file(stage, "cast.npz"))


def _clip(item: Item) -> tuple[str, str]:
    """The stage that made the item's clip, and the stem of its files."""
    return ("render", "clip") if "render" in item.artifacts else ("shots", item.part)


def words_on(item: Item) -> tuple[Correction, ...]:
    """What a person said of this very clip: words on another cut of the same footage are left out."""
    if not item.words:
        return ()
    digest = clip_digest(clip_record(item))
    return tuple(word for word in item.words if word.clip == digest)

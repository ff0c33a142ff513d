"""Item -> Shipped, Bundle: what a judged item, of either route, puts into a shard."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from datasets.faces import FACE
from datasets.index import about_row
from datasets.members import FORMAT, OPTIONAL, Bundle, legal_key
from datasets.records import Clip, Motion, Sample, load_record
from datasets.store import content_key
from tasks.batch import Item
from tasks.clips import cast_of, clip_bytes, clip_of, clip_record, people_of, people_stage
from tasks.ops import shard_plan

VERSION = FORMAT
# How a sample's provenance names the weights that it was made with.
_WEIGHTS = "weights."


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A judged item and what the plan and the tables need to know of it."""

    item: Item
    entry: shard_plan.Entry
    row: dict[str, Any]  # its row of index.parquet, without shard, offset and size
    scores: dict[str, float]
    weights: dict[str, str]  # name -> sha256


def bundle_of(item: Item) -> Bundle:
    """All that a judged item ships, from either route."""
    clip, video = clip_of(item)
    return Bundle(
        clip=clip,
        people=people_of(item),
        cast=cast_of(item),
        sample=load_record(Sample, item.file("judge", "sample.npz")),
        video=video.read_bytes(),
        reference=item.file("judge", "ref.png").read_bytes(),
        extra={name: item.file(stage, name).read_bytes() for stage, name in _optional(item)},
    )


def ship(item: Item) -> Shipped:
    """What there is to know of a judged item before its shard is written; reads only its small records.

    Raises ValueError or OSError for an artifact that is not what it should be.
    """
    legal_key(item.key)
    clip, cast = clip_record(item), cast_of(item)
    sample = load_record(Sample, item.file("judge", "sample.npz"))
    if not item.key == clip.key == sample.key:
        raise ValueError(f"want one key, got {item.key}, {clip.key} (clip) and {sample.key} (sample)")
    parts = _parts(item, clip)
    entry = shard_plan.Entry(
        key=item.key, digest=_digest(item), bytes=_bytes(item), verdict=sample.verdict, split="train"
    )
    return Shipped(
        item=item,
        entry=entry,
        row={**about_row(clip, cast, sample), "parts": parts},
        scores=dict(sample.scores),
        weights={n.removeprefix(_WEIGHTS): d for n, d in sample.provenance.items() if n.startswith(_WEIGHTS)},
    )


def _stages(item: Item) -> tuple[str, ...]:
    if "render" in item.artifacts:
        return ("render", "judge")
    return ("shots", "refine", "identify", *(["face"] if "face" in item.artifacts else []), "judge")


def _optional(item: Item) -> list[tuple[str, str]]:
    """Stage and name of the sample's optional members: what was rendered, or the faces looked for in footage."""
    if "render" in item.artifacts:
        files = [("render", name) for name in OPTIONAL]
    else:
        files = [("face", FACE)] if "face" in item.artifacts else []
    return [(stage, name) for stage, name in files if item.size(stage, name) is not None]


def _digest(item: Item) -> str:
    """What a sample's bytes are made from: the content keys of the artifacts they are read from, and its names."""
    inputs = [f"{name}={item.artifacts[name].key}" for name in _stages(item)]
    return content_key("shard", VERSION, {}, [item.key, item.source, item.part, *inputs], {})


def _bytes(item: Item) -> int:
    """About what a sample weighs in its shard."""
    members = [(people_stage(item), "people.npz"), ("judge", "ref.png"), *_optional(item)]
    sizes = {name: item.size(stage, name) for stage, name in members}
    missing = [name for name, size in sizes.items() if size is None]
    if missing:
        raise FileNotFoundError(f"{item.key}: want {missing[0]} among its artifacts, got none")
    return clip_bytes(item) + sum(size or 0 for size in sizes.values())


def _parts(item: Item, clip: Clip) -> tuple[str, ...]:
    """The files that must not be seen in two splits: a clip's source, or every motion of a scene."""
    motions = sorted(name for name in item.artifacts if re.fullmatch(r"motion\.[0-9]+", name))
    shas = {load_record(Motion, item.file(name, "motion.npz")).sha256 for name in motions}
    return tuple(sorted(shas or {clip.sha256}))

"""A clip that training does not see -> a video of what the network makes of it so far, beside the truth."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from datasets.members import ShardError
from datasets.sample_list import Ref, list_samples
from model.clips import clip_example
from model.config import RunConfig
from model.pipeline import TogetherVideoPipeline
from model.side_by_side import columns_of, write_side_by_side

log = logging.getLogger("duetflow")

# Where the clip is looked for, the unseen ones first.
_SPLITS = ("val", "test", None)
STEPS, SEED = 20, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The clip that every sample video of a run shows."""

    key: str
    example: dict[str, Any]


def choose_clip(shards: str | Path, config: RunConfig) -> Shown | None:
    """The middle of the first clip that can be read, `network.frames` long; None, and said, where none can."""
    train, frames = config.train, config.network.frames
    stride = sum(train.stride) // 2
    for ref in _candidates(str(shards), (frames - 1) * train.stride[0] + 1):
        fits = max(1, min(stride, (ref.frames - 1) // max(1, frames - 1)))
        start = (ref.frames - 1 - (frames - 1) * fits) // 2
        try:
            example = clip_example(
                shards, ref.key, size=config.network.size, frames=frames, stride=fits, start=start,
            )  # fmt: skip
        except ShardError as error:
            log.warning("no sample videos of a damaged clip: %s", error)
            continue
        return Shown(key=ref.key, example=example)
    log.warning("no sample videos: want a clip of %d frames or more that can be read, got none", frames)
    return None


def write_sample(pipeline: TogetherVideoPipeline, shown: Shown, path: Path) -> None:
    """A side-by-side video: reference, poses and masks, generated, truth. The noise is the same each time."""
    noise = torch.Generator().manual_seed(SEED)
    frames = pipeline(shown.example, steps=STEPS, generator=noise).frames
    write_side_by_side(path, columns_of(shown.example, frames[0]), float(shown.example["fps"]))


def _candidates(shards: str, frames: int) -> Iterator[Ref]:
    """Clips that are long enough, each split's in turn."""
    for split in _SPLITS:
        try:
            refs = list_samples(shards, split=split, include_review=False)
        except ShardError:  # no such split; the last of them is all that there is
            if split is None:
                raise
            continue
        yield from (ref for ref in refs if ref.frames >= frames)

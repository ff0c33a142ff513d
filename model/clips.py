"""A shard's clip -> one example of all its frames in order: what is generated from, and what the outcome is held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from datasets.members import ShardError, decode_about, decode_json
from datasets.sample_list import Ref, list_samples
from datasets.shards import read_sample
from datasets.stream import ShardStream
from datasets.view import Fit
from model.windows import example

Source = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFacts:
    """What a sample's json says that its frames do not."""

    frames: int
    fps: Fraction
    reference_frame: int  # the frame of ref.png, in which everyone is best seen


def clip_example(
    source: Source,
    key: str,
    *,
    size: tuple[int, int],
    frames: int | None = None,
    stride: int = 1,
    start: int = 0,
    reference: int | None = None,
    fit: Fit = "crop",
) -> dict[str, Any]:
    """A clip of a dataset as one example of T frames, with the names and shapes of model.windows.example.

    People stand in the sample's own order, nothing is mirrored. `frames` None takes all from `start` on, `stride`
    apart; `reference` is the frame of the clip that is the reference image, None the sample's own (that of ref.png),
    whether the example shows it or not. Raises ValueError for a key or frames that are not there, ShardError for
    damage.
    """
    return example(
        clip_sample(source, key, size=size, frames=frames, stride=stride, start=start, reference=reference, fit=fit)
    )


def clip_sample(
    source: Source,
    key: str,
    *,
    size: tuple[int, int],
    frames: int | None = None,
    stride: int = 1,
    start: int = 0,
    reference: int | None = None,
    fit: Fit = "crop",
) -> dict[str, Any]:
    """`clip_example` before it is drawn: what the stream gives, coordinates and masks, the reference frame last."""
    stream, ref = find_clip(source, key, size=size, fit=fit)
    facts = sample_facts(ref)
    shown = _shown(key, facts.frames, frames=frames, stride=stride, start=start)
    at = facts.reference_frame if reference is None else reference
    if not 0 <= at < facts.frames:
        raise ValueError(f"{key}: want a reference frame within 0..{facts.frames - 1}, got {at}")
    return stream.read(ref, np.append(shown, at))


def find_clip(source: Source, key: str, *, size: tuple[int, int], fit: Fit = "crop") -> tuple[ShardStream, Ref]:
    """Where a sample lies, in whatever split or review, and what reads it. Raises ValueError that names other keys."""
    stream = ShardStream(source, split=None, include_review=True, window=1, size=size, fit=fit, faces=True)
    try:
        return stream, stream.find(key)
    except KeyError:
        near = sorted(ref.key for ref in stream.refs)
        raise ValueError(
            f"{key}: want the key of a sample in {source}, got none of that name; there are {len(near)}, such as "
            f"{', '.join(near[:3])}"
        ) from None


def only_key(source: Source) -> str:
    """The key of a dataset that holds one sample. Raises ValueError, with keys, when it holds more."""
    keys = sorted(ref.key for ref in list_samples(_address(source), split=None, include_review=True))
    if len(keys) != 1:
        raise ValueError(
            f"{source}: want a key, got none and {len(keys)} samples; there are {', '.join(keys[:3])}, ..."
        )
    return keys[0]


def sample_facts(ref: Ref) -> SampleFacts:
    """What a sample's json says. Raises ShardError that names shard and sample."""
    try:
        with fsspec.open(ref.shard, "rb") as file:
            members = read_sample(file, ref.key, ref.offset, ref.size, ["json"])
        clip, _, sample, *_ = decode_about(decode_json(members))
    except (ShardError, OSError) as error:
        raise ShardError(f"{ref.shard}: {ref.key}: {error}") from error
    return SampleFacts(frames=clip.frames, fps=clip.fps, reference_frame=sample.reference_frame)


def window_fps(fps: float) -> Fraction:
    """The rate of a video file for frames `fps` a second, as broadcasters write it.

    >>> window_fps(float(np.float32(30000 / 1001))), window_fps(7.5)
    (Fraction(30000, 1001), Fraction(15, 2))
    """
    return Fraction(fps).limit_denominator(1001)


def _address(source: Source) -> str | list[str]:
    return str(source) if isinstance(source, str | Path) else [str(one) for one in source]


def _shown(key: str, length: int, *, frames: int | None, stride: int, start: int) -> np.ndarray:
    """The frames of the clip that the example shows, (T,) int64."""
    if stride < 1:
        raise ValueError(f"stride: want 1 or more, got {stride}")
    if not 0 <= start < length:
        raise ValueError(f"{key}: want a start within 0..{length - 1}, got {start}")
    most = len(range(start, length, stride))
    count = most if frames is None else frames
    if not 1 <= count <= most:
        raise ValueError(f"{key}: want 1..{most} frames (from {start} on, stride {stride}), got {frames}")
    return start + np.arange(count, dtype=np.int64) * stride

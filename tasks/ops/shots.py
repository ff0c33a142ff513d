"""Cuts and brightness -> the pieces of a video that become clips, a reason for each that does not, and sample keys."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# The longest slug; keys are file names inside tars and must stay far from any limit.
_SLUG = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Frames [start, start + frames) of a source."""

    start: int
    frames: int
    reason: str = ""  # why it is dropped; empty for one that becomes a clip


def plan_pieces(
    cuts: Sequence[int], level: np.ndarray, fps: Fraction, *, min_s: float, max_s: float, fade_level: float
) -> tuple[Piece, ...]:
    """Every frame of the video in exactly one piece, ascending: clips of min_s to max_s seconds, and what is dropped.

    `cuts` are the frames at which shots begin, `level` (T,) the mean level of each frame. A shot longer than max_s is
    split evenly; where even parts would be shorter than min_s, parts of max_s come first and the rest is dropped.
    """
    bounds = [0, *(cut for cut in cuts if 0 < cut < len(level)), len(level)]
    longest = max(1, math.floor(max_s * fps + 1e-6))
    shortest = max(1, math.ceil(min_s * fps - 1e-6))
    pieces: list[Piece] = []
    for start, stop in itertools.pairwise(bounds):
        brightest = float(level[start:stop].max()) if stop > start else 0.0
        if stop > start and brightest < fade_level:
            reason = f"black: want a mean level of {fade_level:g} or more, got {brightest:.2f} at most"
            pieces.append(Piece(start=start, frames=stop - start, reason=reason))
            continue
        for begin, frames in _split(start, stop - start, shortest, longest):
            got_s = float(frames / fps)
            short = f"too short: want {min_s:g} s or more, got {got_s:.2f} s" if frames < shortest else ""
            pieces.append(Piece(start=begin, frames=frames, reason=short))
    return tuple(pieces)


def _split(start: int, frames: int, shortest: int, longest: int) -> list[tuple[int, int]]:
    parts = math.ceil(frames / longest)
    if parts > 1 and frames // parts < shortest:
        sizes = [longest] * (parts - 1) + [frames - longest * (parts - 1)]
    else:
        sizes = [frames * (i + 1) // parts - frames * i // parts for i in range(parts)]
    starts = np.cumsum([start, *sizes])
    return [(int(begin), size) for begin, size in zip(starts, sizes, strict=False)]


def slug(source: str) -> str:
    """A source's file name without folders and ending, as [a-z0-9_-].

    >>> slug("Tänze 2024/Pas de deux.final.MP4")
    'pas_de_deux_final'
    """
    stem = re.split(r"[/\\]", source)[-1].rpartition(".")
    name = stem[0] or stem[2]
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9-]+", "_", plain).strip("_-")[:_SLUG].rstrip("_-") or "source"


def sample_key(source: str, sha256: str, start: int) -> str:
    """The key of the sample that starts at this frame: slug of the source, 8 digits of its sha256, start frame.

    >>> sample_key("a/b c.mp4", "0123456789abcdef", 90)
    'b_c-01234567-00000090'
    """
    return f"{slug(source)}-{sha256[:8]}-{start:08d}"

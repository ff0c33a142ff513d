"""Frames, boxes -> Looks: how sharp each person is, which frames stand still, and where everyone is best seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from datasets.records import VISIBLE, People
from tasks.ops.scores import SEEN

# Frames are compared on this many rows of cells: averaging over a cell hides what re-encoding changes.
_CELLS = 90
# Grey levels by which at least one cell changes when anything moves; re-encoded copies of a frame stay below it.
_STILL = 3.0
# People are brought to this height before sharpness is taken, so that it means the same near and far.
_PERSON = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looks:
    """What the pictures of a clip say of its people."""

    sharpness: np.ndarray  # (P, T) float32  edge energy over contrast; NaN where nobody was seen
    still: np.ndarray  # (T,)   bool     equal to the frame before


def look(frames: Iterable[np.ndarray], people: People) -> Looks:
    """Look once at every frame (h, w, 3) RGB of the clip, at any scale. Raises ValueError when their number is off."""
    count, total = people.present.shape
    sharpness, still = np.full((count, total), np.nan, np.float32), np.zeros(total, bool)
    before: np.ndarray | None = None
    t = -1
    for t, frame in enumerate(frames):
        if t >= total:
            break
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        cells = cv2.resize(
            gray, (max(1, _CELLS * gray.shape[1] // gray.shape[0]), _CELLS), interpolation=cv2.INTER_AREA
        )
        still[t] = before is not None and float(cv2.absdiff(cells, before).max()) <= _STILL
        before = cells
        scale = gray.shape[0] / people.mask.size[0]
        for p in np.flatnonzero(people.present[:, t] & (people.visible[:, t] >= SEEN)):
            sharpness[p, t] = _sharpness(gray, people.box[p, t] * scale)
    if t + 1 != total:
        raise ValueError(f"looks: want {total} frames as the people have, got {'more' if t >= total else t + 1}")
    return Looks(sharpness=sharpness, still=still)


def reference_frame(people: People, sharpness: np.ndarray) -> int:
    """The frame in which everyone is best seen: it will be the one picture that shows who is who.

    A frame with more people wins. Among those, the person seen worst decides: visible area against that person's own
    largest, less for boxes that overlap, faces turned away, blur and doubt.
    """
    seen = people.present & (people.visible >= SEEN)
    if not seen.any():
        return people.num_frames // 2
    # People seen only for a moment must not decide where the others are shown.
    steady = seen.mean(axis=1) >= 0.25
    who = np.flatnonzero(steady if steady.any() else seen.any(axis=1))
    area = people.mask.areas().reshape(seen.shape)[who].astype(float)
    largest = np.array(
        [np.percentile(row[at], 95) if at.any() else 1.0 for row, at in zip(area, seen[who], strict=True)]
    )
    size = np.minimum(1, area / np.maximum(largest, 1)[:, None])
    whole = size * people.visible[who] * (0.25 + 0.75 * people.confidence[who]) * (0.5 + 0.5 * _face(people)[who])
    sharp = np.nan_to_num(sharpness[who])
    crisp = sharp / np.maximum(sharp.max(axis=1, keepdims=True), 1e-6)
    value = np.where(seen[who], whole * (0.5 + 0.5 * crisp), 0)
    worst = np.where(seen[who], value, np.inf).min(axis=0)
    apart = 1 - 0.5 * _overlap(people, who)
    rank = seen[who].sum(axis=0) * 10 + np.where(np.isfinite(worst), worst, 0) * apart
    return int(np.argmax(rank))


def _sharpness(gray: np.ndarray, box: np.ndarray) -> float:
    """Variance of the Laplacian over the variance of the grey: Pech-Pacheco et al. 2000, made blind to contrast."""
    x0, y0, x1, y1 = np.round(box).astype(int)
    part = gray[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    if min(part.shape) < 8:
        return float("nan")
    if part.shape[0] > _PERSON:
        width = max(8, round(part.shape[1] * _PERSON / part.shape[0]))
        part = cv2.resize(part, (width, _PERSON), interpolation=cv2.INTER_AREA)
    edges = cv2.Laplacian(part, cv2.CV_32F)
    return float(edges.var() / (part.var() + 4.0))


def _face(people: People) -> np.ndarray:
    """How well nose and eyes are seen, (P, T) 0..1."""
    return np.where(people.flag[:, :, :3] == VISIBLE, people.score[:, :, :3], 0).mean(axis=-1).clip(0, 1)


def _overlap(people: People, who: np.ndarray) -> np.ndarray:
    """The largest share of anyone's box that another's covers, (T,)."""
    box = people.box[who]
    area = np.maximum(1e-6, (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]))
    low = np.maximum(box[:, None, :, :2], box[None, :, :, :2])
    high = np.minimum(box[:, None, :, 2:], box[None, :, :, 2:])
    common = np.prod(np.maximum(0, high - low), axis=-1) / area[:, None]
    common[np.arange(len(who)), np.arange(len(who))] = 0
    return np.minimum(1, common.max(axis=(0, 1)))

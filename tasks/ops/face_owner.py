"""Faces found in each frame, People -> Faces: whose each is, what is seen of it, and everyone's identity vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.masks import Masks, encode_window
from datasets.records import FACE_WIDTH, Faces, People

# A face is somebody's when their mask covers so much of its box: heads are rounder than boxes, and hands lie before.
LEAST_COVER = 0.4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceLook:
    """The N faces of one frame."""

    box: np.ndarray  # (N, 4)   float32  xyxy, half-open, pixels; may reach over the frame's edge
    score: np.ndarray  # (N,)     float32  0..1
    vector: np.ndarray  # (N, 512) float32  unit identity vector; zeros for a face too small to tell


def faces_of(looks: Sequence[FaceLook], people: People) -> Faces:
    """Everyone's faces. `looks` is one a frame of the clip.

    A face goes to the person whose mask covers most of its box, for masks are exclusive: of two heads side by side each
    owns its own pixels. Of several faces on one person the one counts that the mask covers best. An identity vector is
    the mean of a person's vectors, weighted by score, at length 1. Raises ValueError when frames are missing.
    """
    count, frames = people.present.shape
    if len(looks) != frames:
        raise ValueError(f"faces: want one look a frame ({frames}), got {len(looks)}")
    box, score = np.zeros((count, frames, 4), np.float32), np.zeros((count, frames), np.float32)
    total = np.zeros((count, FACE_WIDTH))
    runs = [b""] * (count * frames)
    for t, look in enumerate(looks):
        bodies = [people.mask_at(p, t) for p in range(count)] if len(look.score) else []
        for p, i in _owners(look.box, bodies).items():
            x0, y0, x1, y1 = _inside(look.box[i], people.mask.size)
            box[p, t], score[p, t] = (x0, y0, x1, y1), look.score[i]
            runs[p * frames + t] = encode_window(bodies[p][y0:y1, x0:x1], (x0, y0), people.mask.size)
            total[p] += look.score[i] * look.vector[i]
    length = np.linalg.norm(total, axis=1, keepdims=True)
    embedding = np.divide(total, length, out=np.zeros_like(total), where=length > 1e-6).astype(np.float32)
    return Faces(box=box, score=score, mask=Masks.from_counts(runs, size=people.mask.size), embedding=embedding)


def _owners(boxes: np.ndarray, bodies: Sequence[np.ndarray]) -> dict[int, int]:
    """Person -> which of the frame's faces is theirs."""
    best: dict[int, tuple[float, int]] = {}
    for i, face in enumerate(boxes):
        x0, y0, x1, y1 = _inside(face, bodies[0].shape) if bodies else (0, 0, 0, 0)
        if x1 <= x0 or y1 <= y0:
            continue
        cover = [float(body[y0:y1, x0:x1].mean()) for body in bodies]
        p = int(np.argmax(cover))
        if cover[p] >= LEAST_COVER and cover[p] > best.get(p, (0.0, -1))[0]:
            best[p] = cover[p], i
    return {p: i for p, (_, i) in best.items()}


def _inside(box: np.ndarray, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A box as whole pixels of a frame of (h, w)."""
    low, high = np.maximum(np.floor(box[:2]), 0), np.minimum(np.ceil(box[2:]), size[::-1])
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])

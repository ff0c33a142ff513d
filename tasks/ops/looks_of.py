"""Segments, People -> each person's looks: how they look on average, and in which frames they are best seen."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from datasets.masks import Masks
from datasets.records import People, Segments


def pooled_looks(segments: Segments, people: People, *, least_iou: float = 0.3) -> list[np.ndarray | None]:
    """Each person's mean unit appearance, (E,), or None where none was taken.

    A segment's look is the person's whose mask in that frame it overlaps most, by at least `least_iou`: segments know
    nothing of people, and a person's word may have moved a mask from one to another.
    """
    total = np.zeros((people.num_people, segments.embedding.shape[1]))
    for i in np.flatnonzero(segments.embedding.any(1)):
        t = int(segments.frame[i])
        if t >= people.num_frames:
            continue
        share = [
            overlap(segments.mask, int(i), people.mask, p * people.num_frames + t) for p in range(people.num_people)
        ]
        if share and max(share) >= least_iou:
            total[int(np.argmax(share))] += segments.embedding[i]
    length = np.linalg.norm(total, axis=1)
    return [total[p] / length[p] if length[p] > 0 else None for p in range(people.num_people)]


def overlap(a: Masks, i: int, b: Masks, j: int) -> float:
    """Intersection over union of two masks, without decoding them."""
    if not a.counts(i) or not b.counts(j):
        return 0.0
    one = {"size": list(a.size), "counts": a.counts(i)}
    two = {"size": list(b.size), "counts": b.counts(j)}
    return float(coco.iou([one], [two], [0])[0, 0])


def frames_to_look_at(people: People, most: int) -> list[list[int]]:
    """For each person up to `most` frames, ascending, spread over the clip: in each stretch the one that shows most
    of them.

    A frame counts by the visible share times the height of the box; frames without a mask do not.
    """
    seen = people.mask.areas().reshape(people.num_people, people.num_frames) > 0
    worth = people.visible * (people.box[..., 3] - people.box[..., 1]) * seen
    out = []
    for p in range(people.num_people):
        found = np.flatnonzero(worth[p] > 0)
        parts = np.array_split(found, min(most, len(found))) if len(found) else []
        out.append([int(part[worth[p, part].argmax()]) for part in parts])
    return out

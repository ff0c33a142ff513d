"""People -> gaps: short ones filled from both ends, longer ones left open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from datasets.masks import Masks
from datasets.records import HIDDEN, People
from tasks.ops.mask_ops import box_of, move_mask
from tasks.ops.repair_poses import runs

_EDGE = 0.01  # share of the frame's side
_SLIVER = 0.35  # share of the usual area below which somebody at the edge is leaving


def gaps(people: People, most: int) -> list[tuple[int, int, int]]:
    """(person, start, stop) of absences of up to `most` frames of which neither end is at the frame's edge as a
    sliver: who walks out of the picture for a moment was not lost.
    """
    (h, w), box = people.mask.size, people.box
    edge = (box[..., 0] <= _EDGE * w) | (box[..., 2] >= (1 - _EDGE) * w)
    edge |= (box[..., 1] <= _EDGE * h) | (box[..., 3] >= (1 - _EDGE) * h)
    lit = people.mask.areas().reshape(people.present.shape)
    out = []
    for p in range(people.num_people):
        some = lit[p] > 0
        leaving = edge[p] & (lit[p] < _SLIVER * np.median(lit[p, some])) if some.any() else edge[p]
        hidden = ~some
        for start, stop in runs(~people.present[p]):
            inside = start > 0 and stop < people.num_frames
            if inside and stop - start <= most and not (leaving | hidden)[[start - 1, stop]].any():
                out.append((p, start, stop))
    return out


def fill(people: People, found: list[tuple[int, int, int]]) -> People:
    """Boxes and joints between both ends of each gap, in a straight line; the nearer end's mask, moved as its box is,
    where nobody else's is; half of the surer end's score and confidence."""
    names = ("box", "keypoint", "score", "flag", "present", "visible", "confidence")
    new = {name: getattr(people, name).copy() for name in names}
    counts = [people.mask.counts(i) for i in range(len(people.mask))]
    for p, start, stop in found:
        a, b = start - 1, stop
        for t in range(start, stop):
            share = (t - a) / (b - a)
            for name in ("box", "keypoint"):
                new[name][p, t] = (1 - share) * new[name][p, a] + share * new[name][p, b]
            new["visible"][p, t] = (1 - share) * new["visible"][p, a] + share * new["visible"][p, b]
            new["score"][p, t] = np.minimum(new["score"][p, a], new["score"][p, b]) / 2
            new["flag"][p, t] = np.minimum(np.minimum(new["flag"][p, a], new["flag"][p, b]), HIDDEN)
            new["confidence"][p, t] = min(new["confidence"][p, a], new["confidence"][p, b])
            new["present"][p, t] = True
            end = a if t - a <= b - t else b
            mask = move_mask(people.mask_at(p, end), people.box[p, end], new["box"][p, t])
            for q in range(people.num_people):
                if q != p and counts[q * people.num_frames + t]:
                    mask &= ~Masks.from_counts([counts[q * people.num_frames + t]], size=people.mask.size).decode(0)
            if mask.any():
                counts[p * people.num_frames + t] = Masks.encode([mask], size=people.mask.size).counts(0)
                new["box"][p, t] = box_of(mask)
    return replace(people, **new, mask=Masks.from_counts(counts, size=people.mask.size))

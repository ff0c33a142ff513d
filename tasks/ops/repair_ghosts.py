"""People -> rows that are nobody: a short life that begins and ends in the middle of the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from datasets.masks import Masks
from datasets.records import People
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.mask_ops import box_of
from tasks.ops.repair_poses import runs

_SHORT = 0.15  # share of the clip's frames below which someone is a passer-by at most (bind.min_presence)
_SHORT_S = 0.5  # and so many seconds, in a clip of any length
_EDGE = 0.01  # share of the frame's side: people come and go through its edges


def ghosts(people: People, fps: float) -> list[int]:
    """Rows that are there for a moment and neither come nor go through an edge of the frame, nor with the clip."""
    num, frames = people.present.shape
    most = max(_SHORT * frames, min(_SHORT_S * fps, 0.4 * frames))
    (h, w), box = people.mask.size, people.box
    edge = (box[..., 0] <= _EDGE * w) | (box[..., 2] >= (1 - _EDGE) * w)
    edge |= (box[..., 1] <= _EDGE * h) | (box[..., 3] >= (1 - _EDGE) * h)
    lit = (np.diff(people.mask.offset) > 0).reshape(num, frames)
    out = []
    for p in range(num):
        found = runs(people.present[p])
        if not found or people.present[p].sum() > most:
            continue
        ends = [t for start, stop in found for t in (start, stop - 1) if 0 < t < frames - 1]
        if len(ends) == 2 * len(found) and not edge[p, ends].any() and lit[p, ends].all():
            out.append(p)
    # Somebody is in the clip.
    return out if len(out) < num else []


def without(people: People, rows: list[int]) -> People:
    """The people without these rows; what a ghost took of a body goes back to it. Events name the people left."""
    keep = [p for p in range(people.num_people) if p not in rows]
    people = _give_back(people, rows, keep)
    frames = people.num_frames
    name = {p: i for i, p in enumerate(keep)}
    events = tuple(
        replace(event, people=tuple(name[p] for p in event.people if p in name))
        for event in people.events
        if not event.people or any(p in name for p in event.people)
    )
    fields = ("box", "keypoint", "score", "flag", "present", "visible", "confidence")
    index = np.concatenate([np.arange(p * frames, (p + 1) * frames) for p in keep])
    return replace(
        people, **{f: getattr(people, f)[keep] for f in fields}, mask=people.mask.select(index), events=events
    )


def _give_back(people: People, rows: list[int], keep: list[int]) -> People:
    """A ghost that lies where a person was just before it came, or is when it has gone, was a part of them."""
    crops, frames = MaskCrops(people.mask), people.num_frames
    counts, box = None, people.box.copy()
    for ghost in rows:
        for start, stop in runs(people.present[ghost]):
            for t in range(start, stop):
                index = [p for p in keep if people.present[p, t]]
                if not index:
                    continue
                at = np.array([ghost * frames + t, *(p * frames + t for p in index)])
                around = np.array([[p * frames + max(start - 1, 0), p * frames + min(stop, frames - 1)] for p in index])
                window = crops.window(np.concatenate([at, around.ravel()]))
                part, *own = crops.stack(at, window)
                before, after = (crops.stack(side, window) for side in around.T)
                share = (part & (before | after)).sum((1, 2)) / max(int(part.sum()), 1)
                owner = int(share.argmax())
                if share[owner] < 0.3:
                    continue
                p = index[owner]
                counts = counts or [people.mask.counts(i) for i in range(len(people.mask))]
                whole = np.zeros(people.mask.size, bool)
                x0, y0, x1, y1 = window
                whole[y0:y1, x0:x1] = own[owner] | part
                counts[p * frames + t] = Masks.encode([whole], size=people.mask.size).counts(0)
                box[p, t] = box_of(whole)
    return people if counts is None else replace(people, box=box, mask=Masks.from_counts(counts, size=people.mask.size))

"""People <-> sightings: where each person stood when nobody else was near, and who of other People stands there.

A chain of sightings says "this is one person" of a clip, whatever a detector or binder makes of it later.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from datasets.corrections import Sighting
from datasets.records import People
from tasks.ops.boxes import iou
from tasks.ops.scores import SEEN

Chain = tuple[Sighting, ...]
# Two detectors' boxes of one person overlap by more than half; COCO's own least for "the same".
SAME = 0.5
# So much better must the best person fit than the next best, or the two stand too close to tell; but a box that is the
# very one is theirs.
_MARGIN, _VERY = 0.15, 0.95
# A sighting whose box is shared by more than this is kept only where there is no better: others' boxes could be theirs.
_CLEAR = 0.4


def chain_of(people: People, person: int, start: int, stop: int, *, step: int) -> Chain:
    """Sightings of one person within frames start .. stop - 1: in each stretch of `step` frames the clearest.

    The clearest is the frame in which the least of the box is shared with anyone else's; of equals, the middle one. A
    stretch in which the person is not seen gives none, nor does one in which somebody is too near, as long as there are
    others.
    """
    best: list[tuple[float, int]] = []
    for first in range(start, stop, step):
        frames = range(first, min(first + step, stop))
        seen = [(round(shared(people, person, t), 3), t) for t in frames if is_seen(people, person, t)]
        if seen:
            equals = [one for one in seen if one[0] == min(seen)[0]]
            best.append(equals[len(equals) // 2])
    clear = [one for one in best if one[0] <= _CLEAR] or [min(best)] if best else []
    return tuple(sighting(people, person, t) for _, t in clear)


def sighting(people: People, person: int, frame: int) -> Sighting:
    """Where a person stands in a frame, to a tenth of a pixel."""
    x0, y0, x1, y1 = (round(float(value), 1) for value in people.box[person, frame])
    return frame, x0, y0, x1, y1


def shared(people: People, person: int, frame: int) -> float:
    """The largest overlap (IoU) of a person's box with that of anyone else present, 0..1."""
    others = [p for p in np.flatnonzero(people.present[:, frame]) if p != person]
    if not others:
        return 0.0
    return float(iou(people.box[person, frame][None], people.box[others, frame]).max())


def who_stands(people: People, chains: Sequence[Chain]) -> list[dict[int, int]]:
    """For each chain frame -> the person who stands there; frames in which nobody does, or it cannot be told, are left
    out. In one frame nobody is in two chains.
    """
    found: list[dict[int, int]] = [{} for _ in chains]
    frames: dict[int, list[tuple[int, Sighting]]] = {}
    for i, chain in enumerate(chains):
        for one in chain:
            frames.setdefault(one[0], []).append((i, one))
    for frame in sorted(frames):
        if not 0 <= frame < people.num_frames:
            continue
        here = np.flatnonzero(people.present[:, frame])
        boxes = np.array([one[1:] for _, one in frames[frame]], np.float64)
        fit = iou(boxes, people.box[here, frame].astype(np.float64))
        for row, column in zip(*linear_sum_assignment(-fit), strict=True):
            own, rest = fit[row, column], np.delete(fit[row], column).max(initial=0.0)
            if own >= SAME and (own - rest >= _MARGIN or own >= _VERY > rest):
                found[frames[frame][row][0]][frame] = int(here[column])
    return found


def is_seen(people: People, person: int, frame: int) -> bool:
    """Whether a person is present in a frame and visible enough to be seen there."""
    return bool(people.present[person, frame] and people.visible[person, frame] >= SEEN)

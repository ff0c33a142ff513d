"""People -> the places where a person should look to say who is who: frames, the two it is about, where to exchange."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.records import People
from tasks.ops.boxes import iou
from tasks.ops.scores import unsure_spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A stretch in which who is who is unsure."""

    start: int  # first frame
    stop: int  # one past the last
    people: tuple[int, ...]  # the two that may have been exchanged (from 0); fewer where nobody else is there
    frame: int  # where they would have been: the least sure frame; of equals, the one in which the two are closest


def places_of(people: People) -> tuple[Place, ...]:
    """Every unsure stretch of a clip, in order."""
    return tuple(_place(people, start, stop) for start, stop in unsure_spans(people))


def _place(people: People, start: int, stop: int) -> Place:
    asked = _asked(people, start, stop)
    if len(asked) == 1:
        near = _nearness(people, asked[0], start, stop)
        asked += [int(near.argmax())] if near.max(initial=-np.inf) > -np.inf else []
    frames = np.arange(start, stop)
    sure = people.confidence[asked][:, frames].mean(0) if asked else np.ones(len(frames))
    least = frames[sure <= sure.min() + 1e-6]
    if len(asked) < 2:
        best = int(least[len(least) // 2])
    else:
        best = min((int(t) for t in least), key=lambda t: (_gap(people, asked[0], asked[1], t), t))
    return Place(start=start, stop=stop, people=tuple(sorted(asked)), frame=best)


def _asked(people: People, start: int, stop: int) -> list[int]:
    """The one or two people whom the stretch is most unsure about: by doubts named, then by confidence."""
    doubts = np.zeros(people.num_people)
    for event in people.events:
        if event.kind == "doubt" and event.start < stop and event.stop > start:
            doubts[list(event.people)] += min(event.stop, stop) - max(event.start, start)
    here = np.where(people.present[:, start:stop], people.confidence[:, start:stop], 1.0)
    low = 1.0 - here.min(axis=1, initial=1.0)
    order = sorted(range(people.num_people), key=lambda p: (-doubts[p], -low[p], p))
    named = [p for p in order if doubts[p] > 0] or [p for p in order if low[p] > 0.5]
    return named[:2]


def _nearness(people: People, person: int, start: int, stop: int) -> np.ndarray:
    """(P,) how near each other person comes in these frames, larger is nearer; -inf for one who is not there."""
    near = np.full(people.num_people, -np.inf)
    for other in range(people.num_people):
        both = np.flatnonzero(people.present[person, start:stop] & people.present[other, start:stop]) + start
        if other != person and len(both):
            near[other] = -min(_gap(people, person, other, int(t)) for t in both)
    return near


def _gap(people: People, a: int, b: int, frame: int) -> float:
    """Distance of two boxes' middles in body heights, less their overlap; far where one is not present."""
    if not (people.present[a, frame] and people.present[b, frame]):
        return 1e3
    one, two = people.box[a, frame].astype(float), people.box[b, frame].astype(float)
    middle = np.hypot(*((one[:2] + one[2:] - two[:2] - two[2:]) / 2))
    return round(float(middle / max(one[3] - one[1], two[3] - two[1], 1.0) - iou(one[None], two[None])[0, 0]), 4)

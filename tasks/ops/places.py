"""People, reasons -> the places where a person should look to say who is who: frames, the two it is about, where to
exchange."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from datasets.records import People
from tasks.ops.boxes import iou
from tasks.ops.rules import somebody_else
from tasks.ops.scores import UNSURE, stranger_spans, unsure_spans

_FAR = 1e3  # body heights: between two of whom one is not there


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A stretch in which who is who is unsure, or somebody is found who is none of the people."""

    start: int  # first frame
    stop: int  # one past the last
    people: tuple[int, ...]  # the two that may have been exchanged (from 0); fewer where nobody else is there
    frame: int  # where they would have been: the least sure frame; of equals, the one in which the two are closest
    stranger: bool = False  # somebody else is there: no two of the people are doubted


def places_of(people: People, fps: Fraction, reasons: Sequence[str] = ()) -> tuple[Place, ...]:
    """Every place of a clip, in order; that of a reason which names a person, too, when no unsure stretch has it."""
    places = [_place(people, start, _asked(people, start, stop)) for start, stop in unsure_spans(people)]
    for named in filter(None, map(somebody_else, reasons)):
        who, second = named
        # The rule looks at half a second, and tells its middle.
        middle, reach = round(second * fps), max(1, round(fps / 4))
        start, stop = max(0, middle - reach), min(people.num_frames, middle + reach)
        if not any(who in place.people and place.start < stop and place.stop > start for place in places):
            asked = np.zeros((people.num_people, stop - start), bool)
            asked[who] = True
            places.append(_place(people, start, asked))
    for start, stop in stranger_spans(people):
        places.append(Place(start=start, stop=stop, people=(), frame=(start + stop) // 2, stranger=True))
    return tuple(sorted(places, key=lambda place: (place.start, place.stop)))


def _asked(people: People, start: int, stop: int) -> np.ndarray:
    """(P, stop - start) bool: whom each frame of the stretch is unsure about, by doubts named, else by confidence."""
    asked = np.zeros((people.num_people, stop - start), bool)
    for event in people.events:
        if event.kind == "doubt":
            asked[list(event.people), max(0, event.start - start) : max(0, event.stop - start)] = True
    return asked if asked.any() else _confidence(people)[:, start:stop] < UNSURE


def _place(people: People, start: int, asked: np.ndarray) -> Place:
    """The stretch's place: of the pairs asked about, the one asked about in most frames at once, then the closest."""
    stop = start + asked.shape[1]
    who = np.flatnonzero(asked.any(axis=1)).tolist()
    pairs = list(itertools.combinations(who, 2)) or [
        (who[0], q) for q in range(people.num_people) if q != who[0] and _meet(people, who[0], q, start, stop)
    ]
    if not pairs:
        (frame,) = _least_sure(people, who, start + np.flatnonzero(asked[who[0]]))[:1]
        return Place(start=start, stop=stop, people=tuple(who), frame=int(frame))
    ranked = []
    for pair in pairs:
        both = asked[list(pair)].all(axis=0)
        frames = start + np.flatnonzero(both if both.any() else asked[list(pair)].any(axis=0))
        gap, frame = _closest(people, pair, _least_sure(people, [p for p in pair if p in who], frames))
        ranked.append((-int(both.sum()), gap, tuple(sorted(pair)), frame))
    _, _, best, frame = min(ranked)
    return Place(start=start, stop=stop, people=best, frame=frame)


def _confidence(people: People) -> np.ndarray:
    """(P, T); whoever is not there is not doubted."""
    return np.where(people.present, people.confidence, 1.0)


def _least_sure(people: People, who: Sequence[int], frames: np.ndarray) -> np.ndarray:
    """Those of the frames in which these people's mean confidence is lowest."""
    sure = _confidence(people)[list(who)][:, frames].mean(axis=0)
    return frames[sure <= sure.min() + 1e-6]


def _meet(people: People, a: int, b: int, start: int, stop: int) -> bool:
    return bool((people.present[a, start:stop] & people.present[b, start:stop]).any())


def _closest(people: People, pair: tuple[int, int], frames: np.ndarray) -> tuple[float, int]:
    """How close two come in these frames, and in which: the first of equals, the middle where they never meet."""
    gap, frame = min((_gap(people, *pair, int(t)), int(t)) for t in frames)
    return gap, frame if gap < _FAR else int(frames[len(frames) // 2])


def _gap(people: People, a: int, b: int, frame: int) -> float:
    """Distance of two boxes' middles in body heights, less their overlap; far where one is not present."""
    if not (people.present[a, frame] and people.present[b, frame]):
        return _FAR
    one, two = people.box[a, frame].astype(float), people.box[b, frame].astype(float)
    middle = np.hypot(*((one[:2] + one[2:] - two[:2] - two[2:]) / 2))
    return round(float(middle / max(one[3] - one[1], two[3] - two[1], 1.0) - iou(one[None], two[None])[0, 0]), 4)

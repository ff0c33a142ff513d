"""People -> People with two exchanged from a frame on, or one taken out: all arrays of theirs, masks and events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from datasets.records import Event, People

ROWS = ("box", "keypoint", "score", "flag", "present", "visible", "confidence")


def exchange(people: People, a: int, b: int, start: int) -> People:
    """People with a and b exchanged from frame `start` to the end. Events that begin there or later follow them."""
    order = np.tile(np.arange(people.num_people)[:, None], (1, people.num_frames))
    order[a, start:], order[b, start:] = b, a
    frame = np.arange(people.num_frames)[None]
    other = {a: b, b: a}
    events = tuple(
        replace(event, people=tuple(other.get(p, p) for p in event.people)) if event.start >= start else event
        for event in people.events
    )
    return replace(
        people,
        **{name: getattr(people, name)[order, frame] for name in ROWS},
        mask=people.mask.select((order * people.num_frames + frame).ravel()),
        events=events,
    )


def without(people: People, person: int) -> People:
    """People without one of them. What the person's masks covered is nobody's; events of nobody else are gone."""
    kept = [p for p in range(people.num_people) if p != person]
    place = {p: i for i, p in enumerate(kept)}
    index = [p * people.num_frames + t for p in kept for t in range(people.num_frames)]
    events = []
    for event in people.events:
        left = tuple(place[p] for p in event.people if p != person)
        if left or not event.people:
            events.append(replace(event, people=left))
    return replace(
        people,
        **{name: getattr(people, name)[kept] for name in ROWS},
        mask=people.mask.select(index),
        events=tuple(events),
    )


def best_cut(people: People, a: int, b: int, first: int, last: int, wanted: int) -> int:
    """The frame of first .. last from which exchanging a and b breaks their paths least, or mends them most.

    The price of a frame is how much longer the step into it becomes for both, in body heights: boxes' middles and
    sizes. Of equals, the one nearest to `wanted`.
    """
    prices = [(round(_price(people, a, b, t), 3), abs(t - wanted), t) for t in range(max(first, 1), last + 1)]
    return min(prices)[2]


def _price(people: People, a: int, b: int, t: int) -> float:
    """Steps into frame t when a and b are exchanged there, less the steps as they are."""
    return sum(_step(people, p, t - 1, q, t) - _step(people, p, t - 1, p, t) for p, q in ((a, b), (b, a)))


def _step(people: People, p: int, before: int, q: int, t: int) -> float:
    """From p's box to q's, in body heights; 0 where one of them is not there: nothing speaks for or against."""
    if not (people.present[p, before] and people.present[q, t]):
        return 0.0
    one, two = people.box[p, before].astype(float), people.box[q, t].astype(float)
    height = max(one[3] - one[1], two[3] - two[1], 1.0)
    return float(np.abs(one - two).mean() / height)


def sure_from(people: People, persons: tuple[int, ...], start: int, stop: int) -> People:
    """People whose identity is sure in these frames: confidence 1 where present."""
    confidence = people.confidence.copy()
    rows = list(persons)
    confidence[rows, start:stop] = np.where(people.present[rows, start:stop], 1.0, confidence[rows, start:stop])
    return replace(people, confidence=confidence)


def answered(people: People, persons: tuple[int, ...], start: int, stop: int, note: str) -> People:
    """People whose doubts about these persons within these frames a person has answered.

    A doubt is one question, and answered whole: it becomes a repair with this note. Of a doubt about others as well,
    their part stays.
    """
    events: list[Event] = []
    for event in people.events:
        asked = tuple(p for p in event.people if p in persons)
        if event.kind != "doubt" or not asked or event.stop <= start or event.start >= stop:
            events.append(event)
            continue
        people = sure_from(people, asked, event.start, event.stop)
        events.append(replace(event, kind="repair", people=asked, note=note))
        others = tuple(p for p in event.people if p not in persons)
        if others:
            events.append(replace(event, people=others))
    return replace(people, events=tuple(events))


def in_order(events: tuple[Event, ...] | list[Event]) -> tuple[Event, ...]:
    """Events as People has them: by first frame."""
    return tuple(sorted(events, key=lambda event: (event.start, event.stop, event.kind, event.people)))

"""People whom a person's words take out -> those who still stand before and beside the others in the pictures.

Somebody who is taken out of a clip is not taken out of its pictures: while masks and poses are made they have to have
their own, or the others get theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from datasets.corrections import Correction
from datasets.masks import Masks
from datasets.records import People
from tasks.ops.boxes import paired_iou
from tasks.ops.corrections import heed, person_of
from tasks.ops.exchange import ROWS, without

_DOUBLE = 0.5  # intersection over union with somebody who stays, from which a box is a second one on them


def dropped(people: People, words: Sequence[Correction]) -> list[People]:
    """Whoever the drops among these words take out, each as People of one, as they are when the word is heeded."""
    gone = []
    for word in words:
        who = person_of(people, word)[0] if word.word == "drop" else None
        if who is not None:
            gone.append(_alone(people, who))
        people, _ = heed(people, [word])
    return gone


def with_rivals(people: People, gone: Sequence[People]) -> People:
    """The people and, after them, those of the gone who are not just a second box on one of the people."""
    rivals = [one for one in gone if not _is_double(one, people)]
    if not people.num_people or not rivals:
        return people
    every = [people, *rivals]
    counts = [one.mask.counts(i) for one in every for i in range(len(one.mask))]
    rows: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in every]) for name in ROWS}
    return replace(people, **rows, mask=Masks.from_counts(counts, size=people.mask.size))


def first_of(people: People, count: int) -> People:
    """The first so many of the people: without the rivals."""
    for person in reversed(range(count, people.num_people)):
        people = without(people, person)
    return people


def _alone(people: People, person: int) -> People:
    frames = people.num_frames
    return replace(
        people,
        **{name: getattr(people, name)[person : person + 1] for name in ROWS},
        mask=people.mask.select(range(person * frames, (person + 1) * frames)),
        events=(),
    )


def _is_double(one: People, people: People) -> bool:
    """Whether somebody lies on somebody of the people in most of their frames."""
    there = np.flatnonzero(one.present[0])
    if not len(there) or not people.num_people:
        return True
    overlap = [
        np.where(people.present[p, there], paired_iou(one.box[0, there], people.box[p, there]), 0.0)
        for p in range(people.num_people)
    ]
    return bool((np.max(overlap, axis=0) >= _DOUBLE).mean() > 0.5)

"""People -> what the report draws over time: visibility and confidence of each person in runs, events, doubts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from datasets.records import People
from tasks.ops.scores import unsure_spans

# More cells than this are finer than a page shows.
MAX_CELLS = 240


def timeline(people: People, fps: Fraction) -> dict[str, Any]:
    """Plain values for JSON. A cell is an equal share of the clip; shares are whole per cents, -1 where nobody is.

    `visible` is the mean of a cell, `confidence` its lowest: a short doubt must not be averaged away. Both come as
    [value, length] runs. Events and `unsure` are in seconds.
    """
    cells = min(people.num_frames, MAX_CELLS)
    edge = np.arange(cells) * people.num_frames // max(1, cells)
    return {
        "seconds": _seconds(people.num_frames, fps),
        "cells": cells,
        "people": [
            {
                "visible": _runs(_cells(people.visible[p], people.present[p], edge, lowest=False)),
                "confidence": _runs(_cells(people.confidence[p], people.present[p], edge, lowest=True)),
            }
            for p in range(people.num_people)
        ],
        "events": [
            {
                "kind": event.kind,
                "start": _seconds(event.start, fps),
                "stop": _seconds(event.stop, fps),
                "people": list(event.people),
                "note": event.note,
            }
            for event in people.events
        ],
        "unsure": [[_seconds(start, fps), _seconds(stop, fps)] for start, stop in unsure_spans(people)],
    }


def _cells(values: np.ndarray, present: np.ndarray, edge: np.ndarray, *, lowest: bool) -> np.ndarray:
    there = np.logical_or.reduceat(present, edge)
    if lowest:
        cell = np.minimum.reduceat(np.where(present, values, np.inf), edge)
    else:
        cell = np.add.reduceat(np.where(present, values, 0.0), edge) / np.maximum(np.add.reduceat(present, edge), 1)
    return np.where(there, np.rint(100 * np.clip(np.where(there, cell, 0), 0, 1)), -1).astype(int)


def _runs(values: np.ndarray) -> list[list[int]]:
    """[value, length] of each stretch of equal values.

    >>> _runs(np.array([5, 5, 7]))
    [[5, 2], [7, 1]]
    """
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    lengths = np.diff(np.append(starts, len(values)))
    return [[int(values[at]), int(length)] for at, length in zip(starts, lengths, strict=True)]


def _seconds(frame: int, fps: Fraction) -> float:
    return round(float(frame / fps), 3)

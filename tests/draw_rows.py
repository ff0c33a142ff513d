"""Rows of tracks for tests: people as functions of the frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from datasets.records import Detections
from tasks.ops.track_rows import TrackRows

Walk = Callable[[int], tuple[float, float, float, float] | None]


def walk(x: float, step: float = 0.0) -> Walk:
    """Somebody 40 wide and 100 high whose box begins at x and moves on by `step` a frame."""
    return lambda t: (x + step * t, 50.0, x + step * t + 40, 150.0)


def rows(people: Mapping[int, Walk], frames: int) -> TrackRows:
    """id -> where it is in a frame, or None."""
    out = [(t, name, box) for t in range(frames) for name, at in people.items() if (box := at(t)) is not None]
    return TrackRows(
        frame=np.array([t for t, _, _ in out], np.int64),
        id=np.array([name for _, name, _ in out], np.int64),
        box=np.array([box for _, _, box in out], np.float64).reshape(-1, 4),
    )


def detections(found: Sequence[tuple[int, tuple[float, float, float, float] | None]]) -> Detections:
    """(frame, box), ascending."""
    return Detections(
        frame=np.array([t for t, _ in found], np.int32),
        box=np.array([box for _, box in found], np.float32).reshape(-1, 4),
        score=np.full(len(found), 0.8, np.float32),
    )

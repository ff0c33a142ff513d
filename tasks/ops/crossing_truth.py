"""Exact People, estimated People, ids of detections -> rows to compare: who counts, who is ignored, who is whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.masks import Masks
from datasets.records import Detections, People, Segments, Tracklets
from tasks.ops.boxes import iou
from tasks.ops.scores import SEEN
from tasks.ops.track_rows import TrackRows, match


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """A crossing as it was, in rows."""

    people: People  # everyone, in the scene's order
    counted: TrackRows  # who is to be found: ids on the person axis; at least SEEN of the body to be seen
    ignored: TrackRows  # onlookers, and those of whom less is to be seen: finding them is neither right nor wrong


def truth_of(people: People, audience: tuple[int, ...]) -> Truth:
    """The rows of exact People of whom some are onlookers."""
    seen = people.present & (people.visible >= SEEN)
    performs = np.ones(people.num_people, bool)
    performs[list(audience)] = False
    counted = seen & performs[:, None]
    return Truth(people=people, counted=rows_of(people, counted), ignored=rows_of(people, people.present & ~counted))


def found_rows(people: People) -> TrackRows:
    """Estimated People as tracks: frames in which somebody is there and to be seen."""
    return rows_of(people, people.present & (people.visible >= SEEN))


def rows_of(people: People, which: np.ndarray) -> TrackRows:
    """The (P, T) bool people and frames as rows, ascending by frame."""
    frame, person = np.nonzero(which.T)
    return TrackRows(
        frame=frame,
        id=person,
        box=people.box[person, frame].astype(np.float64),
        mask=people.mask.select(person * people.num_frames + frame),
    )


def tracked_rows(found: Detections, ids: np.ndarray, mask: Masks | None = None) -> TrackRows:
    """The detections that a tracker follows, under its ids (N,), -1 for none; `mask` is one for each detection."""
    kept = np.flatnonzero(ids >= 0)
    return TrackRows(
        frame=found.frame[kept].astype(np.int64),
        id=ids[kept].astype(np.int64),
        box=found.box[kept].astype(np.float64),
        mask=None if mask is None else mask.select(kept),
    )


def detection_masks(tracklets: Tracklets, segments: Segments) -> Masks:
    """The mask that was cut for each detection; empty for one that belongs to no tracklet."""
    cut = {(int(t), int(k)): i for i, (t, k) in enumerate(zip(segments.frame, segments.tracklet, strict=True))}
    rows = zip(tracklets.frame, tracklets.tracklet, strict=True)
    return segments.mask.select([cut.get((int(t), int(k)), -1) if k >= 0 else -1 for t, k in rows])


def oracle_ids(found: Detections, truth: TrackRows) -> np.ndarray:
    """Ids (N,) of detections by the truth: the ceiling of what association can do with these boxes.

    Frame by frame the one-to-one assignment of the greatest overlap, a half or more; a box that is nobody's has -1.
    """
    ids = np.full(len(found.frame), -1, np.int64)
    for t in np.unique(found.frame):
        rows, people = np.flatnonzero(found.frame == t), np.flatnonzero(truth.frame == t)
        who, which = match(iou(truth.box[people], found.box[rows].astype(np.float64)))
        ids[rows[which]] = truth.id[people[who]]
    return ids

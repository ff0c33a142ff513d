"""People and poses estimated again -> People: which poses are in doubt, and which of two each person gets."""

from __future__ import annotations

import dataclasses

import numpy as np

from datasets.records import Event, People
from tasks.ops.boxes import iou
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.pose_choice import astray, choose_joints
from tasks.ops.steady import body_sizes, reflagged
from tasks.ops.truth import runs

_MARGIN = 0.05  # of a box's longer side: people so near to each other are in each other's crop
_WEAK = 0.25  # mean score below which a pose is doubtful
_GIVEN = 0.95  # mean score from which it is somebody's word, or the truth: no network is so sure
_LEAST = 0.1  # share of a body that must be seen for it to be posed
_STRAY = 0.3  # from this on a pose lies on somebody else


def in_doubt(people: People) -> np.ndarray:
    """(P, T) bool: seen people whose pose may be another's, is missing, or is weak; never one that is given as sure."""
    seen = people.present & (people.visible >= _LEAST) & (people.mask.areas().reshape(people.present.shape) > 0)
    sure = people.score.mean(-1)
    out = np.zeros(seen.shape, bool)
    longer = (people.box[..., 2:] - people.box[..., :2]).max(-1)
    wide = people.box + _MARGIN * longer[..., None] * np.array([-1, -1, 1, 1])
    for t in np.flatnonzero(seen.any(0)):
        who = np.flatnonzero(people.present[:, t])
        near = iou(wide[who, t], people.box[who, t].astype(np.float64))
        np.fill_diagonal(near, 0)
        out[who, t] = near.max(1) > 0
    return (out | (sure < _WEAK)) & seen & (sure < _GIVEN)


def rebound(people: People, keypoint: np.ndarray, score: np.ndarray, wanted: np.ndarray, *, fps: float) -> People:
    """The people with, where `wanted` (P, T), the better of their own joints and those found again.

    keypoint (P, T, J, 2), score (P, T, J): found again. A pose that still lies on somebody else is emptied, and told of
    in an event, as is one that was put in another's place.
    """
    crops = MaskCrops(people.mask)
    was = astray(people, people.keypoint, people.score, wanted, crops)
    again = astray(people, keypoint, score, wanted, crops)
    chosen, sure = people.keypoint.copy(), people.score.copy()
    for p in np.flatnonzero(wanted.any(1)).tolist():
        own = np.where(people.present[p][:, None], people.score[p], 0)
        both = np.stack([own, np.where(wanted[p][:, None], score[p], 0)])
        point = np.stack([people.keypoint[p], keypoint[p]])
        made, certain = choose_joints(point, both, np.stack([was[p], again[p]]), body_sizes(people, p, fps))
        chosen[p, wanted[p]], sure[p, wanted[p]] = made[wanted[p]], certain[wanted[p]]
    off = astray(people, chosen, sure, wanted, crops) > _STRAY
    sure[off] = 0
    changed = (chosen != people.keypoint).any(-1) | (sure != people.score)
    flag = reflagged(people, chosen, sure, people.flag, changed, crops)
    events = [*people.events, *_told((was > _STRAY) & ~off, "a pose that lay on somebody else was found again", fps)]
    events += _told(off, "the pose lay on somebody else: emptied", fps)
    events.sort(key=lambda event: (event.start, event.stop, event.kind, event.people))
    return dataclasses.replace(people, keypoint=chosen, score=sure, flag=flag, events=tuple(events))


def _told(where: np.ndarray, note: str, fps: float) -> list[Event]:
    return [
        Event(kind="repair", start=start, stop=stop, people=(p,), note=note)
        for p, row in enumerate(where)
        for start, stop in runs(row, join=round(0.2 * fps))
    ]

"""People, the boxes that were found -> People: where a box was found and the mask lost a part, the found box counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from datasets.records import People, Tracklets
from tasks.ops.boxes import covered, iou
from tasks.ops.camera_motion import steadied, unsteadied

SAME = 0.5  # intersection over union with the bound box from which a found box is the person's
AGREE = 0.5  # and with the mask's tight box from which both are believed
COVERED = 0.5  # share of where an unfound person should be, from which a found box holds them too
LEAST_MASK = 0.05  # share of an unfound person's expected box from which their mask says where they are
LEAST_SEEN = 0.1  # visible share of a body: of less a detector finds no box


def own_rows(people: People, found: Tracklets) -> np.ndarray:
    """(P, T) the row of the found box that each person was bound to; -1 where none overlaps enough. Exact, frame by
    frame: no box is two people's."""
    rows = np.full(people.present.shape, -1, np.int64)
    starts = np.searchsorted(found.frame, np.arange(people.num_frames + 1))
    for t in range(people.num_frames):
        here = np.arange(starts[t], starts[t + 1])
        overlap = iou(people.box[:, t], found.box[here]) * people.present[:, t, None]
        overlap[overlap < SAME] = 0
        for p, i in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[p, i] > 0:
                rows[p, t] = here[i]
    return rows


def expected_boxes(found: Tracklets, rows: np.ndarray, to_first: np.ndarray) -> np.ndarray:
    """(P, T, 4) where each person's whole box should be, from the frames in which it was found: between two of them the
    line, beyond them the nearest, as a camera that never moved would have seen it. NaN for whom no box was ever found.

    rows (P, T): of `own_rows`; to_first (T, 2, 3): of `camera_motion.to_first_frame`.
    """
    people, frames = rows.shape
    every = np.arange(frames)
    out = np.full((people, frames, 4), np.nan)
    for p in range(people):
        at = np.flatnonzero(rows[p] >= 0)
        if len(at):
            steady = steadied(found.box[rows[p, at]].astype(np.float64), at, to_first)
            line = np.stack([np.interp(every, at, side) for side in steady.T], 1)
            out[p] = unsteadied(line, every, to_first)
    return out


def found_boxes(found: Tracklets, rows: np.ndarray) -> np.ndarray:
    """(P, T, 4) the boxes of rows (P, T) of `own_rows`; NaN for -1."""
    out = np.full((*rows.shape, 4), np.nan)
    out[rows >= 0] = found.box[rows[rows >= 0]]
    return out


def shared_boxes(without: np.ndarray, found: Tracklets, expected: np.ndarray) -> np.ndarray:
    """(P, T, 4) the found box that holds someone of whom none was found, without (P, T), together with somebody else.

    It is the one that covers most of where they should be, expected (P, T, 4) of `expected_boxes`; NaN where none
    covers the share COVERED of that.
    """
    out = np.full(expected.shape, np.nan)
    starts = np.searchsorted(found.frame, np.arange(without.shape[1] + 1))
    for p, t in zip(*np.nonzero(without), strict=True):
        here = found.box[starts[t] : starts[t + 1]]
        share = covered(expected[p, t][None], here)[0]  # NaN, whom nobody ever found, is covered by nothing
        if share.max(initial=0) >= COVERED:
            out[p, t] = here[share.argmax()]
    return out


def settle_boxes(people: People, found: Tracklets, rows: np.ndarray, expected: np.ndarray) -> People:
    """The people, whose masks were made again, with boxes that both the detector and the mask speak for.

    rows (P, T): of `own_rows`; expected (P, T, 4): of `expected_boxes`. Where the tight box of the mask agrees with the
    found one, the box is their mean, for their errors are independent; where it does not, the mask has lost a limb or
    taken in another's, and the found box stands. Whom no box was found of, where someone else's covers the place where
    they should be (by the share COVERED), was found in one box with the other: theirs is the mean of that box, which
    holds the limbs that both stretch out, and the expected one, which knows on which side of the other they are; the
    mask's box, where there is some mask, counts as much as both, for only it knows that somebody crouches or turns.
    Whoever is seen by the detector is visible by LEAST_SEEN at least. Else the mask's box stands.
    """
    box, visible = people.box.copy(), people.visible.copy()
    areas = people.mask.areas().reshape(people.present.shape)
    shared = shared_boxes(people.present & (rows < 0), found, expected)
    for p, t in zip(*np.nonzero(people.present), strict=True):
        own = rows[p, t]
        if own >= 0:
            seen = found.box[own]
            agree = people.visible[p, t] >= LEAST_SEEN and _iou(seen, box[p, t]) >= AGREE
            box[p, t] = (seen + box[p, t]) / 2 if agree else seen
        else:
            if np.isnan(shared[p, t, 0]):
                continue
            both = (shared[p, t] + expected[p, t]) / 2
            width, height = expected[p, t, 2:] - expected[p, t, :2]
            box[p, t] = (both + box[p, t]) / 2 if areas[p, t] >= LEAST_MASK * width * height else both
        visible[p, t] = max(visible[p, t], LEAST_SEEN)
    return replace(people, box=box.astype(np.float32), visible=visible.astype(np.float32))


def boxes_as_found(people: People, found: Tracklets, rows: np.ndarray) -> People:
    """The people with the very boxes of rows (P, T) of `own_rows`, where there are any: those that a person drew."""
    has = people.present & (rows >= 0)
    box = people.box.copy()
    box[has] = found.box[rows[has]]
    return replace(people, box=box)


def _iou(one: np.ndarray, two: np.ndarray) -> float:
    return float(iou(one[None], two[None])[0, 0])

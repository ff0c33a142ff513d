"""People, the boxes that were found -> People: where a box was found and the mask lost a part, the found box counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from datasets.records import People, Tracklets
from tasks.ops.boxes import covered, iou

SAME = 0.5  # intersection over union with the bound box from which a found box is the person's
AGREE = 0.6  # and with the mask's tight box from which both are believed
COVERED = 0.6  # share of where an unfound person should be, from which a found box holds them too
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


def settle_boxes(people: People, bound: People, found: Tracklets, rows: np.ndarray) -> People:
    """The people with boxes that both the detector and the mask speak for.

    bound: the same people before their masks were made again; rows (P, T): of `own_rows`. Where the tight box of the
    mask agrees with the found one, the box is their mean, for their errors are independent; where it does not, the mask
    has lost a limb or taken in another's, and the found box stands. Whom no box was found of, where someone else's
    covers the place where they should be, is in that box too, with the other: it counts as found, for it is of two.
    Whoever is seen by the detector is visible by LEAST_SEEN at least. Else the mask's box stands.
    """
    box, visible = people.box.copy(), people.visible.copy()
    starts = np.searchsorted(found.frame, np.arange(people.num_frames + 1))
    for p, t in zip(*np.nonzero(people.present), strict=True):
        own, masked = rows[p, t], people.visible[p, t] >= LEAST_SEEN
        if own >= 0:
            seen, both = found.box[own], masked and _iou(found.box[own], box[p, t]) >= AGREE
        else:
            here = found.box[starts[t] : starts[t + 1]]
            share = covered(bound.box[p, t][None], here)[0]
            if share.max(initial=0) < COVERED:
                continue
            seen, both = here[share.argmax()], masked
        box[p, t] = (seen + box[p, t]) / 2 if both else seen
        visible[p, t] = max(visible[p, t], LEAST_SEEN)
    return replace(people, box=box.astype(np.float32), visible=visible.astype(np.float32))


def _iou(one: np.ndarray, two: np.ndarray) -> float:
    return float(iou(one[None], two[None])[0, 0])

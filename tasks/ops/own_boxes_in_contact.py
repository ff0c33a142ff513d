"""People, posed, the boxes that were found -> People: the boxes of those in contact, from all that speaks for a side.

Somebody half hidden has no box that can be taken as it is: the detector's loses limbs or holds two people, the mask
loses limbs too, and the pose guesses. But each errs in its own way, and a body moves steadily. So each side of a box is
a line through time that lies near what was said of it: penalised least squares (Whittaker 1923; Eilers, "A perfect
smoother", Analytical Chemistry 2003), reweighted as Cauchy's distribution asks (Holland and Welsch 1977), so that what
is far off counts for little, with one scale for lines further in than what was said and another for those further out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solveh_banded

from datasets.records import People, Tracklets
from tasks.ops.boxes import covered
from tasks.ops.camera_motion import steadied, unsteadied
from tasks.ops.own_boxes import expected_boxes, found_boxes, own_rows, shared_boxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far from what was said the true side may lie: Cauchy's scale, in heights of the person."""

    inside: float  # nearer to the middle of the box
    outside: float
    upright: float = 0.4  # of both, for top and bottom: heads and feet swing less than arms


# Chosen by descent on the overlap with the true boxes of 71 filmed crossings (seeds 11, 101 and 202), and rounded.
CLEAR = Reach(inside=0.01, outside=0.01, upright=1.0)  # detector and mask, where nobody else's box reaches
FOUND = Reach(inside=0.01, outside=0.1)  # the detector, where somebody's does: its box loses limbs
MASK = Reach(inside=0.01, outside=0.15)  # and the mask: it loses more of them, and takes in little
SHARED = Reach(inside=0.15, outside=0.01, upright=1.0)  # a box that was found of several: it holds each of them
POSE = Reach(inside=0.1, outside=0.1)  # all joints, and as much round them as this person has
# Between the frames in which they were found, where they were not. Filmed crossings want it no more than not; without
# it somebody small beside a large one, found in one box with them for long, gets that box (43 boxes drawn by hand on
# footage: overlap 0.78 without, 0.79 with it).
EXPECTED = Reach(inside=0.2, outside=0.2)
CONTESTED, FREE = (FOUND, MASK, SHARED, POSE, EXPECTED), (CLEAR, CLEAR, SHARED, POSE, EXPECTED)
# Heights a second, a second: how sides accelerate. Heads and feet are steadier than arms and knees, but who jumps falls
# with 6: filmed crossings, in which nobody jumps, would have 3 (HOTA 0.001 better), and cut heads off on a trampoline.
HURRY = (10.0, 20.0, 10.0, 20.0)

TOUCHED = 0.05  # share of a box that somebody else's covers, from which its person is in contact
FURTHER = 0.08  # heights by which the other's box reaches further out, from which it may hide what is there
POSED = 0.2  # the score from which a joint shows that there is a pose
LEAST_CLEAR = 3  # frames that show how much of a person there is round their joints
ROUNDS = 10  # of reweighting
SILENT = 1e-3  # weight, in heights ** -2, of a straight way where nothing speaks: without any, nothing holds the line
OUTWARD = (-1.0, -1.0, 1.0, 1.0)


def contact_boxes(people: People, found: Tracklets, to_first: np.ndarray, *, fps: float) -> People:
    """The people with new boxes where they are in contact or were not found: the boxes of what is to be seen of them.

    people: with masks and poses as they stay, and the boxes of `settle_boxes`. These stay for all who stand free, and
    for whom no box was ever found of. to_first (T, 2, 3): of `camera_motion.to_first_frame`.
    """
    if people.num_frames < 3:  # nothing accelerates
        return people
    rows = own_rows(people, found)
    said = _said(people, found, rows, expected_boxes(found, rows, to_first))
    contact, contested = touched(people, rows)
    box, every = people.box.copy(), np.arange(people.num_frames)
    h, w = people.mask.size
    for p in np.flatnonzero(contact.any(1) & (rows >= 0).any(1)):
        own = np.stack([steadied(one, every, to_first) for one in said[:, p]])
        settled = steadied(people.box[p].astype(np.float64), every, to_first)
        own[3] += _flesh(own[3], settled, people.present[p] & ~contact[p])
        height = float(np.nanquantile(own[0, :, 3] - own[0, :, 1], 0.9))
        lines = _lines(own / height, contested[p], fps) * height
        made = unsteadied(lines, every, to_first).clip(0, (w, h, w, h))
        use = contact[p] & (made[:, 2:] - made[:, :2] >= 1).all(1)
        box[p, use] = made[use]
    return replace(people, box=box)


def touched(people: People, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, T) who is in contact, and (P, T, 4) the sides of theirs that others may hide: all, where none was found.

    rows (P, T): of `own_rows`.
    """
    contact = people.present & (rows < 0)
    contested = np.repeat(contact[..., None], 4, 2)
    for t in range(people.num_frames):
        who = np.flatnonzero(people.present[:, t])
        box = people.box[who, t].astype(np.float64)
        touch = covered(box, box) >= TOUCHED
        np.fill_diagonal(touch, False)
        height = box[:, 3] - box[:, 1]
        further = OUTWARD * (box[None] - box[:, None]) > FURTHER * height[:, None, None]
        contact[who, t] |= touch.any(1)
        contested[who, t] |= (touch[..., None] & further).any(1)
    return contact, contested


def _said(people: People, found: Tracklets, rows: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """(5, P, T, 4) what speaks for each side: the found box, the mask's, one shared with others, all joints' extent;
    where nothing was found, the expected box.

    NaN where one has nothing to say.
    """
    tight = people.mask.boxes().reshape(people.box.shape).astype(np.float64)
    tight[~(tight[..., 2] > tight[..., 0])] = np.nan
    joints = people.keypoint[:, :, :17].astype(np.float64)
    pose = np.concatenate([joints.min(2), joints.max(2)], -1)
    pose[~(people.score[:, :, :17] >= POSED).any(2)] = np.nan
    shared = shared_boxes(people.present & (rows < 0), found, expected)
    between = np.where((rows < 0)[..., None], expected, np.nan)
    said = np.stack([found_boxes(found, rows), tight, shared, pose, between])
    said[:, ~people.present] = np.nan
    return said


def _flesh(joints: np.ndarray, box: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """(4,) from the extent of a person's joints (T, 4) to their box (T, 4), where both are clear (T,); NaN where that
    is too seldom."""
    seen = np.flatnonzero(clear & np.isfinite(joints[:, 0]))
    return np.median((box - joints)[seen], 0) if len(seen) >= LEAST_CLEAR else np.full(4, np.nan)


def _lines(said: np.ndarray, contested: np.ndarray, fps: float) -> np.ndarray:
    """(T, 4) sides through what was said of them, (5, T, 4) in heights; contested (T, 4) bool."""
    lines = []
    for side, outward in enumerate(OUTWARD):
        scales = [np.array([_scales(reach, side) for reach in kind]).T[..., None] for kind in (CONTESTED, FREE)]
        inside, outside = np.where(contested[:, side], *scales)
        lines.append(side_line(said[:, :, side] * outward, inside, outside, HURRY[side] / fps**2) * outward)
    return np.stack(lines, 1)


def _scales(reach: Reach, side: int) -> tuple[float, float]:
    share = reach.upright if side in (1, 3) else 1.0
    return reach.inside * share, reach.outside * share


def side_line(said: np.ndarray, inside: np.ndarray, outside: np.ndarray, hurry: float) -> np.ndarray:
    """(T,) the line through time of one side, in heights of the person and outwards.

    said (N, T): what N voices say, NaN for nothing; inside, outside (N, T): Cauchy's scales of how much further in or
    out the side may be; hurry: by how much its step from frame to frame may change in one, so that a side that swings
    is followed alike at any rate of frames.
    """
    heard = np.isfinite(said)
    place = np.where(heard, said, 0.0)
    scale = np.maximum(inside, outside)  # from the middle of what is likely, for there may be more than one best line
    line = _smooth(place, heard / scale**2, hurry**-2)
    for _ in range(ROUNDS - 1):
        off = line - place
        scale = np.where(off > 0, outside, inside)
        line = _smooth(place, heard / (scale**2 + off**2), hurry**-2)
    return line


def _smooth(place: np.ndarray, weight: np.ndarray, stiff: float) -> np.ndarray:
    """(T,) the x of least sum weight * (x - place) ** 2 + stiff * (second differences of x) ** 2; both (N, T)."""
    total, every = weight.sum(0), np.arange(weight.shape[1])
    heard = total > 0
    mean = np.interp(every, every[heard], (weight * place).sum(0)[heard] / total[heard])
    total[~heard] = SILENT
    band = np.zeros((3, len(total)))
    band[0] = total
    for row, shift, by in ((0, 0, 1), (0, 1, 4), (0, 2, 1), (1, 0, -2), (1, 1, -2), (2, 0, 1)):
        band[row, shift : len(total) - 2 + shift] += by * stiff
    return solveh_banded(band, total * mean, lower=True)

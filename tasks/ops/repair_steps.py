"""People -> evidence of each step in time: how likely row q at a frame is who row p was the frame before.

All evidence is in nats against. It is read from what the rows hold and from nothing that names them, so it is the same
whatever the identities are called.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pycocotools import mask as coco

from datasets.masks import Masks
from datasets.records import People
from tasks.ops.boxes import intersection

SEEN = 0.2  # keypoint score from which a joint counts
JOINTS = 17  # the body's: hands and faces have many joints and say little of who it is
_AROUND = 5  # steps before and after that tell how large a step is usual
_NEAR = 0.03  # in body sizes: so near to another's box one may vanish behind them
_SLIVER = 0.35  # share of the usual area below which a mask is about to vanish
ABSENT, SILENT, FOUND = 0, 1, 2  # not in the shot; in the shot and nothing seen of them; something seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """How much each kind of evidence says."""

    mask: float = 5.0  # nats for two masks, a frame apart, that share nothing
    no_mask: float = 2.5  # a mask that comes or goes: neither for nor against
    box: float = 1.0  # per e-fold of how far a box jumps beyond its usual step
    most_box: float = 4.0
    joints: float = 6.0  # joints hang together: seventeen of them say as much as so many that do not
    most_pose: float = 8.0  # a pose that is off altogether says no more than this: networks fail, too
    no_pose: float = 5.0  # too few joints to tell: neither for nor against
    no_bend: float = 5.0  # a velocity that is not known
    sliver: float = 6.0  # coming or going as a sliver, at the frame's edge or beside someone
    beside: float = 10.0  # there, but whole
    middle: float = 14.0  # coming from nowhere
    floor: float = 0.004  # no step is believed more exactly than this, in body sizes


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """What P people's T frames look like to who would follow them."""

    state: np.ndarray  # (P, T) ABSENT, SILENT or FOUND
    size: np.ndarray  # (P, T) the body's size in pixels
    joint: np.ndarray  # (P, T, 17, 2) NaN where not seen
    still: np.ndarray  # (P, T) spread of a joint's step at about that time, in body sizes
    steady: np.ndarray  # (P, T) and of how it changes from step to step
    step_box: np.ndarray  # (P, T) spread of a box's step, in body sizes
    link: np.ndarray  # (T, P, P) [t, p, q]: row p at t - 1 is row q at t, by box, mask and where the joints are
    pose: np.ndarray  # (T, P, P) the part of it that the joints tell
    scales: Scales


def steps_of(people: People, scales: Scales) -> Steps:
    """Look at every step of a clip."""
    p, t = people.present.shape
    seen = (people.score[:, :, :JOINTS] >= SEEN) & people.present[..., None]
    joint = np.where(seen[..., None], people.keypoint[:, :, :JOINTS], np.nan).astype(np.float64)
    lit = (np.diff(people.mask.offset) > 0).reshape(p, t) & people.present
    posed = seen.sum(-1) >= 4
    state = np.where(people.present, np.where(lit | posed, FOUND, SILENT), ABSENT)
    size = body_sizes(people.box, joint, people.present)
    centre = (people.box[..., :2] + people.box[..., 2:]).astype(np.float64) / 2
    unit = size[..., None]
    first = np.sqrt((np.diff(joint, axis=1) ** 2).sum(-1)) / unit[:, 1:]
    second = np.sqrt((np.diff(joint, 2, axis=1) ** 2).sum(-1)) / unit[:, 2:]
    moved = np.where(lit[:, 1:] & lit[:, :-1], np.sqrt((np.diff(centre, axis=1) ** 2).sum(-1)) / size[:, 1:], np.nan)
    steps = Steps(
        state=state,
        size=size,
        joint=joint,
        still=_spread(first, t, scales.floor),
        steady=_spread(second, t, scales.floor),
        step_box=_spread(moved[..., None], t, 2 * scales.floor),
        link=np.zeros((t, p, p)),
        pose=np.zeros((t, p, p)),
        scales=scales,
    )
    _fill_links(steps, people, centre, lit)
    return steps


def body_sizes(box: np.ndarray, joint: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(P, T) each body's size in pixels: the longer side of its box, or of its pose where that is longer.

    box (P, T, 4), joint (P, T, J, 2) with NaN where nothing was seen; where nobody is, the clip's median.
    """
    side = np.maximum(box[..., 2] - box[..., 0], box[..., 3] - box[..., 1]).astype(np.float64)
    some = np.isfinite(joint).any(axis=(2, 3))
    low = np.nanmin(np.where(some[..., None, None], joint, 0.0), axis=2)
    high = np.nanmax(np.where(some[..., None, None], joint, 0.0), axis=2)
    side = np.maximum(side, (high - low).max(-1))
    known = present & (side > 0)
    usual = float(np.median(side[known])) if known.any() else 1.0
    # A sliver at the edge of the frame is not a small body.
    return np.where(known, np.maximum(side, 0.25 * usual), usual)


def _spread(far: np.ndarray, frames: int, floor: float) -> np.ndarray:
    """(P, T - k, J) lengths of k-th differences, NaN where unknown -> (P, T) their scale at about each time.

    The median of two-dimensional normal steps is 1.18 of their deviation (Rayleigh); taken over a window, one step that
    is wrong does not count. Nobody is taken to be steadier than the clip's people are.
    """
    known = np.isfinite(far)
    whole = float(np.median(far[known])) if known.any() else 0.0
    frame = np.where(known.any(-1), np.nanmedian(np.where(known.any(-1)[..., None], far, 0.0), -1), np.nan)
    pad = np.full((len(far), _AROUND), np.nan)
    window = sliding_window_view(np.concatenate([pad, frame, pad], 1), 2 * _AROUND + 1, axis=1)
    some = np.isfinite(window).sum(-1) >= 3
    near = np.where(some, np.nanmedian(np.where(some[..., None], window, 0.0), -1), whole)
    near = np.maximum(near, whole) / 1.18
    return np.maximum(np.concatenate([np.repeat(near[:, :1], frames - near.shape[1], 1), near], 1), floor)


def _fill_links(steps: Steps, people: People, centre: np.ndarray, lit: np.ndarray) -> None:
    """All first-order evidence, (T, P, P); frame 0 stays 0."""
    scales = steps.scales
    state = steps.state.T  # (T, P)
    before, after = state[:-1, :, None], state[1:, None, :]
    meet = (before == FOUND) & (after == FOUND)
    size = np.sqrt(steps.size.T[:-1, :, None] * steps.size.T[1:, None, :])
    apart = np.sqrt(((centre.transpose(1, 0, 2)[:-1, :, None] - centre.transpose(1, 0, 2)[1:, None]) ** 2).sum(-1))
    usual = 2 * _pairwise(steps.step_box)
    cost = np.minimum(scales.box * np.log1p((apart / size / usual) ** 2), scales.most_box)
    steps.pose[1:] = _pose_links(steps, size)
    cost += steps.pose[1:] + _mask_links(people, lit, scales)
    border = borders(people, steps)
    leave, enter = border.T[:-1, :, None], border.T[1:, None, :]
    cost = np.where(meet, cost, 0.0)
    cost = np.where((before == FOUND) & (after != FOUND), leave, cost)
    steps.link[1:] = np.where((before != FOUND) & (after == FOUND), enter, cost)


def _pose_links(steps: Steps, size: np.ndarray) -> np.ndarray:
    """(T - 1, P, P) nats by how far joints move in a step. A Cauchy density: one joint that jumps is not many."""
    joint, scales = steps.joint.transpose(1, 0, 2, 3), steps.scales
    out = np.empty(size.shape)
    usual = _pairwise(steps.still)
    # Pair by pair: the arrays of all pairs at once would be large for a long clip of many people.
    for p in range(joint.shape[1]):
        for q in range(joint.shape[1]):
            far = np.sqrt(((joint[:-1, p] - joint[1:, q]) ** 2).sum(-1)) / size[:, p, q, None]
            nats = surprise(far, usual[:, p, q], scales)
            out[:, p, q] = np.where(np.isfinite(nats), nats, scales.no_pose)
    return out


def _pairwise(spread: np.ndarray) -> np.ndarray:
    """(P, T) -> (T - 1, P, P) the larger spread of row p at t - 1 and row q at t."""
    return np.maximum(spread.T[:-1, :, None], spread.T[1:, None, :])


def surprise(far: np.ndarray, spread: np.ndarray, scales: Scales) -> np.ndarray:
    """(N, J) distances in body sizes, NaN where not seen, and their spread (N,) -> (N,) nats, capped; NaN where
    under four are seen."""
    known = np.isfinite(far)
    count = known.sum(-1)
    nats = np.where(known, np.log1p((np.where(known, far, 0) / (2 * spread[:, None])) ** 2), 0.0).sum(-1) / np.maximum(
        count, 1
    )
    return np.where(count >= 4, np.minimum(scales.joints * nats, scales.most_pose), np.nan)


def _mask_links(people: People, lit: np.ndarray, scales: Scales) -> np.ndarray:
    """(T - 1, P, P) nats by how little two masks share, a frame apart."""
    num, frames = people.present.shape
    out = np.full((frames - 1, num, num), scales.mask)
    some = lit.T[:-1, :, None] & lit.T[1:, None, :]
    none = ~lit.T[:-1, :, None] & ~lit.T[1:, None, :]
    out[~some] = scales.no_mask
    out[none] = 0.0
    rle = [_rle(people.mask, i) for i in range(num * frames)]
    for t in range(1, frames):
        a, b = np.flatnonzero(lit[:, t - 1]), np.flatnonzero(lit[:, t])
        if len(a) and len(b):
            shared = coco.iou([rle[p * frames + t - 1] for p in a], [rle[p * frames + t] for p in b], [False] * len(b))
            out[t - 1][np.ix_(a, b)] = scales.mask * (1 - shared)
    return out


def _rle(masks: Masks, i: int) -> dict[str, object]:
    return {"size": list(masks.size), "counts": masks.counts(i)}


def borders(people: People, steps: Steps) -> np.ndarray:
    """(P, T) nats for someone's first or last sight: less as a sliver, at the frame's edge or beside someone."""
    scales, (h, w), box = steps.scales, people.mask.size, people.box
    out = np.full(people.present.shape, scales.middle)
    hideable = (box[..., 0] <= 0.02 * w) | (box[..., 2] >= 0.98 * w)
    hideable |= (box[..., 3] >= 0.98 * h) | (box[..., 1] <= 0.02 * h)
    margin = _NEAR * steps.size[..., None]
    grown = np.concatenate([box[..., :2] - margin, box[..., 2:] + margin], -1)
    for t in np.flatnonzero(people.present.sum(0) > 1):
        near = intersection(grown[:, t], box[:, t]) > 0
        near[np.arange(len(near)), np.arange(len(near))] = False
        hideable[:, t] |= near[:, people.present[:, t]].any(1)
    out[hideable] = scales.beside
    lit = people.mask.areas().reshape(people.present.shape)
    usual = np.array([np.median(row[row > 0]) if (row > 0).any() else 0.0 for row in lit])
    out[hideable & (lit < _SLIVER * usual[:, None])] = scales.sliver
    return out


def bend(steps: Steps, t: int, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(N,) nats by how much joints change their velocity from row a at t - 2 over row b at t - 1 to row c at t."""
    joint = steps.joint
    size = np.sqrt(steps.size[b, t - 1] * steps.size[c, t])
    change = joint[c, t] - 2 * joint[b, t - 1] + joint[a, t - 2]
    found = (steps.state[a, t - 2] == FOUND) & (steps.state[b, t - 1] == FOUND) & (steps.state[c, t] == FOUND)
    nats = surprise(
        np.sqrt((change**2).sum(-1)) / size[:, None],
        np.maximum(steps.steady[b, t - 1], steps.steady[c, t]),
        steps.scales,
    )
    nobody = (steps.state[b, t - 1] != FOUND) & (steps.state[c, t] != FOUND)
    return np.where(nobody, 0.0, np.where(found & np.isfinite(nats), nats, steps.scales.no_bend))

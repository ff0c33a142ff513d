"""Tracks -> how they begin and end moving, and how likely one goes on as another: both time directions, in nats.

All lengths are in heights of the person, times in seconds, places as a camera that never moved would have seen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.ops.boxes import iou, paired_iou
from tasks.ops.tracks import Track

_WINDOW_S = 0.5  # of a track's end that tells its velocity
_LEAST_APART = 0.03  # share of two boxes that differs though nothing moved
_STEADY = 0.05  # what two boxes of one piece, a frame apart, do not share as a rule: the median of filmed crossings
_CLEAR = 0.4  # share of a box that must be free for its place to count: a covered side moves the middle


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionScales:
    """Spreads of how people move, of filmed walking and dancing; (x, y): across and up the picture."""

    place: tuple[float, float] = (0.06, 0.05)  # where a box lies
    drift: tuple[float, float] = (0.35, 0.18)  # growth of that with each second unseen, going on
    free: tuple[float, float] = (0.9, 0.3)  # growth of that with each second unseen, having stopped or turned
    speed: tuple[float, float] = (0.9, 0.25)  # of people in general, heights a second
    steer: tuple[float, float] = (0.35, 0.15)  # change of velocity over a gap, going on, at once ...
    turn: float = 0.5  # ... and its growth with each second
    # Shares of what people do while not seen: go on, turn back the way they came, anything from there, neither.
    # People who meet part again nearly as often as they pass.
    goes_on: float = 0.5
    turns_back: float = 0.2
    odd: float = 0.03
    size: float = 0.12  # of the log of the height, at once ...
    grow: float = 0.15  # ... and its growth with each second
    # The overlap of the boxes on both sides of a gap. In a contact all boxes are cut short, alike from frame to frame:
    # in the next frame the very last box tells more than a line through many. Fitted to pairs of pieces of filmed
    # crossings of one seed; a slower decay fits those pairs better, but misleads where two people cross.
    overlap: float = 5.0  # nats for each factor of e in what is not shared, at once ...
    overlap_s: float = 0.08  # ... and the time in which that falls to a third
    overlap_even: float = 1.0  # minus the log of what is not shared at which it speaks for neither
    unsteady: float = 0.0  # what two boxes of one piece, a frame apart, do not share, in this clip; 0: not known
    told_twice: float = 0.3  # share of the motion's nats that overlap repeats, at once
    # What all of this counts from one clear piece to the next, at once, and the time from which it counts in full. Such
    # pieces are one tracklet, cut where it may have slid from one person to another: the box goes on smoothly then,
    # whoever it is on. Of 1,206 pairs of filmed crossings a logistic regression wants 0.3 of what points are given.
    pieces: float = 0.2
    pieces_s: float = 0.45


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class End:
    """One end of a track."""

    place: np.ndarray  # (2,) middle of the box, pixels
    velocity: np.ndarray  # (2,) pixels a second, forward in time
    doubt: np.ndarray  # (2,) spread of the velocity, pixels a second
    height: np.ndarray  # () pixels
    box: np.ndarray  # (4,) the very last box, pixels


def first_end(track: Track, fps: float) -> End:
    """How a track begins."""
    return _end(track.frame, track.steady, track.apart, fps, -1)


def last_end(track: Track, fps: float) -> End:
    """How a track ends."""
    return _end(track.frame, track.steady, track.apart, fps, 1)


def stacked(ends: Sequence[End]) -> End:
    """Several ends as one, each field with an axis more in front."""
    return End(
        place=np.stack([end.place for end in ends]),
        velocity=np.stack([end.velocity for end in ends]),
        doubt=np.stack([end.doubt for end in ends]),
        height=np.array([end.height for end in ends]),
        box=np.stack([end.box for end in ends]),
    )


def continuation(a: End, b: End, gap_s: np.ndarray | float, area: float, scales: MotionScales) -> np.ndarray:
    """Nats against b being how a goes on after `gap_s`, beside b being someone who comes up anywhere.

    A mixture: going on at the mean of both velocities; turning back the way a came; stopped, so that b's velocity says
    nothing; anything. area: of the picture, square pixels. Negative log of p(place, velocity of b | a) / p(place,
    velocity of b). Where b is stacked, one figure for each.
    """
    height = np.sqrt(a.height * b.height)[..., None]
    gap = np.asarray(gap_s, float)[..., None]
    apart = (b.place - a.place) / height
    va, vb = a.velocity / height, b.velocity / height
    da, db = a.doubt / height, b.doubt / height
    place, speed = np.array(scales.place), np.array(scales.speed)
    steer = np.array(scales.steer) * (1 + scales.turn * gap / 0.5)
    drift = np.sqrt(place**2 + (np.array(scales.drift) * gap) ** 2 + (da**2 + db**2) / 4 * gap**2)
    change = np.sqrt(steer**2 + da**2 + db**2)
    on = _normal(apart - (va + vb) / 2 * gap, drift) + _normal(vb - va, change)
    back = _normal(apart, drift) + _normal(vb + va, change)
    free = _normal(apart, np.sqrt(place**2 + (np.array(scales.free) * gap) ** 2))
    anywhere = -np.log(np.maximum(area / height[..., 0] ** 2, 1.0))
    own = _normal(vb, np.sqrt(speed**2 + db**2))
    log_same = np.logaddexp.reduce(
        [
            np.log(scales.goes_on) + on,
            np.log(scales.turns_back) + back,
            np.log(1 - scales.goes_on - scales.turns_back - scales.odd) + free + own,
            np.log(scales.odd) + anywhere + own,
        ]
    )
    return np.asarray(anywhere + own - log_same)


def size_change(a: End, b: End, gap_s: np.ndarray | float, scales: MotionScales, most: float = 3.0) -> np.ndarray:
    """Nats against a person of a's height being of b's after a gap, beside anybody's height; at most `most`."""
    spread = np.hypot(scales.size, scales.grow * np.asarray(gap_s))
    return np.minimum(0.5 * (np.log(b.height / a.height) / spread) ** 2, most)


def unsteadiness(tracks: Sequence[Track]) -> float:
    """What two boxes of one track, a frame apart, do not share: the median over all that stand clear; 0 of none."""
    lost = [np.zeros(0)]
    for track in tracks:
        near = (np.diff(track.frame) == 1) & (track.apart[1:] >= _CLEAR) & (track.apart[:-1] >= _CLEAR)
        lost.append(1 - paired_iou(track.steady[:-1][near], track.steady[1:][near]))
    found = np.concatenate(lost)
    return float(np.median(found)) if len(found) else 0.0


def overlap_weight(gap_s: np.ndarray | float, scales: MotionScales) -> np.ndarray:
    """0..1: how much of what the overlap of two boxes says at once it still says after a gap."""
    return np.exp(-np.asarray(gap_s, float) / scales.overlap_s)


def pieces_weight(gap_s: np.ndarray, scales: MotionScales) -> np.ndarray:
    """0..1: how much motion counts from one clear piece to the next, a gap of so many seconds after it."""
    return np.asarray(scales.pieces + (1 - scales.pieces) * np.clip(gap_s / scales.pieces_s, 0.0, 1.0))


def overlap(a: End, b: End, gap_s: np.ndarray | float, scales: MotionScales) -> np.ndarray:
    """Nats against b being a by how far the last box of a and the first of b overlap, all four edges at once.

    A logistic regression on minus the log of what is not shared; see MotionScales. Where the boxes of this clip do not
    even stay in place within a piece, what is not shared counts in proportion less. Where b is stacked, one for each.
    """
    apart = 1 - iou(np.atleast_2d(a.box), np.atleast_2d(b.box)).reshape(np.shape(b.box)[:-1])
    told = -np.log(_LEAST_APART + apart * min(_STEADY / max(scales.unsteady, 1e-6), 1.0))
    return np.asarray(scales.overlap * overlap_weight(gap_s, scales) * (scales.overlap_even - told))


def _normal(x: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Log of a normal density with independent axes, the last of x."""
    return (-0.5 * (x / spread) ** 2 - np.log(spread) - 0.5 * np.log(2 * np.pi)).sum(-1)


def _end(frame: np.ndarray, box: np.ndarray, apart: np.ndarray, fps: float, side: int) -> End:
    """The last frames for a side of 1, the first for -1. A least-squares line through the clear boxes' middles."""
    last = len(frame) - 1 if side > 0 else 0
    near = np.abs(frame - frame[last]) <= max(round(_WINDOW_S * fps), 2)
    clear = near & (apart >= _CLEAR)
    rows = np.flatnonzero(clear if clear.sum() >= 3 else near)
    middle = (box[rows, :2] + box[rows, 2:]) / 2
    height = np.median(box[rows, 3] - box[rows, 1])
    t = (frame[rows] - frame[last]) / fps
    jitter = 0.04 * height  # of a detector's box from frame to frame
    if len(rows) < 3:
        return End(
            place=middle.mean(0), velocity=np.zeros(2), doubt=np.full(2, 1.0 * height), height=height, box=box[last]
        )
    centred = t - t.mean()
    moment = float((centred**2).sum())
    velocity = (centred[:, None] * (middle - middle.mean(0))).sum(0) / moment
    # Where it is now: the line at the end, not the last box alone.
    place = middle.mean(0) - velocity * t.mean()
    left = middle - (place + velocity * t[:, None])
    noise = np.maximum(np.sqrt((left**2).sum(0) / max(len(rows) - 2, 1)), jitter)
    return End(place=place, velocity=velocity, doubt=noise / np.sqrt(moment), height=height, box=box[last])

"""Tracks, poses -> places where somebody stays: which tracks lie there, and how much they move on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.records import Poses
from tasks.ops.boxes import covered, iou
from tasks.ops.scores import SURE_JOINT
from tasks.ops.tracks import Track

CLEAR = 0.6  # share of a box that is free: from there on its place and pose are the person's own
_TORSO = (5, 6, 11, 12)  # COCO's shoulders and hips: arms are what a detector is least sure of
_LIE = 0.5  # intersection over union of boxes from which they lie in one place
_MOSTLY = 0.8  # share of a track's boxes that tells where it belongs
_LEAST_S = 0.3  # of sight from which a track can make a place
_SEEN_S = 0.4  # of clear sight from which it can be told whether somebody moved
_HALF = 0.25  # share of a box that is free when somebody is half covered
_STANDS = 0.06  # heights: who moves no more, though half covered, stands
_WHOLE = 0.9  # share of a box that is free when nobody is before it
_SMOOTH_S = 0.2  # over which a joint's place is a median: detectors jitter
_AWAY_S = 1.0  # a place seen empty for so long is not where somebody stays
_COVERED = 0.25  # share of a place behind another's box, from which on it does not show as empty
_STEADY_CAMERA = 0.6  # share of frames in which the camera stood; single others are shadows that were followed
_BAND = (5, 95)  # percentiles: in one frame of twenty anything may be found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """All boxes of a clip's N tracks, one after another, as a camera that never moved would have seen them."""

    track: np.ndarray  # (R,) ascending
    first: np.ndarray  # (N,) each track's first row
    frame: np.ndarray  # (R,)
    box: np.ndarray  # (R, 4)
    apart: np.ndarray  # (R,) share of the box that no other covers
    joint: np.ndarray  # (R, 4, 2) shoulders and hips, moved as the boxes
    seen: np.ndarray  # (R, 4) bool  joints that are sure, and in their own box


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """Where somebody stays."""

    box: np.ndarray  # (4,) median
    own: np.ndarray  # tracks that lie there
    parts: np.ndarray  # tracks within it: a torso or a leg, found alone where somebody else is in front
    seconds: float  # that somebody is found there
    moved: float | None  # heights that they range over; None where too little of them is seen
    stays: bool  # never seen empty for long

    @property
    def height(self) -> float:
        """Of the box, pixels."""
        return float(self.box[3] - self.box[1])


def rows_of(tracks: Sequence[Track], poses: Poses, to_first: np.ndarray) -> Rows:
    """The rows of at least one track. to_first (T, 2, 3): the camera, as `camera_motion` has it."""
    still = _stands(to_first)
    size = np.array([len(track.frame) for track in tracks])
    row, frame = np.concatenate([track.row for track in tracks]), np.concatenate([track.frame for track in tracks])
    found = np.concatenate([track.box for track in tracks])
    point, score = poses.keypoint[row][:, _TORSO].astype(np.float64), poses.score[row][:, _TORSO]
    # A joint outside the box is that of somebody in front, to whom the pose was drawn.
    inside = ((point >= found[:, None, :2]) & (point <= found[:, None, 2:])).all(2)
    camera = to_first[frame]
    return Rows(
        track=np.repeat(np.arange(len(tracks)), size),
        first=np.cumsum(size) - size,
        frame=frame,
        box=found if still else np.concatenate([track.steady for track in tracks]),
        apart=np.concatenate([track.apart for track in tracks]),
        joint=point if still else np.einsum("nij,nkj->nki", camera[:, :, :2], point) + camera[:, None, :, 2],
        seen=(score >= SURE_JOINT) & inside,
    )


def places_of(rows: Rows, frames: int, fps: float) -> list[Place]:
    """All places where somebody stays for a while, those of the longest tracks first."""
    length = np.diff(rows.first, append=len(rows.track))
    free = np.ones(len(length), bool)
    homes: list[tuple[np.ndarray, np.ndarray]] = []
    for i in np.argsort(-length, kind="stable"):
        if not free[i] or length[i] < _LEAST_S * fps:
            continue
        own = slice(rows.first[i], rows.first[i] + length[i])
        clear = rows.apart[own] >= CLEAR
        home = np.median(rows.box[own][clear] if clear.any() else rows.box[own], 0)
        # Asked of the track alone first: a picture has room for so many places, but a long clip has ever more tracks.
        if (iou(rows.box[own], home[None])[:, 0] >= _LIE).mean() >= _MOSTLY:
            there = _mostly(iou(rows.box, home[None])[:, 0] >= _LIE, rows) & free
            homes.append((home, np.flatnonzero(there)))
            free &= ~there
    places = []
    for home, lie in homes:
        within = _mostly(covered(rows.box, home[None])[:, 0] >= _MOSTLY, rows) & free
        free &= ~within
        here = np.isin(rows.track, lie)
        places.append(
            Place(
                box=home, own=lie, parts=np.flatnonzero(within), seconds=float(here.sum()) / fps,
                moved=_moved(rows, here, fps), stays=_stays(home, here, rows, frames, fps),
            )
        )  # fmt: skip
    return places


def _stands(to_first: np.ndarray) -> bool:
    """Whether the camera stands still in most frames."""
    if len(to_first) < 2:
        return True
    return bool((np.abs(np.diff(to_first, axis=0)).max((1, 2)) < 1e-6).mean() >= _STEADY_CAMERA)


def _mostly(true: np.ndarray, rows: Rows) -> np.ndarray:
    """(N,) bool: tracks of whose rows (R,) most are true."""
    count = np.diff(rows.first, append=len(rows.track))
    return np.add.reduceat(true.astype(np.int64), rows.first) >= _MOSTLY * count


def _moved(rows: Rows, here: np.ndarray, fps: float) -> float | None:
    """Heights that somebody ranges over: by shoulders and hips, or by the box's upper edge where there is no pose.

    What covers somebody only makes them seem to move more. So where others are often in front, the least of what can
    be told from clear boxes and from half covered ones counts; and half covered ones alone tell that somebody stands,
    but not that they move.
    """
    clear, half = (np.flatnonzero(here & (rows.apart >= least)) for least in (CLEAR, _HALF))
    enough = max(_SEEN_S * fps, 2)
    if (rows.apart[here] >= _WHOLE).mean() >= _MOSTLY and len(clear) >= enough:
        return _told_by(rows, clear, fps)[0]
    if len(clear) >= enough:
        return min(*_told_by(rows, clear, fps), *_told_by(rows, half, fps))
    still = min(_told_by(rows, half, fps)) if len(half) >= enough else np.inf
    return still if still <= _STANDS else None


def _told_by(rows: Rows, chosen: np.ndarray, fps: float) -> tuple[float, float]:
    """What shoulders and hips tell of the motion, or else the upper edge; and what that edge tells. In heights."""
    chosen = chosen[np.argsort(rows.frame[chosen], kind="stable")]
    box = rows.box[chosen]
    height = float(np.median(box[:, 3] - box[:, 1]))
    top = _range(rows.frame[chosen], np.stack([(box[:, 0] + box[:, 2]) / 2, box[:, 1]], 1), fps) / height
    torso = []
    for j in range(len(_TORSO)):
        seen = chosen[rows.seen[chosen, j]]
        if len(seen) >= max(_SEEN_S * fps, 2):
            torso.append(_range(rows.frame[seen], rows.joint[seen, j], fps) / height)
    return float(np.median(torso)) if len(torso) >= 2 else top, top


def _range(frame: np.ndarray, point: np.ndarray, fps: float) -> float:
    """Pixels over which points (n, 2) range, each the median of those about it in time."""
    half = max(round(_SMOOTH_S * fps / 2), 1)
    low, high = np.searchsorted(frame, frame - half), np.searchsorted(frame, frame + half, side="right")
    smooth = np.array([np.median(point[a:b], 0) for a, b in zip(low, high, strict=True)])
    return float(np.linalg.norm(np.diff(np.percentile(smooth, _BAND, axis=0), axis=0)))


def _stays(home: np.ndarray, here: np.ndarray, rows: Rows, frames: int, fps: float) -> bool:
    """Whether a place is never seen empty for long: a dancer who sets off from there, or comes there, leaves it so."""
    empty = np.ones(frames, bool)
    empty[rows.frame[here | (covered(home[None], rows.box)[0] >= _COVERED)]] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[0], empty.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0)) <= _AWAY_S * fps

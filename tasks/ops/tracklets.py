"""Track ids -> tracklets: cut wherever it is unsure that the next box is still the same person."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from tasks.ops.boxes import area, contact, covered, iou


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Detections of one clip with what is known of each; row i of every array is the same box."""

    frame: np.ndarray  # (N,)   ascending
    box: np.ndarray  # (N, 4)
    track: np.ndarray  # (N,)   the tracker's id, -1: none
    embedding: np.ndarray  # (N, E) unit vectors, zeros where none was taken
    fps: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a tracklet may do and still be one person."""

    contact_iou: float  # boxes of two people that overlap more touch
    gap_s: float  # time without a box
    jump: float  # body heights off the foreseen place, beyond what 1.5 heights / s^2 ... of dancing explains
    resize: float  # factor in area from one box to the next
    alike: float  # least cosine between appearances before and after


def adopt(rows: Rows, least_iou: float = 0.5) -> np.ndarray:
    """Track ids with each track grown backwards over boxes that no track has: trackers name a person late.

    Gives (N,) int64. A box joins the track whose first box, one frame on, it overlaps most and by at least `least_iou`.
    """
    track = np.array(rows.track, np.int64)
    starts = np.searchsorted(rows.frame, np.arange(int(rows.frame.max(initial=-1)) + 2))
    for t in range(len(starts) - 3, -1, -1):
        here = np.arange(starts[t], starts[t + 1])
        free = here[track[here] < 0]
        taken = set(track[here].tolist())
        following = np.array(
            [row for row in range(starts[t + 1], starts[t + 2]) if track[row] >= 0 and int(track[row]) not in taken],
            int,
        )
        if not len(free) or not len(following):
            continue
        overlap = iou(rows.box[free], rows.box[following])
        while overlap.max() >= least_iou:
            i, j = np.unravel_index(overlap.argmax(), overlap.shape)
            track[free[i]] = track[following[j]]
            overlap[i], overlap[:, j] = -1, -1
    return track


def cut(rows: Rows, limits: Limits) -> np.ndarray:
    """Tracklet of each row, (N,) int32, numbered by first frame; -1 where there is no track.

    A track is cut where boxes begin and cease to touch; where two who touch change sides; where someone is lost or
    comes up right beside it; over a gap that is long, or that falls where people touch; where a box jumps or changes
    size; where it looks different after than before.
    """
    touching = _touching(rows, limits)
    crossed = _crossings(rows, touching) | _beside_the_lost(rows)
    tracklet = np.full(len(rows.frame), -1, np.int32)
    pieces: list[np.ndarray] = []
    for track in np.unique(rows.track[rows.track >= 0]):
        member = np.flatnonzero(rows.track == track)
        breaks = np.zeros(len(member), bool)  # breaks[i]: row i begins a new tracklet
        breaks[0] = True
        breaks[1:] |= touching[member][1:] != touching[member][:-1]
        breaks |= crossed[member]
        breaks[1:] |= _gaps(rows, member, touching, limits)
        odd = _oddness(rows, member, limits)
        breaks |= odd > 1
        for i in _changes_of_look(rows, member, breaks, odd, limits):
            breaks[i] = True
        pieces += np.split(member, np.flatnonzero(breaks)[1:])
    pieces.sort(key=lambda piece: (int(rows.frame[piece[0]]), int(piece[0])))
    for number, piece in enumerate(pieces):
        tracklet[piece] = number
    return tracklet


def _by_frame(rows: Rows) -> list[tuple[int, np.ndarray]]:
    """(frame, its rows), ascending; frames without rows are left out."""
    frames, first = np.unique(rows.frame, return_index=True)
    return list(zip(frames.tolist(), np.split(np.arange(len(rows.frame)), first[1:]), strict=True))


def _touching(rows: Rows, limits: Limits) -> np.ndarray:
    """(N,) bool: rows whose box touches another's; episodes and pauses of up to a tenth of a second are evened out."""
    overlap = np.zeros(len(rows.frame))
    for _, here in _by_frame(rows):
        overlap[here] = contact(rows.box[here])
    state = overlap > limits.contact_iou
    brief = max(rows.fps / 10, 1)
    for track in np.unique(rows.track[rows.track >= 0]):
        member = np.flatnonzero(rows.track == track)
        # Pauses first: a flicker within one embrace must not fall apart into moments too short to count.
        for flicker in (False, True):
            runs = np.split(member, np.flatnonzero(np.diff(state[member])) + 1)
            for run in runs[1:-1]:
                if state[run[0]] == flicker and rows.frame[run[-1]] - rows.frame[run[0]] + 1 <= brief:
                    state[run] = not flicker
    return state


def _crossings(rows: Rows, touching: np.ndarray) -> np.ndarray:
    """(N,) bool: rows between which someone changes sides, left for right, with someone that they touch.

    A side is sure when the centres are a tenth of a box apart; what lies between one sure side and the other is a piece
    of its own, cut off at both ends.
    """
    crossed = np.zeros(len(rows.frame), bool)
    # Of each pair: who was left when that was last sure, the two rows then, and whether they have touched since.
    side: dict[tuple[int, int], tuple[bool, tuple[int, int], bool]] = {}
    after = _following(rows)
    middle, width = (rows.box[:, 0] + rows.box[:, 2]) / 2, rows.box[:, 2] - rows.box[:, 0]
    for _, here in _by_frame(rows):
        here = here[rows.track[here] >= 0]
        here = here[rows.track[here].argsort(kind="stable")]
        for i, j in itertools.combinations(here.tolist(), 2):
            pair = int(rows.track[i]), int(rows.track[j])
            left, last, touched = side.get(pair, (bool(middle[i] < middle[j]), (i, j), False))
            touched = touched or bool(touching[i] or touching[j])
            if abs(middle[i] - middle[j]) < 0.1 * (width[i] + width[j]) / 2:
                side[pair] = left, last, touched
                continue
            if left != (middle[i] < middle[j]) and touched:
                crossed[[i, j]] = True
                crossed[[after[row] for row in last if after[row] >= 0]] = True
            side[pair] = bool(middle[i] < middle[j]), (i, j), bool(touching[i] or touching[j])
    return crossed


def _beside_the_lost(rows: Rows, near: float = 0.2) -> np.ndarray:
    """(N,) bool: rows at which somebody else's track, seen a frame before, has no box any more, or just got one.

    Where two become one box, nobody can say whose it is. `near`: the share of the lost box that the row's box covers.
    """
    unsure = np.zeros(len(rows.frame), bool)
    before: dict[int, int] = {}
    last = -1
    for t, here in _by_frame(rows):
        after = {int(rows.track[row]): int(row) for row in here if rows.track[row] >= 0}
        stay = [after[track] for track in after if track in before and t == last + 1]
        gone = [row for track, row in before.items() if track not in after]
        gone += [row for track, row in after.items() if track not in before]
        if stay and gone:
            unsure[stay] |= (covered(rows.box[gone], rows.box[stay]) > near).any(0)
        before, last = after, t
    return unsure


def _following(rows: Rows) -> np.ndarray:
    """(N,) the next row of the same track, -1 at its end."""
    after = np.full(len(rows.frame), -1)
    for track in np.unique(rows.track[rows.track >= 0]):
        member = np.flatnonzero(rows.track == track)
        after[member[:-1]] = member[1:]
    return after


def _gaps(rows: Rows, member: np.ndarray, touching: np.ndarray, limits: Limits, near: float = 0.15) -> np.ndarray:
    """(n - 1,) bool: steps between rows of a track over which the person may have been exchanged unseen.

    That is a long gap, and one in which somebody else stands there. near: share of the box before or after the gap that
    another's box covers in any of its frames.
    """
    step = np.diff(rows.frame[member])
    doubted = touching[member][1:] | touching[member][:-1]
    for k in np.flatnonzero((step > 1) & ~doubted):
        ends = member[[k, k + 1]]
        first, last = np.searchsorted(rows.frame, [rows.frame[ends[0]], rows.frame[ends[1]] + 1])
        others = np.setdiff1d(np.arange(first, last), ends)
        doubted[k] = bool(len(others) and (covered(rows.box[ends], rows.box[others]) > near).any())
    return (step > max(limits.gap_s * rows.fps, 1)) | ((step > 1) & doubted)


def _oddness(rows: Rows, member: np.ndarray, limits: Limits) -> np.ndarray:
    """(n,) how far each row is from what the rows before it foresee; above 1 it is beyond what a body does."""
    box, time = rows.box[member].astype(np.float64), rows.frame[member] / rows.fps
    centre, size = (box[:, :2] + box[:, 2:]) / 2, np.maximum(area(box), 1)
    height = np.sqrt(size)  # a length that bending down hardly changes
    odd = np.zeros(len(member))
    for i in range(1, len(member)):
        first = max(i - 4, 0)
        step = time[i] - time[i - 1]
        velocity = (centre[i - 1] - centre[first]) / (time[i - 1] - time[first]) if i - 1 > first else np.zeros(2)
        off = np.linalg.norm(centre[i] - centre[i - 1] - velocity * step) / height[i - 1]
        ratio = abs(np.log(size[i] / size[i - 1])) / np.log(limits.resize)
        odd[i] = max(off / (limits.jump + 3.0 * step), ratio / (1 + 4 * max(step - 1 / rows.fps, 0)))
    return odd


def _changes_of_look(rows: Rows, member: np.ndarray, breaks: np.ndarray, odd: np.ndarray, limits: Limits) -> list[int]:
    """Positions in a track where it looks different after than before: the oddest row between two looks."""
    out: list[int] = []
    looked = np.flatnonzero(rows.embedding[member].any(1))
    while True:
        # The clearest change first: what comes after it must not be measured against a mixture.
        piece = np.cumsum(breaks | np.isin(np.arange(len(member)), out))
        alike = [_alike(rows, member, piece, looked, k) for k in range(1, len(looked))]
        if not alike or min(alike) >= limits.alike:
            return out
        k = int(np.argmin(alike)) + 1
        a, b = looked[k - 1], looked[k]
        out.append(int(a + 1 + odd[a + 1 : b + 1].argmax()))


def _alike(rows: Rows, member: np.ndarray, piece: np.ndarray, looked: np.ndarray, k: int) -> float:
    """Cosine between the mean of up to three looks before the k-th and of up to three from it on; 1 across a cut."""
    if piece[looked[k - 1]] != piece[looked[k]]:
        return 1.0
    before = [i for i in looked[max(k - 3, 0) : k] if piece[i] == piece[looked[k]]]
    after = [i for i in looked[k : k + 3] if piece[i] == piece[looked[k]]]
    a, b = rows.embedding[member[before]].mean(0), rows.embedding[member[after]].mean(0)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0 else 1.0

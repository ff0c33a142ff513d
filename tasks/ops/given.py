"""What was brought beside a video -> rows of a clip's records: tracklets of given ids, poses and masks for their boxes.

Every assignment is exact (Hungarian; scipy's linear_sum_assignment), never a greedy loop.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import linear_sum_assignment

from tasks.ops.boxes import iou
from tasks.ops.identities import Named

# Nobody runs faster than about 12 m/s, or 7 body heights a second; a whip pan adds a picture's width in some frames.
FASTEST = 12.0  # heights a second
# What box edges jump when an arm goes up or a leg is lost, from one frame to the next.
TREMOR = 0.5  # heights
# A pose lies in a box, or a mask beneath it, when they share more than this.
LEAST_SHARED = 0.1


def given_tracklets(frame: np.ndarray, box: np.ndarray, ids: np.ndarray, fps: float) -> np.ndarray:
    """Tracklet of each row, (N,) int32, numbered by first frame: an id is one tracklet.

    It is cut only where nobody could have moved so: where two boxes of an id, one after the other, do not touch and
    their centres lie further apart than TREMOR + FASTEST * seconds, in heights of the taller.
    """
    pieces = []
    for one in np.unique(ids[ids >= 0]):
        rows = np.flatnonzero(ids == one)
        a, b = box[rows[:-1]], box[rows[1:]]
        moved = np.hypot(*((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2).T)
        tall = np.maximum(a[:, 3] - a[:, 1], b[:, 3] - b[:, 1])
        apart = (np.maximum(a[:, :2], b[:, :2]) >= np.minimum(a[:, 2:], b[:, 2:])).any(axis=1)
        far = moved > (TREMOR + FASTEST * np.diff(frame[rows]) / fps) * tall
        pieces += np.split(rows, np.flatnonzero(apart & far) + 1)
    pieces.sort(key=lambda piece: int(piece[0]))
    tracklet = np.full(len(frame), -1, np.int32)
    for number, piece in enumerate(pieces):
        tracklet[piece] = number
    return tracklet


def rows_between(frame: np.ndarray, ids: np.ndarray, annotated: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """(frame, row before, row after) of every frame that the file does not speak of, within the steps of an id.

    Steps of more than `most` frames, and frames that are annotated and hold no such id, stay open.
    """
    spoken = set(annotated.tolist())
    out = []
    for one in np.unique(ids[ids >= 0]):
        rows = np.flatnonzero(ids == one)
        for a, b in itertools.pairwise(rows):
            inside = range(int(frame[a]) + 1, int(frame[b]))
            if len(inside) < most and not any(t in spoken for t in inside):
                out += [(t, int(a), int(b)) for t in inside]
    return sorted(out)


def match_poses(
    box: np.ndarray, box_id: np.ndarray, keypoint: np.ndarray, score: np.ndarray, pose_id: np.ndarray
) -> np.ndarray:
    """For each box of one frame the pose that is its, (N,) int; -1: none.

    By id where both sides have it; the rest by the overlap of the box with the joints' own, and the share of joints
    that lie in it.
    """
    out = np.full(len(box), -1)
    by_id = {int(one): i for i, one in enumerate(pose_id) if one >= 0}
    for row, one in enumerate(box_id):
        out[row] = by_id.pop(int(one), -1) if one >= 0 else -1
    rows = np.flatnonzero((out < 0) & ~np.isin(box_id, pose_id[pose_id >= 0]))
    poses = np.array([i for i in range(len(keypoint)) if i not in set(out.tolist()) and (score[i] > 0).any()], int)
    if not len(rows) or not len(poses):
        return out
    shared = np.stack([_shared(box[rows], keypoint[i][score[i] > 0]) for i in poses], axis=1)
    for i, j in zip(*linear_sum_assignment(-shared), strict=True):
        if shared[i, j] > LEAST_SHARED:
            out[rows[i]] = poses[j]
    return out


def match_people(
    row_frame: np.ndarray,
    row_box: np.ndarray,
    row_id: np.ndarray,
    frame: np.ndarray,
    box: np.ndarray,
    ids: np.ndarray,
    *,
    numbered: bool,
) -> dict[int, int]:
    """Id of a mask -> id of boxes, for a whole clip.

    When the masks' people are `numbered`, not named, and every number is a box's, ids mean the same in both files. Else
    each person of the one file is the one of
    the other whose boxes theirs overlap most, summed over the frames, one to one.
    """
    theirs, ours = np.unique(ids), np.unique(row_id[row_id >= 0])
    if numbered and set(theirs.tolist()) <= set(ours.tolist()):
        return {int(one): int(one) for one in theirs}
    shared = np.zeros((len(theirs), len(ours)))
    for t in np.intersect1d(frame, row_frame):
        a, b = np.flatnonzero(frame == t), np.flatnonzero((row_frame == t) & (row_id >= 0))
        overlap = iou(box[a], row_box[b])
        shared[np.ix_(np.searchsorted(theirs, ids[a]), np.searchsorted(ours, row_id[b]))] += overlap
    seen = np.array([(ids == one).sum() for one in theirs])
    pairs = zip(*linear_sum_assignment(-shared), strict=True)
    return {int(theirs[i]): int(ours[j]) for i, j in pairs if shared[i, j] > LEAST_SHARED * seen[i]}


def match_boxes(row_box: np.ndarray, box: np.ndarray) -> np.ndarray:
    """For each mask of one frame the row whose box overlaps its own most, one to one, (M,) int; -1: none."""
    out = np.full(len(box), -1)
    if not len(row_box) or not len(box):
        return out
    overlap = iou(box, row_box)
    for i, j in zip(*linear_sum_assignment(-overlap), strict=True):
        if overlap[i, j] > LEAST_SHARED:
            out[i] = j
    return out


def _shared(box: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """How well joints (K, 2) fit into each box, (N,): the overlap with their own box, and the share that lie inside."""
    around = np.concatenate([joints.min(axis=0), joints.max(axis=0)])[None]
    around[:, 2:] = np.maximum(around[:, 2:], around[:, :2] + 1)
    inside = ((joints[None] >= box[:, None, :2]) & (joints[None] < box[:, None, 2:])).all(axis=2).mean(axis=1)
    return iou(box, around)[:, 0] + inside


def people_ids(box: np.ndarray, seen: np.ndarray, frame: np.ndarray, rows: np.ndarray, ids: np.ndarray) -> list[int]:
    """The brought id of each bound person, P; -1 for one that has none.

    box (P, T, 4) and seen (P, T) bool are the people's; rows (N, 4) brought boxes in frames (N,) with ids (N,). Each
    id is one person's at most: the assignment of the largest overlap, summed over the frames.
    """
    known = np.unique(ids[ids >= 0])
    shared = np.zeros((len(box), len(known)))
    for row, (t, one) in enumerate(zip(frame, ids, strict=True)):
        if one >= 0:
            who = np.flatnonzero(seen[:, t])
            shared[who, np.searchsorted(known, one)] += iou(box[who, t], rows[row : row + 1])[:, 0]
    out = [-1] * len(box)
    for i, j in zip(*linear_sum_assignment(-shared), strict=True):
        if shared[i, j] > LEAST_SHARED * max(int(seen[i].sum()), 1):
            out[i] = int(known[j])
    return out


def name_brought(ids: list[list[int]]) -> list[Named]:
    """Names of the people of a source's clips, in the clips' order, by brought ids: p0001, ... by first appearance.

    An id is surely one person. Who has none (-1) is named by themselves, and nothing is known of where else they are.

    >>> [named.identity for named in name_brought([[7, 3], [3, -1]])]
    [('p0001', 'p0002'), ('p0002', 'p0003')]
    """
    names: dict[object, str] = {}
    out = []
    for clip, people in enumerate(ids):
        keys = [one if one >= 0 else (clip, person) for person, one in enumerate(people)]
        identity = tuple(names.setdefault(key, f"p{len(names) + 1:04d}") for key in keys)
        sure = np.array([one >= 0 or len(ids) == 1 for one in people], np.float32)
        out.append(Named(identity=identity, confidence=sure))
    return out

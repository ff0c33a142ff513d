"""Drawn frame, joints -> what is seen of whom: masks, boxes, and of each keypoint whether it is visible, hidden or
outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.masks import encode_rle
from datasets.records import HIDDEN, UNKNOWN, VISIBLE
from tasks.ops.camera import View, project
from tasks.ops.drawn import Frame
from tasks.ops.performance import JOINTS

# COCO joint -> (SMPL parts whose surface may cover it, metres that it lies under that surface at most on a body of
# 1.7 m). Limb joints lie inside the flesh, nose, eyes and ears on it; the depth tells the near side of a part from
# its far side.
_COVER: tuple[tuple[str, float], ...] = (
    ("head", .05), ("head", .05), ("head", .05), ("head", .055), ("head", .055),
    ("left_shoulder left_collar spine3 neck", .14), ("right_shoulder right_collar spine3 neck", .14),
    ("left_elbow left_shoulder", .09), ("right_elbow right_shoulder", .09),
    ("left_wrist left_elbow left_hand", .075), ("right_wrist right_elbow right_hand", .075),
    ("left_hip pelvis spine1", .19), ("right_hip pelvis spine1", .19),
    ("left_knee left_hip", .115), ("right_knee right_hip", .115),
    ("left_ankle left_knee left_foot", .105), ("right_ankle right_knee right_foot", .105),
)  # fmt: skip
_ALLOWED = np.zeros((17, 25), bool)
for _joint, (_names, _) in enumerate(_COVER):
    _ALLOWED[_joint, [1 + JOINTS.index(name) for name in _names.split()]] = True
_UNDER_M = np.array([metres for _, metres in _COVER])
_TALL_M = 1.45  # ankle to head joint of a body of 1.7 m


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """The truth of one frame for P people."""

    modal: tuple[bytes, ...]  # P COCO counts, exclusive; b"" is empty
    amodal: tuple[bytes, ...]  # P COCO counts: as if alone, inside the picture
    covered: (
        np.ndarray
    )  # (P, P + 1) int32  pixels of person p's amodal mask where person q (1 ..) is seen; 0: a gap in nobody
    box: np.ndarray  # (P, 4) float32  tight around what is seen; zeros when nothing is
    full_box: np.ndarray  # (P, 4) float32  tight around the amodal mask; zeros when it is empty
    keypoint: np.ndarray  # (P, 17, 2) float32  pixels; (0, 0) behind the camera
    flag: np.ndarray  # (P, 17) uint8


def body_size(rest_joint: np.ndarray) -> float:
    """How large a body (24, 3) is against one of 1.7 m: the unit of the depths that joints lie under the skin."""
    ankle = 0.5 * (rest_joint[7, 1] + rest_joint[8, 1])
    return float(rest_joint[15, 1] - ankle) / _TALL_M


def observe(frame: Frame, coco: np.ndarray, view: View, sizes: Sequence[float]) -> Seen:
    """The truth of one drawn frame. coco (P, 17, 3) world joints of the people in drawing order, sizes as `body_size`
    gives.
    """
    people, shape = len(coco), frame.person.shape
    # Column by column is the order that run lengths are counted in.
    person, bits = np.ascontiguousarray(frame.person.T), np.ascontiguousarray(frame.amodal.T)
    modal, amodal = [], []
    covered = np.zeros((people, people + 1), np.int32)
    box, full_box = np.zeros((2, people, 4), np.float32)
    for p in range(people):
        here = (bits & bits.dtype.type(1 << p)) != 0
        full_box[p] = _box(here)
        x0, y0, x1, y1 = full_box[p].astype(int)
        near, inside = person[x0:x1, y0:y1], here[x0:x1, y0:y1]
        covered[p] = np.bincount(near[inside], minlength=people + 1)
        seen = person == p + 1
        if covered[p, p + 1]:
            box[p] = _box(seen[x0:x1, y0:y1]) + np.array([x0, y0, x0, y0], np.float32)
        modal.append(encode_rle(seen.T, shape) if covered[p, p + 1] else b"")
        amodal.append(encode_rle(here.T, shape))
    keypoint, flag = keypoint_flags(frame, coco, view, sizes)
    return Seen(
        modal=tuple(modal), amodal=tuple(amodal), covered=covered, box=box, full_box=full_box, keypoint=keypoint,
        flag=flag
    )  # fmt: skip


def keypoint_flags(frame: Frame, coco: np.ndarray, view: View, sizes: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (P, 17, 2) float32 and flags (P, 17) uint8 of world joints (P, 17, 3).

    A keypoint is visible when, within a pixel of it, the surface that is seen belongs to the same person, to a part
    that this joint lies in, and lies in front of it by no more than the flesh there; what is nearer (a hand over the
    hip, another person) or elsewhere hides it. Outside the picture, and behind the camera, it is unknown.
    """
    h, w = frame.person.shape
    at, depth = project(coco, view.intrinsics, view.extrinsics)
    at = np.where(np.isfinite(at), at, 0.0)
    column, row = np.floor(at[..., 0]).astype(int), np.floor(at[..., 1]).astype(int)
    inside = (depth > 0) & (column >= 0) & (column < w) & (row >= 0) & (row < h)
    near = np.zeros(inside.shape, bool)
    who = np.arange(1, len(coco) + 1)[:, None]
    under = _UNDER_M * np.asarray(sizes, float)[:, None]
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            y, x = np.clip(row + dy, 0, h - 1), np.clip(column + dx, 0, w - 1)
            part = frame.part[y, x]
            above = depth - frame.depth[y, x] / 1000
            near |= (frame.person[y, x] == who) & _ALLOWED[np.arange(17)[None], part] & (above <= under)
    flag = np.where(inside, np.where(near, VISIBLE, HIDDEN), UNKNOWN).astype(np.uint8)
    return at.astype(np.float32), flag


def _box(mask: np.ndarray) -> np.ndarray:
    """x0, y0, x1, y1, half-open, of a mask given by columns (w, h); zeros when it is empty."""
    columns, rows = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(columns):
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)

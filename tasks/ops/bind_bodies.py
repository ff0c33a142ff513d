"""Spans, Poses -> each person's pose, frame by frame, before it is steadied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.records import Poses, Tracklets
from tasks.ops.boxes import iou
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.pose_binding import bind_poses
from tasks.ops.spans import Spans


@dataclass(slots=True)
class Bodies:
    """Each person's pose, frame by frame, as it is put together. P people, T frames, J joints."""

    keypoint: np.ndarray  # (P, T, J, 2) float32
    score: np.ndarray  # (P, T, J) float32  0 where nothing was seen
    drawn: np.ndarray  # (P, T, J) float32  the score, and half of its neighbours' in filled gaps: for geometry only
    changed: np.ndarray  # (P, T) bool  the own box's pose went to another, or came from one, or was emptied


def bodies_of(spans: Spans, tracklets: Tracklets, poses: Poses, crops: MaskCrops, *, own: bool) -> Bodies:
    """Every found person's pose; where people touch, each pose goes to the mask that holds it, unless it is their
    own."""
    num, frames = spans.row.shape
    joints = poses.keypoint.shape[1]
    keypoint = np.zeros((num, frames, joints, 2), np.float32)
    score = np.zeros((num, frames, joints), np.float32)
    changed = np.zeros((num, frames), bool)
    for t in range(frames):
        who = np.flatnonzero(spans.row[:, t] >= 0)
        row = spans.row[who, t]
        owner = np.arange(len(who))
        if not own and len(who) > 1 and (np.triu(iou(tracklets.box[row], tracklets.box[row]), 1) > 0).any():
            window = crops.window(spans.segment[who, t])
            masks = crops.stack(spans.segment[who, t], window)
            owner = bind_poses(tracklets.box[row], poses.keypoint[row], poses.score[row], masks, window[:2])
            changed[who, t] = (owner != np.arange(len(who))) & (poses.score[row] > 0).any(1)
        theirs = owner >= 0
        keypoint[who[theirs], t] = poses.keypoint[row[owner[theirs]]]
        score[who[theirs], t] = poses.score[row[owner[theirs]]]
    bodies = Bodies(keypoint=keypoint, score=score, drawn=score.copy(), changed=changed)
    _interpolate(bodies, spans)
    return bodies


def _interpolate(bodies: Bodies, spans: Spans) -> None:
    """Fill in keypoints where no pose was seen: between, held before the first and after the last; their score
    stays 0."""
    num, frames = spans.row.shape
    for p in range(num):
        seen = (bodies.score[p] > 0).any(1)
        found = np.flatnonzero(seen)
        if not len(found) or seen.all():
            continue
        after = np.clip(np.searchsorted(found, np.arange(frames)), 0, len(found) - 1)
        a, b = found[np.maximum(after - 1, 0)], found[after]
        share = np.clip((np.arange(frames) - a) / np.maximum(b - a, 1), 0, 1)[:, None, None]
        between = bodies.keypoint[p, a] * (1 - share) + bodies.keypoint[p, b] * share
        bodies.keypoint[p, ~seen] = between[~seen]
        for gap in spans.gaps:
            if gap.person == p and gap.filled:
                inside = np.arange(gap.start, gap.stop)
                ends = np.minimum(bodies.score[p, a[inside]], bodies.score[p, b[inside]])
                bodies.drawn[p, inside] = np.where(seen[inside, None], bodies.drawn[p, inside], ends / 2)

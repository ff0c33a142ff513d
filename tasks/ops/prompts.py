"""Tracklets, Poses -> prompts: in which frames to show a person to a promptable segmenter, and with which points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.records import People, Poses, Tracklets
from tasks.ops.clean import contacts
from tasks.ops.pose_owner import borrowed_poses

_SURE = 0.5  # keypoint score of a point that is shown
_POINTS = 6  # most points on the person, and on others
_BODY = 17  # joints that are points of the body, in every skeleton here


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompt:
    """One frame's view of one person."""

    frame: int
    box: np.ndarray  # (4,) float32
    points: np.ndarray  # (K, 2) float32
    labels: np.ndarray  # (K,) int32  1 on the person, 0 on someone else


def prompts_of(tracklets: Tracklets, poses: Poses, *, most: int) -> dict[int, list[Prompt]]:
    """tracklet -> up to `most` prompts, ascending by frame.

    Frames in which the person stands apart and is surely found come first, and they are spread over the tracklet.
    """
    overlap = contacts(tracklets.frame, tracklets.box)
    worth = tracklets.score - 2 * np.maximum(overlap - 0.05, 0)
    out = {}
    for name in np.unique(tracklets.tracklet[tracklets.tracklet >= 0]):
        rows = np.flatnonzero(tracklets.tracklet == name)
        chosen = {int(part[worth[part].argmax()]) for part in np.array_split(rows, min(most, len(rows)))}
        best = max(worth[row] for row in chosen)
        # A contact frame beside a clean one would teach the segmenter both people.
        keep = sorted(row for row in chosen if worth[row] >= best - 0.4)
        out[int(name)] = [prompt_at(row, tracklets, poses) for row in keep]
    return out


def prompt_at(row: int, tracklets: Tracklets, poses: Poses) -> Prompt:
    """The prompt that shows the person of one row: box, sure joints, and the others' joints as what it is not."""
    here = np.flatnonzero(tracklets.frame == tracklets.frame[row])
    here = here[tracklets.tracklet[here] >= 0]
    score = poses.score[here, :_BODY].copy()
    score[borrowed_poses(tracklets.box[here], poses.keypoint[here, :_BODY], score)] = 0.0
    own = int(np.flatnonzero(here == row)[0])
    points = poses.keypoint[here, :_BODY]
    return _prompt(int(tracklets.frame[row]), own, tracklets.box[row], points, score)


def prompt_in(people: People, person: int, frame: int) -> Prompt:
    """The prompt that shows a bound person in a frame; the other people's joints are what it is not."""
    who = np.flatnonzero(people.present[:, frame])
    own = int(np.flatnonzero(who == person)[0])
    points, score = people.keypoint[who, frame, :_BODY], people.score[who, frame, :_BODY]
    return _prompt(frame, own, people.box[person, frame], points, score)


def _prompt(frame: int, own: int, box: np.ndarray, keypoint: np.ndarray, score: np.ndarray) -> Prompt:
    """keypoint (N, J, 2), score (N, J) of everyone in the frame; `own` is the row of whom to show."""
    on = _surest(keypoint[own], score[own], box)
    reach = 0.1 * float(box[3] - box[1])
    off = [_surest(keypoint[other], score[other], box) for other in range(len(keypoint)) if other != own]
    away = np.concatenate([np.zeros((0, 2), np.float32), *off])
    if len(on) and len(away):
        away = away[np.linalg.norm(away[:, None] - on[None], axis=-1).min(1) > reach]
    away = away[:_POINTS]
    return Prompt(
        frame=frame,
        box=box.astype(np.float32),
        points=np.concatenate([on, away]).astype(np.float32),
        labels=np.concatenate([np.ones(len(on)), np.zeros(len(away))]).astype(np.int32),
    )


def _surest(keypoint: np.ndarray, score: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The surest joints inside a box, (K, 2)."""
    inside = (keypoint > box[:2]).all(1) & (keypoint < box[2:]).all(1) & (score >= _SURE)
    order = np.argsort(-np.where(inside, score, 0), kind="stable")[: min(_POINTS, int(inside.sum()))]
    return keypoint[order].astype(np.float32)

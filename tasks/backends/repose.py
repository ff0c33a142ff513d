"""People, frames -> the poses of those who touch, estimated again: each alone, with everyone else painted over."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from datasets.records import People
from tasks.backends.ahead import ahead
from tasks.backends.table import PoseEstimator
from tasks.ops.crops import pad_cut, square_around
from tasks.ops.hidden import paint_over
from tasks.ops.mask_ops import box_of
from tasks.ops.rebind_poses import in_doubt, rebound

# Of the box's longer side: what networks cut out about a box (rtmlib 1.25 at 3:4, so 1.67 of one that lies) must fit.
_AROUND = 1.7
_LARGEST = 1024  # pixels of a window's side: more than any network of the table takes in


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """Poses beside those that people have. P people, T frames, J joints."""

    keypoint: np.ndarray  # (P, T, J, 2) float32 pixels of the frame
    score: np.ndarray  # (P, T, J) float32 0..1; 0 where nobody was posed again


def repose(people: People, frames: Iterable[np.ndarray], network: PoseEstimator, *, fps: Fraction | float) -> People:
    """The same people with the poses of contacts, and missing and doubtful ones, estimated again and chosen anew.

    frames: (h, w, 3) uint8 RGB from frame 0 on; only those that are needed are looked at. Scores and flags follow the
    keypoints; a pose that lies on somebody else, and has no better one, is emptied: its scores are 0, its mask stays.
    Raises ValueError when the network's skeleton is not the people's.
    """
    wanted = in_doubt(people)
    if not wanted.any():
        return people
    found = pose_again(people, frames, network, wanted)
    return rebound(people, found.keypoint, found.score, wanted, fps=float(fps))


def pose_again(people: People, frames: Iterable[np.ndarray], network: PoseEstimator, wanted: np.ndarray) -> Found:
    """The poses of wanted (P, T) people on the tight boxes of their masks, with everyone else painted over.

    frames: (h, w, 3) uint8 RGB from frame 0 on, read no further than they are wanted. All of a frame are posed in one
    batch where the network takes one. Raises ValueError when the network's skeleton is not the people's.
    """
    if network.skeleton != people.skeleton:
        raise ValueError(
            f"repose: want a network of {people.skeleton} keypoints, as the people have, got {network.skeleton}; "
            "set the estimator that posed them"
        )
    keypoint, score = np.zeros_like(people.keypoint), np.zeros_like(people.score)
    where: dict[int, np.ndarray] = {}
    with contextlib.closing(ahead(_sheets(people, frames, wanted, where))) as sheets:
        for rows, points, sure in network.estimate_each(sheets):
            who, t = rows[:-1], int(rows[-1])
            corner, scale = where[t][:, :2], where[t][:, 2]
            keypoint[who, t] = points / scale[:, None, None] + corner[:, None]
            score[who, t] = sure
            del where[t]
    return Found(keypoint=keypoint, score=score)


def _sheets(
    people: People, frames: Iterable[np.ndarray], wanted: np.ndarray, where: dict[int, np.ndarray]
) -> Generator[tuple[np.ndarray, np.ndarray, np.ndarray], None, None]:
    """(people and the frame, a picture of their windows side by side, their boxes in it) of frames that have wanted
    people. What takes the picture's points back to the frame goes into `where`: frame -> (N, 3) corner and scale."""
    last = int(np.flatnonzero(wanted.any(0)).max(initial=-1))
    for t, frame in zip(range(last + 1), frames, strict=False):
        who = np.flatnonzero(wanted[:, t])
        if not len(who):
            continue
        masks = np.stack([people.mask_at(p, t) for p in range(people.num_people)])
        pieces = [_window(frame, masks, p) for p in who.tolist()]
        side = max(piece[0].shape[0] for piece in pieces)
        sheet = np.zeros((side, side * len(pieces), 3), np.uint8)
        boxes, back = np.zeros((len(who), 4), np.float32), np.zeros((len(who), 3), np.float32)
        for i, (picture, corner, scale) in enumerate(pieces):
            sheet[: picture.shape[0], i * side : i * side + picture.shape[1]] = picture
            shift = np.array([i * side, 0], np.float32)
            boxes[i] = (box_of(masks[who[i]]) - np.tile(corner, 2)) * scale + np.tile(shift, 2)
            back[i] = (*(corner - shift / scale), scale)
        where[t] = back
        yield np.append(who, t), sheet, boxes


def _window(frame: np.ndarray, masks: np.ndarray, p: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Person p's surroundings with everyone else (masks (P, h, w)) painted over, its corner in the frame and scale."""
    x, y, side = square_around(box_of(masks[p]), _AROUND)
    x0, y0, whole = int(np.floor(x)), int(np.floor(y)), int(np.ceil(side)) + 1
    cut = x0, y0, x0 + whole, y0 + whole
    picture = pad_cut(frame, cut)
    others = np.asarray(np.delete(masks, p, axis=0).any(0))
    hidden = pad_cut(others, cut)
    if hidden.any():
        picture = paint_over(picture, hidden, pad_cut(masks[p], cut))
    corner = np.array([x0, y0], np.float32)
    if whole <= _LARGEST:
        return picture, corner, 1.0
    return cv2.resize(picture, (_LARGEST, _LARGEST), interpolation=cv2.INTER_AREA), corner, _LARGEST / whole

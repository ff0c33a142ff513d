"""People of a clip, a view, frames -> the same people as a cut and scaled version of those frames shows them."""

from __future__ import annotations

import itertools

import numpy as np

from datasets.masks import Masks
from datasets.records import UNKNOWN, People
from datasets.view import View
from datasets.window_masks import sample_masks

_BLOCK = 32  # masks that are painted at a time


def seen_through(people: People, view: View, frames: np.ndarray) -> People:
    """The people in these frames (N,) of the clip, in pixels of the view.

    A joint outside the cut is unknown; somebody of whom the cut shows nothing, and of whom there was something to see,
    is not there; the visible share shrinks with what is cut off. Events are left out: their frames are others.
    """
    mask = _masks(people, view, frames)
    shape = people.num_people, len(frames)
    lit, whole = mask.areas().reshape(shape), people.mask.areas().reshape(people.present.shape)[:, frames]
    # What the cut holds of a mask, against what the whole scaled picture would hold of it.
    scale = (view.scaled[0] / view.source[0]) * (view.scaled[1] / view.source[1])
    share = np.where(whole > 0, np.minimum(1.0, lit / np.maximum(whole * scale, 1e-9)), 1.0)
    gone = (whole > 0) & (lit == 0)
    keypoint = view.points(people.keypoint[:, frames])
    # A mask of a few pixels loses or gains some by sampling: only what the frame's edge takes counts as cut off.
    cut = _cut_off(people, view, frames)
    visible = np.where(cut, people.visible[:, frames] * share, people.visible[:, frames])
    return People(
        box=view.boxes(people.box[:, frames]).astype(np.float32),
        keypoint=keypoint.astype(np.float32),
        score=people.score[:, frames],
        flag=np.where(view.inside(keypoint), people.flag[:, frames], UNKNOWN).astype(np.uint8),
        mask=mask,
        present=people.present[:, frames] & ~gone,
        visible=np.where(gone, 0.0, visible).astype(np.float32),
        confidence=people.confidence[:, frames],
        skeleton=people.skeleton,
        events=(),
    )


def _masks(people: People, view: View, frames: np.ndarray) -> Masks:
    """Everyone's masks in these frames, a few of them painted at a time."""
    grid = view.grid()
    rows = (np.arange(people.num_people)[:, None] * people.num_frames + frames[None]).ravel()
    blocks = (sample_masks(people.mask, rows[i : i + _BLOCK], grid) for i in range(0, len(rows), _BLOCK))
    return Masks.encode(itertools.chain.from_iterable(blocks), size=view.size)


def _cut_off(people: People, view: View, frames: np.ndarray) -> np.ndarray:
    """(P, N) bool: whose box the cut's edge takes a part of."""
    box = people.box[:, frames]
    corners = view.points(box.reshape(*box.shape[:-1], 2, 2)).reshape(box.shape)
    height, width = view.size
    return (
        (corners[..., 0] < -0.5)
        | (corners[..., 1] < -0.5)
        | (corners[..., 2] > width + 0.5)
        | (corners[..., 3] > height + 0.5)
    )

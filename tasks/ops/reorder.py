"""People -> People: what two identities hold changes hands, frame by frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from datasets.records import People


def reorder(people: People, slot: np.ndarray) -> People:
    """People of whom identity p holds, at frame t, all that row slot[p, t] held; slot (P, T) int, a permutation of the
    rows in every frame. Events stay as they are. Raises ValueError for what is no permutation.
    """
    rows, frames = np.arange(people.num_people)[:, None], np.arange(people.num_frames)[None]
    if slot.shape != people.present.shape or (np.sort(slot, 0) != rows).any():
        raise ValueError(f"reorder.slot: want {people.present.shape}, each frame a permutation of the people")
    if (slot == rows).all():
        return people
    return replace(
        reorder_poses(people, slot),
        box=people.box[slot, frames],
        mask=people.mask.select((slot * people.num_frames + frames).ravel()),
        present=people.present[slot, frames],
        visible=people.visible[slot, frames],
        confidence=people.confidence[slot, frames],
    )


def reorder_poses(people: People, slot: np.ndarray) -> People:
    """The same with only the poses (keypoint, score, flag) changing hands; slot (P, T) may name a row twice."""
    frames = np.arange(people.num_frames)[None]
    return replace(
        people,
        keypoint=people.keypoint[slot, frames],
        score=people.score[slot, frames],
        flag=people.flag[slot, frames],
    )

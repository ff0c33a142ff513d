"""Boxes that a person drew stand; those that were only put round joints, to know where to look, do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.records import People, Tracklets, load_record
from tasks.clips import people_of
from tests.brought_video import Route, add_boxes, add_keypoints, add_masks, drawn


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, People]:
    """A folder with the video alone, and the truth."""
    return tmp_path, drawn(tmp_path / "in")


@pytest.mark.parametrize("more", [(add_keypoints,), (add_keypoints, add_masks)], ids=["masks made here", "masks, too"])
def test_boxes_that_a_person_drew_stand_though_masks_have_others(place, more):
    folder, truth = place
    rng = np.random.default_rng(4)
    loose = truth.box + rng.uniform(0, 4, truth.box.shape).astype(np.float32) * np.array([-1, -1, 1, 1], np.float32)
    loose = np.round(loose.clip(0, np.tile(np.array(truth.mask.size[::-1], np.float32), 2)), 2)
    add_boxes(folder / "in", replace(truth, box=loose))
    for add in more:
        add(folder / "in", truth)
    (item,) = Route(folder).run(folder / "in" / "two.mp4", until="refine").items
    seen = truth.visible >= 0.1
    np.testing.assert_allclose(people_of(item).box[seen], loose[seen], atol=0.02)


def test_boxes_put_round_joints_do_not_stand_beside_masks_that_are_made(place):
    """Nobody drew them: they are where to look, not where somebody ends."""
    folder, truth = place
    add_keypoints(folder / "in", truth)
    (item,) = Route(folder).run(folder / "in" / "two.mp4", until="refine").items
    seen = truth.visible >= 0.9
    people, tracked = people_of(item), load_record(Tracklets, item.folder("track") / "tracklets.npz")
    round_joints = {
        (int(t), int(i)): box for t, i, box in zip(tracked.frame, tracked.tracklet, tracked.box, strict=True)
    }
    assert len(round_joints) >= seen.sum()
    boxes = np.array(list(round_joints.values()))
    ours = people.box[seen]
    assert not (np.abs(ours[:, None] - boxes[None]).max(-1) < 1e-3).any()

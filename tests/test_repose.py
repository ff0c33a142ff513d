"""Poses again, each person alone: what is painted over, where points land, which of two is taken, what is told."""

from __future__ import annotations

import dataclasses
import itertools
import json

import cv2
import numpy as np
import pytest

from tasks.backends.repose import pose_again, repose
from tasks.backends.table import SKELETON_OF, Where, estimator
from tasks.ops.hidden import paint_over
from tasks.ops.mask_ops import box_of
from tasks.ops.oks import oks
from tasks.ops.pose_choice import choose_joints
from tasks.ops.rebind_poses import in_doubt, rebound
from tests import tiny_weights
from tests.draw_people import Figure, draw_clip

TINY = ("rtmpose-m", "rtmw-l-384")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder of test-made pose networks."""
    return tiny_weights.write(tmp_path_factory.mktemp("weights"), TINY)


@pytest.fixture(scope="module")
def crossing():
    """Two drawn people who pass each other, and their frames."""
    figures = [
        Figure(start=(0.2, 0.95), stop=(0.8, 0.95), height=0.8),
        Figure(start=(0.8, 0.95), stop=(0.2, 0.95), height=0.66, shirt=(40, 60, 200)),
    ]
    people, pictures = draw_clip(figures, frames=30, size=(240, 320))
    # As a network says it, not as the truth: nobody's poses are doubted who is that sure.
    return dataclasses.replace(people, score=people.score * np.float32(0.8)), pictures


def test_others_are_painted_over():
    rng = np.random.default_rng(0)
    picture = rng.integers(80, 120, (200, 200, 3)).astype(np.uint8)
    own, other = np.zeros((2, 200, 200), bool)
    own[50:150, 60:100] = other[50:150, 95:140] = True
    other &= ~own
    picture[own], picture[other] = (250, 0, 0), (0, 0, 250)
    out = paint_over(picture, other, own)
    assert (out[own] == picture[own]).all()
    assert (out[other] == 114).all()
    far = np.ones((200, 200), bool)
    far[45:155, 55:145] = False
    assert (out[far] == picture[far]).all()
    assert (paint_over(picture, np.zeros_like(own), own) == picture).all()


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("scale", [1, 6], ids=["small", "larger than a window may be"])
def test_points_land_where_the_person_is(tiny, crossing, name, scale):
    people, pictures = crossing
    network = estimator(name, Where(directory=str(tiny), download=False))
    joints = len(tiny_weights.SKELETONS[SKELETON_OF[name]].joints)
    people, pictures = enlarged(people, pictures, scale, joints, SKELETON_OF[name], frames=3)
    wanted = np.zeros(people.present.shape, bool)
    wanted[:, 1] = True
    found = pose_again(people, iter(pictures), network, wanted)
    assert (found.score[:, [0, 2]] == 0).all()
    assert (found.score[:, 1] > 0).all()
    for p in range(2):
        box = box_of(people.mask_at(p, 1))
        alone = network.estimate(pictures[1], box[None])[0][0]
        # A test network stands everybody up in their box, and sways a little with the picture.
        assert np.abs(found.keypoint[p, 1] - alone).max() < 0.1 * (box[3] - box[1])
        inside = (found.keypoint[p, 1, :17] > box[:2] - 8 * scale) & (found.keypoint[p, 1, :17] < box[2:] + 8 * scale)
        assert inside.mean() > 0.9


def enlarged(people, pictures, scale, joints, skeleton, *, frames):
    """The first frames of people and pictures, so many times as large and posed with another skeleton's joints."""
    from datasets.masks import Masks

    h, w = people.mask.size
    size = h * scale, w * scale
    index = [p * people.num_frames + t for p in range(people.num_people) for t in range(frames)]
    masks = [
        cv2.resize(people.mask.decode(i).astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) for i in index
    ]
    some = {name: getattr(people, name)[:, :frames] for name in ("present", "visible", "confidence")}
    big = dataclasses.replace(
        people, **some, box=people.box[:, :frames] * scale, mask=Masks.encode([m > 0 for m in masks], size=size),
        keypoint=np.zeros((people.num_people, frames, joints, 2), np.float32), skeleton=skeleton,
        score=np.zeros((people.num_people, frames, joints), np.float32),
        flag=np.zeros((people.num_people, frames, joints), np.uint8),
    )  # fmt: skip
    return big, [cv2.resize(picture, size[::-1]) for picture in pictures[:frames]]


def test_a_network_of_another_skeleton_is_named(tiny, crossing):
    people, pictures = crossing
    network = estimator("rtmw-l-384", Where(directory=str(tiny), download=False))
    with pytest.raises(ValueError, match=r"want a network of coco17 keypoints, .* got coco133"):
        repose(people, iter(pictures), network, fps=25)


def test_who_is_posed_again(crossing):
    people, _ = crossing
    near = in_doubt(people)
    boxes = people.box.astype(int)
    overlap = (np.maximum(boxes[0, :, 0], boxes[1, :, 0]) < np.minimum(boxes[0, :, 2], boxes[1, :, 2])) & (
        people.visible >= 0.1
    ).all(0)
    assert near[:, overlap].all()
    assert not near[:, [0, -1]].any()
    assert not in_doubt(dataclasses.replace(people, score=np.ones_like(people.score))).any(), "given poses stand"
    score = people.score.copy()
    score[0, 0] = 0
    missing = in_doubt(dataclasses.replace(people, score=score))
    assert missing[0, 0]
    assert not missing[1, 0]


def test_nothing_in_doubt_reads_no_frame(tiny, crossing):
    people, _ = crossing
    network = estimator("rtmpose-m", Where(directory=str(tiny), download=False))
    sure = dataclasses.replace(people, score=np.ones_like(people.score))

    def frames():
        raise AssertionError("a frame was read")
        yield

    assert repose(sure, frames(), network, fps=25) is sure


def test_a_pose_on_somebody_else_is_put_right(crossing):
    people, _ = crossing
    keypoint = people.keypoint.copy()
    keypoint[0, 8:12] = keypoint[1, 8:12]
    wrong = dataclasses.replace(people, keypoint=keypoint)
    near = in_doubt(wrong)
    near[:, 8:12] = True
    found = rebound(wrong, people.keypoint, people.score, near, fps=25)
    assert np.abs(found.keypoint - people.keypoint).max() < 1e-3
    assert [(event.kind, event.people, event.start) for event in found.events] == [("repair", (0,), 8)]
    assert "found again" in found.events[0].note


def test_a_pose_that_stays_on_somebody_else_is_emptied(crossing):
    people, _ = crossing
    keypoint = people.keypoint.copy()
    keypoint[0, 2:6] = keypoint[1, 2:6]
    wrong = dataclasses.replace(people, keypoint=keypoint)
    near = np.zeros(people.present.shape, bool)
    near[:, 2:6] = True
    found = rebound(wrong, keypoint, people.score, near, fps=25)
    assert (found.score[0, 2:6] == 0).all()
    assert (found.flag[0, 2:6] != 2).all()
    assert (found.score[1] == people.score[1]).all()
    assert (found.mask.rle == people.mask.rle).all()
    assert "emptied" in found.events[0].note


def test_a_missing_pose_comes_back(crossing):
    people, _ = crossing
    score, keypoint = people.score.copy(), people.keypoint.copy()
    score[1, 5:20], keypoint[1, 5:20] = 0, keypoint[1, 4]
    lost = dataclasses.replace(people, score=score, keypoint=keypoint)
    found = rebound(lost, people.keypoint, people.score, in_doubt(lost), fps=25)
    again = found.score[1, 5:20].max(-1) > 0
    assert again.sum() > 0.8 * (people.visible[1, 5:20] >= 0.1).sum()
    size = np.ptp(people.keypoint[1, 0, :, 1])
    assert np.linalg.norm(found.keypoint[1] - people.keypoint[1], axis=-1).mean() < 0.03 * size


def test_of_two_poses_each_joint_takes_the_better():
    frames, size = 20, np.full(20, 100.0)
    true = np.stack([np.arange(frames) * 2.0, np.zeros(frames)], -1)[:, None].repeat(3, 1)
    first, second = true.copy(), true.copy()
    first[8:11, 0] += 60  # the first jumps in one joint, the second in another
    second[5:7, 1] -= 60
    second[:, 2] += 1.0  # and here they nearly agree
    score = np.full((2, frames, 3), 0.6)
    point, sure = choose_joints(np.stack([first, second]), score, np.zeros((2, frames)), size)
    np.testing.assert_allclose(point[:, :2], true[:, :2], atol=1e-4)
    np.testing.assert_allclose(point[:, 2, 0], true[:, 2, 0] + 0.5, atol=1e-4)
    assert (sure == 0.6).all()
    none = score.copy()
    none[1, 5:] = 0
    point, _ = choose_joints(np.stack([true, true + 30]), none, np.zeros((2, frames)), size)
    np.testing.assert_allclose(point[5:], true[5:])


def test_movenet_is_helped_by_paint(shared):
    """Others' cut-outs, pasted partly over people of the COCO pictures: painted over, more of the people is found."""
    folder = shared / "reference" / "coco"
    truth = json.loads((folder / "test_coco.json").read_text())
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    network = estimator("movenet-lightning", Where(directory=str(shared / "weights"), download=False))
    whole = [a for a in truth["annotations"] if a.get("num_keypoints", 0) >= 15]
    pictures = {key: np.ascontiguousarray(cv2.imread(str(folder / name))[..., ::-1]) for key, name in names.items()}
    raw: list[float] = []
    painted: list[float] = []
    for (i, person), step, aside in itertools.product(enumerate(whole), (1, 2, 3), (-0.3, 0.3)):
        frame = pictures[person["image_id"]].copy()
        other = whole[(i + step) % len(whole)]
        x, y, w, h = person["bbox"]
        hides = paste(frame, pictures[other["image_id"]], other, (max(x + aside * w, 0), y, h))
        body = polygon(person, frame.shape[:2])
        own = body & ~hides
        if own.sum() < 0.3 * body.sum():
            continue
        joint = np.array(person["keypoints"], float).reshape(1, 17, 3)
        column, row = (np.clip(np.floor(joint[0, :, a]).astype(int), 0, frame.shape[1 - a] - 1) for a in (0, 1))
        labelled = (joint[..., 2] > 0) & ~hides[row, column]
        box, area = box_of(own)[None], np.array([person["area"]])
        for picture, into in ((frame, raw), (paint_over(frame, hides, own), painted)):
            into.append(oks(network.estimate(picture, box)[0], joint[..., :2], area, labelled=labelled)[0, 0])
    assert len(raw) > 25
    assert np.mean(painted) > np.mean(raw) + 0.04


def polygon(person, size):
    mask = np.zeros(size, np.uint8)
    for part in person["segmentation"]:
        cv2.fillPoly(mask, [np.round(np.array(part).reshape(-1, 2)).astype(np.int32)], 1)
    return mask > 0


def paste(frame, theirs, other, where):
    """Put the other's cut-out into the frame, as tall as said; the pixels that it took, (h, w) bool."""
    x, y, w, h = (int(v) for v in other["bbox"])
    scale = where[2] / h
    size = max(1, round(w * scale)), max(1, round(h * scale))
    piece = cv2.resize(theirs[y : y + h, x : x + w], size)
    mask = cv2.resize(polygon(other, theirs.shape[:2])[y : y + h, x : x + w].astype(np.uint8), size) > 0
    out = np.zeros(frame.shape[:2], bool)
    left, top = int(where[0]), int(where[1])
    part = out[top : top + size[1], left : left + size[0]]
    part[:] = mask[: part.shape[0], : part.shape[1]]
    frame[top : top + size[1], left : left + size[0]][part] = piece[: part.shape[0], : part.shape[1]][part]
    return out

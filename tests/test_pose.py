"""Pose estimators: one contract for all, equality with rtmlib's own code, OKS, crops, and the pose stage."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import rtmlib

from datasets.records import Artifact, Poses, Tracklets, load_record, save_record
from datasets.skeleton import SKELETONS
from tasks import pose
from tasks.backends.table import SKELETON_OF, Where, estimator
from tasks.backends.weights import TABLE
from tasks.batch import Batch
from tasks.ops.crops import cut_square, person_crop, square_around
from tasks.ops.oks import oks
from tests import tiny_weights
from tests.clip_items import clip_item, env_at

TINY = ("rtmpose-m", "rtmw-m-256", "rtmw-l-384", "dwpose-l-384")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder of test-made pose networks."""
    return tiny_weights.write(tmp_path_factory.mktemp("weights"), TINY)


@pytest.fixture(params=[*TINY, "movenet-lightning"])
def network(request):
    """(name, folder of its weights): each estimator, test-made; MoveNet is real, where the shared weights are."""
    if request.param in TINY:
        return request.param, request.getfixturevalue("tiny")
    return request.param, request.getfixturevalue("shared") / "weights"


BOXES = np.array([[80, 60, 180, 320], [300, 70, 410, 330], [-20, 200, 60, 400]], np.float32)


def test_contract(network):
    name, folder = network
    frame = tiny_weights.people_video(1, (360, 480))[0]
    found = estimator(name, Where(directory=str(folder), download=False))
    joints = len(SKELETONS[found.skeleton].joints)
    assert found.skeleton == SKELETON_OF[name]
    keypoint, score = found.estimate(frame, BOXES)
    assert keypoint.shape == (3, joints, 2)
    assert score.shape == (3, joints)
    assert keypoint.dtype == score.dtype == np.float32
    assert ((score >= 0) & (score <= 1)).all()
    # Each person by himself gives what all give together, in any order.
    for i in (2, 0, 1):
        alone = found.estimate(frame, BOXES[i : i + 1])
        np.testing.assert_allclose(alone[0][0], keypoint[i], atol=1e-3)
        np.testing.assert_allclose(alone[1][0], score[i], atol=1e-5)
    # Keypoints move with the box and the picture.
    moved = np.roll(frame, (8, 16), (0, 1))
    shifted, _ = found.estimate(moved, BOXES[:1] + np.float32([16, 8, 16, 8]))
    np.testing.assert_allclose(shifted[0], keypoint[0] + [16, 8], atol=2.0)
    # No boxes: nobody, not the whole picture.
    none, no_score = found.estimate(frame, BOXES[:0])
    assert none.shape == (0, joints, 2)
    assert no_score.shape == (0, joints)
    # Frames one after another give what each gives by itself, under the rows they came with.
    given = [(np.array([4, 5, 6]), frame, BOXES), (np.array([9]), moved, BOXES[:1] + np.float32([16, 8, 16, 8]))]
    each = list(found.estimate_each(iter(given)))
    assert [rows.tolist() for rows, _, _ in each] == [[4, 5, 6], [9]]
    for (_, points, sure), (_, *asked) in zip(each, given, strict=True):
        want, want_sure = found.estimate(*asked)
        np.testing.assert_array_equal(points, want)
        np.testing.assert_array_equal(sure, want_sure)


@pytest.mark.parametrize("name", TINY)
def test_equal_to_rtmlib(name, tiny, capfd):
    frame = tiny_weights.people_video(1, (360, 480))[0]
    height, width = tiny_weights.POSE_SIZES[name]
    stock = rtmlib.RTMPose(str(tiny / TABLE[name].file), model_input_size=(width, height))
    # It takes colours as they come; these networks were trained on RGB (rtmlib's issue 48).
    want_keypoint, want_score = stock(frame, bboxes=list(BOXES))
    capfd.readouterr()
    keypoint, score = estimator(name, Where(directory=str(tiny), download=False)).estimate(frame, BOXES)
    np.testing.assert_array_equal(keypoint, want_keypoint.astype(np.float32))
    np.testing.assert_allclose(score, np.clip(want_score, 0, 1), atol=1e-6)
    assert capfd.readouterr().out == ""


def test_the_wrong_network_is_named(tiny, tmp_path):
    (tmp_path / TABLE["rtmpose-m"].file).write_bytes((tiny / TABLE["rtmw-m-256"].file).read_bytes())
    found = estimator("rtmpose-m", Where(directory=str(tmp_path), download=False))
    with pytest.raises(ValueError, match=r"want a network of 17 keypoints .*, got 133; is pose\.estimator"):
        found.estimate(np.zeros((64, 64, 3), np.uint8), BOXES[:1])
    (tmp_path / TABLE["movenet-lightning"].file).write_bytes(b"no network")
    with pytest.raises(ValueError, match="want a LiteRT network"):
        estimator("movenet-lightning", Where(directory=str(tmp_path), download=False))


def test_movenet_on_coco(shared):
    folder = shared / "reference" / "coco"
    truth = json.loads((folder / "test_coco.json").read_text())
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    found = estimator("movenet-lightning", Where(directory=str(shared / "weights"), download=False))
    near = []
    for person in truth["annotations"]:
        if person.get("num_keypoints", 0) == 0:
            continue
        frame = np.ascontiguousarray(cv2.imread(str(folder / names[person["image_id"]]))[..., ::-1])
        x, y, w, h = person["bbox"]
        keypoint, _ = found.estimate(frame, np.array([[x, y, x + w, y + h]], np.float32))
        joints = np.array(person["keypoints"], float).reshape(1, 17, 3)
        area = np.array([person["area"]])
        near.append(oks(keypoint, joints[..., :2], area, labelled=joints[..., 2] > 0)[0, 0])
    assert len(near) == 12
    assert np.mean(near) > 0.75


def test_oks():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, (3, 17, 2))
    area = np.array([2500.0, 400.0, 900.0])
    estimate = truth[[2, 0]] + rng.normal(size=(2, 17, 2))
    labelled = rng.random((3, 17)) < 0.6
    labelled[1] = False
    got = oks(estimate, truth, area, labelled=labelled)
    sigma = np.array(SKELETONS["coco17"].sigma)
    for i in range(2):
        for j in (0, 2):
            e = ((estimate[i] - truth[j]) ** 2).sum(1) / (2 * sigma) ** 2 / (area[j] + np.spacing(1)) / 2
            assert got[i, j] == pytest.approx(np.exp(-e)[labelled[j]].mean(), rel=1e-12)
    assert got[:, 1].tolist() == [0, 0]
    assert got.argmax(1).tolist() == [2, 0]
    with pytest.raises(ValueError, match=r"want \(N, 133, 2\)"):
        oks(estimate, truth, area, skeleton="coco133")


@pytest.mark.parametrize("size", [64, 700], ids=["shrunk", "grown"])
def test_a_point_of_the_frame_lies_where_the_crop_says(size):
    frame = np.zeros((300, 400, 3), np.uint8)
    frame[118:123, 208:213] = 255
    square = square_around(np.array([180, 40, 260, 200]), 1.2)
    crop = cut_square(frame, square, size)[..., 0].astype(float)
    y, x = (np.indices(crop.shape) * crop).sum((1, 2)) / crop.sum()
    # The spot's middle is (210.5, 120.5) in continuous coordinates; the crop's pixel centres lie at half pixels.
    back = (np.array([x, y]) + 0.5) * square[2] / size + square[:2]
    np.testing.assert_allclose(back, [210.5, 120.5], atol=0.3)
    outside = cut_square(np.full((50, 50, 3), 200, np.uint8), (-30.0, -30.0, 60.0), size)
    assert outside[0, 0].tolist() == [0, 0, 0]
    assert outside[-1, -1].tolist() == [200, 200, 200]


def test_person_crop_blackens_what_is_not_the_person():
    frame = np.full((80, 60, 3), 90, np.uint8)
    mask = np.zeros((80, 60), bool)
    mask[:, :30] = True
    crop = person_crop(frame, np.array([10.0, 0, 50, 80]), mask, (256, 128))
    assert crop.shape == (256, 128, 3)
    assert crop[:, :60].min() == 90
    assert crop[:, 68:].max() == 0


def test_stage_poses_the_rows_of_tracklets_only(tiny, tmp_path):
    item = clip_item(tiny_weights.people_video(6, (240, 320)), tmp_path / "shots")
    frame = np.array([1, 1, 2, 4], np.int32)
    box = np.tile(np.float32([50, 40, 110, 220]), (4, 1))
    tracklets = Tracklets(
        frame=frame,
        box=box,
        score=np.ones(4, np.float32),
        tracklet=np.array([0, -1, 0, 1], np.int32),
        embedding=np.zeros((4, 8), np.float32),
    )
    (tmp_path / "track").mkdir()
    save_record(tracklets, tmp_path / "track" / "tracklets.npz")
    track = Artifact(key="track", path=str(tmp_path / "track"))
    item = replace(item, artifacts={**item.artifacts, "track": track})
    done = pose.STAGE.run(Batch(items=(item,)), pose.Config(estimator="rtmw-l-384"), env_at(tmp_path, tiny))
    assert not done.rejects
    poses = load_record(Poses, done.items[0].folder("pose") / "poses.npz")
    assert poses.skeleton == "coco133"
    np.testing.assert_array_equal(poses.frame, frame)
    assert (poses.score[[0, 2, 3]] > 0.5).all()
    assert (poses.score[1] == 0).all()
    height, middle = poses.keypoint[0, :17, 1], np.median(poses.keypoint[0, :17, 0])
    assert ((height >= box[0, 1] - 5) & (height <= box[0, 3] + 5)).all()
    assert abs(middle - (box[0, 0] + box[0, 2]) / 2) < 5

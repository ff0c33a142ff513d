"""Detectors: one contract for all, equality with rtmlib's own code, and the detect stage."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import rtmlib

from datasets.records import Detections, load_record
from tasks import detect
from tasks.backends.onnx_session import Session, planes
from tasks.backends.table import Where, detector
from tasks.backends.weights import TABLE, WeightsError
from tasks.batch import Batch
from tasks.ops import boxes
from tests import tiny_weights
from tests.clip_items import clip_item, env_at

NAMES = ("rtmdet-nano", "yolox-nano", "yolox-m")
SIZE = {"rtmdet-nano": (320, 320), "yolox-nano": (416, 416), "yolox-m": (640, 640)}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder of test-made detectors."""
    return tiny_weights.write(tmp_path_factory.mktemp("weights"), NAMES)


@pytest.fixture(params=[("tiny", name) for name in NAMES] + [("real", name) for name in NAMES[:2]], ids="-".join)
def network(request):
    """(name, folder of its weights): each detector, test-made, and real where the shared weights are."""
    kind, name = request.param
    folder = request.getfixturevalue("tiny") if kind == "tiny" else request.getfixturevalue("shared") / "weights"
    return name, folder


@pytest.fixture
def picture(request, network):
    """A picture with people that the network finds."""
    if network[1].parent.name == "shared":
        path = request.getfixturevalue("shared") / "reference" / "coco" / "000000197388.jpg"
        return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
    return tiny_weights.people_video(1, (360, 480))[0]


def test_contract(network, picture):
    name, folder = network
    found = detector(name, Where(directory=str(folder), download=False))
    box, score = found.detect(picture, score_threshold=0.3, nms=0.65)
    assert box.dtype == score.dtype == np.float32
    assert box.shape == (len(score), 4)
    assert len(box) >= 2
    height, width = picture.shape[:2]
    assert (box >= 0).all()
    assert (box <= (width, height, width, height)).all()
    assert (box[:, 2:] > box[:, :2]).all()
    assert (np.diff(score) <= 0).all()
    assert score.min() >= 0.3
    # A threshold keeps the best; suppression at 0 leaves boxes that do not meet; grey holds nobody.
    few, top = found.detect(picture, score_threshold=float(score[0]) - 1e-4, nms=0.65)
    np.testing.assert_array_equal(few[0], box[0])
    assert (top >= score[0] - 1e-4).all()
    apart, _ = found.detect(picture, score_threshold=0.3, nms=0.0)
    assert boxes.contact(apart).max(initial=0) < 0.01
    nobody, none = found.detect(np.full((100, 60, 3), 128, np.uint8), score_threshold=0.3, nms=0.65)
    assert nobody.shape == (0, 4)
    assert none.shape == (0,)
    again, _ = found.detect(picture, score_threshold=0.3, nms=0.65)
    np.testing.assert_array_equal(again, box)
    # Pictures one after another, of any size, give what each gives by itself, under their own numbers.
    given = [(7, picture), (2, np.full((100, 60, 3), 128, np.uint8)), (9, picture)]
    each = list(found.detect_each(iter(given), score_threshold=0.3, nms=0.65))
    assert [t for t, _, _ in each] == [7, 2, 9]
    for (_, one, sure), (want, want_sure) in zip(each, [(box, score), (nobody, none), (box, score)], strict=True):
        np.testing.assert_array_equal(one, want)
        np.testing.assert_array_equal(sure, want_sure)


@pytest.mark.parametrize("shape", [(360, 480), (480, 400), None], ids=["wide", "tall", "as the network's"])
def test_equal_to_rtmlib(network, picture, shape, capfd):
    name, folder = network
    shape = shape or SIZE[name]
    picture = cv2.resize(picture, shape[::-1])
    path = str(folder / TABLE[name].file)
    if name == "rtmdet-nano":
        stock = rtmlib.RTMDet(path, model_input_size=SIZE[name], score_thr=0.3)(picture[..., ::-1])
    else:
        tool = rtmlib.YOLOX(path, model_input_size=SIZE[name], det_mode="multiclass", score_thr=0.3, nms_thr=0.45)
        # With its suppression inside, rtmlib gives no classes and fails in this mode.
        tool.det_mode = "human" if name == "yolox-m" else "multiclass"
        stock = tool(picture[..., ::-1])
        if name == "yolox-nano":
            stock = stock[0][stock[1] == 0]
    capfd.readouterr()
    found = detector(name, Where(directory=str(folder), download=False))
    # Networks with their own suppression get none from rtmlib.
    box, _ = found.detect(picture, score_threshold=0.3, nms=0.45 if name == "yolox-nano" else 1.0)
    stock = np.clip(stock, 0, (shape[1], shape[0], shape[1], shape[0])).reshape(-1, 4)
    order = np.lexsort(box.T), np.lexsort(stock.T)
    np.testing.assert_array_equal(box[order[0]], stock[order[1]].astype(np.float32))
    assert len(box) >= 1
    assert capfd.readouterr().out == ""


def test_threads_do_not_change_boxes(shared):
    picture = cv2.imread(str(shared / "reference" / "coco" / "000000197388.jpg"))[..., ::-1]
    batch = planes(cv2.resize(picture, (320, 320))[None], (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), flip=True)
    path = shared / "weights" / TABLE["rtmdet-nano"].file
    one, two = Session(path, threads=1).run(batch), Session(path, threads=2).run(batch)
    np.testing.assert_array_equal(one[0], two[0])


def test_planes_equal_the_reference_arithmetic():
    rng = np.random.default_rng(0)
    images, mean, std = (
        rng.integers(0, 256, (2, 5, 7, 3)).astype(np.uint8),
        (123.675, 116.28, 103.53),
        (58.4, 57.1, 57.4),
    )
    want = ((images - np.array(mean)) / np.array(std)).astype(np.float32).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(planes(images, mean, std), want)
    np.testing.assert_array_equal(planes(images, mean, std, flip=True), want[:, ::-1])


def test_wrong_files_and_devices_say_so(tmp_path, tiny):
    with pytest.raises(WeightsError, match=r"rtmdet_nano_person_end2end\.onnx"):
        detector("rtmdet-nano", Where(directory=str(tmp_path), download=False))
    (tmp_path / TABLE["rtmdet-nano"].file).write_bytes(b"no network")
    with pytest.raises(ValueError, match="want an ONNX network"):
        detector("rtmdet-nano", Where(directory=str(tmp_path), download=False))
    for device, says in (("cuda", "onnxruntime with CUDA"), ("gpu", "want cpu, cuda or cuda:N")):
        with pytest.raises(ValueError, match=says):
            detector("yolox-m", Where(directory=str(tiny), device=device, download=False))


@pytest.mark.parametrize(
    ("box", "score", "want"),
    [
        pytest.param([[0, 0, 10, 20], [2, 1, 8, 9]], [0.9, 0.5], [False, True], id="a torso inside its person"),
        pytest.param([[0, 0, 10, 20], [2, 1, 8, 9]], [0.5, 0.9], [False, False], id="a sure child before an adult"),
        pytest.param(
            [[0, 0, 10, 20], [1, 0, 10, 19]], [0.9, 0.5], [False, False], id="nearly equal: suppression's task"
        ),
        pytest.param([[0, 0, 10, 20], [8, 1, 14, 9]], [0.9, 0.5], [False, False], id="half outside"),
        pytest.param([[0, 0, 10, 20]], [0.9], [False], id="alone"),
    ],
)
def test_parts_of_others(box, score, want):
    assert boxes.parts_of_others(np.array(box, float), np.array(score)).tolist() == want


def test_box_measures():
    a, b = np.array([[0, 0, 4, 4], [10, 10, 10, 12.0]]), np.array([[2, 0, 6, 4], [0, 0, 8, 8.0]])
    np.testing.assert_allclose(boxes.iou(a, b), [[8 / 24, 16 / 64], [0, 0]])
    np.testing.assert_allclose(boxes.covered(a, b), [[0.5, 1.0], [0, 0]])
    np.testing.assert_allclose(boxes.contact(b), [16 / 64] * 2)
    assert boxes.contact(a[:1]).tolist() == [0]


def test_stage_finds_both_people_and_does_it_once(tiny, tmp_path):
    item = clip_item(tiny_weights.people_video(20, (240, 320)), tmp_path / "shots")
    config, env = detect.Config(detector="yolox-m"), env_at(tmp_path, tiny)
    done = detect.STAGE.run(Batch(items=(item,)), config, env)
    assert not done.rejects
    found = load_record(Detections, done.items[0].folder("detect") / "detections.npz")
    assert np.bincount(found.frame).tolist() == [2] * 20
    first, last = (np.sort(found.box[found.frame == t, 0]) for t in (0, 19))
    assert last[0] > first[0] + 10
    assert last[1] < first[1] - 10
    again = detect.STAGE.run(Batch(items=(item,)), config, env)
    assert again.costs[0].reused == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"max_people": 1}, "a crowd: 2 people in the usual frame, wanted at most 1", id="crowd"),
        pytest.param({"min_height": 0.95}, "no people found in 20 frames; 40 boxes below 95%", id="too small"),
        pytest.param({"score_threshold": 0.99}, "no people found in 20 frames", id="nobody"),
    ],
)
def test_stage_refuses(tiny, tmp_path, changes, says):
    item = clip_item(tiny_weights.people_video(20, (240, 320)), tmp_path / "shots")
    config = detect.Config(detector="yolox-m", **changes)
    done = detect.STAGE.run(Batch(items=(item,)), config, env_at(tmp_path, tiny))
    assert not done.items
    assert says in done.rejects[0].reason
    assert not done.rejects[0].fault

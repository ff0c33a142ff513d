"""What is seen of whom, on frames drawn by hand: keypoint flags, masks, boxes, events."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from datasets.skeleton import COCO17
from tasks.ops.camera import View, look_at, pinhole, project
from tasks.ops.drawn import Frame
from tasks.ops.performance import JOINTS
from tasks.ops.truth import gather, inside_share, runs
from tasks.ops.visibility import Seen, keypoint_flags, observe

SIZE = (64, 64)
VIEW = View(intrinsics=pinhole(40, SIZE), extrinsics=look_at([0, 1, 3], [0, 1, 0]))
JOINT = {name: i for i, name in enumerate(COCO17.joints)}


def blank() -> dict[str, np.ndarray]:
    """Nobody, before a wall 6 m away."""
    return {
        "color": np.zeros((*SIZE, 3), np.uint8), "person": np.zeros(SIZE, np.uint8), "part": np.zeros(SIZE, np.uint8),
        "depth": np.full(SIZE, 6000, np.uint16), "amodal": np.zeros(SIZE, np.uint8),
    }  # fmt: skip


def paint(layers: dict[str, np.ndarray], box: tuple[int, int, int, int], person: int, part: str, depth_mm: int) -> None:
    """A rectangle of one body part, nearer or farther than what is there."""
    x0, y0, x1, y1 = box
    there = np.s_[y0:y1, x0:x1]
    layers["amodal"][there] |= np.uint8(1 << (person - 1))
    nearer = layers["depth"][there] > depth_mm
    for name, value in (("person", person), ("part", 1 + JOINTS.index(part)), ("depth", depth_mm)):
        layers[name][there][nearer] = value


def joint_at(name: str, point: tuple[float, float, float]) -> np.ndarray:
    """(1, 17, 3) joints, this one at a point and the others behind the camera."""
    coco = np.full((1, 17, 3), (0.0, 1.0, 9.0))
    coco[0, JOINT[name]] = point
    return coco


ALL = (0, 0, 64, 64)
# The joint lies on the optical axis, 3 m away: the surface in front of it is painted at some depth.
CASES = [
    pytest.param("left_hip", [(1, "left_hip", 2880)], 2, id="own thigh 12 cm before the hip joint"),
    pytest.param("left_hip", [(1, "left_hip", 2700)], 1, id="the other side of the body, 30 cm before it"),
    pytest.param("left_hip", [(1, "left_hip", 2880), (1, "left_wrist", 2850)], 1, id="own hand over the hip"),
    pytest.param("left_hip", [(1, "left_hip", 2880), (2, "left_hip", 2500)], 1, id="another person in front"),
    pytest.param("left_hip", [(1, "left_hip", 2880), (2, "left_hip", 2950)], 2, id="another person behind"),
    pytest.param("left_hip", [(2, "left_hip", 2880)], 1, id="another person's hip at its place"),
    pytest.param("left_hip", [(1, "pelvis", 2880)], 2, id="a neighbouring part"),
    pytest.param("nose", [(1, "head", 2995)], 2, id="face from the front"),
    pytest.param("nose", [(1, "head", 2800)], 1, id="back of the head before the nose"),
    pytest.param("right_wrist", [(1, "right_wrist", 2975)], 2, id="own hand"),
    pytest.param("right_wrist", [(1, "left_wrist", 2975)], 1, id="own other hand"),
    pytest.param("right_wrist", [(1, "spine3", 2700)], 1, id="hand behind the back"),
    pytest.param("right_wrist", [], 1, id="nothing of the person where the joint is"),
]


@pytest.mark.parametrize(("joint", "surfaces", "flag"), CASES)
def test_a_joint_is_visible_under_its_own_near_skin_only(joint, surfaces, flag):
    layers = blank()
    for person, part, depth in surfaces:
        paint(layers, ALL, person, part, depth)
    coco = np.concatenate([joint_at(joint, (0, 1, 0)), np.full((1, 17, 3), (0.0, 1.0, 9.0))])
    at, flags = keypoint_flags(Frame(**layers), coco, VIEW, [1.0, 1.0])
    assert flags[0, JOINT[joint]] == flag
    np.testing.assert_allclose(at[0, JOINT[joint]], [32, 32])
    assert (np.delete(flags[0], JOINT[joint]) == 0).all(), "joints behind the camera are unknown"
    assert (np.delete(at[0], JOINT[joint], axis=0) == 0).all()


@pytest.mark.parametrize(
    ("x", "flag"), [(-1.2, 0), (-1.05, 2), (1.05, 2), (1.2, 0)], ids=["left of", "in", "in still", "right of"]
)
def test_a_joint_outside_the_picture_is_unknown(x, flag):
    layers = blank()
    paint(layers, ALL, 1, "left_wrist", 2990)
    assert keypoint_flags(Frame(**layers), joint_at("left_wrist", (x, 1, 0)), VIEW, [1.0])[1][0, 9] == flag


def test_a_larger_body_hides_its_joints_deeper():
    layers = blank()
    paint(layers, ALL, 1, "left_knee", 2870)
    coco = joint_at("left_knee", (0, 1, 0))
    flags = [keypoint_flags(Frame(**layers), coco, VIEW, [size])[1][0, JOINT["left_knee"]] for size in (1.0, 1.3)]
    assert flags == [1, 2]


def test_masks_boxes_and_cover_of_two_people():
    layers = blank()
    paint(layers, (10, 5, 30, 45), 1, "spine1", 3000)
    paint(layers, (20, 15, 40, 64), 2, "spine1", 2500)
    seen = observe(Frame(**layers), np.full((2, 17, 3), (0.0, 1.0, 0.0)), VIEW, [1.0, 1.0])
    np.testing.assert_array_equal(seen.full_box, [[10, 5, 30, 45], [20, 15, 40, 64]])
    np.testing.assert_array_equal(seen.box, [[10, 5, 30, 45], [20, 15, 40, 64]])
    np.testing.assert_array_equal(seen.covered, [[0, 20 * 40 - 10 * 30, 10 * 30], [0, 0, 20 * 49]])
    clip, amodal = gather([seen], np.ones((2, 1)), size=SIZE, fps=Fraction(30))
    np.testing.assert_array_equal(clip.mask_at(0, 0), layers["person"] == 1)
    np.testing.assert_array_equal(clip.mask_at(1, 0), layers["person"] == 2)
    np.testing.assert_array_equal(amodal.decode(0), layers["amodal"] & 1)
    assert not (clip.mask_at(0, 0) & clip.mask_at(1, 0)).any()
    np.testing.assert_allclose(clip.visible[:, 0], [500 / 800, 1.0])


def test_the_share_inside_the_picture_counts_against_visible():
    points = np.array([[-0.5, 1, 0], [0.5, 1, 0], [2.5, 1, 0], [0, 1, 9]])
    share = inside_share(*project(points, VIEW.intrinsics, VIEW.extrinsics), SIZE)
    assert share == 0.5
    layers = blank()
    paint(layers, (50, 5, 64, 45), 1, "spine1", 3000)
    seen = observe(Frame(**layers), np.zeros((1, 17, 3)), VIEW, [1.0])
    clip, _ = gather([seen], np.array([[share]]), size=SIZE, fps=Fraction(30))
    assert clip.visible[0, 0] == 0.5


def moment(*boxes: tuple[int, int, int, int] | None, depths: tuple[int, ...] = (3000, 2500)) -> Seen:
    """A frame of people as rectangles; None is absent."""
    layers = blank()
    for p, box in enumerate(boxes):
        if box is not None:
            paint(layers, box, p + 1, "spine1", depths[p])
    return observe(Frame(**layers), np.full((len(boxes), 17, 3), (0.0, 1.0, 0.0)), VIEW, [1.0] * len(boxes))


def walk(x: int, width: int = 8) -> tuple[int, int, int, int] | None:
    """A person 30 px tall whose left side is at x, cut at the picture's edge."""
    x0, x1 = max(0, x), min(64, x + width)
    return (x0, 20, x1, 50) if x0 < x1 else None


def people_of(frames: list[Seen]):
    """The People of some frames at 10 a second."""
    count = len(frames[0].box)
    return gather(frames, np.ones((count, len(frames))), size=SIZE, fps=Fraction(10))[0]


def test_a_box_is_interpolated_while_its_person_is_hidden():
    frames = [moment(walk(x), (24, 0, 40, 64)) for x in (8, 26, 28, 30, 44)]
    clip = people_of(frames)
    assert (clip.visible[0] > 0).tolist() == [True, False, False, False, True]
    assert clip.present.all()
    np.testing.assert_allclose(clip.box[0, :, 0], [8, 17, 26, 35, 44])
    np.testing.assert_allclose(clip.box[0, :, 1], 20)
    assert all(not clip.mask_at(0, t).any() for t in (1, 2, 3))


def test_a_person_outside_is_absent_with_an_empty_box():
    clip = people_of([moment(walk(x), (0, 0, 4, 4)) for x in (-8, -2, 30, 63, 64)])
    assert clip.present[0].tolist() == [False, True, True, True, False]
    np.testing.assert_array_equal(clip.box[0, [0, 4]], 0)
    assert (clip.score == (clip.flag > 0)).all()
    assert (clip.confidence == 1).all()


def told(clip) -> list[tuple]:
    """Events without their notes."""
    return [(event.kind, event.start, event.stop, event.people) for event in clip.events]


@pytest.mark.parametrize(
    ("frames", "events"),
    [
        pytest.param([(x, 60 - x) for x in (4, 10)], [], id="two people apart"),
        pytest.param(
            [(4, 50), (24, 28), (26, 28), (29, 27), (30, 24), (50, 4)],
            [("crossing", 1, 5, (0, 1)), ("occlusion", 2, 4, (0, 1))],
            id="two people cross, the far one is hidden",
        ),
        pytest.param([(30, 35), (30, 32), (30, 35)], [("occlusion", 1, 2, (0, 1))], id="they meet and part again"),
        pytest.param([(-8, 40), (2, 40), (2, 40)], [("entry", 1, 2, (0,))], id="one comes in"),
        pytest.param([(2, 40), (-2, 40), (-8, 40)], [("exit", 1, 2, (0,))], id="one leaves"),
    ],
)
def test_events_are_told_from_truth(frames, events):
    assert told(people_of([moment(walk(a), walk(b)) for a, b in frames])) == events


@pytest.mark.parametrize(
    ("on", "join", "expected"),
    [("0110", 0, [(1, 3)]), ("1001", 1, [(0, 1), (3, 4)]), ("1001", 2, [(0, 4)]), ("000", 3, []), ("111", 0, [(0, 3)])],
)
def test_runs(on, join, expected):
    assert runs(np.array([c == "1" for c in on]), join) == expected

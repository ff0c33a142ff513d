"""Arms that reach a place, and bodies that crouch or are held up: on the walker of middle height."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.ops import arms, retime
from tasks.ops.gait import ANKLE_M, BALL, Walk, walk
from tasks.ops.performance import JOINTS, PARENTS
from tests.test_motion_choreography import skeleton

FPS, FRAMES = 60.0, 120
PELVIS = np.array([-0.0018, -0.2233, 0.0282])


def standing(**more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two seconds on the spot, facing +Z."""
    still = np.zeros(FRAMES)
    moves = Walk(
        fps=FPS, path=np.zeros((FRAMES, 2)), heading=still, gaze=still, reach=np.zeros((FRAMES, 2)), **more
    )  # fmt: skip
    return walk(moves)


def places(pose: np.ndarray, pelvis: np.ndarray) -> np.ndarray:
    """Joints (T, 24, 3) in the world."""
    return retime.transforms(retime.retarget(pose, "smplh", "smpl"), pelvis - PELVIS, skeleton(), PARENTS)[..., :3, 3]


def joint(place: np.ndarray, name: str) -> np.ndarray:
    return place[:, JOINTS.index(name)]


@pytest.mark.parametrize("side", [0, 1], ids=["left", "right"])
@pytest.mark.parametrize(
    ("wrist", "elbow"),
    [
        pytest.param([0.1, 1.2, 0.4], [0, -1, 0], id="in front"),
        pytest.param([0.3, 1.75, 0.1], [1, 0, 0], id="overhead"),
        pytest.param([-0.15, 1.25, 0.25], [1, 0, 0], id="across the chest"),
        pytest.param([0.45, 1.0, -0.1], [0, 0, -1], id="behind, low"),
    ],
)
def test_a_wrist_comes_to_its_place_with_the_elbow_out_where_it_is_told(side, wrist, elbow):
    mirror = np.array([1.0 if side == 0 else -1.0, 1, 1])
    goal, out = (np.tile(np.array(v, float) * mirror, (FRAMES, 1)) for v in (wrist, elbow))
    pose, pelvis = standing()
    before = pose.copy()
    arms.bend_arm(pose, pelvis, side, goal, out, np.ones(FRAMES))
    place = places(pose, pelvis)
    names = [f"{('left', 'right')[side]}_{name}" for name in ("shoulder", "elbow", "wrist")]
    shoulder, bend, hand = (joint(place, name) for name in names)
    assert np.linalg.norm(hand - goal, axis=1).max() < 0.05  # the test's body is not quite the walker's
    line = (hand - shoulder) / np.linalg.norm(hand - shoulder, axis=1, keepdims=True)
    off = (bend - shoulder) - ((bend - shoulder) * line).sum(1, keepdims=True) * line
    assert ((off * out).sum(1) > 0).all()
    untouched = [j for j in range(52) if j not in (16 + side, 18 + side)]
    np.testing.assert_array_equal(pose[:, untouched], before[:, untouched])


def test_no_share_leaves_the_arm_and_half_a_share_is_on_the_way():
    goal, out = np.tile([0.1, 1.3, 0.4], (FRAMES, 1)), np.tile([1.0, 0, 0], (FRAMES, 1))
    hands = []
    for share in (0.0, 0.5, 1.0):
        pose, pelvis = standing()
        arms.bend_arm(pose, pelvis, 0, goal, out, np.full(FRAMES, share))
        hands.append(np.linalg.norm(joint(places(pose, pelvis), "left_wrist") - goal, axis=1).mean())
    untouched = joint(places(*standing()), "left_wrist")
    assert hands[0] == pytest.approx(np.linalg.norm(untouched - goal, axis=1).mean())
    assert hands[0] > hands[1] + 0.05 > hands[2] + 0.1


def test_a_place_out_of_reach_is_reached_for():
    goal = np.tile([2.0, 1.35, 0.0], (FRAMES, 1))
    pose, pelvis = standing()
    arms.bend_arm(pose, pelvis, 0, goal, np.tile([0.0, -1, 0], (FRAMES, 1)), np.ones(FRAMES))
    place = places(pose, pelvis)
    straight = np.linalg.norm(joint(place, "left_wrist") - joint(place, "left_shoulder"), axis=1)
    assert np.isfinite(pose).all()
    assert straight.min() > 0.97 * (arms.UPPER_M + arms.FORE_M)
    assert joint(place, "left_wrist")[:, 0].min() > 0.6


def test_who_crouches_goes_down_over_feet_that_stay():
    drop = np.full(FRAMES, 0.4)
    up, down = places(*standing()), places(*standing(drop=drop))
    assert joint(up, "pelvis")[:, 1].min() > 0.9
    assert joint(down, "pelvis")[:, 1].max() < 0.56
    assert joint(down, "head")[:, 1].max() < joint(up, "head")[:, 1].min() - 0.35
    for side in ("left", "right"):
        foot = joint(down, f"{side}_foot")
        assert foot[:, 1].min() > 0
        assert foot[:, 1].max() < ANKLE_M + BALL[1] + 0.03
        knee, hip = joint(down, f"{side}_knee"), joint(down, f"{side}_hip")
        assert (knee[:, 2] > hip[:, 2] + 0.2).all()
    # Balance: the head is over the feet.
    assert np.abs(joint(down, "head")[:, 2] - joint(down, "left_foot")[:, 2]).max() < 0.3


def test_who_is_held_up_lets_the_legs_hang():
    rise = np.full(FRAMES, 0.5)
    place = places(*standing(rise=rise))
    feet = [joint(place, f"{side}_foot")[:, 1] for side in ("left", "right")]
    assert min(f.min() for f in feet) > 0.45
    assert joint(place, "pelvis")[:, 1].min() > 1.38
    assert (joint(place, "left_ankle")[:, 2] < joint(place, "left_knee")[:, 2] - 0.1).all()

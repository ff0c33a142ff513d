"""The procedural duet: two people who approach, cross, turn about each other and part, on legs that walk."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.ops import retime
from tasks.ops.choreography import FIGURES, duet
from tasks.ops.gait import ANKLE_M, BALL, HIP, SHIN, THIGH
from tasks.ops.motion_layouts import read_motion
from tasks.ops.performance import PARENTS

CASES = [pytest.param(name, seed, id=f"{name} {seed}") for name in FIGURES for seed in range(3)]


def skeleton() -> np.ndarray:
    """Rest joints of the walker whom the choreography is made for, (24, 3): legs exact, the rest about right."""
    joint = np.zeros((24, 3))
    for side, sign in ((0, 1), (1, -1)):
        flip = np.array([sign, 1, 1])
        joint[1 + side] = HIP * flip
        joint[4 + side] = joint[1 + side] + THIGH * flip
        joint[7 + side] = joint[4 + side] + SHIN * flip
        joint[10 + side] = joint[7 + side] + BALL
        for j, x in ((13, 0.02), (16, 0.18), (18, 0.44), (20, 0.68), (22, 0.79)):
            joint[j + side] = [sign * x, 0.42, 0]
    for j, y in ((3, 0.05), (6, 0.12), (9, 0.2), (12, 0.52), (15, 0.62)):
        joint[j, 1] = y
    return joint + np.array([-0.0018, -0.2233, 0.0282])


def danced(name: str, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pose (T, 24, 3) and joint frames (T, 24, 4, 4) of both."""
    out = []
    for arrays in duet(FIGURES[name], seed):
        motion = read_motion([("a.npz", arrays)], source="a.npz", sha256="")
        pose = retime.retarget(motion.pose[0].astype(float), "smplh", "smpl")
        out.append((pose, retime.transforms(pose, motion.trans[0].astype(float), skeleton(), PARENTS)))
    return out


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_they_approach_cross_turn_and_part(name, seed):
    first, second = (frames[:, 0, :3, 3][:, [0, 2]] for _, frames in danced(name, seed))
    apart = np.linalg.norm(first - second, axis=1)
    assert apart[0] > 2.3
    assert apart[-1] > 2.2
    assert 0.6 < apart.min() < 1.1, "they come close and do not walk through each other"
    assert (apart < 1.5).mean() > 0.4
    angle = np.unwrap(np.arctan2(*(first - second).T))
    assert abs(angle[-1] - angle[0]) > 2 * np.pi, "once about each other at least"
    assert 4.0 <= len(first) / 60 <= 6.6


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_feet_stand_where_they_are_put_and_nothing_jerks(name, seed):
    for _, frames in danced(name, seed):
        place = frames[:, :, :3, 3]
        assert np.linalg.norm(np.diff(place, axis=0), axis=2).max() * 60 < 7.0
        for ankle, ball in ((7, 10), (8, 11)):
            low = place[:, ball, 1] < ANKLE_M + BALL[1] + 0.012
            flat = low[1:] & low[:-1] & (place[1:, ankle, 1] < ANKLE_M + 0.02)
            speed = np.linalg.norm(np.diff(place[:, ball], axis=0), axis=1) * 60
            assert flat.mean() > 0.15
            assert np.median(speed[flat]) < 0.08
            assert place[:, ball, 1].min() > -0.01
        # One foot at least is near the ground: it is a walk.
        assert np.minimum(place[:, 10, 1], place[:, 11, 1]).max() < 0.1


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_knees_bend_backwards_at_the_shin_and_arms_swing_against_the_legs(name, seed):
    for pose, frames in danced(name, seed):
        root = frames[:, 0, :3, :3]
        local = np.einsum("tba,tjb->tja", root, frames[:, :, :3, 3] - frames[:, :1, :3, 3])
        for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
            line = local[:, ankle] - local[:, hip]
            out = local[:, knee] - local[:, hip]
            out -= (out * line).sum(1, keepdims=True) / (line * line).sum(1, keepdims=True) * line
            assert (out[:, 2] > -0.005).all(), "the knee is in front of the line from hip to ankle"
            assert np.rad2deg(np.linalg.norm(pose[:, knee], axis=1)).max() < 80
            assert np.rad2deg(np.linalg.norm(pose[:, hip], axis=1)).max() < 70
        walking = slice(0, 60)
        for hand, foot in ((20, 7), (21, 8)):
            assert np.corrcoef(local[walking, hand, 2], local[walking, foot, 2])[0, 1] < -0.5


def test_a_seed_gives_the_same_duet_and_another_another():
    figure = FIGURES["allemande"]
    same, again, other = duet(figure, 4), duet(figure, 4), duet(figure, 5)
    for one, two in zip(same, again, strict=True):
        assert all(np.array_equal(one[key], two[key]) for key in one)
    assert not np.array_equal(same[0]["poses"][:50], other[0]["poses"][:50])
    assert set(same[0]) == {"poses", "trans", "betas", "gender", "mocap_framerate"}
    assert same[0]["poses"].shape[1] == 156

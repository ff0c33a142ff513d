"""The rasteriser: where pixels fall, what is left out, and that preview and training draw the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from datasets.condition import PALETTE, draw_pose, fit_points, mask_maps, person_color, pose_maps, tint
from datasets.masks import Masks
from datasets.skeleton import skeleton

SIZE = (128, 128)
WHITE = (255, 255, 255)


def standing(joints: int = 17) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints spread over the picture so that no two joints share pixels; scores 1; flags 2."""
    at = np.arange(joints)
    keypoint = np.stack([8 + (at % 12) * 10, 8 + (at // 12) * 10], axis=1).astype(np.float32)
    return keypoint, np.ones(joints, np.float32), np.full(joints, 2, np.uint8)


def lit(picture: np.ndarray, point: np.ndarray) -> bool:
    x, y = np.round(point).astype(int)
    return bool(picture[y, x].any())


@pytest.mark.parametrize(
    ("joint", "limb_end"),
    [pytest.param(9, 7, id="left wrist"), pytest.param(16, 14, id="right ankle"), pytest.param(3, 1, id="left ear")],
)
@pytest.mark.parametrize("fault", ["score", "flag", "nan"])
def test_a_joint_that_is_not_there_is_left_out_with_its_limb(joint: int, limb_end: int, fault: str) -> None:
    keypoint, score, flag = standing()
    keypoint[joint], keypoint[limb_end] = (120, 120), (100, 120)
    drawn = draw_pose(keypoint, score, flag, "coco17", SIZE)
    assert lit(drawn, np.array([120, 120]))
    assert lit(drawn, np.array([110, 120]))
    if fault == "score":
        score[joint] = 0.1
    elif fault == "flag":
        flag[joint] = 0
    else:
        keypoint[joint] = np.nan
    without = draw_pose(keypoint, score, flag, "coco17", SIZE)
    assert not lit(without, np.array([120, 120]))
    assert not lit(without, np.array([110, 120]))
    assert lit(without, np.array([100, 120]))


def test_no_joint_gives_black_and_one_without_neighbours_a_dot() -> None:
    keypoint, score, flag = standing()
    assert not draw_pose(keypoint, np.zeros_like(score), flag, "coco17", SIZE).any()
    score[:9], score[10:] = 0, 0
    rows, columns = np.nonzero(draw_pose(keypoint, score, flag, "coco17", SIZE).any(axis=-1))
    assert np.abs(np.stack([columns.mean(), rows.mean()]) - keypoint[9]).max() < 0.5
    assert 4 <= len(rows) <= 21


def test_the_neck_lies_between_the_shoulders() -> None:
    keypoint, score, flag = standing()
    keypoint[5], keypoint[6] = (100, 100), (80, 100)
    assert lit(draw_pose(keypoint, score, flag, "coco17", SIZE), np.array([90, 100]))


@pytest.mark.parametrize(
    ("color", "paper", "want"),
    [
        pytest.param(None, 0, (85, 255, 0), id="OpenPose's colour of the left shoulder"),
        pytest.param((200, 100, 50), 0, (200, 100, 50), id="the person's own colour"),
        pytest.param((200, 100, 50), 255, (200, 100, 50), id="on white"),
    ],
)
def test_colours(color: tuple[int, int, int] | None, paper: int, want: tuple[int, int, int]) -> None:
    keypoint, score, flag = standing()
    x, y = keypoint[5].astype(int)
    assert tuple(draw_pose(keypoint, score, flag, "coco17", SIZE, color=color, paper=paper)[y, x]) == want


@pytest.mark.parametrize(("paper", "want"), [(0, 100), (255, 228)])
def test_a_hidden_joint_is_faint(paper: int, want: int) -> None:
    keypoint, score, flag = standing()
    flag[9] = 1
    canvas = np.full((*SIZE, 3), paper, np.uint8)
    drawn = draw_pose(
        keypoint, score, flag, "coco17", SIZE, color=(200, 200, 200), hidden=0.5, canvas=canvas, paper=paper
    )
    x, y = keypoint[9].astype(int)
    assert abs(int(drawn[y, x, 0]) - want) <= 1
    x, y = keypoint[10].astype(int)
    assert drawn[y, x, 0] == 200


def test_whole_body_draws_hands_feet_and_face() -> None:
    keypoint, score, flag = standing(133)
    drawn = draw_pose(keypoint, score, flag, "coco133", SIZE)
    assert all(lit(drawn, point) for point in keypoint[17:])
    score[91:] = 0
    without = draw_pose(keypoint, score, flag, "coco133", SIZE)
    assert not any(lit(without, point) for point in keypoint[103:])
    body = draw_pose(keypoint[:17], score[:17], flag[:17], "coco17", SIZE)
    score[17:] = 0
    assert np.array_equal(draw_pose(keypoint, score, flag, "coco133", SIZE), body)


def test_points_far_outside_do_not_wrap_around() -> None:
    keypoint, score, flag = standing()
    keypoint[9] = (1e9, keypoint[7, 1])
    drawn = draw_pose(keypoint, score, flag, "coco17", SIZE)
    row = int(keypoint[7, 1])
    assert drawn[row, int(keypoint[7, 0]) :].any(axis=-1).all(), "the forearm leaves the picture to the right"
    keypoint[9] = (-1e9, -1e9)
    assert not draw_pose(keypoint, score, flag, "coco17", SIZE)[100:].any()


def test_slow_motion_does_not_step() -> None:
    keypoint, score, flag = standing()
    pictures = [draw_pose(keypoint + shift, score, flag, "coco17", SIZE) for shift in (0, 0.25, 0.5, 0.75)]
    assert all((a != b).any() for a, b in itertools.pairwise(pictures))


@pytest.mark.parametrize(
    ("keypoint", "canvas", "says"),
    [
        pytest.param((133, 2), None, r"want coco17 keypoints \(17, 2\), got \(133, 2\)", id="other skeleton"),
        pytest.param((17, 2), (64, 64, 3), r"canvas: want \(128, 128, 3\)", id="other size"),
    ],
)
def test_wrong_shapes_are_told(keypoint: tuple[int, int], canvas: tuple[int, ...] | None, says: str) -> None:
    paper = None if canvas is None else np.zeros(canvas, np.uint8)
    with pytest.raises(ValueError, match=says):
        draw_pose(np.zeros(keypoint, np.float32), np.ones(keypoint[0], np.float32), None, "coco17", SIZE, canvas=paper)


def test_training_maps_are_what_the_preview_draws() -> None:
    keypoint, score, flag = standing()
    people = np.stack([keypoint, keypoint + 20])[:, None] + np.zeros((1, 3, 1, 2), np.float32)
    scores, flags = np.ones((2, 3, 17), np.float32), np.full((2, 3, 17), 2, np.uint8)
    window = (16.0, 16.0, 80.0, 80.0)
    maps = pose_maps(people, scores, flags, "coco17", window=window, size=(96, 48), color=[WHITE, (9, 9, 9)])
    assert maps.shape == (2, 3, 96, 48, 3)
    alone = draw_pose(fit_points(keypoint, window, (96, 48)), score, flag, "coco17", (96, 48), color=WHITE)
    assert np.array_equal(maps[0, 2], alone)
    assert maps[1].max() == 9


def test_masks_follow_the_same_window() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    masks = Masks.encode([mask, np.zeros_like(mask)], size=(40, 60))
    index = np.array([[0, 1, -1]])
    maps = mask_maps(masks, index, window=(20, 0, 60, 40), size=(20, 20))
    assert maps.shape == (1, 3, 20, 20)
    want = np.zeros((20, 20), np.uint8)
    want[5:10, 5:15] = 255
    assert np.array_equal(maps[0, 0], want)
    assert not maps[0, 1:].any()
    odd = mask_maps(masks, index, window=(0, 0, 60, 40), size=(16, 24))
    assert abs(odd[0, 0].sum() / 255 / (16 * 24) - mask.mean()) < 0.002, "the covered share is kept at any size"
    with pytest.raises(ValueError, match="inside"):
        mask_maps(masks, index, window=(0, 0, 61, 40), size=(20, 20))


def test_tint_colours_the_mask_and_nothing_else() -> None:
    picture = np.full((20, 20, 3), 100, np.uint8)
    mask = np.zeros((20, 20), bool)
    mask[3:7, 4:9] = True
    tint(picture, mask, (200, 100, 0), 0.5)
    assert picture[mask].tolist() == [[150, 100, 50]] * mask.sum()
    assert (picture[~mask] == 100).all()
    tint(picture, np.zeros_like(mask), (0, 0, 0))
    assert (picture[~mask] == 100).all()


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
_SEES = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


@pytest.mark.parametrize("sees", _SEES)
def test_the_first_people_stay_apart_for_colour_blind_eyes(sees: str) -> None:
    linear = (PALETTE / 255.0) ** 2.2 @ np.asarray(_SEES[sees]).T
    seen = linear.clip(0, 1) ** (1 / 2.2) * 255
    apart = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in itertools.combinations(range(8), 2)}
    assert apart[0, 1] > 120
    assert min(apart.values()) > 25, min(apart, key=lambda pair: apart[pair])


def test_people_beyond_the_palette_have_colours_of_their_own() -> None:
    assert len({person_color(p) for p in range(24)}) == 24


def test_skeletons_with_other_joints_are_refused_by_name() -> None:
    assert len(skeleton("coco133").joints) == 133
    keypoint, score, flag = standing()
    with pytest.raises(ValueError, match="want one of coco17, coco133"):
        draw_pose(keypoint, score, flag, "mpii", SIZE)

"""model/transfer.py: where people who move as others come to stand, how large, whose looks they have."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from model.transfer import Similarity, left_to_right, transferred
from model.windows import example

SIZE = (96, 128)
# A standing body: COCO's 17 joints from the middle of its feet, in heights.
BODY = np.array(
    [
        (0, -0.93), (0.02, -0.95), (-0.02, -0.95), (0.04, -0.94), (-0.04, -0.94), (0.12, -0.8), (-0.12, -0.8),
        (0.16, -0.63), (-0.16, -0.63), (0.18, -0.48), (-0.18, -0.48), (0.08, -0.5), (-0.08, -0.5), (0.08, -0.27),
        (0.08, -0.27), (0.08, -0.03), (-0.08, -0.03),
    ]
)  # fmt: skip


def stand(*people: tuple[float, float, float], walk: float = 0, frames: int = 4, seed: int = 0) -> dict[str, Any]:
    """A sample of people (x, y of the feet, height), who go `walk` heights a frame; the last frame is the first."""
    rng = np.random.default_rng(seed)
    gone = np.append(np.arange(frames), 0) * walk
    count, shown = len(people), frames + 1
    keypoint = np.zeros((count, shown, 17, 2), np.float32)
    mask = np.zeros((count, shown, *SIZE), bool)
    box = np.zeros((count, shown, 4), np.float32)
    for p, (x, y, height) in enumerate(people):
        for t in range(shown):
            at = np.array([x + gone[t] * height, y])
            keypoint[p, t] = at + BODY * height
            edges = at[0] - 0.2 * height, at[1] - height, at[0] + 0.2 * height, at[1]
            box[p, t] = edges
            x0, y0, x1, y1 = (max(0, round(edge)) for edge in edges)
            mask[p, t, y0:y1, x0:x1] = True
    return {
        "key": f"stand{seed}",
        "video": rng.integers(0, 256, (shown, *SIZE, 3), dtype=np.uint8),
        "mask": mask,
        "face_mask": mask & (np.arange(SIZE[0])[:, None] < 40),
        "face_embedding": rng.normal(size=(count, 512)).astype(np.float32),
        "keypoint": keypoint,
        "score": np.ones((count, shown, 17), np.float32),
        "flag": np.full((count, shown, 17), 2, np.uint8),
        "box": box,
        "present": np.ones((count, shown), bool),
        "visible": np.ones((count, shown), np.float32),
        "confidence": np.ones((count, shown), np.float32),
        "frame": np.append(np.arange(frames), 90 + seed),
        "fps": np.float32(30),
        "kind": np.array(["human"] * count),
        "skeleton": "coco17",
    }


def covers(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    return float((a & b).sum() / (a | b).sum())


TWO = ((40.0, 80.0, 60.0), (90.0, 70.0, 40.0))
# Their doubles stand elsewhere, each of another size, in another order.
DOUBLES = ((84.0, 64.0, 32.0), (30.0, 90.0, 30.0))


@pytest.mark.parametrize("who", [{0: 1, 1: 0}, {0: 0, 1: 1}], ids=["by place", "crossed"])
@pytest.mark.parametrize("joints", [True, False], ids=["by joints", "by masks"])
def test_each_comes_to_stand_where_their_double_does(who: dict[int, int], joints: bool) -> None:
    driving, look = stand(*TWO, walk=0.05), stand(*DOUBLES, seed=1)
    want = stand(*(DOUBLES[who[person]] for person in (0, 1)), walk=0.05)
    if not joints:
        driving["score"][:] = 0
    moved = transferred(driving, look, who)
    assert np.abs(moved["keypoint"][:, :-1] - want["keypoint"][:, :-1]).max() < (1e-3 if joints else 1)
    assert np.abs(moved["box"][:, :-1] - want["box"][:, :-1]).max() < (1e-3 if joints else 1)
    for person, t in np.ndindex(2, 4):
        assert covers(moved["mask"][person, t], want["mask"][person, t]) > 0.9


def test_looks_are_the_doubles() -> None:
    driving, look = stand(*TWO, walk=0.05), stand(*DOUBLES, seed=1)
    one = example(transferred(driving, look, {0: 1, 1: 0}))
    assert np.array_equal(one["reference"], np.moveaxis(look["video"][-1], -1, 0))
    assert np.array_equal(one["reference_body"][:, 0], look["mask"][[1, 0], -1])
    assert np.array_equal(one["embedding"], look["face_embedding"][[1, 0]])
    assert one["reference_frame"] == 91
    assert one["frame"].tolist() == [0, 1, 2, 3]
    assert one["fps"] == 30
    assert one["there"].all()
    # The true video stays what drives.
    assert np.array_equal(one["video"], np.moveaxis(driving["video"][:-1], -1, 1))


def test_faces_stay_on_their_bodies() -> None:
    moved = transferred(stand(*TWO), stand(*DOUBLES, seed=1), {0: 1, 1: 0})
    face, body = moved["face_mask"][:, :-1], moved["mask"][:, :-1]
    assert face.any(axis=(2, 3)).all()
    assert not (face & ~body).any()


def test_nothing_moves_when_nothing_is_to_align() -> None:
    driving, look = stand(*TWO, walk=0.05), stand(*DOUBLES, seed=1)
    moved = transferred(driving, look, {0: 0, 1: 1}, align="none")
    for name in ("mask", "keypoint", "box", "flag", "face_mask"):
        assert np.array_equal(moved[name][:, :-1], driving[name][:, :-1]), name


def test_together_a_hand_on_a_nose_stays_there() -> None:
    driving = stand((40, 80, 60), (80, 70, 40), walk=0.02)
    driving["keypoint"][1, :, 0] = driving["keypoint"][0, :, 9]
    look = stand((30, 90, 30), (84, 64, 32), seed=1)
    apart, together = (transferred(driving, look, {0: 0, 1: 1}, align=align) for align in ("each", "together"))
    gap = np.linalg.norm(apart["keypoint"][0, :-1, 9] - apart["keypoint"][1, :-1, 0], axis=-1)
    assert gap.min() > 5
    assert np.allclose(together["keypoint"][0, :-1, 9], together["keypoint"][1, :-1, 0], atol=1e-4)
    # One scale between the two that they would have, and the middle of all where the doubles' is.
    limb = [np.linalg.norm(one["keypoint"][0, 0, 13] - one["keypoint"][0, 0, 15]) for one in (together, driving)]
    assert limb[0] / limb[1] == pytest.approx((0.5 * 0.8) ** 0.5, rel=1e-2)
    hips = [one["keypoint"][:, 0, [5, 6, 11, 12]].mean(axis=(0, 1)) for one in (together, look)]
    assert np.abs(hips[0] - hips[1]).max() < 0.1


def test_who_stands_lower_is_in_front() -> None:
    driving = stand((30, 80, 40), (90, 80, 40), walk=0.1)
    look = stand((60, 70, 40), (64, 90, 40), seed=1)
    masks = transferred(driving, look, {0: 0, 1: 1})["mask"][:, :-1]
    assert not (masks[0] & masks[1]).any()
    alone = transferred(driving, look, {1: 1})["mask"][0, :-1]
    assert np.array_equal(masks[1], alone)
    assert 0 < masks[0].sum() < masks[1].sum()


def test_who_leaves_the_picture_is_outside() -> None:
    moved = transferred(stand((40, 80, 40), walk=0.5), stand((100, 80, 40), seed=1), {0: 0})
    inside = (moved["keypoint"][0, :-1, :, 0] < SIZE[1]) & (moved["flag"][0, :-1] > 0)
    assert np.array_equal(moved["flag"][0, :-1] > 0, inside)
    assert inside[0].all()
    assert not inside[-1].any()
    assert not moved["mask"][0, 3].any()
    assert moved["box"].min() >= 0
    assert moved["box"][..., 2].max() <= SIZE[1]
    assert example(moved)["there"][:, 0].tolist() == [True, True, False, False]


def test_from_left_to_right() -> None:
    driving, look = stand(*TWO), stand((20, 80, 30), (100, 80, 30), (60, 80, 30), seed=1)
    assert left_to_right(driving, look) == {0: 0, 1: 2}
    assert left_to_right(stand(*TWO[::-1]), look) == {0: 2, 1: 0}
    with pytest.raises(ValueError, match="stand0: want a reference with 3 people seen, got 2; say who is who"):
        left_to_right(look | {"key": "stand1"}, stand(*TWO))


def test_people_can_be_left_out() -> None:
    driving, look = stand(*TWO), stand((20, 80, 30), (60, 80, 30), (100, 80, 30), seed=1)
    one = example(transferred(driving, look, {1: 2}))
    assert one["body"].shape == (4, 1, 1, *SIZE)
    assert np.array_equal(one["reference_body"][0, 0], look["mask"][2, -1])


def test_another_keypoint_layout_is_no_obstacle() -> None:
    driving, look = stand(*TWO), stand(*DOUBLES, seed=1)
    plain = transferred(driving, look, {0: 0, 1: 1})
    wide = look | {"skeleton": "coco133"}
    for name, fill in (("keypoint", 0.0), ("score", 0.0), ("flag", 0)):
        more = np.full((*look[name].shape[:2], 116, *look[name].shape[3:]), fill, look[name].dtype)
        wide[name] = np.concatenate([look[name], more], axis=2)
    moved = transferred(driving, wide, {0: 0, 1: 1})
    assert np.array_equal(moved["keypoint"][:, :-1], plain["keypoint"][:, :-1])
    assert np.array_equal(example(moved)["pose"], example(plain)["pose"])


def test_what_is_given_stays_as_it_is() -> None:
    driving, look = stand(*TWO, walk=0.05), stand(*DOUBLES, seed=1)
    before = copy.deepcopy((driving, look))
    transferred(driving, look, {0: 1, 1: 0})
    for was, now in zip(before, (driving, look), strict=True):
        assert all(np.array_equal(was[name], now[name]) for name in was)


def test_a_mask_is_moved_as_points_are() -> None:
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 10:20, 6:12] = True
    way = Similarity(scale=2.0, shift=np.array([3.0, -8.0]))
    rows, columns = np.nonzero(way.masks(mask)[0])
    corners = way.points(np.array([[6.0, 10.0], [12.0, 20.0]])).tolist()
    assert [[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]] == corners == [[15, 12], [27, 32]]


def empty(person: int) -> dict[str, Any]:
    look = stand(*DOUBLES, seed=1)
    look["mask"][person, -1], look["score"][person, -1] = False, 0
    return look


@pytest.mark.parametrize(
    ("look", "who", "align", "said"),
    [
        (stand(*DOUBLES, seed=1), {}, "each", "who: want one person or more, got none"),
        (stand(*DOUBLES, seed=1), {2: 0}, "each", "stand0: want people 0..1, got 2"),
        (stand(*DOUBLES, seed=1), {0: -1}, "each", "stand1: want people 0..1, got -1"),
        (stand(*DOUBLES, seed=1), {0: 1, 1: 1}, "each", "who: want each double once, got {0: 1, 1: 1}"),
        (stand(*DOUBLES, seed=1), {0: 1}, "both", "align: want each, together or none, got 'both'"),
        (empty(1), {0: 1, 1: 0}, "each", "stand1: want person 1 seen in frame 91, the reference, got nobody"),
        (stand(*DOUBLES) | {"mask": np.zeros((2, 5, 48, 48), bool)}, {0: 1}, "each", "want pictures of one size"),
    ],
    ids=["nobody", "no such person", "no such double", "one double for two", "another align", "hidden", "sizes"],
)
def test_what_cannot_be_is_said(look: dict[str, Any], who: dict[int, int], align: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        transferred(stand(*TWO), look, who, align=align)

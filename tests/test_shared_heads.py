"""Poses with one head between them -> whose it is; masks in which everybody keeps their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import People
from tasks.backends.identity_masks import MaskRules, identity_masks
from tasks.ops.shared_heads import HEAD, borrowed
from tests.draw_tracks import FPS, SIZE, Figure, modal, picture

T, SEEN = 12, 0.2
LEFT, RIGHT = 0, 1
Poses = tuple[np.ndarray, np.ndarray]


def beside(gap: float = 34.0) -> list[Figure]:
    """Two who stand `gap` pixels apart; a body is 80 high, its torso about 26."""
    return [Figure(x=[80.0 + n * gap] * T, foot=110.0 - n, look=n, pieces=[(0, T)]) for n in range(2)]


def posed(figures: list[Figure]) -> Poses:
    keypoint = np.stack([[figure.keypoint(t) for t in range(T)] for figure in figures])
    return keypoint, np.full(keypoint.shape[:3], 0.9)


def snap(poses: Poses, who: int, start: int, stop: int, joints: slice = HEAD) -> None:
    """A pose whose joints are the other's for some frames."""
    poses[0][who, start:stop, joints] = poses[0][1 - who, start:stop, joints] + 1


def _head_only(poses: Poses) -> None:
    snap(poses, LEFT, 3, 9)


def _for_four_frames(poses: Poses) -> None:
    snap(poses, LEFT, 3, 7)


def _with_shoulders_for_a_while(poses: Poses) -> None:
    snap(poses, LEFT, 3, 9)
    snap(poses, LEFT, 5, 7, slice(5, 7))


def _nose_alone(poses: Poses) -> None:
    snap(poses, LEFT, 3, 9)
    poses[0][LEFT, 3:9, 3, 0] -= 24


def _one_shoulder_seen(poses: Poses) -> None:
    snap(poses, LEFT, 3, 9)
    poses[1][LEFT, 3:9, 6] = 0.1


def _nobody_bears_it(poses: Poses) -> None:
    snap(poses, LEFT, 3, 9)
    poses[1][RIGHT, 3:9, 6] = 0.1


def _now_one_now_the_other(poses: Poses) -> None:
    # One head for both all the time, and shoulders that come under it.
    poses[0][:, :, HEAD] = poses[0][:, :, HEAD].mean((0, 1))
    shoulders = np.array([[-8, 8], [8, 8]])
    for who, frames in ((LEFT, slice(6, 9)), (RIGHT, slice(3, 6))):
        poses[0][who, frames, 5:7] = poses[0][who, frames, HEAD].mean(1, keepdims=True) + shoulders


def _face_not_seen(poses: Poses) -> None:
    snap(poses, LEFT, 3, 9)
    poses[1][LEFT, :, HEAD] = 0.1
    poses[0][:] -= poses[0][RIGHT, 0, 0]  # a mean of nothing would lie at the picture's corner


def _nose_not_seen(poses: Poses) -> None:
    poses[0][LEFT, 3:9, HEAD, 1] -= 40
    snap(poses, LEFT, 3, 9, slice(0, 1))
    poses[1][LEFT, 3:9, 0] = 0.1


def _far_from_both(poses: Poses) -> None:
    poses[0][RIGHT, 3:9, HEAD, 1] -= 40
    snap(poses, LEFT, 3, 9)
    poses[1][LEFT, 3:9, 6] = 0.1


def _shoulder_not_seen(poses: Poses) -> None:
    poses[0][LEFT, 3:9, 6] = 0
    poses[1][LEFT, 3:9, 6] = 0.1


def _untouched(poses: Poses) -> None:
    del poses


@pytest.mark.parametrize(
    ("change", "gap", "taken"),
    [
        pytest.param(_head_only, 34.0, range(3, 9), id="a head far from its own shoulders is the other's"),
        pytest.param(_with_shoulders_for_a_while, 34.0, range(3, 9), id="also while it drags the shoulders along"),
        pytest.param(_for_four_frames, 34.0, (), id="for so short the frames beside tell more"),
        pytest.param(_nose_alone, 34.0, range(3, 9), id="half a face is enough"),
        pytest.param(_one_shoulder_seen, 34.0, range(3, 9), id="one shoulder shows that it is torn off"),
        pytest.param(_nobody_bears_it, 34.0, (), id="nobody's shoulders bear it: nothing is known"),
        pytest.param(_now_one_now_the_other, 34.0, (), id="each of them bears it once: nothing is known"),
        pytest.param(_face_not_seen, 34.0, (), id="a face that was not seen is no head"),
        pytest.param(_nose_not_seen, 34.0, (), id="where a hidden nose was put says nothing"),
        pytest.param(_far_from_both, 34.0, (), id="a head far from both of them is neither's"),
        pytest.param(_shoulder_not_seen, 3.0, (), id="where a hidden shoulder was put says nothing"),
        pytest.param(_untouched, 3.0, (), id="heads behind each other, both on their shoulders"),
    ],
)
def test_a_head_of_two_poses_is_theirs_whose_shoulders_bear_it(
    change: Callable[[Poses], None], gap: float, taken: range
) -> None:
    poses = posed(beside(gap))
    change(poses)
    for order in (slice(None), slice(None, None, -1)):
        found = borrowed(poses[0][order], poses[1][order], np.full((2, T), 26.0), seen=SEEN, least=5)[order]
        assert np.flatnonzero(found[LEFT]).tolist() == list(taken)
        assert not found[RIGHT].any(), "the owner keeps it"


def test_a_face_that_two_poses_have_stays_with_its_own_body_though_it_looks_like_the_other() -> None:
    """The one on the right has a face of the other's colour, and the other's pose has snapped to it."""
    figures = beside()
    frames = [picture(figures, t) for t in range(T)]
    head = modal(figures, RIGHT, 0)
    head[50:] = False
    for frame in frames:
        frame[head] = frame[modal(figures, LEFT, 0)][: np.count_nonzero(head)]
    poses = posed(figures)
    snap(poses, LEFT, 4, 10)
    people = identity_masks(frames, _bound(figures, poses), fps=FPS, rules=MaskRules())
    for t in range(T):
        own, other = (np.count_nonzero(people.mask_at(p, t) & head) / head.sum() for p in (RIGHT, LEFT))
        assert own > 0.7, f"frame {t}: {own:.2f} of the head is in its own mask"
        assert other < 0.1, f"frame {t}: {other:.2f} of the head is in the other's mask"


def _bound(figures: list[Figure], poses: Poses) -> People:
    people = len(figures)
    masks = [modal(figures, p, t) for p in range(people) for t in range(T)]
    return People(
        box=np.stack([[figure.box(t) for t in range(T)] for figure in figures]),
        keypoint=poses[0],
        score=poses[1].astype(np.float32),
        flag=np.zeros((people, T, 17), np.uint8),
        mask=Masks.encode(masks, size=SIZE),
        present=np.ones((people, T), bool),
        visible=np.ones((people, T), np.float32),
        confidence=np.ones((people, T), np.float32),
        skeleton="coco17",
        events=(),
    )

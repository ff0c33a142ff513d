"""Frames -> how the camera moved: a drawn background, shifted, zoomed or still, with people walking before it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tasks.ops.camera_motion import camera_steps, steadied, to_first_frame, unsteadied

SIZE = (240, 320)  # (h, w)
T = 12


def wall(seed: int = 0) -> np.ndarray:
    """A large picture of blobs, (600, 800, 3) uint8."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (75, 100, 3)).astype(np.uint8)
    return cv2.resize(small, (800, 600), interpolation=cv2.INTER_CUBIC)


def filmed(shift: tuple[float, float], zoom: float, noise: float = 0.0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """T frames under a camera that moves by `shift` pixels a frame and zooms; one person who walks the other way."""
    rng = np.random.default_rng(1)
    frames, boxes = [], []
    for t in range(T):
        scale = zoom**t
        matrix = np.array([[scale, 0, -200 - shift[0] * t], [0, scale, -150 - shift[1] * t]])
        frame = cv2.warpAffine(wall(), matrix, SIZE[::-1])
        x = 60 + 9 * t
        frame[60:220, x : x + 70] = np.array([200, 30, 30]) - (np.indices((160, 70)).sum(0) % 40)[..., None]
        frames.append(np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255).astype(np.uint8))
        boxes.append(np.array([[x, 60, x + 70, 220]], np.float32))
    return frames, boxes


@pytest.mark.parametrize(
    ("shift", "zoom"),
    [
        pytest.param((6.0, 0.0), 1.0, id="a pan"),
        pytest.param((-4.0, 3.0), 1.0, id="a pan and a tilt"),
        pytest.param((0.0, 0.0), 1.01, id="a zoom"),
    ],
)
def test_the_background_is_brought_back_to_where_it_was(shift: tuple[float, float], zoom: float) -> None:
    frames, boxes = filmed(shift, zoom, noise=3.0)
    to_first = to_first_frame(camera_steps(frames, boxes, SIZE))
    point = np.array([300.0, 100.0])  # of the wall, far from the person
    seen = point * zoom ** (T - 1) - [200, 150] - np.array(shift) * (T - 1)
    back = to_first[-1, :, :2] @ seen + to_first[-1, :, 2]
    assert np.abs(back - (point - [200, 150])).max() < 2.5


@pytest.mark.parametrize(
    "noise",
    [pytest.param(0.0, id="a clean picture"), pytest.param(8.0, id="a noisy picture")],
)
def test_a_camera_that_stands_is_exactly_still(noise: float) -> None:
    frames, boxes = filmed((0.0, 0.0), 1.0, noise)
    assert np.array_equal(camera_steps(frames, boxes, SIZE), np.tile(np.eye(2, 3), (T, 1, 1)))


def test_a_person_before_a_plain_wall_does_not_move_the_camera() -> None:
    frames, boxes = filmed((0.0, 0.0), 1.0)
    plain = [
        np.where((np.indices(SIZE)[1] // 1 >= b[0, 0])[..., None], f, 128).astype(np.uint8)
        for f, b in zip(frames, boxes, strict=True)
    ]
    for frame, box in zip(plain, boxes, strict=True):
        x = int(box[0, 0])
        frame[:60], frame[220:], frame[:, x + 70 :] = 128, 128, 128
    assert np.array_equal(camera_steps(plain, boxes, SIZE), np.tile(np.eye(2, 3), (T, 1, 1)))


def shadowed(wall_moves: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A wall so soft that hardly a corner is on it, and somebody who walks with a sharp, dappled shadow at the feet."""
    frames, boxes = [], []
    rng = np.random.default_rng(2)
    soft = (128 + (wall().astype(float) - 128) * 0.06).astype(np.uint8)
    shadow = np.where(rng.random((5, 24, 1)) < 0.5, 0, 255).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    for t in range(T):
        x = 40 + 9 * t
        frame = cv2.warpAffine(soft, np.array([[1, 0, -200 - wall_moves * t], [0, 1.0, -150]]), SIZE[::-1])
        frame[60:190, x : x + 60] = 90
        frame[192:212, x - 18 : x + 78] = shadow
        frames.append(frame)
        boxes.append(np.array([[x, 60, x + 60, 190]], np.float32))
    return frames, boxes


def test_a_shadow_that_walks_does_not_move_the_camera() -> None:
    frames, boxes = shadowed(0.0)
    assert np.array_equal(camera_steps(frames, boxes, SIZE), np.tile(np.eye(2, 3), (T, 1, 1)))


def test_a_soft_background_beside_a_sharp_shadow_is_followed() -> None:
    frames, boxes = shadowed(4.0)
    assert to_first_frame(camera_steps(frames, boxes, SIZE))[-1, 0, 2] == pytest.approx(4.0 * (T - 1), abs=2.5)


def test_corners_that_agree_in_one_corner_of_the_picture_are_one_thing_that_moved() -> None:
    """A poster falls off a plain wall: it alone has corners."""
    frames = []
    for t in range(T):
        frame = np.full((*SIZE, 3), 128, np.uint8)
        frame[20 + 4 * t : 80 + 4 * t, 10:80] = wall()[:60, :70]
        frames.append(frame)
    nobody = [np.zeros((0, 4), np.float32)] * T
    assert np.array_equal(camera_steps(frames, nobody, SIZE), np.tile(np.eye(2, 3), (T, 1, 1)))


def test_steadied_boxes_of_what_stands_still_stand_still() -> None:
    step = np.tile(np.eye(2, 3), (T, 1, 1))
    step[1:, :, 2] = 5.0, -2.0
    frame = np.arange(T)
    box = np.array([50.0, 60, 90, 160]) - np.tile([5.0, -2.0], 2) * frame[:, None]
    to_first = to_first_frame(step)
    steady = steadied(box, frame, to_first)
    assert np.allclose(steady, steady[0])
    assert np.allclose(unsteadied(steady, frame, to_first), box)


def test_equal_frames_give_equal_steps() -> None:
    frames, boxes = filmed((6.0, 1.0), 1.003, noise=4.0)
    assert np.array_equal(camera_steps(frames, boxes, SIZE), camera_steps(frames, boxes, SIZE))

"""The renderer against geometry worked out by hand, against pyrender, and against itself."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tasks.backends.pyrender import MAX_PEOPLE, Style, raster
from tasks.ops.backdrop import build_place
from tasks.ops.camera import project
from tasks.ops.solids import capsule, lathe
from tests.draw_solids import GREY, SIZE, draw, front, quad, same, surface_of

H, W = SIZE


def rectangle(x0: float, y0: float, x1: float, y1: float, z: float) -> np.ndarray:
    """The pixels whose centres a quad covers, worked out from its projected corners."""
    view = front()
    (left, bottom), (right, top) = project(np.array([[x0, y0, z], [x1, y1, z]]), view.intrinsics, view.extrinsics)[0]
    x, y = np.arange(W) + 0.5, np.arange(H) + 0.5
    return ((x > left) & (x < right))[None] & ((y > top) & (y < bottom))[:, None]


NEAR, FAR = (-0.6, 0.4, 0.23, 1.47, 0.0), (-0.1, 0.7, 0.71, 1.8, -0.5)


@pytest.mark.parametrize("order", [(NEAR, FAR), (FAR, NEAR)], ids=["nearer one drawn first", "nearer one drawn last"])
def test_ids_masks_and_depth_are_those_of_the_geometry(order):
    frame = draw([quad(*corners) for corners in order], front())
    inside = [rectangle(*corners) for corners in order]
    near = order.index(NEAR)
    expected = np.zeros(SIZE, np.uint8)
    expected[inside[1 - near]] = 2 - near
    expected[inside[near]] = near + 1
    np.testing.assert_array_equal(frame.person, expected)
    for p, mask in enumerate(inside):
        np.testing.assert_array_equal((frame.amodal >> p) & 1, mask, err_msg=f"amodal mask of person {p}")
    assert set(np.unique(frame.depth[expected == near + 1])) == {3000}
    assert set(np.unique(frame.depth[expected == 2 - near])) == {3500}
    assert ((frame.part > 0) == (frame.person > 0)).all()


def test_people_apart_have_amodal_masks_equal_to_what_is_seen():
    frame = draw([quad(-0.8, 0.5, -0.3, 1.5, 0), quad(0.3, 0.5, 0.8, 1.5, -1)], front())
    assert set(np.unique(frame.person)) == {0, 1, 2}
    np.testing.assert_array_equal(frame.amodal, np.array([0, 1, 2], np.uint8)[frame.person])


def test_depth_of_a_ball_and_of_the_floor():
    view = front()
    bend = np.linspace(0, np.pi, 100)[1:-1]
    profile = [(0.0, 1e-6), *((0.5 - 0.5 * np.cos(a), 0.4 * np.sin(a)) for a in bend), (1.0, 1e-6)]
    frame = draw([lathe(np.array([0.0, 0.6, 0.0]), np.array([0.0, 1.4, 0.0]), profile, around=180)], view)
    ray = np.stack(np.meshgrid(np.arange(W) + 0.5, np.arange(H) + 0.5), axis=-1)
    ray = (ray - view.intrinsics[:2, 2]) / view.intrinsics[0, 0]
    ray = np.concatenate([ray, np.ones((H, W, 1))], axis=-1)  # camera axes; the eye is 3 m before the ball's centre
    square = (ray**2).sum(-1)
    root = 9 - square * (9 - 0.4**2)
    # Facets lie within the ball, by more the more it slants towards its edge: look at its middle.
    middle = root > 0.04
    depth = (3 - np.sqrt(np.where(middle, root, 0))) / square * 1000
    assert (frame.person[middle] == 1).all()
    assert np.abs(frame.depth - depth)[middle].max() < 1.5
    floor = (frame.person == 0) & (ray[..., 1] > 1 / 8)
    np.testing.assert_allclose(frame.depth[floor], 1000 / ray[..., 1][floor], atol=1.0)


def test_what_is_under_the_floor_is_neither_seen_nor_there():
    frame = draw([quad(-0.5, -0.4, 0.5, 0.6, 0), quad(-0.2, 0.1, 0.2, 0.4, 0.5)], front())
    above = rectangle(-0.5, 0.0, 0.5, 0.6, 0.0)
    np.testing.assert_array_equal(frame.amodal & 1, above)


@pytest.mark.parametrize("people", [3, 8, 9, MAX_PEOPLE])
def test_any_number_of_people_up_to_the_most(people):
    corners = [(-0.9 + 0.05 * p, 0.5, -0.5 + 0.05 * p, 1.5, -0.01 * p) for p in range(people)]
    frame = draw([quad(*at) for at in corners], front())
    for p, at in enumerate(corners):
        np.testing.assert_array_equal((frame.amodal >> p) & 1, rectangle(*at))
    assert set(np.unique(frame.person)) == set(range(people + 1))


def test_style_changes_the_picture_and_nothing_exact():
    bodies = [capsule([-0.2, 0.4, 0], [0.1, 1.5, 0], 0.2, 0.1), capsule([0.2, 0.4, -0.4], [-0.1, 1.5, -0.3], 0.2, 0.1)]
    plain = draw(bodies, front(), style=Style(shadows=False, smooth=False))
    fine = draw(bodies, front(), style=Style())
    for name in ("person", "part", "depth", "amodal"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(fine, name))
    assert (plain.color != fine.color).any()


def test_equal_input_gives_equal_bytes_again_and_in_other_threads():
    bodies = [capsule([-0.2, 0.4, 0], [0.1, 1.5, 0], 0.2, 0.1), capsule([0.2, 0.4, -0.4], [-0.1, 1.5, -0.3], 0.2, 0.1)]
    first = draw(bodies, front(), seed=3)
    assert same(first, draw(bodies, front(), seed=3))
    with ThreadPoolExecutor(3) as pool:
        drawn = list(pool.map(lambda _: draw(bodies, front(), seed=3), range(6)))
    assert all(same(first, other) for other in drawn)
    assert not same(first, draw(bodies, front(), seed=4))


def test_frames_come_in_order_and_stand_alone():
    body = capsule([0, 0.4, 0], [0, 1.5, 0], 0.2, 0.1)
    surface = surface_of(body[1], body[0])
    places = [(body[0] + [x, 0, 0]).astype(np.float32) for x in (-0.5, 0.0, 0.5, 0.2)]
    with raster(SIZE, [surface], [GREY], build_place(0, 8.0)) as drawn:
        together = list(drawn.frames(([p], front()) for p in places))
        alone = [next(drawn.frames([([p], front())])) for p in places]
    assert all(same(a, b) for a, b in zip(together, alone, strict=True))
    middles = [np.flatnonzero(f.person.any(0)).mean() for f in together]
    assert middles[0] < middles[1] < middles[3] < middles[2]


def test_ids_equal_pyrenders_own_to_the_pixel():
    from tests.bench._plain_pyrender import PlainLoop

    rng = np.random.default_rng(5)
    bodies = [capsule([-0.2, 0.7, 0], [0.2, 1.5, 0.1], 0.25, 0.1), capsule([0.3, 0.7, 0], [-0.2, 1.6, 0], 0.2, 0.2)]
    place = build_place(0, 8.0)
    surfaces = [surface_of(faces, points) for points, faces in bodies]
    white = [np.ones((len(points), 4), np.float32) for points, _ in bodies]
    loop = PlainLoop(SIZE, [faces for _, faces in bodies], white, place)
    for _ in range(4):
        moved = [(points + rng.normal(0, 0.08, 3)).astype(np.float32) for points, _ in bodies]
        with raster(SIZE, surfaces, [GREY, GREY], place) as drawn:
            frame = next(drawn.frames([(moved, front())]))
        other = loop.frame(moved, front())
        np.testing.assert_array_equal(frame.person, other["person"])
        for p in range(2):
            np.testing.assert_array_equal((frame.amodal >> p) & 1, other["amodal"][p])


def test_too_many_performers_and_wrong_vertices_are_refused():
    points, faces = quad(*NEAR)
    with pytest.raises(ValueError, match="want 1 to 32 performers, got 33"):
        draw([(points, faces)] * 33, front())
    with raster(SIZE, [surface_of(faces, points)], [GREY], build_place(0, 8.0)) as drawn:
        with pytest.raises(ValueError, match=r"want vertices \(4, 3\) float32, got \(4, 3\) float64"):
            next(drawn.frames([([points], front())]))
        with pytest.raises(ValueError, match="want vertices of 1 performers, got 2"):
            next(drawn.frames([([points.astype(np.float32)] * 2, front())]))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        pytest.param({"EGL_DEVICE_ID": "99"}, "libegl1 libgl1-mesa-dri", id="no such device names the packages"),
        pytest.param({"PYOPENGL_PLATFORM": "glx"}, "want PYOPENGL_PLATFORM=egl, got 'glx'", id="another platform"),
    ],
)
def test_a_machine_without_egl_is_told_what_to_install(setting, words):
    code = "from tasks.backends import egl\nwith egl.context(): pass"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **setting}, check=False
    )
    assert run.returncode == 1
    assert "RuntimeError: OpenGL: want an EGL context" in run.stderr
    assert words in run.stderr


def _area() -> int:
    return int((draw([quad(*NEAR)], front()).person > 0).sum())


def test_a_spawned_process_draws_and_a_forked_one_says_why_not():
    here = _area()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(_area).get(120) == here
    with multiprocessing.get_context("fork").Pool(1) as pool, pytest.raises(RuntimeError, match="start it by spawn"):
        pool.apply_async(_area).get(60)

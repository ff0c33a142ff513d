"""Cameras: conventions, OpenGL's agreement to a hundredth of a pixel, and that people stay in the picture."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.ops.camera import gl_projection, gl_view, look_at, pinhole, project
from tasks.ops.camera_path import plan_camera, surroundings
from tasks.ops.scene import CameraSpec
from tests.draw_solids import SIZE, draw, front, quad


def test_conventions_are_opencvs():
    extrinsics = look_at([0, 1, 3], [0, 1, 0])
    intrinsics = pinhole(90, (100, 200))
    points = np.array([[0, 1, 0], [1, 1, 0], [0, 2, 0], [0, 1, 4]])
    at, depth = project(points, intrinsics, extrinsics)
    np.testing.assert_allclose(at[0], [100, 50])
    assert at[1, 0] > 100  # world right is right
    assert at[2, 1] < 50  # world up is up: a smaller row
    np.testing.assert_allclose(depth, [3, 3, 3, -1])
    assert np.isnan(at[3]).all()
    rotation = extrinsics[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_projection_is_opengls():
    rng = np.random.default_rng(0)
    size = (96, 160)
    intrinsics, extrinsics = pinhole(50, size), look_at(rng.normal((0, 1, 6)), [0.1, 0.9, 0])
    points = rng.normal((0, 1, 0), 0.7, (50, 3))
    clip = np.concatenate([points, np.ones((50, 1))], 1) @ (gl_projection(intrinsics, size) @ gl_view(extrinsics)).T
    device = clip[:, :2] / clip[:, 3:]
    pixels = (device * [0.5, -0.5] + 0.5) * [size[1], size[0]]
    np.testing.assert_allclose(pixels, project(points, intrinsics, extrinsics)[0], atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1], ids=["columns", "rows"])
def test_the_rasteriser_agrees_to_a_hundredth_of_a_pixel(axis):
    """An edge laid 0.01 px before a pixel's centre covers it, one laid 0.01 px behind it does not."""
    view, pixel = front(), 60
    focal, centre = view.intrinsics[0, 0], SIZE[0] / 2
    for off, covered in ((-0.01, True), (0.01, False)):
        edge = (pixel + 0.5 + off - centre) * 3 / focal  # metres from the axis, 3 m away
        if axis == 0:
            frame = draw([quad(edge, 0.5, 0.9, 1.5, 0)], view)
            seen = frame.person[48, pixel]
        else:
            frame = draw([quad(-0.5, 0.2, 0.5, 1 - edge, 0)], view)
            seen = frame.person[pixel, 48]
        assert bool(seen) is covered


def walkers(frames: int = 90) -> np.ndarray:
    """Two people who walk past one another, (2, T, 24, 3): a column of joints each."""
    along = np.linspace(-1.5, 1.5, frames)
    joints = np.zeros((2, frames, 24, 3))
    joints[..., 1] = np.linspace(0, 1.7, 24)
    joints[0, :, :, 0], joints[1, :, :, 0] = along[:, None], -along[:, None]
    joints[1, ..., 2] = 0.6
    return joints


@pytest.mark.parametrize("kind", ["static", "pan", "orbit"])
@pytest.mark.parametrize("seed", range(4))
def test_everyone_stays_in_the_picture_and_fills_it(kind, seed):
    joints, size = walkers(), (96, 128)
    track = plan_camera(CameraSpec(kind=kind, seed=seed), joints, fps=30, size=size)
    at, depth = project(joints, track.intrinsics[None, :, None], track.extrinsics[None, :, None])
    inside = ((at > 0) & (at < [size[1], size[0]])).all(-1) & (depth > 0)
    assert inside.all((0, 2)).mean() >= 0.95
    extent = np.ptp(at, axis=(0, 2)) / [size[1], size[0]]
    assert extent.max() > 0.6, "the camera stands needlessly far away"
    eyes = np.array([track.at(t).eye for t in range(90)])
    assert (eyes[:, 1] > 0.3).all()
    moved = np.linalg.norm(eyes - eyes[0], axis=1).max()
    turned = np.linalg.norm(track.extrinsics[:, 2, :3] - track.extrinsics[0, 2, :3], axis=1).max()
    assert (moved > 0.5) == (kind == "orbit")
    assert (turned > 1e-3) == (kind != "static")


def test_what_a_spec_names_is_held_to():
    spec = CameraSpec(kind="static", azimuth_deg=90, distance_m=5, height_m=1.2, fov_deg=30)
    track = plan_camera(spec, walkers(), fps=30, size=(96, 96))
    eye = track.at(0).eye
    assert eye[1] == pytest.approx(1.2)
    assert eye[0] == pytest.approx(5, abs=0.1)
    assert track.intrinsics[0, 1, 1] == pytest.approx(48 / np.tan(np.radians(15)))


def test_a_camera_with_an_aim_looks_there_whoever_leaves_the_picture():
    joints = walkers() + np.array([0, 0, 1.0])
    spec = CameraSpec(aim=(0.5, 1.0, 0.0), azimuth_deg=0, distance_m=3.0, height_m=1.0, fov_deg=30)
    track = plan_camera(spec, joints, fps=30, size=(100, 100))
    at, depth = project(np.array([0.5, 1.0, 0.0]), track.intrinsics, track.extrinsics)
    np.testing.assert_allclose(at, np.full((90, 2), 50.0), atol=1e-9)
    np.testing.assert_allclose(depth, 3.0)
    seen, _ = project(joints, track.intrinsics[None, :, None], track.extrinsics[None, :, None])
    assert ((seen[..., 0] < 0) | (seen[..., 0] > 100)).all(2).any()


@pytest.mark.parametrize("seed", range(4))
def test_a_hand_swings_trembles_and_zooms_about_the_people(seed):
    joints, size = walkers(), (96, 128)
    track = plan_camera(CameraSpec(kind="handheld", seed=seed), joints, fps=30, size=size)
    at, _ = project(joints, track.intrinsics[None, :, None], track.extrinsics[None, :, None])
    inside = ((at > 0) & (at < [size[1], size[0]])).all(-1)
    assert inside.all((0, 2)).mean() >= 0.7
    assert inside.any(2).mean() > 0.97
    eyes = np.array([track.at(t).eye for t in range(90)])
    assert np.ptp(eyes, axis=0).max() < 1e-6
    axis = track.extrinsics[:, 2, :3]
    assert np.degrees(np.arccos((axis @ axis.T).min())) > 3
    zoom = track.intrinsics[:, 0, 0]
    assert zoom.max() / zoom.min() > 1.04
    jerk = np.abs(np.diff(axis, n=3, axis=0)).max()
    steady = plan_camera(CameraSpec(kind="pan", seed=seed), joints, fps=30, size=size).extrinsics[:, 2, :3]
    assert jerk > 5 * np.abs(np.diff(steady, n=3, axis=0)).max()


def test_equal_seeds_give_equal_cameras_and_others_differ():
    one, two, other = (
        plan_camera(CameraSpec(kind="orbit", seed=s), walkers(), fps=30, size=(96, 96)) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.extrinsics, two.extrinsics)
    assert np.abs(one.extrinsics - other.extrinsics).max() > 0.1


def test_the_backdrop_holds_camera_and_people():
    joints = walkers() + np.array([20.0, 0, -7])
    track = plan_camera(CameraSpec(kind="orbit"), joints, fps=30, size=(96, 96))
    radius, centre = surroundings(track, joints)
    eyes = np.array([track.at(t).eye for t in range(90)])
    for points in (eyes, joints.reshape(-1, 3)):
        assert np.linalg.norm(points[:, [0, 2]] - centre, axis=1).max() < radius


def test_a_camera_cannot_look_straight_down():
    with pytest.raises(ValueError, match="straight above or below"):
        look_at([0, 5, 0], [0, 0, 0])

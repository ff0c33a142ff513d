"""What is drawn before it is drawn: meshes and their regions, solids, the robot, clothes, places."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.ops.backdrop import build_place, noise
from tasks.ops.body_regions import HAIR, LOWER, REGIONS, SHIRT, SKIN
from tasks.ops.performance import JOINTS, PARENTS, Performance
from tasks.ops.robot import as_robot
from tasks.ops.rotation import matrix
from tasks.ops.scene import PerformerSpec
from tasks.ops.solids import ball, capsule, lathe, rounded_box
from tasks.ops.surface import coarsen, nearest_part, normals, prepare, split_regions
from tasks.ops.wardrobe import color_distance, dress_cast, hue_distance

# A T-pose of 1.7 m: x, y, z of each joint, left side; the right one mirrors it.
_LEFT = {
    "hip": (0.09, 0.92, 0), "knee": (0.1, 0.5, 0.01), "ankle": (0.1, 0.09, -0.02), "foot": (0.11, 0.03, 0.11),
    "collar": (0.06, 1.42, 0), "shoulder": (0.18, 1.42, 0), "elbow": (0.44, 1.42, -0.01), "wrist": (0.69, 1.42, 0),
    "hand": (0.78, 1.42, 0),
}  # fmt: skip
_MIDDLE = {"pelvis": 0.98, "spine1": 1.06, "spine2": 1.18, "spine3": 1.25, "neck": 1.47, "head": 1.55}


def rest() -> np.ndarray:
    """The 24 joints of the T-pose."""
    out = []
    for name in JOINTS:
        side, _, joint = name.partition("_")
        x, y, z = _LEFT[joint] if joint else (0, _MIDDLE[name], 0)
        out.append((-x if side == "right" else x, y, z))
    return np.array(out, np.float32)


def volume(mesh: tuple[np.ndarray, np.ndarray]) -> float:
    """Signed volume of a closed mesh: positive when its faces turn outwards."""
    points, faces = mesh
    a, b, c = points[faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        pytest.param(rounded_box([0.4, 0.3, 0.2], 0.001), 0.024, id="box"),
        pytest.param(rounded_box([0.2, 0.2, 0.2], 0.1), 4 / 3 * np.pi * 0.1**3, id="box rounded to a ball"),
        pytest.param(ball(np.array([1.0, 2.0, 3.0]), 0.1), 4 / 3 * np.pi * 0.1**3, id="ball away from the origin"),
        pytest.param(
            capsule([0, 0, 0], [0, 0, 1], 0.1, 0.1), np.pi * 0.1**2 + 4 / 3 * np.pi * 0.1**3, id="capsule along z"
        ),
        pytest.param(lathe([0, 0, 0], [1, 0, 0], [(0, 0.1), (1, 0.1)]), np.pi * 0.01, id="cylinder along x"),
    ],
)
def test_solids_are_closed_turn_outwards_and_have_their_volume(mesh, expected):
    assert volume(mesh) == pytest.approx(expected, rel=0.1)
    edges = np.sort(mesh[1][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all(), "an edge without two sides"


def test_every_face_ends_in_a_vertex_of_its_own_region():
    points, faces = rounded_box([0.4, 0.3, 0.2], 0.02)
    region = np.random.default_rng(0).integers(0, 8, len(faces)).astype(np.uint8)
    source, split = split_regions(faces, region, len(points))
    np.testing.assert_array_equal(source[split], faces)  # same corners in the same order
    for vertex in np.unique(split[:, 2]):
        assert len(set(region[split[:, 2] == vertex])) == 1
    surface = prepare(faces.astype(np.int32), region, points.astype(np.float32), rest())
    np.testing.assert_array_equal((surface.label[surface.faces[:, 2]] >> 8) & 255, region)


def test_normals_of_a_ball_point_outwards():
    points, faces = ball(np.zeros(3), 0.5)
    surface = prepare(faces.astype(np.int32), np.zeros(len(faces), np.uint8), points.astype(np.float32), rest())
    found = normals(surface, points.astype(np.float32))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    assert (np.einsum("ij,ij->i", found, points) / 0.5 > 0.97).all()


def test_the_shadow_caster_is_coarse_and_keeps_the_shape():
    points, faces = capsule([0, 0, 0], [0, 1, 0], 0.2, 0.2, cell=0.01)
    coarse = coarsen(faces, points, 0.05)
    assert len(coarse) < 0.5 * len(faces)
    np.testing.assert_allclose(np.ptp(points[np.unique(coarse)], axis=0), np.ptp(points, axis=0), atol=0.05)


def test_parts_are_those_of_the_nearest_bone():
    joints = rest()
    children = [c for c in range(24) if PARENTS[c] >= 0 and PARENTS.count(PARENTS[c]) == 1]
    middles = np.stack([0.5 * (joints[c] + joints[PARENTS[c]]) for c in children])
    np.testing.assert_array_equal(nearest_part(middles, joints), [PARENTS[c] for c in children])


def moved(turn: np.ndarray) -> Performance:
    """A body that turns about its left elbow by axis-angles (T, 3), with a handful of vertices as its skin."""
    joints, frames = rest(), len(turn)
    transform = np.tile(np.eye(4, dtype=np.float32), (frames, 24, 1, 1))
    transform[:, :, :3, 3] = joints
    elbow = JOINTS.index("left_elbow")
    rotation = matrix(turn.astype(np.float64)).astype(np.float32)
    for joint in (elbow, JOINTS.index("left_wrist"), JOINTS.index("left_hand")):
        transform[:, joint, :3, :3] = rotation
        transform[:, joint, :3, 3] = joints[elbow] + (rotation @ (joints[joint] - joints[elbow]))
    skin = np.array([[x, 0, z] for x in (0.07, 0.14, -0.07, -0.14) for z in (-0.08, 0.2)], np.float32)
    joint = transform[:, :, :3, 3].copy()
    coco = np.concatenate([joint[:, [15] * 5], joint[:, [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]]], axis=1)
    return Performance(
        vertices=np.tile(skin, (frames, 1, 1)), faces=np.array([[0, 1, 2]], np.int32), region=np.zeros(1, np.uint8),
        joint=joint, coco=coco, transform=transform, rest_joint=joints, rest_vertex=skin,
        pose=np.zeros((frames, 24, 3), np.float32), trans=np.zeros((frames, 3), np.float32),
        betas=np.zeros(10, np.float32), model="test",
    )  # fmt: skip


def test_a_robot_is_rigid_parts_on_the_bodys_joints():
    robot = as_robot(moved(np.array([[0, 0, 0], [0, 0, 1.2], [0.3, -0.8, 0]])))
    assert len(robot.rest_vertex) > 5000
    np.testing.assert_allclose(robot.vertices[0], robot.rest_vertex, atol=1e-5)
    stays = np.abs(robot.vertices - robot.rest_vertex).max((0, 2)) < 1e-5
    assert 0.05 < 1 - stays.mean() < 0.4, "the left forearm and hand move, nothing else does"
    arm = robot.vertices[:, ~stays][:, ::97]
    lengths = np.linalg.norm(arm[:, :, None] - arm[:, None], axis=-1)
    np.testing.assert_allclose(lengths[1:], lengths[:1].repeat(2, 0), atol=1e-5)
    assert robot.rest_vertex[:, 1].min() == pytest.approx(0, abs=0.006), "its soles are where the body's are"
    assert set(np.unique(robot.region)) == set(range(len(REGIONS)))


def test_a_robots_face_points_lie_on_its_face():
    robot = as_robot(moved(np.zeros((1, 3))))
    face = robot.coco[0, :5]
    nearest = np.linalg.norm(face[:, None] - robot.vertices[0][None], axis=-1).min(1)
    assert (nearest < 0.02).all()
    assert (face[:3, 2] > robot.joint[0, 15, 2] + 0.08).all(), "nose and eyes are in front"
    assert face[1, 0] > 0 > face[2, 0], "the left eye is on the left, +x"
    assert face[3, 0] > 0 > face[4, 0]


def spec(clothes: int, look: str = "dressed") -> PerformerSpec:
    """A performer in some clothes."""
    return PerformerSpec(motion="m.npz", clothes_seed=clothes, look=look)  # type: ignore[arg-type]


def hue_of(linear: np.ndarray) -> float:
    """The hue 0..1 of a linear colour."""
    red, green, blue = linear[:3] ** (1 / 2.2)
    return float(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue) / (2 * np.pi) % 1)


@pytest.mark.parametrize("seed", range(6))
def test_people_differ_clearly_in_colour(seed):
    seeds = np.random.default_rng(seed).integers(0, 2**62, 3)
    hues = [hue_of(palette[SHIRT]) for palette in dress_cast([spec(int(s)) for s in seeds])]
    for i in range(3):
        for j in range(i):
            assert hue_distance(hues[i], hues[j]) > 0.1


def test_equal_clothes_match_and_the_first_in_a_cast_looks_as_alone():
    one, two, other = dress_cast([spec(7), spec(7), spec(8)])
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 0.1
    np.testing.assert_array_equal(one, dress_cast([spec(7)])[0])
    assert not np.array_equal(dress_cast([spec(7, "robot")])[0], one)
    assert len(np.unique(dress_cast([spec(7, "plain")])[0], axis=0)) == 1


def test_nobody_looks_undressed():
    for seed in range(200):
        palette = dress_cast([spec(seed)])[0][:, :3]
        for region in (SHIRT, LOWER, HAIR):
            assert color_distance(palette[region], palette[SKIN]) > 0.25, (seed, region)


def test_places_follow_their_seed():
    one, again, other = build_place(1, 8.0), build_place(1, 8.0), build_place(2, 8.0)
    for name in ("floor", "wall", "to_light", "light", "sky", "ground", "cove"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name)), name
    plain = build_place(1, 8.0, textures=False)
    assert len(np.unique(plain.floor.reshape(-1, 3), axis=0)) == 1
    np.testing.assert_array_equal(plain.light, one.light)


def test_noise_repeats_at_its_edges():
    found = noise(np.random.default_rng(0), (64, 64), 4)
    across = np.abs(np.diff(found, axis=1)).max()
    assert np.abs(found[:, 0] - found[:, -1]).max() <= 1.5 * across
    assert found.std() > 0.05

"""Bodies: the default one built from anny, official files, and how both are driven and dressed."""

from __future__ import annotations

import pickle
import sys
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from smplx.lbs import lbs

from tasks.backends import anny
from tasks.backends.motion_files import load_motion
from tasks.backends.performer import perform, scene_frames
from tasks.backends.smplx import Body, body_digest, find_body, load_body, surface
from tasks.ops import body_build, body_regions, retime
from tasks.ops.performance import JOINTS, PARENTS
from tasks.ops.scene import PerformerSpec, Scene
from tests import motion_fixtures as made

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body(None)


@pytest.fixture
def dance(tmp_path) -> Path:
    return made.write_set("amass", tmp_path / "set")


def test_building_again_gives_the_same_bytes_and_mends_a_damaged_cache(tmp_path, monkeypatch):
    whole = anny.default_body()
    assert anny.cache_path().is_file()
    first = anny.cache_path().read_bytes()
    monkeypatch.setenv("DUETFLOW_CACHE", str(tmp_path))
    anny.cache_path().parent.mkdir()
    anny.cache_path().write_bytes(first[: len(first) // 2])
    again = anny.default_body()
    assert all(np.array_equal(whole[name], again[name]) for name in whole)
    assert anny.cache_path().read_bytes() == first
    assert [p.name for p in anny.cache_path().parent.iterdir()] == [anny.cache_path().name]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("gender", ["female", "male"])
def test_bodies_of_seeds_are_people(body, seed, gender):
    rest, joint = body.shaped(body_build.sample_betas(seed, gender))
    assert 1.45 < np.ptp(rest[:, 1]) < 2.05
    assert rest[:, 0].max() - rest[:, 0].min() == pytest.approx(np.ptp(rest[:, 1]), rel=0.12), "span is about height"
    at = dict(zip(JOINTS, joint, strict=True))
    for side, sign in (("left", 1), ("right", -1)):
        arm = [at[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist")]
        assert np.ptp([j[1] for j in arm]) < 0.012, "a T-pose: the arm is level"
        assert [sign * j[0] for j in arm] == sorted(sign * j[0] for j in arm)
        leg = [at[f"{side}_{name}"][1] for name in ("hip", "knee", "ankle", "foot")]
        assert leg == sorted(leg, reverse=True)
    assert at["left_foot"][2] > at["left_ankle"][2] + 0.05, "it faces +Z"
    # Mirror images, to a few millimetres.
    np.testing.assert_allclose(at["left_knee"] * [-1, 1, 1] + [2 * at["pelvis"][0], 0, 0], at["right_knee"], atol=0.008)


def test_seeds_and_genders_differ(body):
    heights = {
        g: [np.ptp(body.shaped(body_build.sample_betas(s, g))[0][:, 1]) for s in range(30)] for g in ("female", "male")
    }
    assert np.mean(heights["male"]) - np.mean(heights["female"]) > 0.07
    assert np.std(heights["male"]) > 0.03


def inside(point: np.ndarray, triangles: np.ndarray) -> bool:
    """Whether a closed surface winds about a point (van Oosterom and Strackee 1983)."""
    a, b, c = (triangles - point).transpose(1, 0, 2)
    la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    top = np.einsum("ij,ij->i", a, np.cross(b, c))
    below = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (a * c).sum(1) * lb
    return bool(2 * np.arctan2(top, below).sum() / (4 * np.pi) > 0.5)


def test_joints_of_limbs_lie_inside_the_body_and_the_face_is_on_it(body, shared):
    motion = load_motion(shared / "motion" / "dance_a.npz")
    scene = Scene(name="x", performers=(PerformerSpec(motion="a", shape_seed=2),))
    done = perform(scene, [motion], body_models=None, fps=Fraction(30), frames=40)[0]
    for frame in (0, 20, 39):
        triangles = done.vertices[frame][done.faces].astype(np.float64)
        assert [inside(done.coco[frame, k], triangles) for k in range(5, 17)] == [True] * 12
        away = [np.linalg.norm(done.vertices[frame] - done.coco[frame, k], axis=1).min() for k in range(5)]
        assert max(away) < 1e-6
    nose, left_eye, right_eye, left_ear, right_ear = done.rest_vertex[body.head_points]
    assert nose[2] > left_eye[2] > left_ear[2]
    assert left_ear[0] > left_eye[0] > nose[0] > right_eye[0] > right_ear[0]
    assert left_eye[1] > nose[1]


def test_forward_kinematics_agrees_with_smplx(body):
    pose, trans = RNG.normal(0, 0.4, (5, 24, 3)), RNG.normal(0, 1, (5, 3))
    betas = body_build.sample_betas(4, "male")
    rest, joint = body.shaped(betas)
    frames = retime.transforms(pose, trans, joint.astype(float), body.parents)
    flat = torch.tensor(pose.reshape(5, -1), dtype=torch.float32)
    out = body.module(
        global_orient=flat[:, :3], body_pose=flat[:, 3:], transl=torch.tensor(trans, dtype=torch.float32),
        betas=torch.tensor(betas).expand(5, -1),
    )  # fmt: skip
    np.testing.assert_allclose(frames[:, :, :3, 3], out.joints[:, :24].detach().numpy(), atol=2e-5)
    skinned = np.einsum("vj,tjab,jvb->tva", body.weights, frames[:, :, :3, :3], rest[None] - joint[:, None])
    skinned += np.einsum("vj,tja->tva", body.weights, frames[:, :, :3, 3])
    np.testing.assert_allclose(surface(body, pose, trans, betas), skinned, atol=2e-4)


def test_arms_lowered_again_give_the_sculpted_pose(body):
    """The template was solved for: turning the arms back by skinning must not pinch the shoulders."""
    angle = np.deg2rad(50)
    pose = np.zeros((1, 24, 3))
    pose[0, 16, 2], pose[0, 17, 2] = -angle, angle
    lowered = surface(body, pose, np.zeros((1, 3)), np.zeros(10))[0]
    upper = (body.weights[:, 16] > 0.1) & (body.weights[:, 16] < 0.9)
    edges = np.concatenate([body.faces[:, [0, 1]], body.faces[:, [1, 2]]])
    edges = edges[upper[edges].all(axis=1)]
    lengths = [np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (body.template, lowered)]
    assert np.median(lengths[1] / lengths[0]) == pytest.approx(1, abs=0.25)
    assert (lengths[1] > 0.2 * np.median(lengths[1])).mean() > 0.9


# Dress


def test_clothes_cover_what_they_should(body):
    joint = body.regressor @ body.template
    head = body.template[body.head_points]
    for seed in range(6):
        cut = body_regions.cut_of(seed)
        dress = body_regions.dress(body.template, body.faces, body.weights, joint, head, body.eyes, cut)
        whole = dress.extend(body.template[None])[0]
        corner = whole[dress.faces]
        area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 2
        corner0 = body.template[body.faces]
        area0 = np.linalg.norm(np.cross(corner0[:, 1] - corner0[:, 0], corner0[:, 2] - corner0[:, 0]), axis=1) / 2
        assert area.sum() == pytest.approx(area0.sum(), rel=1e-4), "splitting triangles leaves the surface as it is"
        share = np.bincount(dress.region, area, minlength=8) / area.sum()
        assert share.argmax() in (body_regions.SHIRT, body_regions.SKIN, body_regions.LOWER)
        for region, low, high in (
            (1, 0.01, 0.12),
            (2, 0.15, 0.6),
            (3, 0.05, 0.5),
            (4, 0.03, 0.15),
            (5, 1e-4, 0.02),
            (6, 1e-5, 0.01),
        ):
            assert low < share[region] < high, (seed, body_regions.REGIONS[region], share[region])
        middle = corner.mean(axis=1)
        assert middle[dress.region == body_regions.SHOES, 1].max() < joint[[7, 8], 1].max() + 0.03
        assert middle[dress.region == body_regions.HAIR, 1].min() > joint[12, 1] - 0.05
        shirt, lower = (np.unique(dress.faces[dress.region == r]) for r in (body_regions.SHIRT, body_regions.LOWER))
        seam = whole[np.intersect1d(shirt, lower), 1]
        assert len(seam) > 20
        np.testing.assert_allclose(seam, joint[0, 1] - cut.hem, atol=1e-3)
        # No edge of the split surface is open that was closed: borders have no cracks.
        assert open_edges(dress.faces) == open_edges(body.faces)


def open_edges(faces: np.ndarray) -> int:
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    return int((count == 1).sum())


# Official files


def parents_of(kind: str) -> list[int]:
    """The chain of a model: the body, then two hands, or jaw and eyes and two times five fingers of three joints."""
    body = list(PARENTS[:22])
    if kind == "smpl":
        return [*body, 20, 21]
    out = [*body, *([15, 15, 15] if kind == "smplx" else [])]
    for wrist in (20, 21):
        for _ in range(5):
            out += [wrist, len(out), len(out) + 1]
    return out


def official(kind: str) -> dict[str, np.ndarray]:
    """A body model file of a kind with random numbers: the names and shapes of the official one, fewer faces."""
    vertices = 10475 if kind == "smplx" else 6890
    parents = parents_of(kind)
    joints = len(parents)
    weights = RNG.random((vertices, joints)) ** 8
    regressor = np.zeros((joints, vertices))
    regressor[np.arange(joints), np.arange(joints) * 7] = 1
    return {
        "v_template": RNG.normal(0, 0.5, (vertices, 3)),
        "shapedirs": RNG.normal(0, 0.02, (vertices, 3, 16)),
        "posedirs": RNG.normal(0, 0.01, (vertices, 3, 9 * (joints - 1))),
        "weights": weights / weights.sum(1, keepdims=True),
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, *parents[1:]], np.arange(joints)], np.int64),
        "f": RNG.integers(0, vertices, (50, 3)).astype(np.uint32),
        "hands_meanl": np.full(45, 0.1),
        "hands_meanr": np.full(45, 0.1),
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [("smpl", "SMPL_NEUTRAL.npz"), ("smplh", "smplh/neutral/model.npz"), ("smplx", "smplx/SMPLX_NEUTRAL.npz")],
)
def test_official_files_are_driven_as_their_model_says(kind, name, tmp_path):
    data = official(kind)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    # SMPL-X files hold pickled name tables: they stay closed.
    np.savez(tmp_path / name, **data, joint2num=np.array({"Pelvis": 0}, dtype=object))
    path = find_body(tmp_path, kind, "female")
    assert path == tmp_path / name
    model = load_body(path)
    assert (model.kind, model.official) == (kind, True)
    joints = len(data["weights"][0])
    pose, trans, betas = RNG.normal(0, 0.3, (3, joints, 3)), RNG.normal(0, 1, (3, 3)), RNG.normal(0, 1, 10)
    as_tensor = {key: torch.tensor(np.asarray(value, np.float32)) for key, value in data.items() if key != "f"}
    parents = torch.tensor(np.concatenate([[-1], data["kintree_table"][0][1:]]))
    vertices, _ = lbs(
        torch.tensor(betas, dtype=torch.float32)[None].expand(3, -1),
        torch.tensor(pose.reshape(3, -1), dtype=torch.float32),
        as_tensor["v_template"],
        as_tensor["shapedirs"][:, :, :10],
        as_tensor["posedirs"].reshape(-1, 9 * (joints - 1)).T,
        as_tensor["J_regressor"],
        parents,
        as_tensor["weights"],
    )
    np.testing.assert_allclose(surface(model, pose, trans, betas), vertices.numpy() + trans[:, None], atol=1e-4)


class Ch:
    """Stands in for chumpy's array when such a pickle is written; the reader knows only the name chumpy.ch.Ch."""

    def __init__(self, x):
        self.x = x


def chumpy_pickle(data: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The pickle that a machine with chumpy writes."""
    module = types.ModuleType("chumpy.ch")
    module.Ch = Ch
    monkeypatch.setattr(Ch, "__module__", "chumpy.ch")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
        patch.setitem(sys.modules, "chumpy.ch", module)
        return pickle.dumps(data, protocol=2)


def test_an_official_pickle_reads_without_chumpy(tmp_path, monkeypatch):
    data = official("smpl")
    np.savez(tmp_path / "SMPL_FEMALE.npz", **data)
    packed = {
        **data, "shapedirs": Ch(data["shapedirs"]), "v_template": Ch(data["v_template"]),
        "J_regressor": sparse.csc_matrix(data["J_regressor"]), "bs_style": "lbs",
    }  # fmt: skip
    (tmp_path / "basicmodel_m_lbs_10_207_0_v1.1.0.pkl").write_bytes(chumpy_pickle(packed, monkeypatch))
    want, got = (load_body(find_body(tmp_path, "smpl", gender)) for gender in ("female", "male"))
    assert got.name == "smpl-basicmodel_m_lbs_10_207_0_v1.1.0"
    for name in ("template", "shapedirs", "regressor", "weights"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def test_the_default_body_as_an_official_file_gives_the_same_performance(body, dance, tmp_path):
    arrays = {k: v for k, v in anny.default_body().items() if k not in ("eyes", "head_points")}
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **arrays, posedirs=np.zeros((len(body.template), 3, 207), np.float32))
    motion = load_motion(dance)
    model = load_body(find_body(tmp_path, motion.model, "female"))
    pose = retime.retarget(motion.pose[0].astype(float), motion.model, "smpl")
    betas = body_build.sample_betas(1, "female")
    np.testing.assert_array_equal(
        surface(model, pose, motion.trans[0], betas), surface(body, pose, motion.trans[0], betas)
    )
    scene = Scene(name="x", performers=(PerformerSpec(motion="walk"),))
    done = perform(scene, [motion], body_models=tmp_path, fps=Fraction(30), frames=3)[0]
    assert done.model == "smpl-smpl_neutral"
    np.testing.assert_allclose(done.betas, motion.betas[0][:10])  # an official body takes the motion's own shape


def test_a_folder_without_models_says_what_was_looked_for(tmp_path):
    with pytest.raises(ValueError, match=r"want an official body model in .* such as smplh/male/model.npz.*got none"):
        find_body(tmp_path, "smplh", "male")


def test_a_model_file_that_is_off_says_how(tmp_path):
    data = official("smpl")
    del data["weights"]
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **data)
    with pytest.raises(ValueError, match="got none of weights"):
        load_body(find_body(tmp_path, "smpl", "neutral"))
    (tmp_path / "SMPL_NEUTRAL.npz").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"SMPL_NEUTRAL.npz: want a body model as npz"):
        load_body(find_body(tmp_path, "smpl", "neutral"))


def test_the_digest_of_bodies_follows_the_files(tmp_path):
    assert body_digest(None, [("smpl", "male")]) == anny.body_name()
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **official("smpl"))
    first = body_digest(tmp_path, [("smplh", "male")])
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **official("smpl"))
    assert body_digest(tmp_path, [("smplh", "male")]) != first


# Performers


def test_a_performer_starts_where_and_as_the_scene_says(dance):
    motion = load_motion(dance)
    for heading, forward in ((0, (0, 1)), (90, (1, 0)), (200, (np.sin(np.deg2rad(200)), np.cos(np.deg2rad(200))))):
        spec = PerformerSpec(motion="walk", position=(1.5, -2.0), heading_deg=heading)
        done = perform(Scene(name="x", performers=(spec,)), [motion], body_models=None, fps=Fraction(30), frames=4)[0]
        assert done.joint[0, 0, [0, 2]] == pytest.approx((1.5, -2.0), abs=1e-4)
        facing = done.transform[0, 0, :3, 2]
        assert facing[[0, 2]] / np.linalg.norm(facing[[0, 2]]) == pytest.approx(forward, abs=1e-3)


def test_people_of_one_file_keep_their_places(tmp_path):
    motion = load_motion(made.write_set("interx", tmp_path))
    scene = Scene(name="x", performers=tuple(PerformerSpec(motion="p", person=i) for i in range(2)))
    done = perform(scene, [motion, motion], body_models=None, fps=Fraction(30), frames=3)
    for person, one in enumerate(done):
        # One joint's rest place apart, everybody moves over the floor as the file says.
        path = one.joint[:, 0] - made.Dance(people=2).pelvis(person)[[0, 4, 8]]
        np.testing.assert_allclose(path[:, [0, 2]], np.tile(path[0, [0, 2]], (3, 1)), atol=1e-3)
        assert np.abs(path[0, [0, 2]]).max() < 0.05


def test_frames_follow_from_the_motion_or_the_scene(dance):
    motion = load_motion(dance)  # 12 frames at 120: 11/120 s
    spec = PerformerSpec(motion="walk")
    assert scene_frames(Scene(name="x", performers=(spec,)), [motion], Fraction(30)) == 2
    assert scene_frames(Scene(name="x", performers=(spec,), duration_s=2.0), [motion], Fraction(25)) == 50


def test_a_short_motion_goes_on_without_a_jump(shared):
    motion = load_motion(shared / "motion" / "walk.npz")
    scene = Scene(name="x", performers=(PerformerSpec(motion="walk", position=(0, 0), heading_deg=0),), duration_s=5.0)
    done = perform(scene, [motion], body_models=None, fps=Fraction(30), frames=150)[0]
    pelvis = done.joint[:, 0]
    assert pelvis[-1, 2] > 3.5, "it walks on"
    step = np.linalg.norm(np.diff(pelvis, axis=0), axis=1)
    assert step.max() < 2 * np.median(step)
    ankle = np.linalg.norm(np.diff(done.joint[:, 7], axis=0), axis=1)
    assert ankle.max() < 0.2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (PerformerSpec(motion="walk", person=1), "want a person below 1, got person 1"),
        (PerformerSpec(motion="walk", start_s=0.5), "want a start_s below its length, 0.09 s, got 0.5"),
    ],
)
def test_a_performer_that_the_motion_has_not_is_an_error(spec, message, dance):
    with pytest.raises(ValueError, match=message):
        perform(Scene(name="x", performers=(spec,)), [load_motion(dance)], body_models=None, fps=Fraction(30), frames=3)


def test_looks_of_one_seed_are_alike_and_of_one_gender_on_request(dance):
    motion = load_motion(dance)
    cast = [
        PerformerSpec(motion="walk", shape_seed=3, gender=g, clothes_seed=c)
        for g, c in (("male", 1), ("male", 1), ("female", 2))
    ]
    done = perform(Scene(name="x", performers=tuple(cast)), [motion] * 3, body_models=None, fps=Fraction(30), frames=2)
    np.testing.assert_array_equal(done[0].rest_vertex, done[1].rest_vertex)
    np.testing.assert_array_equal(done[0].region, done[1].region)
    assert not np.array_equal(done[0].betas, done[2].betas)

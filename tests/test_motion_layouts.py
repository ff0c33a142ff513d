"""The seven motion layouts, read from files with exactly their keys."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tasks.backends.motion_files import is_motion_file, load_motion, motion_sources, source_of
from tasks.ops.motion_layouts import frame_rate, layout_of, read_motion
from tests import motion_fixtures as made
from tests.motion_fixtures import PELVIS, Dance, write_set

SETS = [
    # layout on disk, its name, people, model, fps, gender
    pytest.param("amass", "amass", 1, "smplh", Fraction(120), "female", id="AMASS, gender as bytes, 120.00004 fps"),
    pytest.param("amass_newer", "amass", 1, "smplx", Fraction(60), "male", id="AMASS, newer keys and a pickled member"),
    pytest.param("aistpp", "aistpp", 1, "smpl", Fraction(60), "neutral", id="AIST++, trans in scaled units"),
    pytest.param("gdance", "gdance", 3, "smpl", Fraction(30), "neutral", id="AIOZ-GDANCE, three dancers"),
    pytest.param("gdance_shorter", "gdance", 3, "smpl", Fraction(30), "neutral", id="AIOZ-GDANCE, orients apart"),
    pytest.param("interhuman", "interhuman", 2, "smplh", Fraction(60000, 1001), "male", id="InterHuman"),
    pytest.param("interx", "interx", 2, "smplx", Fraction(120), "neutral", id="Inter-X, a folder of two files"),
    pytest.param("dd100", "dd100", 2, "smplx", Fraction(30), "female", id="DD100, follower and leader"),
    pytest.param("hi4d", "hi4d", 2, "smpl", Fraction(30), "neutral", id="Hi4D, a file a frame"),
]


@pytest.mark.parametrize(("written", "layout", "people", "model", "fps", "gender"), SETS)
def test_a_set_reads_as_the_dance_it_was_made_from(written, layout, people, model, fps, gender, tmp_path):
    motion = load_motion(write_set(written, tmp_path), source="here")
    assert (motion.layout, motion.model, motion.fps, motion.source) == (layout, model, fps, "here")
    assert motion.gender == (gender,) * people
    assert motion.betas[0, :4] == pytest.approx(made.amass()["betas"][:4] if layout not in ("aistpp", "gdance") else 0)
    dance = Dance(people=people)
    for person in range(people):
        # Whatever the file's axes: the pelvis takes this path over the floor, Y up, and faces this way.
        pelvis = motion.trans[person] + np.array(PELVIS[model])
        np.testing.assert_allclose(pelvis, dance.pelvis(person), atol=1e-5)
        got, want = Rotation.from_rotvec(motion.pose[person, :, 0]), Rotation.from_rotvec(dance.root(person))
        assert (got.inv() * want).magnitude().max() < 1e-5
        np.testing.assert_allclose(motion.pose[person, :, 4, 0], dance.knee(person), atol=1e-6)


@pytest.mark.parametrize("written", [p.values[0] for p in SETS])
def test_a_folder_of_sets_holds_one_source_for_each_motion(written, tmp_path):
    source = write_set(written, tmp_path / "set")
    np.savez(tmp_path / "set" / "camera.npz", intrinsics=np.eye(3))
    (tmp_path / "set" / ".hidden.npz").write_bytes(b"")
    assert motion_sources(tmp_path) == [source]
    inside = next(iter(sorted(source.iterdir()))) if source.is_dir() else source
    assert is_motion_file(inside)
    assert source_of(inside) == source


BROKEN = [
    pytest.param("amass", {"poses": np.zeros((12, 100))}, "poses: want (T, 156) or (T, 165)", id="pose of wrong width"),
    pytest.param("amass", {"trans": np.zeros((11, 3))}, "trans: want 12 frames, got 11", id="one frame short"),
    pytest.param("amass", {"trans": np.full((12, 3), np.nan)}, "got NaN or infinity in [0, 0]", id="NaN"),
    pytest.param("amass", {"mocap_framerate": 0.0}, "want 1 to 1000 frames a second, got 0.0", id="no frame rate"),
    pytest.param("amass", {"gender": "alien"}, "want male, female or neutral, got 'alien'", id="unknown gender"),
    pytest.param("amass", {"poses": np.zeros((0, 156))}, "want at least one frame, got none", id="empty"),
    pytest.param("amass", {"poses": "text"}, "poses: want numbers, got str", id="text for numbers"),
    pytest.param("aistpp", {"smpl_scaling": np.array([0.0])}, "want a positive number, got 0.0", id="scaling of zero"),
    pytest.param("interhuman", {"person2": [1]}, "person2: want a mapping, got list", id="a person that is none"),
    pytest.param("gdance", {"root_trans": np.zeros((2, 12, 3))}, "root_trans: want (3, 12, 3)", id="a dancer missing"),
    pytest.param("gdance", {"smpl_poses": np.zeros((3, 12, 69))}, "smpl_orients: want this key", id="no orientation"),
]


@pytest.mark.parametrize(("layout", "change", "message"), BROKEN)
def test_a_broken_motion_says_file_key_wanted_and_got(layout, change, message):
    data = {**getattr(made, layout)(), **change}
    with pytest.raises(ValueError) as error:
        read_motion([("dance.npz", data)], source="dance.npz", sha256="")
    assert message in str(error.value)
    assert str(error.value).startswith("dance.npz: ")


def test_files_of_a_pair_must_be_of_equal_length():
    pair = [("P1.npz", made.interx(0)), ("P2.npz", made.interx(1, Dance(frames=9, people=2)))]
    with pytest.raises(ValueError, match=r"want files of equal frames and axes, got P1.npz 12, P2.npz 9"):
        read_motion(pair, source="pair", sha256="")


def test_one_frame_is_no_motion():
    with pytest.raises(ValueError, match="want a motion of two frames or more, got 1"):
        read_motion([("a.npz", made.amass(Dance(frames=1)))], source="a.npz", sha256="")


def test_unknown_keys_are_named_beside_the_known_ones():
    with pytest.raises(ValueError, match=r"aistpp: smpl_poses, smpl_scaling, smpl_trans.*got verts, faces"):
        read_motion([("a.npz", {"verts": 1, "faces": 2})], source="a.npz", sha256="")


def test_dd100_with_z_up_is_seen_from_the_bodies():
    dance = Dance(people=1)
    pose, trans = dance.z_up(0, 55, "smplx")
    data = {**made.dd100(0), "poses": pose.reshape(12, 165), "global_orient": pose[:, 0], "transl": trans}
    motion = read_motion([("a.npy", data)], source="a", sha256="")
    np.testing.assert_allclose(motion.trans[0] + PELVIS["smplx"], dance.pelvis(0), atol=1e-5)


@pytest.mark.parametrize(
    ("written", "meant"),
    [(120.00004, Fraction(120)), (60, Fraction(60)), (59.94, Fraction(60000, 1001)), (29.97, Fraction(30000, 1001)),
     (np.array([30.0]), Fraction(30)), (12.5, Fraction(25, 2))],
)  # fmt: skip
def test_frame_rates_are_those_that_were_meant(written, meant):
    assert frame_rate(written, "a.npz") == meant


@pytest.mark.parametrize("layout", ["amass", "amass_newer", "aistpp", "gdance", "interhuman"])
def test_no_layout_is_taken_for_another(layout):
    assert layout_of(getattr(made, layout)()) == layout.removesuffix("_newer")


def test_real_capture(shared: Path):
    for path in sorted((shared / "motion").glob("*.npz")):
        motion = load_motion(path)
        assert (motion.layout, motion.model, motion.fps) == ("amass", "smplh", Fraction(60))
        # Y up and in metres: a standing or upended body's pelvis is 0.3 to 1.8 m over the floor.
        height = motion.trans[0, :, 1] + PELVIS["smplh"][1]
        assert height.min() > 0.3, path
        assert height.max() < 1.8, path


def test_python_2_pickles_of_arrays_read(tmp_path):
    # Protocol 0 and 2 keep an array's bytes as latin1 text.
    for protocol in (0, 2):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(made.aistpp(), protocol=protocol))
        assert load_motion(tmp_path / "a.pkl").pose.shape == (1, 12, 24, 3)

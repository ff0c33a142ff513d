"""Arrays <-> npz bytes that are equal for equal arrays, and a reader that can never unpickle."""

from __future__ import annotations

import io
import lzma
import math
import struct
import threading
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

# A zip entry's time is part of its bytes; 1980-01-01 is the earliest that the format can say.
_EPOCH = (1980, 1, 1, 0, 0, 0)
# numpy reads an array's header with ast.literal_eval. CPython 3.11 counts the depth of all such calls in one number:
# in two threads at a time they end in "SystemError: AST constructor recursion depth mismatch".
_HEADER = threading.Lock()
# What a damaged directory of a zip raises.
BAD_ZIP = (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OverflowError, struct.error)
_READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


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
    except (zipfile.BadZipFile, NotImplementedError, struct.error) as error:
        raise ValueError(f"{name}: want an npz file, got something else ({error})") from error


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    try:
        with archive.open(entry) as member:
            # The declared size may lie; the decompressor never yields more than it, so it bounds memory.
            return read_npy(member.read())
    except (ValueError, EOFError, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{entry.filename}: want a plain numpy array, got {error}") from error


def read_npy(data: bytes) -> np.ndarray:
    """The array of an npy file's bytes, never unpickled. Raises ValueError for bytes that are none.

    numpy takes the memory that a header speaks of before it looks for the bytes: a small file could take all there is.
    """
    file = io.BytesIO(data)
    try:
        with _HEADER:
            version = np.lib.format.read_magic(file)
            if version not in _READ_HEADER:
                raise ValueError(f"want npy version 1.0 or 2.0, got {version[0]}.{version[1]}")
            shape, _, dtype = _READ_HEADER[version](file)
            if dtype.hasobject:
                raise ValueError("Object arrays cannot be loaded: they are pickles")
            wanted, there = math.prod(shape) * max(dtype.itemsize, 1), len(data) - file.tell()
            if min(shape, default=0) < 0 or wanted > max(there, 1):
                raise ValueError(f"want {wanted} bytes for an array of {shape}, got {there}")
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # the header is parsed as Python's text: damage comes out as a dozen kinds of error
        raise ValueError(str(error) or type(error).__name__) from error

"""Pickled arrays and plain containers -> Python values, without running what a pickle may ask to run.

A pickle is a program. Motion sets ship as pickles all the same; this reader knows numpy's own constructors, builds them
itself, and refuses every other name.
"""

from __future__ import annotations

import collections
import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from datasets.npz import read_npy

MAX_BYTES = 2 << 30


def load_plain(path: str | Path, *, max_bytes: int = MAX_BYTES, bodies: bool = False) -> Any:
    """The value of a .pkl, or of a .npy that holds a pickled one.

    With `bodies`, also sparse matrices and chumpy arrays, as the official SMPL files have them: both come back as plain
    numpy arrays. Raises ValueError for a file that is too large, damaged, or holds anything else.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{path}: want at most {max_bytes} bytes, got {size}")
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            file.seek(0)
            return _load_npy(file, path)
        file.seek(0)
        return _unpickle(file, path, bodies)


def _load_npy(file: io.BufferedReader, path: Path) -> Any:
    try:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ValueError(f"npy version {version}")
        _, _, dtype = read_header[version](file)
        if not dtype.hasobject:
            file.seek(0)
            return read_npy(file.read())
    except MemoryError:
        raise
    except Exception as error:  # the header is parsed as Python's text: damage comes out as a dozen kinds of error
        raise ValueError(f"{path}: want a numpy file, got a damaged one ({error})") from error
    value = _unpickle(file, path, False)
    return value.item() if isinstance(value, np.ndarray) and value.shape == () else value


def _unpickle(file: io.BufferedIOBase | io.BufferedReader, path: Path, bodies: bool) -> Any:
    try:
        value = _Unpickler(file, bodies).load()
    except _Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(f"{path}: want a whole pickle of arrays, got a damaged one ({error})") from error
    return _settle(value) if bodies else value


class _Refused(ValueError):
    """The pickle asks for something that is neither an array nor a plain container."""


_InPython: Any = pickle._Unpickler  # type: ignore[attr-defined]


class _Unpickler(_InPython):
    """Python's own, not C's, which takes memory for as many memos as the largest number that a pickle names (found by
    fuzzing: 18 GB for seven kilobytes). An array is one opcode, so it is fast enough.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(_InPython.dispatch)

    def load_build(self) -> None:
        """Give an object its state; refuses to write into anything but what pickles of arrays write into."""
        if not isinstance(self.stack[-2], np.ndarray | np.dtype | _Bag):
            raise _Refused(f"want state for an array, got some for {type(self.stack[-2]).__name__}")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build

    def __init__(self, file: Any, bodies: bool) -> None:
        # latin1 reads the arrays that Python 2 pickled.
        super().__init__(file, encoding="latin1")
        self._bodies = bodies

    def find_class(self, module: str, name: str) -> Any:
        """Our own stand-in for a name that is known; refuses any other."""
        known = _KNOWN.get((module.replace("numpy.core", "numpy._core"), name))
        if known is not None:
            return known
        if self._bodies:
            if module.startswith("scipy.sparse") and name in ("csc_matrix", "csr_matrix", "coo_matrix"):
                return {"csc_matrix": _Csc, "csr_matrix": _Csr, "coo_matrix": _Coo}[name]
            if module.split(".")[0] == "chumpy":
                return _Chumpy
            if (module, name) in (("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")):
                return _reconstructor
            if (module, name) in (("__builtin__", "object"), ("builtins", "object")):
                return object
        raise _Refused(
            f"want numpy arrays and plain containers only, got {module}.{name}; "
            "a pickle can run any code: save the arrays as .npz instead"
        )


class _Array:
    """Stands for numpy.ndarray in a pickle. Called, it would take whatever memory the pickle asks for."""

    def __new__(cls, *args: Any) -> _Array:
        raise _Refused("want numpy arrays and plain containers only, got a call of numpy.ndarray")


def _reconstruct(kind: Any, shape: Any, code: Any) -> np.ndarray:
    if kind is not _Array or tuple(shape) != (0,):
        raise _Refused(f"want an array's empty start, got {kind!r} {shape!r}")
    return np.ndarray((0,), np.uint8)


def _dtype(code: Any, align: Any = False, copy: Any = True) -> np.dtype:
    if not isinstance(code, str):
        raise _Refused(f"want a dtype's code, got {type(code).__name__}")
    return np.dtype(code, copy=True)  # its byte order is set next, and must not be that of every array


def _scalar(dtype: Any, data: Any = b"") -> Any:
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise _Refused(f"want a scalar of numbers or text, got {dtype!r}")
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype, count=1)[0]


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise _Refused(f"want an array of numbers or text, got {dtype!r}")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "utf-8"):
        raise _Refused(f"want text as latin1, got {type(text).__name__} as {encoding!r}")
    return text.encode(encoding)


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
}


class _Bag:
    """An object of a class that we do not have: its state and nothing else."""

    state: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        self.state = dict(state) if isinstance(state, dict) else {}


class _Csc(_Bag):
    pass


class _Csr(_Bag):
    pass


class _Coo(_Bag):
    pass


class _Chumpy(_Bag):
    def __new__(cls, *args: Any) -> _Chumpy:
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None:
        self.state = {}


def _reconstructor(kind: Any, base: Any, state: Any) -> Any:
    if not (isinstance(kind, type) and issubclass(kind, _Bag)) or base is not object or state is not None:
        raise _Refused(f"want a sparse matrix or a chumpy array, got {kind!r}")
    return kind()


def _settle(value: Any) -> Any:
    """Bags as the arrays that they stand for."""
    if isinstance(value, dict):
        return {key: _settle(item) for key, item in value.items()}
    if isinstance(value, _Chumpy):
        if "x" not in value.state:
            raise ValueError("want chumpy arrays, got a chumpy expression; save the model as .npz")
        return np.asarray(value.state["x"])
    if isinstance(value, _Bag):
        return _dense(value)
    return value


def _dense(bag: _Bag) -> np.ndarray:
    from scipy import sparse

    state = bag.state
    shape = state.get("_shape", state.get("shape"))
    if isinstance(bag, _Coo):
        matrix = sparse.coo_matrix((state["data"], (state["row"], state["col"])), shape=shape)
    else:
        kind = sparse.csc_matrix if isinstance(bag, _Csc) else sparse.csr_matrix
        matrix = kind((state["data"], state["indices"], state["indptr"]), shape=shape)
    return np.asarray(matrix.todense())

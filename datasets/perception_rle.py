"""COCO run lengths from outside -> counts that pycocotools may be given: it trusts them, and writes past its memory.

The compressed form is cocoapi's `rleToString` (maskApi.c): 5 bits a character, the sixth says that more follow, signed,
and from the third run on the difference to the run before the last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco

from datasets.perception import MAX_SIDE, Place

# A mask of this many runs is noise; a body in a 4K picture has a few thousand.
MAX_RUNS = 4_000_000


def checked_counts(rle: Any, size: tuple[int, int], place: Place) -> bytes:
    """The compressed counts of a COCO RLE object {"size": [h, w], "counts": ...} of this size (h, w); b"" when empty.

    Compressed text stays byte for byte as it is; a list of run lengths is compressed. Raises PerceptionError.
    """
    if not isinstance(rle, dict) or "counts" not in rle:
        raise place.wrong('an RLE object {"size": [h, w], "counts": ...}', rle, "polygons are not taken: convert them")
    if list(rle.get("size") or ()) != list(size):
        raise (place / "size").wrong(f"[h, w] = {list(size)}, as of every mask of the video", rle.get("size"))
    counts = rle["counts"]
    if isinstance(counts, list):
        runs = _listed(counts, place / "counts")
        _fits(runs, size, place / "counts")
        text = coco.frPyObjects({"size": list(size), "counts": counts}, *size)["counts"]
    elif isinstance(counts, str | bytes):
        text = _ascii(counts, place / "counts")
        runs = run_lengths(text, place / "counts")
        _fits(runs, size, place / "counts")
    else:
        raise (place / "counts").wrong("text or a list of run lengths", counts)
    return text if runs[1::2].any() else b""


def size_of(rle: Any, place: Place) -> tuple[int, int]:
    """(h, w) that an RLE object names. Raises PerceptionError."""
    size = rle.get("size") if isinstance(rle, dict) else None
    good = isinstance(size, list | tuple) and len(size) == 2
    if not good or not all(type(side) is int and 1 <= side <= MAX_SIDE for side in size):  # type: ignore[union-attr]
        raise (place / "size").wrong(f"[h, w] of 1 .. {MAX_SIDE} pixels", size)
    return int(size[0]), int(size[1])  # type: ignore[index]


def run_lengths(text: bytes, place: Place) -> np.ndarray:
    """Compressed counts -> run lengths (R,) int64, background first. Raises PerceptionError for what is no such text.

    >>> run_lengths(b"52203", Place("a.json")).tolist()
    [5, 2, 2, 2, 5]
    """
    code = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not len(code):
        return np.zeros(0, np.int64)
    if code.min() < 0 or code.max() > 63:
        raise place.wrong("characters of COCO's run lengths (0 to o)", text[:40].decode("latin-1"))
    last = np.flatnonzero(code & 32 == 0)
    if not len(last) or last[-1] != len(code) - 1:
        raise place.wrong("whole run lengths", text[-8:].decode("latin-1"), "the text is cut short")
    if len(last) > MAX_RUNS:
        raise place.wrong(f"at most {MAX_RUNS} runs", len(last))
    first = np.concatenate([[0], last[:-1] + 1]).astype(np.int64)
    digits = last - first + 1
    # 7 characters hold 35 bits: no picture has a run so long.
    if digits.max() > 7:
        raise place.wrong("run lengths of at most 7 characters", int(digits.max()))
    step = np.arange(len(code)) - np.repeat(first, digits)
    value = np.add.reduceat((code & 31) << (5 * step), first)
    value = np.where(code[last] & 16, value - (1 << (5 * digits)), value)
    runs = value.copy()
    runs[1::2] = np.cumsum(value[1::2])
    runs[2::2] = np.cumsum(value[2::2])
    return runs


def _fits(runs: np.ndarray, size: tuple[int, int], place: Place) -> None:
    if len(runs) and runs.min() < 0:
        raise place.wrong("run lengths of 0 or more", int(runs.min()))
    # Each run is below 2^35 and there are fewer than 2^22 of them: the sum cannot overflow.
    if int(runs.sum()) != size[0] * size[1]:
        raise place.wrong(f"runs that add up to {size[0]} * {size[1]} pixels", int(runs.sum()))


def _listed(counts: list[Any], place: Place) -> np.ndarray:
    if len(counts) > MAX_RUNS:
        raise place.wrong(f"at most {MAX_RUNS} runs", len(counts))
    if not all(type(run) is int and 0 <= run <= MAX_SIDE * MAX_SIDE for run in counts):
        raise place.wrong("whole run lengths of 0 or more", counts)
    return np.array(counts, np.int64)


def _ascii(counts: str | bytes, place: Place) -> bytes:
    try:
        return counts.encode("ascii") if isinstance(counts, str) else bytes(counts)
    except UnicodeEncodeError:
        raise place.wrong("characters of COCO's run lengths (0 to o)", counts[:40]) from None

"""What a person brings beside a video: boxes, keypoints and masks in one vocabulary, whichever file they came in.

Frames are 0-based and count the video's frames as a decoder gives them; coordinates are pixels of the picture whose
size the file names, or of the upright video when it names none. Readers believe nothing: sizes are bounded, and what
is off is a PerceptionError that names file, place, wanted and got.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from datasets.masks import Masks
from datasets.records import check_field

# An hour of video at 60 frames a second holds 216,000 frames; eight people in each make 1.7 million rows.
MAX_ROWS = 4_000_000
MAX_FRAME = 10_000_000
MAX_IDS = 4096
# Nobody binds more: a file with so many in one frame is of something else.
MAX_IN_FRAME = 512
MAX_TEXT_BYTES = 512 << 20
# H.264's longest side; as in datasets/video_file.py.
MAX_SIDE = 16384
# Beyond this a coordinate is no pixel of any picture, and float32 begins to lose what we keep of it (1/64 pixel).
MAX_COORDINATE = 1e5
NO_ID = -1


class PerceptionError(ValueError):
    """A file beside a video that is not what its name says: file, place, wanted, got and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boxes:
    """Boxes by frame, ascending; within a frame by id."""

    frame: np.ndarray  # (N,)   int32
    id: np.ndarray  # (N,)   int64  -1 in all rows: detections without ids
    box: np.ndarray  # (N, 4) float32 xyxy
    score: np.ndarray  # (N,)   float32 0..1
    visible: np.ndarray  # (N,)   float32 0..1, the visible share; 1 where the file does not say
    size: tuple[int, int] | None  # (h, w) of the picture that the pixels are of; None: the upright video's
    derived: bool = False  # put round masks or keypoints, for nobody brought any

    def __post_init__(self) -> None:
        n = len(self.frame)
        for name, shape, dtype in (
            ("frame", (n,), np.int32),
            ("id", (n,), np.int64),
            ("box", (n, 4), np.float32),
            ("score", (n,), np.float32),
            ("visible", (n,), np.float32),
        ):
            check_field(self, name, shape, dtype)

    @property
    def has_ids(self) -> bool:
        """Whether every box says whose it is."""
        return bool(len(self.id)) and bool((self.id >= 0).all())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Keypoints:
    """2-D poses by frame, ascending."""

    frame: np.ndarray  # (N,)      int32
    id: np.ndarray  # (N,)      int64    -1: no id
    keypoint: np.ndarray  # (N, J, 2) float32
    score: np.ndarray  # (N, J)    float32  0..1; 0 is "not there"
    flag: np.ndarray  # (N, J)    uint8    COCO's
    skeleton: str
    annotated: np.ndarray  # (K,) int32 ascending: frames that the file speaks of, with somebody in them or not
    size: tuple[int, int] | None

    def __post_init__(self) -> None:
        n, joints = np.shape(self.score)
        for name, shape, dtype in (
            ("frame", (n,), np.int32),
            ("id", (n,), np.int64),
            ("keypoint", (n, joints, 2), np.float32),
            ("score", (n, joints), np.float32),
            ("flag", (n, joints), np.uint8),
            ("annotated", ("K",), np.int32),
        ):
            check_field(self, name, shape, dtype)

    @property
    def has_ids(self) -> bool:
        """Whether every pose says whose it is."""
        return bool(len(self.id)) and bool((self.id >= 0).all())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskTracks:
    """Masks by frame, ascending; a person without one in an annotated frame is not to be seen there."""

    frame: np.ndarray  # (N,) int32
    id: np.ndarray  # (N,) int64, index into no table: the number that a person has in the other files too
    mask: Masks  # N masks
    names: dict[str, str]  # id as text -> what the file calls the person
    annotated: np.ndarray  # (K,) int32 ascending

    def __post_init__(self) -> None:
        n = len(self.frame)
        check_field(self, "frame", (n,), np.int32)
        check_field(self, "id", (n,), np.int64)
        check_field(self, "annotated", ("K",), np.int32)
        if len(self.mask) != n:
            raise ValueError(f"masktracks.mask: want {n} masks, got {len(self.mask)}")

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the picture that the masks are of."""
        return self.mask.size


Rows = TypeVar("Rows", Boxes, Keypoints)


def read_text(path: Path, *, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """A UTF-8 text file. Raises PerceptionError when it is too large, or no text."""
    size = path.stat().st_size
    if size > max_bytes:
        raise PerceptionError(f"{path.name}: want at most {max_bytes} bytes, got {size}; split the video")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PerceptionError(f"{path.name}: want UTF-8 text, got other bytes ({error.reason})") from None


def read_json(path: Path) -> Any:
    """A JSON file. Raises PerceptionError when it is none, or nested without end."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, PerceptionError):
            raise
        raise PerceptionError(f"{path.name}: want JSON, got something else ({error})") from None


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file a value stands, for errors."""

    file: str
    at: str = ""

    def __truediv__(self, part: object) -> Place:
        return Place(self.file, f"{self.at}{'.' if self.at and not str(part).startswith('[') else ''}{part}")

    def field(self, name: str) -> Place:
        """A named field of a line of text."""
        return Place(self.file, f"{self.at}, {name}")

    def wrong(self, want: str, got: object, do: str = "") -> PerceptionError:
        """The error for a value that is off."""
        text = repr(got)
        short = text if len(text) <= 80 else f"{text[:77]}..."
        return PerceptionError(
            f"{self.file}{', ' if self.at else ''}{self.at}: want {want}, got {short}{'; ' if do else ''}{do}"
        )


def number(value: Any, place: Place, want: str, low: float, high: float) -> float:
    """A finite number within [low, high]. Raises PerceptionError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise place.wrong(want, value)
    # Python's integers have no end; float() of a huge one raises.
    if not low <= value <= high or not math.isfinite(value):
        raise place.wrong(want, value)
    return float(value)


def whole(value: Any, place: Place, want: str, low: int, high: int) -> int:
    """A whole number within [low, high], also one written 3.0. Raises PerceptionError."""
    got = number(value, place, want, low, high)
    if got != int(got):
        raise place.wrong(want, value)
    return int(got)


def picture_size(height: Any, width: Any, place: Place) -> tuple[int, int]:
    """(h, w) of a picture. Raises PerceptionError."""
    want = f"a height and width of 1 .. {MAX_SIDE} pixels"
    return whole(height, place, want, 1, MAX_SIDE), whole(width, place, want, 1, MAX_SIDE)


def box_of_xywh(xywh: Any, place: Place) -> tuple[float, float, float, float]:
    """x, y, width, height -> xyxy. Raises PerceptionError for sides of 0 or less, or numbers that are none."""
    if not isinstance(xywh, list | tuple) or len(xywh) != 4:
        raise place.wrong("x, y, width, height", xywh)
    want = f"pixels within +-{MAX_COORDINATE:.0f}"
    x, y, w, h = (number(value, place, want, -MAX_COORDINATE, MAX_COORDINATE) for value in xywh)
    if w <= 0 or h <= 0:
        raise place.wrong("a width and height above 0", [x, y, w, h], "leave out boxes without area")
    return x, y, x + w, y + h


def in_order(frame: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The order by frame, then id; rows of equal frame and id keep theirs."""
    return np.lexsort((ids, frame))


def check_crowd(frame: np.ndarray, ids: np.ndarray, file: str, base: int = 0) -> None:
    """Raise PerceptionError for an id that a frame has twice, too many in a frame, or too many ids.

    `base` is the number that the file gives the first frame, so that the error names the file's own.
    """
    if not len(frame):
        return
    numbered, count = np.unique(frame, return_counts=True)
    if count.max() > MAX_IN_FRAME:
        worst = int(numbered[count.argmax()]) + base
        raise PerceptionError(f"{file}, frame {worst}: want at most {MAX_IN_FRAME} in a frame, got {count.max()}")
    known = ids >= 0
    if len(np.unique(ids[known])) > MAX_IDS:
        raise PerceptionError(f"{file}: want at most {MAX_IDS} ids, got {len(np.unique(ids[known]))}")
    pairs, times = np.unique(np.stack([frame[known], ids[known]]), axis=1, return_counts=True)
    if len(times) and times.max() > 1:
        twice = pairs[:, times.argmax()]
        raise PerceptionError(
            f"{file}, frame {int(twice[0]) + base}: want each id once in a frame, got id {int(twice[1])} "
            f"{times.max()} times; give each person an id of their own"
        )

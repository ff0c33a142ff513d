"""A folder a person, a PNG a frame -> MaskTracks.

FOLDER/PERSON/FRAME.png, or FOLDER/PERSON/masks/FRAME.png: the digits at the end of a file's name are the frame, counted
from 0. Two values: 0 is not the person, the other is. A frame that anybody has a picture for is annotated; who has none
there is not to be seen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.masks import Masks, encode_rle
from datasets.perception import MAX_FRAME, MAX_IN_FRAME, MAX_ROWS, MAX_SIDE, MaskTracks, PerceptionError

# In StableAnimator's tree with a level for the person, a person's masks lie beside other pictures of theirs.
INNER = "masks"
MAX_PNG_BYTES = 64 << 20
# What Pillow decodes to one plane of values, or three; a picture with an alpha channel does not say which counts.
MODES = ("1", "L", "P", "I;16", "RGB")
_LAST_DIGITS = re.compile(r"(\d{1,9})\D*$")


def list_masks(folder: Path) -> dict[str, dict[int, Path]]:
    """Person -> frame -> PNG, both ascending, by names alone. Raises PerceptionError."""
    people = {}
    for person in _entries(folder):
        if not person.is_dir():
            raise PerceptionError(f"{folder.name}/{person.name}: want a folder a person, got a file; move it away")
        inner = person / INNER
        people[person.name] = _frames_of(inner if inner.is_dir() else person, f"{folder.name}/{person.name}")
    if not 1 <= len(people) <= MAX_IN_FRAME:
        raise PerceptionError(f"{folder.name}: want 1 to {MAX_IN_FRAME} folders, one a person, got {len(people)}")
    if sum(map(len, people.values())) > MAX_ROWS:
        raise PerceptionError(f"{folder.name}: want at most {MAX_ROWS} pictures, got more; split the video")
    return people


def ids_of(names: list[str]) -> dict[str, int]:
    """A number for each person: the name's own, when all names are numbers; else 1, 2, ... by name.

    >>> ids_of(["02", "01"]), ids_of(["her", "him"])
    ({'02': 2, '01': 1}, {'her': 1, 'him': 2})
    """
    own = {name: int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 16}
    if len(set(own.values())) == len(names):
        return own
    return {name: number for number, name in enumerate(sorted(names), 1)}


def annotated_frames(people: dict[str, dict[int, Path]]) -> np.ndarray:
    """The frames that somebody has a picture for, ascending, (K,) int32."""
    return np.array(sorted({frame for frames in people.values() for frame in frames}), np.int32)


def read_masks(folder: Path) -> MaskTracks:
    """The masks of a folder; one picture is held at a time. Raises PerceptionError."""
    people = list_masks(folder)
    ids = ids_of(list(people))
    wanted = sorted((frame, ids[name], name) for name, frames in people.items() for frame in frames)
    frame, who, counts = [], [], []
    size: tuple[int, int] | None = None
    for t, one, name in wanted:
        path = people[name][t]
        mask = _read_png(path, f"{folder.name}/{name}/{path.name}", size)
        size = (mask.shape[0], mask.shape[1])
        text = encode_rle(mask, size)
        if text:
            frame.append(t)
            who.append(one)
            counts.append(text)
    return MaskTracks(
        frame=np.array(frame, np.int32),
        id=np.array(who, np.int64),
        mask=Masks.from_counts(counts, size=size or (1, 1)),
        names={str(number): name for name, number in sorted(ids.items(), key=lambda pair: pair[1])},
        annotated=annotated_frames(people),
    )


def files_of(folder: Path) -> list[Path]:
    """Every PNG of a folder, in order."""
    return [path for _, frames in sorted(list_masks(folder).items()) for _, path in sorted(frames.items())]


def _entries(folder: Path) -> Iterator[Path]:
    for name in sorted(os.listdir(folder)):
        if not name.startswith(".") and name != "Thumbs.db":
            yield folder / name


def _frames_of(person: Path, name: str) -> dict[int, Path]:
    frames: dict[int, Path] = {}
    for path in _entries(person):
        if path.suffix.lower() != ".png" or not path.is_file():
            raise PerceptionError(f"{name}/{path.name}: want PNG files only, got something else; move it away")
        if (size := path.stat().st_size) > MAX_PNG_BYTES:
            raise PerceptionError(f"{name}/{path.name}: want at most {MAX_PNG_BYTES} bytes, got {size}")
        digits = _LAST_DIGITS.search(path.stem)
        if digits is None or int(digits[1]) > MAX_FRAME:
            raise PerceptionError(f"{name}/{path.name}: want a name that ends in the frame (00012.png), got none")
        frame = int(digits[1])
        if frame in frames:
            raise PerceptionError(
                f"{name}/{path.name}: want one picture a frame, got frame {frame} twice ({frames[frame].name})"
            )
        frames[frame] = path
    if not frames:
        raise PerceptionError(f"{name}: want a PNG a frame, got an empty folder")
    return dict(sorted(frames.items()))


def _read_png(path: Path, name: str, size: tuple[int, int] | None) -> np.ndarray:
    """One mask, (h, w) bool. Nothing is decoded before its size is known to be right."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            got = picture.height, picture.width
            if size is not None and got != size:
                raise PerceptionError(f"{name}: want (h, w) = {size}, as the masks before it, got {got}")
            if max(got) > MAX_SIDE:
                raise PerceptionError(f"{name}: want sides of at most {MAX_SIDE} pixels, got {got}")
            if picture.mode not in MODES:
                raise PerceptionError(
                    f"{name}: want black and white, grey, palette or RGB, got {picture.mode}; save it without alpha"
                )
            values = np.asarray(picture)
    except PerceptionError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, MemoryError, EOFError) as error:
        raise PerceptionError(f"{name}: want a PNG, got one that cannot be read ({type(error).__name__})") from None
    lit = values.any(axis=2) if values.ndim == 3 else values != 0
    if values.ndim == 2 and values.dtype != bool and lit.any():
        found = values[lit]
        if found.min() != found.max():
            raise PerceptionError(
                f"{name}: want two values, 0 and one other, got {len(np.unique(values))}; cut it at a threshold first, "
                "and give each person a folder of their own"
            )
    return np.asarray(lit, bool)

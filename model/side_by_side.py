"""Videos of one length -> one video of them beside each other, a title over each."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datasets.condition import person_color
from datasets.video import VideoWriter

# Smaller pictures are shown this high, so that titles fit over them and people can be told apart.
HEIGHT = 256
_GAP = 8
_PAPER, _INK = (255, 255, 255), (30, 30, 30)
# How strongly a person's colour fills their mask under the pose.
_FILL = 0.6
# Letters are made smaller until a title fits its column, down to this.
_LEAST_LETTERS = 9


def write_side_by_side(path: str | Path, columns: Mapping[str, np.ndarray], fps: float | Fraction) -> None:
    """An mp4 of the columns, title -> (T, H, W, 3) uint8 RGB, in their order; a column of one frame stands still.

    Columns are brought to one height: that of the highest, at least 256 pixels. The file is whole or not there. Raises
    ValueError for no columns, another shape or dtype, or different lengths.
    """
    length = _length(columns)
    height = max(HEIGHT, *(column.shape[1] for column in columns.values()))
    height += height % 2
    head = _titles(columns, height)
    rows = (np.concatenate([head, _row(columns, t, height, head.shape[1])]) for t in range(length))
    write_video(path, rows, fps)


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float | Fraction) -> None:
    """An mp4 of frames (H, W, 3) uint8 RGB in the shards' encoding. The file is whole or not there.

    Raises ValueError for no frames, odd sides, or frames of different shapes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    coming = iter(frames)
    first = next(coming, None)
    if first is None:
        raise ValueError(f"{path.name}: want at least one frame, got none")
    try:
        with VideoWriter(aside, fps=Fraction(fps).limit_denominator(1001), size=first.shape[:2]) as writer:
            for frame in chain([first], coming):
                writer.write(frame)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def columns_of(example: Mapping[str, Any], generated: np.ndarray, video: str = "truth") -> dict[str, np.ndarray]:
    """The columns that show what was generated, (T, H, W, 3) uint8, for an example of model/windows.py (no batch).

    `video` is the title over the example's own frames.
    """
    return {
        "reference": _pictures(example["reference"])[None],
        "pose and mask": people_pictures(example),
        "generated": generated,
        video: _pictures(example["video"]),
    }


def people_pictures(example: Mapping[str, Any]) -> np.ndarray:
    """What drives an example: everyone's mask in their own colour and their pose in it, (T, H, W, 3) uint8.

    Colours go by `person`, so that they stay the same when the order of people changes.
    """
    pose, body = np.asarray(example["pose"]), np.asarray(example["body"])
    person = [int(who) for who in np.asarray(example["person"])]
    fill = np.zeros((len(pose), *pose.shape[-2:], 3), np.float32)
    for at, who in enumerate(person):
        if who >= 0:
            color = np.asarray(person_color(who), np.float32) * _FILL
            fill = np.where(body[:, at, 0, :, :, None] > 0, color, fill)
    lines = _pictures(pose.max(axis=1)) if len(person) else np.zeros_like(fill, np.uint8)
    # The brighter of the two: thin people at 64 pixels would else be all pose and no mask.
    return np.maximum(lines, fill.astype(np.uint8))


def _length(columns: Mapping[str, np.ndarray]) -> int:
    if not columns:
        raise ValueError("side by side: want one column or more, got none")
    for title, column in columns.items():
        if column.ndim != 4 or column.shape[-1] != 3 or column.dtype != np.uint8 or not column.size:
            raise ValueError(f"{title!r}: want (T, H, W, 3) uint8, got {column.shape} {column.dtype}")
    lengths = {title: len(column) for title, column in columns.items() if len(column) > 1}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"side by side: want columns of one length, got {lengths}")
    return max(lengths.values(), default=1)


def _width(column: np.ndarray, height: int) -> int:
    width = round(column.shape[2] * height / column.shape[1])
    return max(2, width + width % 2)


def _row(columns: Mapping[str, np.ndarray], t: int, height: int, width: int) -> np.ndarray:
    """The pictures of one frame beside each other, (height, width, 3)."""
    row = np.full((height, width, 3), _PAPER, np.uint8)
    x = _GAP
    for column in columns.values():
        wide = _width(column, height)
        picture = column[min(t, len(column) - 1)]
        way = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_CUBIC
        row[:, x : x + wide] = cv2.resize(np.ascontiguousarray(picture), (wide, height), interpolation=way)
        x += wide + _GAP
    return row


def _titles(columns: Mapping[str, np.ndarray], height: int) -> np.ndarray:
    """The strip over the pictures, as wide as their row."""
    widths = [_width(column, height) for column in columns.values()]
    letters = max(16, height // 14)
    strip = 2 * letters
    strip += strip % 2
    picture = Image.new("RGB", (sum(widths) + _GAP * (len(widths) + 1), strip), _PAPER)
    draw = ImageDraw.Draw(picture)
    x = _GAP
    for title, wide in zip(columns, widths, strict=True):
        font = _font(title, letters, wide)
        draw.text((x + wide / 2, strip / 2), title, fill=_INK, font=font, anchor="mm")
        x += wide + _GAP
    return np.asarray(picture)


def _font(title: str, letters: int, wide: int) -> Any:
    """Pillow's own font, as large as the title fits its column."""
    while True:
        font = ImageFont.load_default(size=letters)
        if letters <= _LEAST_LETTERS or font.getlength(title) <= wide:
            return font
        letters -= 1


def _pictures(channels_first: Any) -> np.ndarray:
    """Pictures (..., 3, H, W) uint8 -> (..., H, W, 3)."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(channels_first), -3, -1))

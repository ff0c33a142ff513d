"""MOTChallenge text <-> Boxes: `frame,id,x,y,w,h,conf,...`, frames from 1 (motchallenge.net, instructions).

Three forms are told apart by their columns. Seven or more with -1 at the end, or up to seven: detections or a tracker's
results, conf is a score. Nine: ground truth, where conf 0 means "not to be scored", class 1 is a person, and the last
is the visible share (-1 where nobody measured it).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from datasets.perception import (
    MAX_COORDINATE,
    MAX_FRAME,
    MAX_ROWS,
    NO_ID,
    Boxes,
    PerceptionError,
    Place,
    check_crowd,
    in_order,
    read_text,
)

COLUMNS = ("frame", "id", "x", "y", "w", "h", "conf", "class", "visibility")
FORM = "frame,id,x,y,w,h,conf[,class,visibility | ,-1,-1,-1]"
# Classes of MOT16 and after that are a person's own body: pedestrian; person on vehicle; static person.
PERSON = (1, 2, 7)
MAX_ID = 1 << 53
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")


def read_mot(path: Path) -> Boxes:
    """The boxes of a MOTChallenge file; rows of ground truth that are no person are left out.

    Coordinates are taken as they stand. conf -1 means 1, as trackers write it that have none; 0 stays 0: that row is
    not to be believed. Raises PerceptionError with file, line and field.
    """
    rows: list[list[float]] = []
    for line, text in enumerate(read_text(path).splitlines(), 1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        if len(rows) >= MAX_ROWS:
            raise PerceptionError(f"{path.name}: want at most {MAX_ROWS} boxes, got more; split the video")
        rows.append(_row(text, Place(path.name, f"line {line}")))
    if not rows:
        raise PerceptionError(f"{path.name}: want lines of {FORM}, got none; remove the file to have boxes computed")
    table = np.array(rows, np.float64)
    named = table[:, 1] >= 0
    if named.any() and not named.all():
        raise PerceptionError(
            f"{path.name}: want ids in all lines or -1 in all, got {int(named.sum())} of {len(named)} with an id; "
            "bring one file of one kind"
        )
    table = table[in_order(table[:, 0], table[:, 1])]
    frame, ids = table[:, 0].astype(np.int32) - 1, table[:, 1].astype(np.int64)
    check_crowd(frame, ids, path.name, base=1)
    box = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1)
    keep = table[:, 7] > 0
    return Boxes(
        frame=frame[keep],
        id=ids[keep],
        box=box[keep].astype(np.float32),
        score=table[keep, 6].astype(np.float32),
        visible=table[keep, 8].astype(np.float32),
        size=None,
    )


def write_mot(boxes: Boxes, scored: np.ndarray) -> str:
    """Boxes as ground-truth text of nine columns; `scored` (N,) bool goes into conf. The inverse of read_mot.

    Sides are taken in double precision and written to 1/1000000 pixel, so that corners on the grid of shards (1/64
    pixel) come back exactly.
    """
    lines = []
    for i in range(len(boxes.frame)):
        x0, y0, x1, y1 = (float(v) for v in boxes.box[i])
        numbers = ",".join(_short(v) for v in (x0, y0, x1 - x0, y1 - y0))
        visible = _short(float(boxes.visible[i]))
        lines.append(f"{boxes.frame[i] + 1},{boxes.id[i]},{numbers},{int(scored[i])},1,{visible}\n")
    return "".join(lines)


def _short(value: float) -> str:
    """At most 6 decimals, none that are 0.

    >>> _short(12.0), _short(0.015625)
    ('12', '0.015625')
    """
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _row(text: str, place: Place) -> list[float]:
    """frame (1-based), id, x, y, w, h, score, taken (0 or 1), visible."""
    words = [word.strip() for word in text.split(",")] if "," in text else text.split()
    if words and not words[-1]:
        words.pop()
    if not 6 <= len(words) <= 10:
        raise place.wrong(f"6 to 10 columns ({FORM})", text.strip())
    value = [_number(word, place.field(COLUMNS[i] if i < 9 else f"column {i + 1}")) for i, word in enumerate(words)]
    frame = _whole(words[0], place.field("frame"), f"a frame of 1 to {MAX_FRAME}", 1, MAX_FRAME)
    number = _whole(words[1], place.field("id"), "-1 (no id), or an id of 0 or more", NO_ID, MAX_ID)
    for i in range(2, 6):
        if abs(value[i]) > MAX_COORDINATE:
            raise place.field(COLUMNS[i]).wrong(f"pixels within +-{MAX_COORDINATE:.0f}", words[i])
    if value[4] <= 0 or value[5] <= 0:
        raise place.field("w, h").wrong("a width and height above 0", f"{words[4]}, {words[5]}", "leave the line out")
    conf = value[6] if len(value) > 6 else -1.0
    truth = len(value) == 9 and value[7] >= 1
    if not (conf == -1 or 0 <= conf <= 1):
        raise place.field("conf").wrong("a score of 0 to 1, or -1 for none", words[6], "scale the scores first")
    if not truth:
        return [frame, number, *value[2:6], 1.0 if conf == -1 else conf, 1.0, 1.0]
    if not -1 <= value[8] <= 1:
        raise place.field("visibility").wrong("a share of 0 to 1", words[8])
    # Visibility -1 is "not said".
    return [frame, number, *value[2:6], abs(conf), float(value[7] in PERSON), abs(value[8])]


def _number(word: str, place: Place) -> float:
    if len(word) > 40 or not _NUMBER.fullmatch(word):
        raise place.wrong("a number", word)
    value = float(word)
    if not math.isfinite(value):
        raise place.wrong("a finite number", word)
    return value


def _whole(word: str, place: Place, want: str, low: int, high: int) -> float:
    value = _number(word, place)
    if value != int(value) or not low <= value <= high:
        raise place.wrong(want, word)
    return value

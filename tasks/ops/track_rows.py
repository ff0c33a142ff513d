"""Who is where, row by row -> how much each truth row of a frame is each found row: what tracking metrics start from.

Also the rows that MOTChallenge's text holds, and the rule by which onlookers count neither for nor against a tracker.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco
from scipy.optimize import linear_sum_assignment

from datasets.masks import Masks
from tasks.ops.boxes import iou

MATCH = (
    0.5  # least overlap of a found box with the person that it is counted for (MOT16, arXiv 1603.00831, section 4.1)
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackRows:
    """Boxes with ids over one sequence. A frame holds an id at most once."""

    frame: np.ndarray  # (N,)   int64  0-based
    id: np.ndarray  # (N,)   int64  0 or more
    box: np.ndarray  # (N, 4) float64  xyxy, pixels
    mask: Masks | None = None  # N masks, where there are any; an empty one overlaps nothing

    def __post_init__(self) -> None:
        n = len(self.frame)
        if self.id.shape != (n,) or self.box.shape != (n, 4) or (self.mask is not None and len(self.mask) != n):
            masks = "none" if self.mask is None else len(self.mask)
            got = f"{self.id.shape}, {self.box.shape} and {masks} masks"
            raise ValueError(f"track rows: want id ({n},), box ({n}, 4) and {n} masks or none, got {got}")
        pairs = np.stack([self.frame, self.id], 1)
        if len(np.unique(pairs, axis=0)) < n:
            twice, count = np.unique(pairs, axis=0, return_counts=True)
            frame, name = twice[count > 1][0]
            raise ValueError(f"track rows: want each id once a frame, got id {name} twice in frame {frame}")

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, rows: np.ndarray) -> TrackRows:
        """Some rows: positions, or (N,) bool."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        mask = None if self.mask is None else self.mask.select(rows)
        return TrackRows(frame=self.frame[rows], id=self.id[rows], box=self.box[rows], mask=mask)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlaps:
    """One frame of truth beside what was found."""

    truth: np.ndarray  # (G,) ids
    found: np.ndarray  # (D,) ids
    similarity: np.ndarray  # (G, D) 0..1


def box_overlaps(truth: TrackRows, found: TrackRows, frames: int) -> list[Overlaps]:
    """Intersection over union of boxes, frame by frame, of a sequence of so many frames."""
    return [
        Overlaps(truth=truth.id[a], found=found.id[b], similarity=iou(truth.box[a], found.box[b]))
        for a, b in _frames(truth, found, frames)
    ]


def mask_overlaps(truth: TrackRows, found: TrackRows, frames: int) -> list[Overlaps]:
    """Intersection over union of masks, frame by frame. Raises ValueError where there are no masks."""
    if truth.mask is None or found.mask is None:
        raise ValueError("mask overlaps: want masks on both sides, got none; use box_overlaps")
    return [
        Overlaps(truth=truth.id[a], found=found.id[b], similarity=mask_iou(truth.mask.select(a), found.mask.select(b)))
        for a, b in _frames(truth, found, frames)
    ]


def mask_iou(a: Masks, b: Masks) -> np.ndarray:
    """(N, M) intersection over union of N and M masks of one size; 0 where one is empty."""
    out = np.zeros((len(a), len(b)))
    full_a, full_b = np.flatnonzero(np.diff(a.offset)), np.flatnonzero(np.diff(b.offset))
    if len(full_a) and len(full_b):
        left = [{"size": list(a.size), "counts": a.counts(int(i))} for i in full_a]
        right = [{"size": list(b.size), "counts": b.counts(int(i))} for i in full_b]
        out[np.ix_(full_a, full_b)] = coco.iou(left, right, [0] * len(right))
    return out


def match(similarity: np.ndarray, least: float = MATCH) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the one-to-one assignment of the greatest sum among pairs of at least this similarity.

    >>> [ids.tolist() for ids in match(np.array([[0.9, 0.6], [0.8, 0.1]]))]
    [[0, 1], [1, 0]]
    """
    score = np.where(similarity >= least, similarity, 0.0)
    rows, columns = linear_sum_assignment(-score)
    kept = score[rows, columns] > 0
    return rows[kept], columns[kept]


def without_ignored(found: TrackRows, truth: TrackRows, ignored: TrackRows) -> TrackRows:
    """The found rows, less those that are of somebody who is not to be counted.

    Frame by frame, boxes are matched one to one with all who are there, where the intersection over union is at least a
    half, those to be counted first; what falls to one of the ignored goes (MOT16, arXiv 1603.00831, section 4.1.3).
    """
    keep = np.ones(len(found), bool)
    count_first = 10.0  # more than any sum of overlaps with ignored people could outweigh in one pair
    for t in np.unique(found.frame):
        rows = np.flatnonzero(found.frame == t)
        counted, others = truth.box[truth.frame == t], ignored.box[ignored.frame == t]
        if not len(others):
            continue
        similarity = np.concatenate([iou(counted, found.box[rows]), iou(others, found.box[rows])])
        reach = similarity >= MATCH
        score = np.where(reach, similarity, 0.0)
        score[: len(counted)] += count_first * reach[: len(counted)]
        who, which = linear_sum_assignment(-score)
        gone = (score[who, which] > 0) & (who >= len(counted))
        keep[rows[which[gone]]] = False
    return found.select(keep)


def parse_mot(text: str, where: str) -> TrackRows:
    """Rows of MOTChallenge text: frame (from 1), id, left, top, width, height, confidence, ...; box in pixels.

    Ground truth marks rows not to be counted by a confidence of 0: they are left out. Ids may be any whole numbers.
    Raises ValueError with the line that is off.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = [float(value) for value in line.replace(",", " ").split()]
        except ValueError as error:
            raise ValueError(f"{where}: line {number}: want numbers with commas between, got {line[:60]!r}") from error
        if (
            len(values) < 6
            or not all(map(math.isfinite, values[:6]))
            or values[0] < 1
            or values[0] % 1
            or values[1] % 1
        ):
            want = "frame (1 or more), id, left, top, width, height"
            raise ValueError(f"{where}: line {number}: want {want}, got {line[:60]!r}")
        if len(values) < 7 or values[6] != 0:
            rows.append(values[:6])
    table = np.array(rows, np.float64).reshape(-1, 6)
    _, name = np.unique(table[:, 1], return_inverse=True)
    box = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], 1)
    try:
        return TrackRows(frame=table[:, 0].astype(np.int64) - 1, id=name.reshape(-1).astype(np.int64), box=box)
    except ValueError as error:
        raise ValueError(f"{where}: {error} (both counted from 0)") from error


def spans_by_id(rows: TrackRows) -> Mapping[int, np.ndarray]:
    """id -> positions of its rows, ascending by frame."""
    order = np.lexsort((rows.frame, rows.id))
    names, start = np.unique(rows.id[order], return_index=True)
    return {int(name): part for name, part in zip(names, np.split(order, start[1:]), strict=True)}


def _frames(truth: TrackRows, found: TrackRows, frames: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for rows in (truth, found):
        if len(rows) and not 0 <= rows.frame.min() <= rows.frame.max() < frames:
            raise ValueError(f"overlaps: want frames 0 .. {frames - 1}, got {rows.frame.min()} .. {rows.frame.max()}")
    a, b = _at(truth, frames), _at(found, frames)
    yield from zip(a, b, strict=True)


def _at(rows: TrackRows, frames: int) -> list[np.ndarray]:
    order = np.argsort(rows.frame, kind="stable")
    return np.split(order, np.searchsorted(rows.frame[order], np.arange(1, frames)))

"""Detections -> worse detections, from a seed: what weak detectors, crowds and slow cameras do to a clip.

For measuring the review flags: a few clips that are hard in known ways tell more than many that are not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from datasets.records import Detections
from tasks.ops.boxes import iou

TOUCH = 0.15  # intersection over union from which two boxes touch
SPAN_S = (0.3, 1.0)  # how long a fault lasts
JITTER = 0.05  # standard deviation of a box's edges, of its size: twice what RTMDet-nano's boxes tremble
SPARSE = 0.1  # share of the boxes that are lost at random


def drops(found: Detections, fps: float, rng: np.random.Generator) -> Detections:
    """Where two touch, the one farther off (whose feet are higher in the picture) is lost for a while."""
    keep = np.ones(len(found.frame), bool)
    for i, j in _pairs_in_spans(found, fps, rng):
        keep[i if found.box[i, 3] <= found.box[j, 3] else j] = False
    return _rows(found, keep)


def merged(found: Detections, fps: float, rng: np.random.Generator) -> Detections:
    """Where two touch, both are found as one for a while: one box around the two."""
    box, score = found.box.copy(), found.score.copy()
    keep = np.ones(len(found.frame), bool)
    for i, j in _pairs_in_spans(found, fps, rng):
        if keep[i] and keep[j]:
            box[i] = [*np.minimum(box[i, :2], box[j, :2]), *np.maximum(box[i, 2:], box[j, 2:])]
            score[i] = max(score[i], score[j])
            keep[j] = False
    return _rows(Detections(frame=found.frame, box=box, score=score), keep)


def jitter(found: Detections, fps: float, rng: np.random.Generator) -> Detections:
    """Every edge trembles, and the scores with them."""
    size = np.tile(found.box[:, 2:] - found.box[:, :2], 2)
    box = found.box + rng.normal(0, JITTER, found.box.shape) * size
    score = np.clip(found.score + rng.normal(0, JITTER, len(found.score)), 0.05, 1)
    return Detections(frame=found.frame, box=box.astype(np.float32), score=score.astype(np.float32))


def sparse(found: Detections, fps: float, rng: np.random.Generator) -> Detections:
    """Boxes lost here and there."""
    return _rows(found, rng.random(len(found.frame)) >= SPARSE)


KINDS: dict[str, Callable[[Detections, float, np.random.Generator], Detections]] = {
    "drops": drops,
    "merged": merged,
    "jitter": jitter,
}


def thinned(found: Detections, step: int) -> Detections:
    """The detections of every `step`-th frame, numbered anew: a slower camera."""
    kept = _rows(found, found.frame % step == 0)
    return Detections(frame=(kept.frame // step).astype(np.int32), box=kept.box, score=kept.score)


def _pairs_in_spans(found: Detections, fps: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Rows that touch, the closest pair of each frame, within one random span of each contact."""
    closest: dict[int, tuple[int, int]] = {}
    for start, stop in itertools.pairwise(np.flatnonzero(np.diff(found.frame, prepend=-1, append=-1))):
        pair = np.triu(iou(found.box[start:stop], found.box[start:stop]), 1)
        if pair.size and pair.max() >= TOUCH:
            i, j = np.unravel_index(int(pair.argmax()), pair.shape)
            closest[int(found.frame[start])] = (int(start + i), int(start + j))
    out = []
    for first, last in _runs(sorted(closest), join=max(round(fps / 5), 1)):
        length = max(round(rng.uniform(*SPAN_S) * fps), 1)
        begin = int(rng.integers(first, max(last - length, first) + 1))
        out += [closest[t] for t in range(begin, begin + length) if t in closest]
    return out


def _runs(frames: list[int], join: int) -> list[tuple[int, int]]:
    """First and last frame of runs in which none is more than `join` after the one before."""
    runs: list[tuple[int, int]] = []
    for t in frames:
        if runs and t - runs[-1][1] <= join:
            runs[-1] = (runs[-1][0], t)
        else:
            runs.append((t, t))
    return runs


def _rows(found: Detections, keep: np.ndarray) -> Detections:
    return Detections(frame=found.frame[keep], box=found.box[keep], score=found.score[keep])

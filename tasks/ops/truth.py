"""Seen, frame by frame -> People: the exact counterpart of what the footage route estimates."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from datasets.masks import Masks
from datasets.records import UNKNOWN, Event, People
from tasks.ops.visibility import Seen

# A person of whom others leave less than this share to be seen is in an occlusion; shorter breaks than this join two.
_OCCLUDED, _JOIN_S = 0.5, 0.2
_AROUND_S = 0.5  # that a crossing is told to last before and after the change of sides


def gather(frames: Sequence[Seen], inside: np.ndarray, *, size: tuple[int, int], fps: Fraction) -> tuple[People, Masks]:
    """People and their amodal masks (P * T, person by person) of a whole clip.

    `visible` is the share of the body inside the picture (`inside` (P, T), over evenly spread points of its surface)
    times the share of its amodal mask in the picture that no other person covers. `present` says that the amodal mask
    is not empty. A box is interpolated, in time, where the person is present and wholly hidden; it is zeros where the
    person is absent.
    """
    covered = np.stack([seen.covered for seen in frames], axis=1)
    people, total = covered.shape[:2]
    own = np.stack([covered[p, :, p + 1] for p in range(people)])
    amodal = covered.sum(2)
    present = amodal > 0
    share = own / np.maximum(amodal, 1)
    flag = np.stack([seen.flag for seen in frames], axis=1)
    full_box = np.stack([seen.full_box for seen in frames], axis=1)
    box = np.stack([seen.box for seen in frames], axis=1)
    for p in range(people):
        _fill(box[p], own[p] > 0, present[p], full_box[p])
    counts = [frames[t].modal[p] for p in range(people) for t in range(total)]
    whole = [frames[t].amodal[p] for p in range(people) for t in range(total)]
    events = [*_entries(present), *_occlusions(covered, share, present, fps), *_crossings(full_box, present, fps)]
    found = People(
        box=box,
        keypoint=np.stack([seen.keypoint for seen in frames], axis=1),
        score=(flag != UNKNOWN).astype(np.float32),
        flag=flag,
        mask=Masks.from_counts(counts, size=size),
        present=present,
        visible=(share * inside).astype(np.float32),
        confidence=np.ones((people, total), np.float32),
        skeleton="coco17",
        events=tuple(sorted(events, key=lambda event: (event.start, event.stop, event.kind, event.people))),
    )
    return found, Masks.from_counts(whole, size=size)


def inside_share(at: np.ndarray, depth: np.ndarray, size: tuple[int, int]) -> float:
    """The share of surface points that lie inside the picture: pixels (N, 2) and depths (N,)."""
    h, w = size
    with np.errstate(invalid="ignore"):
        inside = (depth > 0) & (at >= 0).all(1) & (at[:, 0] < w) & (at[:, 1] < h)
    return float(inside.mean())


def _fill(box: np.ndarray, seen: np.ndarray, present: np.ndarray, full_box: np.ndarray) -> None:
    """Interpolate the boxes (T, 4) of frames in which the person is present but not seen, in place."""
    hidden = np.flatnonzero(present & ~seen)
    known = np.flatnonzero(seen)
    if not len(known):
        box[hidden] = full_box[hidden]
        return
    for edge in range(4):
        box[hidden, edge] = np.interp(hidden, known, box[known, edge])


def runs(on: np.ndarray, join: int = 0) -> list[tuple[int, int]]:
    """Half-open runs of True in (T,); two that lie at most `join` frames apart become one.

    >>> runs(np.array([True, True, False, True]), join=1)
    [(0, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    out: list[tuple[int, int]] = []
    for start, stop in edges.reshape(-1, 2).tolist():
        if out and start - out[-1][1] <= join:
            out[-1] = (out[-1][0], stop)
        else:
            out.append((start, stop))
    return out


def _entries(present: np.ndarray) -> list[Event]:
    out = []
    for p, row in enumerate(present):
        for start, stop in runs(row):
            if start > 0:
                out.append(Event(kind="entry", start=start, stop=start + 1, people=(p,), note="comes into the picture"))
            if stop < len(row):
                out.append(Event(kind="exit", start=stop - 1, stop=stop, people=(p,), note="leaves the picture"))
    return out


def _occlusions(covered: np.ndarray, share: np.ndarray, present: np.ndarray, fps: Fraction) -> list[Event]:
    out = []
    for p in range(len(share)):
        others = covered[p].copy()
        others[:, [0, p + 1]] = 0
        hidden = present[p] & (share[p] < _OCCLUDED) & (others.sum(1) > 0)
        for start, stop in runs(hidden, round(_JOIN_S * fps)):
            by = int(others[start:stop].sum(0).argmax()) - 1
            note = f"{100 * share[p, start:stop].min():.0f} % seen at least"
            out.append(Event(kind="occlusion", start=start, stop=stop, people=(p, by), note=note))
    return out


def _crossings(box: np.ndarray, present: np.ndarray, fps: Fraction) -> list[Event]:
    """Two people change sides in the picture while their amodal boxes meet: half a second before and after the
    change.
    """
    out = []
    around = round(_AROUND_S * fps)
    middle = 0.5 * (box[..., 0] + box[..., 2])
    for i in range(len(box)):
        for j in range(i + 1, len(box)):
            low, high = np.maximum(box[i, :, :2], box[j, :, :2]), np.minimum(box[i, :, 2:], box[j, :, 2:])
            meet = present[i] & present[j] & (low < high).all(1)
            side = np.sign(middle[i] - middle[j])
            near = np.zeros(len(meet), bool)
            for start, stop in runs(meet):
                told = start + np.flatnonzero(side[start:stop])  # frames in which one is left of the other
                for change in told[1:][np.diff(side[told]) != 0]:
                    near[max(start, change - around) : min(stop, change + around)] = True
            out += [
                Event(kind="crossing", start=start, stop=stop, people=(i, j), note="change sides")
                for start, stop in runs(near)
            ]
    return out

"""Exact People -> People with known faults at known places: what a repair must find, and undo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from datasets.masks import Masks
from datasets.records import People
from tasks.ops.boxes import iou
from tasks.ops.mask_ops import box_of
from tasks.ops.reorder import reorder, reorder_poses

Kind = Literal["swap", "gap", "ghost", "bleed", "jitter", "flip", "pose"]
TOUCH = 0.05  # intersection over union from which two boxes are in contact


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: what, whom, and the frames start .. stop - 1."""

    kind: Kind
    people: tuple[int, ...]
    start: int
    stop: int
    where: str = ""  # of a swap "contact" or "alike"; of a pose "exchanged" or "doubled"; of a bleed whose pixels


def contacts(people: People) -> np.ndarray:
    """(P, P, T) bool: both in the shot, and their boxes overlap by TOUCH or more."""
    near = np.stack([iou(people.box[:, t], people.box[:, t]) >= TOUCH for t in range(people.num_frames)], 2)
    near &= people.present[:, None] & people.present[None]
    near[np.arange(people.num_people), np.arange(people.num_people)] = False
    return near


def swap(people: People, a: int, b: int, start: int, stop: int) -> People:
    """Two identities exchanged in all they hold, from frame `start` up to `stop`."""
    return reorder(people, _exchanged(people, a, b, start, stop))


def swap_poses(people: People, a: int, b: int, start: int, stop: int) -> People:
    """Only the poses of two people exchanged."""
    return reorder_poses(people, _exchanged(people, a, b, start, stop))


def double_pose(people: People, a: int, b: int, start: int, stop: int) -> People:
    """The pose of `b` on both bodies: that of `a` is lost."""
    slot = _home(people)
    slot[a, start:stop] = b
    return reorder_poses(people, slot)


def lose(people: People, a: int, start: int, stop: int) -> People:
    """A person not found in some frames: not present, no box, no mask, no pose."""
    fields = {name: getattr(people, name).copy() for name in ("box", "keypoint", "score", "flag", "present", "visible")}
    for array in fields.values():
        array[a, start:stop] = 0
    masks = np.arange(len(people.mask)).reshape(people.present.shape)
    masks[a, start:stop] = -1
    return replace(people, **fields, mask=people.mask.select(masks.ravel()))


def flip(people: People, a: int, start: int, stop: int, mirror: tuple[int, ...]) -> People:
    """Left and right of one person's pose exchanged; mirror as in `Skeleton`."""
    fields = {name: getattr(people, name).copy() for name in ("keypoint", "score", "flag")}
    for array in fields.values():
        array[a, start:stop] = array[a, start:stop][:, list(mirror)]
    return replace(people, **fields)


def shake(people: People, a: int, start: int, stop: int, spread: float, rng: np.random.Generator) -> People:
    """White noise of `spread` pixels on each axis of one person's keypoints."""
    keypoint = people.keypoint.copy()
    keypoint[a, start:stop] += rng.normal(0, spread, keypoint[a, start:stop].shape).astype(np.float32)
    return replace(people, keypoint=keypoint)


def bleed(
    people: People, a: int, b: int | None, start: int, stop: int, share: float, rng: np.random.Generator
) -> People:
    """Part of the mask of `b` (of nobody: of the background beside `a`) in the mask of `a`: about `share` of a's area.

    The part is what of b lies nearest to a point of a's outline; boxes stay tight.
    """
    box, changed = people.box.copy(), {}
    spot = rng.uniform(0.15, 0.85)
    for t in range(start, stop):
        own = people.mask_at(a, t)
        taken = own if b is None else people.mask_at(b, t)
        area = int(np.count_nonzero(own))
        if not area or not taken.any():
            continue
        ys, xs = np.nonzero(own)
        if b is None:
            # A bulge out of one side of the body, at a height of it that stays.
            y = round(float(ys.min() + spot * (ys.max() - ys.min())))
            here = xs[ys == y]
            x = int(here.max()) if len(here) else int(xs.max())
        else:
            near = np.argmin((xs - people.box[b, t, [0, 2]].mean()) ** 2 + (ys - people.box[b, t, [1, 3]].mean()) ** 2)
            x, y = int(xs[near]), int(ys[near])
        part = _nearest(_free(people, t) if b is None else taken, x, y, round(share * area))
        changed[a, t] = own | part
        if b is not None:
            changed[b, t] = taken & ~part
    counts = [people.mask.counts(i) for i in range(len(people.mask))]
    edited = Masks.encode(changed.values(), size=people.mask.size)
    for i, (p, t) in enumerate(changed):
        counts[p * people.num_frames + t] = edited.counts(i)
        ys, xs = np.nonzero(changed[p, t])
        if len(xs):
            box[p, t] = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    return replace(people, box=box, mask=Masks.from_counts(counts, size=people.mask.size))


def haunt(people: People, a: int, start: int, stop: int, kind: str, rng: np.random.Generator) -> People:
    """One person more: a `fragment` of person a's body under a name of its own, or an `echo` of a's box and pose in
    the background.
    """
    num, frames = people.present.shape
    box, keypoint = np.zeros((1, frames, 4), np.float32), np.zeros((1, *people.keypoint.shape[1:]), np.float32)
    score, flag = np.zeros(keypoint.shape[:3], np.float32), np.zeros(keypoint.shape[:3], np.uint8)
    counts = [people.mask.counts(i) for i in range(len(people.mask))] + [b""] * frames
    box_all = people.box.copy()
    (h, w), low = people.mask.size, rng.uniform(0.5, 0.7)
    span = people.box[a, start:stop]
    # To the side with more room.
    side = 1 if w - span[:, 2].max() >= span[:, 0].min() else -1
    for t in range(start, stop):
        own = people.mask_at(a, t)
        if not own.any():
            continue
        x0, y0, x1, y1 = people.box[a, t].astype(int).tolist()
        if kind == "fragment":
            part = own.copy()
            part[: y0 + round(low * (y1 - y0))] = False
            rest = own & ~part
            counts[a * frames + t] = Masks.encode([rest], size=(h, w)).counts(0)
            box_all[a, t] = box_of(rest)
            lower = people.keypoint[a, t, :, 1] >= y0 + low * (y1 - y0)
            keypoint[0, t], score[0, t], flag[0, t] = people.keypoint[a, t], people.score[a, t] * lower, 0
            flag[0, t][lower] = people.flag[a, t][lower]
        else:
            shift = side * round(1.3 * (x1 - x0))
            part = np.zeros_like(own)
            if abs(shift) < w:
                part[:, max(shift, 0) : w + min(shift, 0)] = own[:, max(-shift, 0) : w - max(shift, 0)]
            part &= _free(people, t)
            keypoint[0, t], score[0, t] = people.keypoint[a, t] + [shift, 0], people.score[a, t] * 0.5
            flag[0, t] = people.flag[a, t]
        counts[num * frames + t] = Masks.encode([part], size=(h, w)).counts(0)
        box[0, t] = box_of(part)
    present = (box[..., 2] > box[..., 0]) & (box[..., 3] > box[..., 1])
    return replace(
        people,
        box=np.concatenate([box_all, box]),
        keypoint=np.concatenate([people.keypoint, keypoint * present[..., None, None]]),
        score=np.concatenate([people.score, score * present[..., None]]),
        flag=np.concatenate([people.flag, flag * present[..., None]]),
        mask=Masks.from_counts(counts, size=(h, w)),
        present=np.concatenate([people.present, present]),
        visible=np.concatenate([people.visible, present.astype(np.float32)]),
        confidence=np.concatenate([people.confidence, present.astype(np.float32)]),
    )


def _home(people: People) -> np.ndarray:
    return np.repeat(np.arange(people.num_people)[:, None], people.num_frames, 1)


def _exchanged(people: People, a: int, b: int, start: int, stop: int) -> np.ndarray:
    slot = _home(people)
    slot[a, start:stop], slot[b, start:stop] = b, a
    return slot


def _free(people: People, t: int) -> np.ndarray:
    """Where nobody is, (h, w) bool."""
    taken = np.zeros(people.mask.size, bool)
    for p in range(people.num_people):
        taken |= people.mask_at(p, t)
    return ~taken


def _nearest(mask: np.ndarray, x: int, y: int, count: int) -> np.ndarray:
    """The `count` pixels of a mask that lie nearest to a point."""
    ys, xs = np.nonzero(mask)
    out = np.zeros_like(mask)
    order = np.argsort((xs - x) ** 2 + (ys - y) ** 2, kind="stable")[:count]
    out[ys[order], xs[order]] = True
    return out

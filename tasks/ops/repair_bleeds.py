"""People -> masks that ran over something for some frames: what the frames beside do not bear out, and whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from datasets.masks import Masks
from datasets.records import People
from tasks.ops.body import body_scale, draw_body
from tasks.ops.bone_warp import Window, bone_warp
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.mask_ops import box_of

LONGEST_S = 0.75  # what lasts longer may as well be so
_SWELL = 1.08  # of a mask's area from one frame to the next: bodies in motion stay below it, nearly always
_LEAST = 0.06  # share of a mask that must be too much, in every frame
_SLACK = 0.05  # torsos: how exactly a mask can be taken along with its bones to the next frame
_AROUND = 6  # times that: how far around what is surely too much the rest of it is looked for
_OWN = 0.3  # share of what is too much that may lie on the drawn body: more of it is a limb that came out from behind
_MOST = 0.5  # share of it that somebody's mask must hold for it to be theirs
_SEEN = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bleed:
    """One person's mask that has too much, frames start .. start + len(part) - 1."""

    person: int
    start: int
    part: list[np.ndarray]  # a frame: (h, w) bool of the window
    window: list[Window]

    @property
    def stop(self) -> int:
        """The first frame after it."""
        return self.start + len(self.part)


def bleeds(people: People, fps: float) -> list[Bleed]:
    """Masks that swell in one frame and shrink back in another soon after, by parts that are not this body's.

    A part is too much when it lies outside of the masks of the frames before and after, both taken along with the
    body's bones, and off the body as it is drawn: a limb that comes out from behind somebody has its bones.
    """
    crops = MaskCrops(people.mask)
    area = people.mask.areas().reshape(people.present.shape)
    out = []
    for p in range(people.num_people):
        done = 0
        for start, stops in _swellings(area[p], people.present[p], round(LONGEST_S * fps)):
            # The step into it is the same wherever it may end.
            if (
                start < done
                or not stops
                or _too_much(people, crops, p, start, start - 1, people.mask_at(p, start - 1)) is None
            ):
                continue
            found = next((one for stop in stops if (one := _looked_at(people, crops, p, start, stop))), None)
            if found is not None:
                out.append(found)
                done = found.stop
    return out


def give_back(people: People, found: list[Bleed]) -> People:
    """The people without those parts; each goes to whose mask of the frames around holds it, if anybody's does."""
    frames, size = people.num_frames, people.mask.size
    changed: dict[int, np.ndarray] = {}
    for one in found:
        for t, part, window in zip(range(one.start, one.stop), one.part, one.window, strict=True):
            x0, y0, x1, y1 = window
            row = one.person * frames + t
            changed.setdefault(row, people.mask_at(one.person, t).copy())[y0:y1, x0:x1] &= ~part
            whose = _owner(people, one, t, part, window)
            if whose is not None:
                row = whose * frames + t
                changed.setdefault(row, people.mask_at(whose, t).copy())[y0:y1, x0:x1] |= part
    counts, box = [people.mask.counts(i) for i in range(len(people.mask))], people.box.copy()
    edited = Masks.encode(changed.values(), size=size)
    for i, (row, mask) in enumerate(changed.items()):
        counts[row] = edited.counts(i)
        if mask.any():
            box[divmod(row, frames)] = box_of(mask)
    return replace(people, box=box, mask=Masks.from_counts(counts, size=size))


def _owner(people: People, bleed: Bleed, t: int, part: np.ndarray, window: Window) -> int | None:
    """Whose a part is: whose masks of the frames at both ends, taken along, hold most of it; None if nobody's do."""
    for q in range(people.num_people):
        if q == bleed.person or not people.present[q, t]:
            continue
        held = np.zeros_like(part)
        for end in (bleed.start - 1, bleed.stop):
            theirs = _taken_along(people, q, end, t, people.mask_at(q, end), window) if people.present[q, end] else None
            if theirs is not None:
                held |= theirs & part
        if np.count_nonzero(held) > _MOST * np.count_nonzero(part):
            return q
    return None


def _swellings(area: np.ndarray, present: np.ndarray, longest: int) -> Iterator[tuple[int, list[int]]]:
    """(start, stops): frames in which a mask's area (T,) suddenly grows, and those soon after in which it suddenly
    shrinks, the person being there all the while."""
    there = present & (area > 0)
    ratio = area[1:] / np.maximum(area[:-1], 1)
    both = there[1:] & there[:-1]
    up, down = np.flatnonzero(both & (ratio >= _SWELL)) + 1, np.flatnonzero(both & (ratio <= 1 / _SWELL)) + 1
    for start in up.tolist():
        yield start, [t for t in down[(down > start) & (down <= start + longest)].tolist() if there[start:t].all()]


def _looked_at(people: People, crops: MaskCrops, p: int, start: int, stop: int) -> Bleed | None:
    """Step by step from both ends to the middle, each from what the step before left."""
    held: dict[int, tuple[np.ndarray, Window]] = {}
    middle = (start + stop + 1) // 2
    for order, end in ((range(start, middle), start - 1), (range(stop - 1, middle - 1, -1), stop)):
        kept = people.mask_at(p, end)
        for t in order:
            found = _too_much(people, crops, p, t, end, kept)
            if found is None:
                return None
            part, (x0, y0, x1, y1) = held[t] = found
            kept, end = people.mask_at(p, t).copy(), t
            kept[y0:y1, x0:x1] &= ~part
    order = range(start, stop)
    return Bleed(person=p, start=start, part=[held[t][0] for t in order], window=[held[t][1] for t in order])


def _too_much(
    people: People, crops: MaskCrops, p: int, t: int, end: int, kept: np.ndarray
) -> tuple[np.ndarray, Window] | None:
    """What of a mask the frame beside it, `end`, does not bear out, and the window it lies in; None where that is
    little. kept (h, w) bool: the mask of that frame.
    """
    size = body_scale(people.keypoint[p, t], people.score[p, t], people.box[p, t], _SEEN)
    slack = max(1, round(_SLACK * size))
    window = crops.window(np.array([p * people.num_frames + t]), margin=4 * slack)
    x0, y0, x1, y1 = window
    own = people.mask_at(p, t)[y0:y1, x0:x1]
    expected = _taken_along(people, p, end, t, kept, window)
    if expected is None:
        return None
    far = _largest(own & (_off(expected) > slack))
    # From what is surely too much to what lies around it: thin rims elsewhere are no more than a body in motion.
    part = own & ~expected & (_off(far) <= _AROUND * slack)
    if np.count_nonzero(part) < _LEAST * np.count_nonzero(own):
        return None
    corner = np.array(window[:2], np.float32)
    drawn = draw_body(people.keypoint[p, t] - corner, people.score[p, t], size, own.shape, girth=0.75, min_score=_SEEN)
    return None if np.count_nonzero(part & drawn) > _OWN * np.count_nonzero(part) else (part, window)


def _taken_along(people: People, p: int, end: int, t: int, mask: np.ndarray, window: Window) -> np.ndarray | None:
    """A mask (h, w) bool of frame `end` as it should be in frame t, in a window; None without a pose."""
    if not mask.any():
        return None
    known = (people.score[p, t, :17] >= _SEEN) & (people.score[p, end, :17] >= _SEEN)
    return bone_warp(mask, people.keypoint[p, end], people.keypoint[p, t], known, window)


def _off(mask: np.ndarray) -> np.ndarray:
    """Pixels to the nearest one of a mask (h, w) bool; far where it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 5)


def _largest(mask: np.ndarray) -> np.ndarray:
    """Its largest part that hangs together."""
    count, part, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if count < 2:
        return mask
    return part == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())

"""Who held whom by the truth -> which clips have a wrong id; and how well the review flags tell which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from tasks.ops.boxes import iou
from tasks.ops.track_rows import MATCH, TrackRows, mask_iou, match

# A found box tells whose it is when it overlaps its person by this much more than anybody else who is counted.
CLEAR = 0.1
# Frames that an id must clearly be on the wrong person for the clip's ids to be wrong: one or two may be a box's noise.
LEAST_FRAMES = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """Which found id clearly holds which true person when, and which should."""

    truth: np.ndarray  # (G,) true ids
    found: np.ndarray  # (D,) found ids
    holder: np.ndarray  # (G, T) position in `found` of who holds the person; -1: nobody, or it cannot be told
    right: np.ndarray  # (G,) position in `found` of who should, over the whole clip; -1: nobody is left for the person

    @property
    def wrong(self) -> np.ndarray:
        """(G, T) bool: the person is clearly held by an id that is not the person's own."""
        return np.asarray((self.holder >= 0) & (self.holder != self.right[:, None]))

    @property
    def has_wrong_id(self) -> bool:
        """Whether some id holds a person that is not its own for LEAST_FRAMES frames or more, in a row or not."""
        for g in range(len(self.truth)):
            taken = self.holder[g][self.wrong[g]]
            if len(taken) and np.bincount(taken).max() >= LEAST_FRAMES:
                return True
        return False


def holders(truth: TrackRows, found: TrackRows, frames: int) -> Held:
    """Match truth and found boxes frame by frame, one to one (intersection over union of a half or more, greatest sum).

    A match counts only where it is clear: by CLEAR more than the box overlaps any other true person of the frame, so
    that of two people in one another's arms, whose boxes are one, nothing is said. Each person's right id is that of
    the one-to-one assignment over the whole clip with the most clear frames. With these known the frames are matched
    once more: whoever is still held by the right id's box is, whichever box overlaps a little more, as a correspondence
    that is valid is kept (CLEAR MOT, Bernardin and Stiefelhagen 2008, section 2.1.2).
    """
    truths, founds = np.unique(truth.id), np.unique(found.id)
    right = np.full(len(truths), -1, np.int64)
    first = _clear_matches(truth, found, frames, right)
    count = (
        np.stack([(first == d).sum(1) for d in range(len(founds))], 1) if len(founds) else np.zeros((len(truths), 0))
    )
    for g, d in zip(*linear_sum_assignment(-count), strict=True):
        if count[g, d]:
            right[g] = d
    return Held(truth=truths, found=founds, holder=_clear_matches(truth, found, frames, right), right=right)


def settled_by_masks(held: Held, truth: TrackRows, found: TrackRows) -> Held:
    """Who holds whom where masks, too, are asked: of two people in one another's arms each one's tight box, arms and
    all, may be more the other's body than their own.

    An id whose mask lies on its own person, and by CLEAR more than on the one whom its box holds, is not wrong there:
    nothing is said. One whose mask lies on another person, by a half or more and by CLEAR more than on its own, holds
    that one, whatever its box does. Both rows must have masks. Raises ValueError where they have none.
    """
    if truth.mask is None or found.mask is None:
        raise ValueError("settled_by_masks: want masks on both sides, got none")
    holder = held.holder.copy()
    for t in np.unique(found.frame):
        a, b = np.flatnonzero(truth.frame == t), np.flatnonzero(found.frame == t)
        overlap = mask_iou(truth.mask.select(a), found.mask.select(b))
        who, which = np.searchsorted(held.truth, truth.id[a]), np.searchsorted(held.found, found.id[b])
        own = np.where(held.right[who][:, None] == which, overlap, 0.0).max(0, initial=0.0)
        for i, j in zip(*np.nonzero(held.right[who][:, None] != which), strict=True):
            g, d = who[i], which[j]
            if holder[g, t] == d and own[j] >= overlap[i, j] + CLEAR:
                holder[g, t] = -1
            elif overlap[i, j] >= max(MATCH, own[j] + CLEAR):
                holder[g, t] = d
    return replace(held, holder=holder)


def _clear_matches(truth: TrackRows, found: TrackRows, frames: int, right: np.ndarray) -> np.ndarray:
    """(G, T) position among the found ids of each true person's match; -1: none, or none that is clear. A person's
    `right` id (G,) comes first wherever it matches at all."""
    truths, founds = np.unique(truth.id), np.unique(found.id)
    holder = np.full((len(truths), frames), -1, np.int64)
    for t in np.unique(found.frame):
        a, b = np.flatnonzero(truth.frame == t), np.flatnonzero(found.frame == t)
        similarity = iou(truth.box[a], found.box[b])
        who, which = np.searchsorted(truths, truth.id[a]), np.searchsorted(founds, found.id[b])
        own = right[who][:, None] == which
        first = 10.0 * (own & (similarity >= MATCH))  # more than any sum of overlaps could outweigh in one pair
        for i, j in zip(*match(similarity + first, MATCH), strict=True):
            others = np.delete(similarity[:, j], i)
            if similarity[i, j] - others.max(initial=0.0) >= CLEAR:
                holder[who[i], t] = which[j]
    return holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """One clip: what the truth says of its ids, and what the tool said."""

    bound: bool  # whether there are people at all; a clip that was turned away before has no ids to be wrong
    wrong: bool  # some id is on the wrong person
    turned: bool  # in review, or rejected, for whatever reason
    doubted: bool  # in review, or rejected, because who is who is in doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share with its 95 % interval."""

    hits: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """hits / of; None of nothing."""
        return self.hits / self.of if self.of else None


def recall(clips: Sequence[Reviewed]) -> Share:
    """Of the clips with a wrong id: those in review or rejected, so that they are in no shard."""
    wrong = [clip for clip in clips if clip.bound and clip.wrong]
    return share(sum(clip.turned for clip in wrong), len(wrong))


def precision(clips: Sequence[Reviewed]) -> Share:
    """Of the clips whose identity is doubted: those with a wrong id."""
    doubted = [clip for clip in clips if clip.bound and clip.doubted]
    return share(sum(clip.wrong for clip in doubted), len(doubted))


def clean_flagged(clips: Sequence[Reviewed]) -> Share:
    """Of the clips whose ids are right throughout: those whose identity is doubted."""
    clean = [clip for clip in clips if clip.bound and not clip.wrong]
    return share(sum(clip.doubted for clip in clean), len(clean))


def share(hits: int, of: int, z: float = 1.959964) -> Share:
    """A share with its Wilson score interval (Wilson, JASA 1927), 95 % at the default z; 0 .. 1 of nothing.

    >>> one = share(10, 10)
    >>> round(one.low, 3), one.high
    (0.722, 1.0)
    """
    if not of:
        return Share(hits=hits, of=of, low=0.0, high=1.0)
    p = hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return Share(
        hits=hits, of=of, low=0.0 if hits == 0 else middle - half, high=1.0 if hits == of else min(middle + half, 1.0)
    )

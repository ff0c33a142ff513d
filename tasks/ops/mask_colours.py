"""People with masks, frames -> whose colours each mask shows: its own person's, or those of another of the clip.

What binds people sees the first masks, which know nobody, and weighs them a track at a time. The last masks know whom
they belong to and are there in every frame, also in the middle of a contact. Whose they are is asked of them here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.records import People
from tasks.ops.colour_table import colour_bins, fit_table
from tasks.ops.contacts import touching
from tasks.ops.mask_crops import MaskCrops

_LOOKS_S = 8.0  # looks a second
_TALL = 160  # pixels of a mask's height that are looked at: of a larger one every second, third, ...
_LEAST = 100  # pixels that a look needs
_PART = 0.15  # and share of what the person usually shows
_APART = 0.02  # overlap of boxes, intersection over union, from which others' colours may be in a mask
_SURE = 0.9  # identity confidence from which a mask teaches its person's colours
_FEW = 3  # looks that teach enough
_PIXEL = 3.0  # nats that a pixel may say: else a hand of one in the mask of the other would speak for all of it
TOLD = 0.8  # nats a pixel from which the colours of two people tell them apart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskColours:
    """Whose colours the masks of a clip show. P people, N looks."""

    frame: np.ndarray  # (N,) int, ascending
    # (P, P, N) of person p's mask, beside person q's colours: 1 as p's own mask shows p's when nobody is near, 0 where
    # they are as much q's as p's, less where they are rather q's; NaN where too little of p is seen, or q is dressed so
    # much like p that colours cannot tell them apart.
    own: np.ndarray

    def others(self) -> tuple[np.ndarray, np.ndarray]:
        """(P, N) the least of a mask's `own`, 1 where nothing is known; and (P, N) int beside whose colours."""
        filled = np.where(np.isfinite(self.own), self.own, 1.0)
        return filled.min(1), filled.argmin(1)

    def told(self, p: int, q: int) -> bool:
        """Whether the colours of two people tell them apart, each one's from the other's."""
        return bool(np.isfinite(self.own[p, q]).any() and np.isfinite(self.own[q, p]).any())


@dataclass(frozen=True, slots=True)
class _Look:
    """One mask in one frame: which colours, and how often."""

    bins: np.ndarray  # (U,) of `colour_bins`, each once
    count: np.ndarray  # (U,)


def mask_colours(people: People, frames: Iterable[np.ndarray], *, fps: float) -> MaskColours:
    """Look at the masks of a clip, eight times a second; frames: (h, w, 3) uint8 RGB, all of the clip's, in order.

    Each person's colours are a table, learned where they stand clear and who they are is sure. A mask's word is the
    mean over its pixels of the log ratio of two people's tables, capped, as a share of what it is where that person
    stands clear: so that shirts that differ by little and by much are on one scale.
    """
    step = max(1, round(fps / _LOOKS_S))
    looked = np.arange(0, people.num_frames, step)
    looks: list[dict[int, _Look]] = []
    crops = MaskCrops(people.mask)
    for t, picture in enumerate(frames):
        if t % step == 0 and t < people.num_frames:
            looks.append(_look(people, crops, picture, t))
    frame = looked[: len(looks)]
    apart = (people.present & ~touching(people, _APART))[:, frame]
    sure = apart & (people.confidence[:, frame] >= _SURE)
    ratio = _ratios(looks, _tables(looks, sure))
    return MaskColours(frame=frame, own=_shares(ratio, apart, _enough(looks, people.num_people)))


def _look(people: People, crops: MaskCrops, picture: np.ndarray, t: int) -> dict[int, _Look]:
    """Person -> what their mask shows in a frame; whoever shows too little is left out."""
    rows = np.arange(people.num_people) * people.num_frames + t
    offset = people.mask.offset
    who = np.flatnonzero(people.present[:, t] & (offset[rows + 1] > offset[rows]))
    if not len(who):
        return {}
    window = crops.window(rows[who])
    step = max(int((window[3] - window[1]) / _TALL), 1)
    bins = colour_bins(picture[window[1] : window[3] : step, window[0] : window[2] : step])
    masks = crops.stack(rows[who], window)[:, ::step, ::step]
    return {
        p: _Look(*np.unique(bins[mask], return_counts=True))
        for p, mask in zip(who.tolist(), masks, strict=True)
        if np.count_nonzero(mask) >= _LEAST
    }


def _tables(looks: Sequence[dict[int, _Look]], sure: np.ndarray) -> list[np.ndarray | None]:
    """Each person's log densities, from sure looks (P, N), from all where these are few; None of nobody seen."""
    tables: list[np.ndarray | None] = []
    for p, known in enumerate(sure):
        every = [look[p] for look in looks if p in look]
        clear = [look[p] for i, look in enumerate(looks) if known[i] and p in look]
        shown = clear if len(clear) >= _FEW else every
        pixels = [np.repeat(look.bins, look.count) for look in shown]
        tables.append(fit_table(np.concatenate(pixels)) if pixels else None)
    return tables


def _ratios(looks: Sequence[dict[int, _Look]], tables: Sequence[np.ndarray | None]) -> np.ndarray:
    """(P, P, N) nats a pixel by which p's look is rather p's than q's; NaN where there is none, and of p with p."""
    people = len(tables)
    out = np.full((people, people, len(looks)), np.nan)
    known = [q for q, table in enumerate(tables) if table is not None]
    if not known:
        return out
    stack = np.stack([table for table in tables if table is not None])
    for i, look in enumerate(looks):
        for p, one in look.items():
            seen = stack[:, one.bins]
            nats = np.clip(seen[known.index(p)] - seen, -_PIXEL, _PIXEL)
            out[p, known, i] = nats @ one.count / one.count.sum()
            out[p, p, i] = np.nan
    return out


def _shares(ratio: np.ndarray, apart: np.ndarray, enough: np.ndarray) -> np.ndarray:
    """`MaskColours.own` of ratios (P, P, N); apart, enough (P, N) bool: looks of nobody near, and of enough of them."""
    out = np.full(ratio.shape, np.nan)
    for p, q in np.ndindex(ratio.shape[:2]):
        seen = ratio[p, q]
        clear = seen[apart[p] & np.isfinite(seen)]
        usual = clear if len(clear) >= _FEW else seen[np.isfinite(seen)]
        if len(usual) and (typical := float(np.median(usual))) >= TOLD:
            out[p, q] = np.where(enough[p], seen / typical, np.nan)
    return out


def _enough(looks: Sequence[dict[int, _Look]], people: int) -> np.ndarray:
    """(P, N) bool: looks at a part of somebody that is not small beside what they usually show."""
    area = np.array([[look[p].count.sum() if p in look else 0 for look in looks] for p in range(people)], float)
    area = area.reshape(people, len(looks))
    usual = np.array([np.median(row[row > 0]) if row.any() else 1.0 for row in area])
    return np.asarray((area > _PART * usual[:, None]) & (area > 0))

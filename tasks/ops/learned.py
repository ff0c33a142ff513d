"""Frames in which it is known whose pixels are whose -> what that teaches: colours of people and place, girths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.ops.actors import Actors, touching
from tasks.ops.colour_table import colour_bins, fit_table
from tasks.ops.shape_prior import first_profile, learn_profile

GRID = 4  # parts of the picture a side, each with its own background colours
_LOOKS = 24  # frames that a person's colours and girth are learned from
_ENOUGH = 3  # such frames are enough
_CLOSE = 0.05  # torsos from the drawn body within which colours are learned
_HERE = 0.7  # of a background's colours that are those of its part of the picture
_FEW_AROUND = 300  # pixels below which a part tells nothing
_MOST_PIXELS = 40_000  # that a colour table is made of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learned:
    """What a run of frames taught: colours of each person and of what is around them, and each person's girth."""

    colour: np.ndarray  # (P, B) log densities
    around: np.ndarray  # (G, G, B)  a table for each part of the picture
    profile: np.ndarray  # (P, K)


def looks(actors: Actors) -> list[list[int]]:
    """The frames that each person's colours are learned from: apart, else where all who are near are found too.

    A box that holds two people of whom one was not found would teach the other's colours.
    """
    out = []
    found = actors.weight == 1.0
    for p in range(len(actors.box)):
        others = [q for q in range(len(actors.box)) if q != p]
        lost = np.zeros(found.shape[1], bool)
        for q in others:
            near = touching(actors.window[[p, q]], actors.present[[p, q]])[0]
            lost |= near & ~found[q]
        for frames in (actors.apart[p], found[p] & ~lost, found[p]):
            at = np.flatnonzero(frames)
            if len(at) >= _ENOUGH:
                break
        most = min(_LOOKS, len(at))
        out.append(at[np.linspace(0, len(at) - 1, most).round().astype(int)].tolist() if most else [])
    return out


def learn(
    pictures: Sequence[np.ndarray],
    actors: Actors,
    inside: dict[tuple[int, int], np.ndarray],
    distance: dict[tuple[int, int], np.ndarray | None],
    around: np.ndarray,
    *,
    girth: bool,
) -> Learned:
    """Colours and, if wanted, girths from frames in which it is known, more or less, what is whose.

    inside[p, t] (h, w) bool of the person's window: theirs; distance[p, t] as of `distances`; around as of
    `learn_around`.
    """
    people = len(actors.box)
    own: list[list[np.ndarray]] = [[] for _ in range(people)]
    far: list[list[np.ndarray]] = [[] for _ in range(people)]
    theirs: list[list[np.ndarray]] = [[] for _ in range(people)]
    for (p, t), mask in sorted(inside.items()):
        x0, y0, x1, y1 = actors.window[p, t].tolist()
        bins = colour_bins(pictures[t][y0:y1, x0:x1])
        d = distance[p, t]
        # Clothes and hair begin at the body: farther off, a floor that was taken for them would be learned as theirs.
        own[p].append(bins[mask if d is None else mask & (d < _CLOSE)])
        if d is not None:
            far[p].append(d.ravel()[::3])
            theirs[p].append(mask.ravel()[::3])
    profile = [
        learn_profile(np.concatenate(far[p]), np.concatenate(theirs[p])) if girth and far[p] else first_profile()
        for p in range(people)
    ]
    return Learned(
        colour=np.stack([fit_table(_thin(np.concatenate(bins) if bins else np.zeros(0, int))) for bins in own]),
        around=around,
        profile=np.stack(profile),
    )


def learn_around(pictures: Sequence[np.ndarray], free: Sequence[np.ndarray]) -> np.ndarray:
    """Log densities (G, G, B) of the colours that are nobody's, in each part of the picture and those next to it.

    free: T of (h, w) bool. A floor that looks like skin is no rarer under the feet for all the wall above it.
    """
    h, w = free[0].shape
    cell = (np.arange(h) * GRID // h)[:, None] * GRID + np.arange(w) * GRID // w
    found: list[list[np.ndarray]] = [[] for _ in range(GRID * GRID)]
    for t in np.unique(np.linspace(0, len(pictures) - 1, min(_LOOKS, len(pictures))).round().astype(int)).tolist():
        bins, open_ = colour_bins(pictures[t]), free[t]
        for k, one in enumerate(found):
            one.append(bins[open_ & (cell == k)][::2])
    pixels = [_thin(np.concatenate(one)) for one in found]
    everywhere = np.exp(fit_table(_thin(np.concatenate(pixels))))
    out = np.empty((GRID, GRID, len(everywhere)), np.float32)
    for i in range(GRID):
        for j in range(GRID):
            near = [
                pixels[k * GRID + m]
                for k in range(max(i - 1, 0), min(i + 2, GRID))
                for m in range(max(j - 1, 0), min(j + 2, GRID))
            ]
            there = np.concatenate(near)
            share = _HERE if len(there) >= _FEW_AROUND else 0.0
            out[i, j] = np.log((1 - share) * everywhere + share * np.exp(fit_table(there)))
    return out


def _thin(bins: np.ndarray) -> np.ndarray:
    step = max(1, -(-len(bins) // _MOST_PIXELS))
    return bins[::step]

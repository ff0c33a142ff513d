"""People of a run of frames -> what each frame alone says of each: colours of the whole run, and the body's shape."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tasks.ops.body import body_scale
from tasks.ops.carry import Evidence, Window
from tasks.ops.colour_table import colour_bins, fit_table
from tasks.ops.scenery import Scenery, in_roots
from tasks.ops.shape_prior import body_distance, first_profile, learn_profile, shape_odds

SEEN = 0.2
_BRIDGE_S = 0.4  # how long a pose that was not seen may be taken from those before and after it
_CARRY_S = 1.0  # how far from a frame in which a person was found their mask may be carried on
MISSED = 0.2  # what a frame's colours count by themselves, where nobody was found
_STEADY_S = 0.4  # the body's unit of length is the middle one of so much time on both sides
_LOOKS = 24  # frames that a person's colours and girth are learned from
_CLOSE = 0.05  # torsos from the drawn body within which colours are learned
_GRID = 4  # parts of the picture a side, each with its own background colours
_HERE = 0.7  # of a background's colours that are those of its part of the picture
_FEW_AROUND = 300  # pixels below which a part tells nothing
_ENOUGH = 3  # such frames are enough
_MOST_PIXELS = 40_000  # that a colour table is made of
_COLOUR = 1.5  # what a nat of colour counts beside the shape, whose distances are only roughly known
_BLUR = 0.6
_MOST_COLOUR = 5.0  # nats
_PICTURE = 0.85  # how often a background that was seen is still what lies behind
_WHOLE = 11  # of the twelve joints from shoulders to ankles
_NO_POSE = -0.6  # log odds of a pixel of the box, where there is no pose


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Actors:
    """P people over T frames in pixels of the picture that is worked on."""

    box: np.ndarray  # (P, T, 4)
    keypoint: np.ndarray  # (P, T, J, 2)
    score: np.ndarray  # (P, T, J)  also of poses bridged over short gaps
    scale: np.ndarray  # (P, T)
    weight: np.ndarray  # (P, T)  0: not looked for; 1: found with a pose
    window: np.ndarray  # (P, T, 4) int  where the person can be
    apart: np.ndarray  # (P, T) bool  found, and nobody else near

    def live(self, t: int) -> list[int]:
        """Who is looked for in a frame."""
        return np.flatnonzero(self.weight[:, t] > 0).tolist()


def actors_of(
    box: np.ndarray,
    keypoint: np.ndarray,
    score: np.ndarray,
    present: np.ndarray,
    masked: np.ndarray,
    *,
    size: tuple[int, int],
    fps: float,
) -> Actors:
    """Ready people for a picture of this size (h, w): box (P, T, 4), keypoint (P, T, J, 2), score (P, T, J),
    present and masked (P, T)."""
    people, frames = present.shape
    seen = (score >= SEEN).sum(2) >= 5
    score = _bridged(score, seen, present, max(1, round(_BRIDGE_S * fps)))
    drawn = (score >= SEEN).sum(2) >= 5
    scale = np.ones((people, frames))
    for p in range(people):
        raw = np.array([body_scale(keypoint[p, t], score[p, t], box[p, t], SEEN) for t in range(frames)])
        scale[p] = _steady(raw, seen[p] | masked[p], max(1, round(_STEADY_S * fps)))
    weight = np.where(seen, 1.0, np.where(drawn, 0.5, np.where(masked, 0.35, MISSED))) * present
    weight[_far(seen | masked, round(_CARRY_S * fps))] = 0.0
    reach = np.where(masked | seen, 0.35, 0.7) * scale
    low, high = box[..., :2].copy(), box[..., 2:].copy()
    known = score >= SEEN
    for edge, pick, worst in ((low, np.minimum, np.inf), (high, np.maximum, -np.inf)):
        points = pick.reduce(np.where(known[..., None], keypoint, worst), axis=2)
        np.copyto(edge, pick(edge, points), where=drawn[..., None])
    limit = np.array([size[1], size[0]])
    low = np.clip(np.floor(low - reach[..., None]), 0, limit - 2)
    high = np.clip(np.ceil(high + reach[..., None]), low + 2, limit)
    window = np.concatenate([low, high], 2).astype(int)
    return Actors(
        box=box, keypoint=keypoint, score=score, scale=scale, weight=weight, window=window,
        apart=(seen & masked) & ~_touching(window, weight > 0),
    )  # fmt: skip


def _bridged(score: np.ndarray, seen: np.ndarray, present: np.ndarray, most: int) -> np.ndarray:
    """Scores in which a short gap has half of what its ends have: keypoints are interpolated there."""
    out = score.copy()
    for p in range(len(score)):
        found = np.flatnonzero(seen[p])
        for a, b in itertools.pairwise(found):
            if 1 < b - a <= most + 1 and present[p, a:b].all():
                out[p, a + 1 : b] = np.maximum(out[p, a + 1 : b], np.minimum(score[p, a], score[p, b]) / 2)
    return out


def _steady(raw: np.ndarray, good: np.ndarray, reach: int) -> np.ndarray:
    """Each frame's value: the middle one of the good frames near it, or of the nearest ones."""
    at = np.flatnonzero(good)
    if not len(at):
        return raw
    middle = [np.median(raw[max(t - reach, 0) : t + reach + 1][good[max(t - reach, 0) : t + reach + 1]]) for t in at]
    return np.interp(np.arange(len(raw)), at, middle)


def _far(found: np.ndarray, reach: int) -> np.ndarray:
    """(P, T) bool: frames farther than this from any in which the person was found."""
    out = np.ones(found.shape, bool)
    for row, far in zip(found, out, strict=True):
        for t in np.flatnonzero(row):
            far[max(t - reach, 0) : t + reach + 1] = False
    return out


def _touching(window: np.ndarray, live: np.ndarray) -> np.ndarray:
    """(P, T) bool: another's window meets this one."""
    out = np.zeros(live.shape, bool)
    for i in range(len(live)):
        for j in range(len(live)):
            if i != j:
                low = np.maximum(window[i, :, :2], window[j, :, :2])
                high = np.minimum(window[i, :, 2:], window[j, :, 2:])
                out[i] |= (low < high).all(1) & live[i] & live[j]
    return out


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
            near = _touching(actors.window[[p, q]], actors.weight[[p, q]] > 0)[0]
            lost |= near & ~found[q]
        for frames in (actors.apart[p], found[p] & ~lost, found[p]):
            at = np.flatnonzero(frames)
            if len(at) >= _ENOUGH:
                break
        most = min(_LOOKS, len(at))
        out.append(at[np.linspace(0, len(at) - 1, most).round().astype(int)].tolist() if most else [])
    return out


def nearest(p: int, values: dict[int, tuple[Window, np.ndarray]]) -> np.ndarray:
    """Where person p's value (h, w) in their window is at least as high as any other's there, (h, w) bool."""
    (x0, y0, x1, y1), own = values[p]
    out = np.ones(own.shape, bool)
    for q, ((a, b, c, d), other) in values.items():
        left, top, right, bottom = max(x0, a), max(y0, b), min(x1, c), min(y1, d)
        if q != p and left < right and top < bottom:
            here = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
            out[here] &= own[here] >= other[top - b : bottom - b, left - a : right - a]
    return out


def distances(actors: Actors, p: int, t: int) -> np.ndarray | None:
    """Signed distance of a person's window to their drawn body in torso lengths; None without a pose."""
    window = tuple(actors.window[p, t].tolist())
    return body_distance(actors.keypoint[p, t], actors.score[p, t], float(actors.scale[p, t]), window)


def evidence_of(
    picture: np.ndarray, distance: np.ndarray | None, actors: Actors, p: int, t: int, learned: Learned, scenery: Scenery
) -> Evidence:
    """One frame's evidence for one person; picture (h, w, 3) uint8 of the whole frame."""
    window: Window = tuple(actors.window[p, t].tolist())
    x0, y0, x1, y1 = window
    piece = picture[y0:y1, x0:x1]
    bins = colour_bins(piece)
    there = scenery.at(t).log_density(in_roots(piece), window)
    h, w = picture.shape[:2]
    row = (np.arange(y0, y1) * _GRID // h)[:, None]
    other = learned.around[row, np.arange(x0, x1) * _GRID // w, bins]
    back = np.maximum(there + np.float32(np.log(_PICTURE)), other + np.float32(np.log(1 - _PICTURE)))
    back = np.where(np.isfinite(there), back, other)
    colour = np.clip(learned.colour[p][bins] - back, -_MOST_COLOUR, _MOST_COLOUR)
    odds = _COLOUR * cv2.GaussianBlur(colour, (3, 3), _BLUR)
    if distance is not None:
        shape = shape_odds(distance, learned.profile[p])
        if not whole(actors.score[p, t]):
            # What is far from the half of a body that was seen may well be its other half.
            part = within(actors.box[p, t], window)
            shape[part] = np.maximum(shape[part], np.float32(_NO_POSE))
        odds += shape
    else:
        odds += np.float32(_NO_POSE)
    return Evidence(window=window, odds=odds, weight=np.full(odds.shape, actors.weight[p, t], np.float32))


def whole(score: np.ndarray) -> bool:
    """Whether a pose (J,) has nearly all of shoulders to ankles."""
    return int((score[5:17] >= SEEN).sum()) >= _WHOLE


def within(box: np.ndarray, window: Window) -> tuple[slice, slice]:
    """The rows and columns of a window that lie in a box."""
    x0, y0, x1, y1 = window
    left, top, right, bottom = np.round(box).astype(int).tolist()
    return slice(max(top - y0, 0), max(min(bottom, y1) - y0, 0)), slice(max(left - x0, 0), max(min(right, x1) - x0, 0))


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
    cell = (np.arange(h) * _GRID // h)[:, None] * _GRID + np.arange(w) * _GRID // w
    found: list[list[np.ndarray]] = [[] for _ in range(_GRID * _GRID)]
    for t in np.unique(np.linspace(0, len(pictures) - 1, min(_LOOKS, len(pictures))).round().astype(int)).tolist():
        bins, open_ = colour_bins(pictures[t]), free[t]
        for k, one in enumerate(found):
            one.append(bins[open_ & (cell == k)][::2])
    pixels = [_thin(np.concatenate(one)) for one in found]
    everywhere = np.exp(fit_table(_thin(np.concatenate(pixels))))
    out = np.empty((_GRID, _GRID, len(everywhere)), np.float32)
    for i in range(_GRID):
        for j in range(_GRID):
            near = [
                pixels[k * _GRID + m]
                for k in range(max(i - 1, 0), min(i + 2, _GRID))
                for m in range(max(j - 1, 0), min(j + 2, _GRID))
            ]
            there = np.concatenate(near)
            share = _HERE if len(there) >= _FEW_AROUND else 0.0
            out[i, j] = np.log((1 - share) * everywhere + share * np.exp(fit_table(there)))
    return out


def _thin(bins: np.ndarray) -> np.ndarray:
    step = max(1, -(-len(bins) // _MOST_PIXELS))
    return bins[::step]

"""People of one frame -> what it alone says of each: colours of the whole run, and the body's shape."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from tasks.ops.actors import Actors, whole, within
from tasks.ops.carry import Evidence, Window
from tasks.ops.colour_table import colour_bins
from tasks.ops.learned import GRID, Learned
from tasks.ops.scenery import Scenery, in_roots
from tasks.ops.shape_prior import body_distance, shape_odds

_COLOUR = 1.5  # what a nat of colour counts beside the shape, whose distances are only roughly known
_BLUR = 0.6
_MOST_COLOUR = 5.0  # nats
_MOST_RIVAL = 3.0  # nats that may be added to it where two people's colours both lie beyond
_PICTURE = 0.85  # how often a background that was seen is still what lies behind
_NO_POSE = 0.0  # log odds of a pixel by the shape, where there is no pose: even, so that colours alone decide
_LOST = -1.5  # and against who was not found for long: most of a background has a little of everybody's colours

Part = tuple[slice, slice]  # rows and columns


def nearest(p: int, values: dict[int, tuple[Window, np.ndarray]]) -> np.ndarray:
    """Where person p's value (h, w) in their window is at least as high as any other's there, (h, w) bool."""
    window, own = values[p]
    out = np.ones(own.shape, bool)
    for q, (theirs, other) in values.items():
        shared = None if q == p else _overlap(window, theirs)
        if shared is not None:
            here, there = shared
            out[here] &= own[here] >= other[there]
    return out


def distances(actors: Actors, p: int, t: int) -> np.ndarray | None:
    """Signed distance of a person's window to their drawn body in torso lengths; None without a pose."""
    window = tuple(actors.window[p, t].tolist())
    return body_distance(actors.keypoint[p, t], actors.score[p, t], float(actors.scale[p, t]), window)


def evidence_of(
    picture: np.ndarray,
    distance: Mapping[tuple[int, int], np.ndarray | None],
    actors: Actors,
    who: Sequence[int],
    t: int,
    learned: Learned,
    scenery: Scenery,
) -> list[Evidence]:
    """One frame's evidence for each of the people `who`; picture (h, w, 3) uint8 of the whole frame, distance[p, t] as
    of `distances`."""
    windows: list[Window] = [tuple(actors.window[p, t].tolist()) for p in who]
    likely = [
        _likelier(picture, one, learned.colour[p], learned, scenery, t) for p, one in zip(who, windows, strict=True)
    ]
    out = []
    for p, window, colour in zip(who, windows, _rivalled(windows, likely), strict=True):
        odds = _COLOUR * cv2.GaussianBlur(colour, (3, 3), _BLUR)
        near = distance[p, t]
        if near is not None:
            shape = shape_odds(near, learned.profile[p])
            if not whole(actors.score[p, t]):
                # What is far from the half of a body that was seen may well be its other half.
                part = within(actors.box[p, t], window)
                shape[part] = np.maximum(shape[part], np.float32(_NO_POSE))
            odds += shape
        else:
            odds += np.float32(_LOST if actors.lost[p, t] else _NO_POSE)
        out.append(Evidence(window=window, odds=odds, weight=np.full(odds.shape, actors.weight[p, t], np.float32)))
    return out


def _likelier(
    picture: np.ndarray, window: Window, table: np.ndarray, learned: Learned, scenery: Scenery, t: int
) -> np.ndarray:
    """Nats by which a person's colours, log densities (B,), explain a window's pixels better than the background."""
    x0, y0, x1, y1 = window
    piece = picture[y0:y1, x0:x1]
    bins = colour_bins(piece)
    there = scenery.at(t).log_density(in_roots(piece), window)
    h, w = picture.shape[:2]
    row = (np.arange(y0, y1) * GRID // h)[:, None]
    other = learned.around[row, np.arange(x0, x1) * GRID // w, bins]
    back = np.maximum(there + np.float32(np.log(_PICTURE)), other + np.float32(np.log(1 - _PICTURE)))
    return table[bins] - np.where(np.isfinite(there), back, other)


def _rivalled(windows: Sequence[Window], likely: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each one's nats against the background, capped; but of the difference between two people who both are far
    likelier than the background, what the cap would hide is kept, up to a cap of its own: else the two would tie.
    """
    capped = [np.clip(one, -_MOST_COLOUR, _MOST_COLOUR) for one in likely]
    out = [one.copy() for one in capped]
    for n, m in itertools.permutations(range(len(windows)), 2):
        shared = _overlap(windows[n], windows[m])
        if shared is not None:
            own, other = shared
            hidden = (likely[m][other] - likely[n][own]) - (capped[m][other] - capped[n][own])
            out[n][own] = np.minimum(out[n][own], capped[n][own] - np.clip(hidden, 0.0, _MOST_RIVAL))
    return out


def _overlap(one: Window, two: Window) -> tuple[Part, Part] | None:
    """What two windows share, as rows and columns of each; None where they are apart."""
    left, top, right, bottom = max(one[0], two[0]), max(one[1], two[1]), min(one[2], two[2]), min(one[3], two[3])
    if left >= right or top >= bottom:
        return None
    return _inside(one, left, top, right, bottom), _inside(two, left, top, right, bottom)


def _inside(window: Window, left: int, top: int, right: int, bottom: int) -> Part:
    return slice(top - window[1], bottom - window[1]), slice(left - window[0], right - window[0])

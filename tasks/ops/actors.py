"""People of a run of frames -> where each of them is looked for, how surely, and in which frames they stand alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np

from tasks.ops.body import body_scale
from tasks.ops.carry import Window
from tasks.ops.shared_heads import HEAD, borrowed

SEEN = 0.2
MISSED = 0.2  # what a frame's colours count by themselves, where nobody was found
_BRIDGE_S = 0.4  # how long a pose that was not seen may be taken from those before and after it
_CARRY_S = 2.5  # how far from a frame in which a person was found they are still looked for: longer than an embrace
_OPEN_S = 0.5  # not found for longer, a person does not stand in the open: a detector misses nobody there for so long
_STEADY_S = 0.4  # the body's unit of length is the middle one of so much time on both sides
_SHARED_S = 0.2  # how long two poses must have one head for it to be taken from one of them
_WHOLE = 11  # of the twelve joints from shoulders to ankles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Actors:
    """P people over T frames in pixels of the picture that is worked on."""

    box: np.ndarray  # (P, T, 4)
    keypoint: np.ndarray  # (P, T, J, 2)
    score: np.ndarray  # (P, T, J)  also of poses bridged over short gaps
    scale: np.ndarray  # (P, T)
    weight: np.ndarray  # (P, T)  0: not looked for; 1: found with a pose
    window: np.ndarray  # (P, T, 4) int  where the person can be
    present: np.ndarray  # (P, T) bool  in the shot, seen or not
    apart: np.ndarray  # (P, T) bool  found, and nobody else near, not even one who was not found
    lost: np.ndarray  # (P, T) bool  not found for so long that what is seen of them must be beside whoever hides them

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
    score[borrowed(keypoint, score, scale, seen=SEEN, least=max(1, round(_SHARED_S * fps))), HEAD] = 0.0
    weight = np.where(seen, 1.0, np.where(drawn, 0.5, np.where(masked, 0.35, MISSED))) * present
    weight[_far(seen | masked, round(_CARRY_S * fps))] = 0.0
    lost = _far(seen | masked, round(_OPEN_S * fps))
    found = seen & masked
    place = np.stack([_expected(*one) for one in zip(box, score, found, strict=True)])
    # Of who is half hidden only a strip may be known, or guessed: they are looked for as large as they were.
    box = np.where((seen | masked)[..., None], box, _joined(box, place))
    reach = np.where(masked | seen, 0.35, 0.5) * scale
    window = _windows(box, keypoint, score >= SEEN, drawn, reach, size)
    return Actors(
        box=box, keypoint=keypoint, score=score, scale=scale, weight=weight, window=window,
        present=present, apart=found & ~touching(window, present), lost=lost,
    )  # fmt: skip


def _windows(
    box: np.ndarray,
    keypoint: np.ndarray,
    known: np.ndarray,
    drawn: np.ndarray,
    reach: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:
    """(P, T, 4) int: what holds box and pose, where there is one, and `reach` (P, T) pixels around."""
    low, high = box[..., :2].copy(), box[..., 2:].copy()
    for edge, pick, worst in ((low, np.minimum, np.inf), (high, np.maximum, -np.inf)):
        points = pick.reduce(np.where(known[..., None], keypoint, worst), axis=2)
        np.copyto(edge, pick(edge, points), where=drawn[..., None])
    limit = np.array([size[1], size[0]])
    low = np.clip(np.floor(low - reach[..., None]), 0, limit - 2)
    high = np.clip(np.ceil(high + reach[..., None]), low + 2, limit)
    return np.concatenate([low, high], 2).astype(int)


def _expected(box: np.ndarray, score: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(T, 4) where somebody should be by the frames around in which they were found whole; their box where by none."""
    good = np.flatnonzero(found & np.array([whole(one) for one in score]))
    if not len(good):
        return box
    frames = np.arange(len(box))
    return np.stack([np.interp(frames, good, box[good, k]) for k in range(4)], 1)


def _joined(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The boxes (..., 4) that hold both."""
    return np.concatenate([np.minimum(one[..., :2], two[..., :2]), np.maximum(one[..., 2:], two[..., 2:])], -1)


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


def touching(window: np.ndarray, live: np.ndarray) -> np.ndarray:
    """(P, T) bool: another's window meets this one."""
    out = np.zeros(live.shape, bool)
    for i in range(len(live)):
        for j in range(len(live)):
            if i != j:
                low = np.maximum(window[i, :, :2], window[j, :, :2])
                high = np.minimum(window[i, :, 2:], window[j, :, 2:])
                out[i] |= (low < high).all(1) & live[i] & live[j]
    return out


def whole(score: np.ndarray) -> bool:
    """Whether a pose (J,) has nearly all of shoulders to ankles."""
    return int((score[5:17] >= SEEN).sum()) >= _WHOLE


def within(box: np.ndarray, window: Window) -> tuple[slice, slice]:
    """The rows and columns of a window that lie in a box."""
    x0, y0, x1, y1 = window
    left, top, right, bottom = np.round(box).astype(int).tolist()
    return slice(max(top - y0, 0), max(min(bottom, y1) - y0, 0)), slice(max(left - x0, 0), max(min(right, x1) - x0, 0))


def beside(mask: np.ndarray, others: np.ndarray, reach: int) -> np.ndarray:
    """The connected parts of a mask (h, w) bool that come within `reach` pixels of the others (h, w) bool."""
    near = cv2.dilate(others.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)).view(bool)
    count, label = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    kept[label[near & mask]] = True
    return np.asarray(kept[label] & mask)

"""People -> People: poses made steady over time, with who is who as it was.

Left and right exchanged back where a network took one for the other, jumps and short gaps filled, noise smoothed. What
is clean stays as it is, to the last bit.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
from scipy.ndimage import maximum_filter1d

from datasets.records import Event, People
from datasets.skeleton import skeleton as layout
from tasks.ops.flips import exchange, flips
from tasks.ops.jumps import jumps
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.occlusion import flags
from tasks.ops.smooth import noise, smooth
from tasks.ops.truth import runs

_SEEN = 0.05  # a score below this supports nothing
_WHOLE = 0.7  # share of the body that must be seen for its box to tell its size


def smooth_people(people: People, *, fps: Fraction | float, fill_s: float = 0.25) -> People:
    """The same people with steady poses.

    Gaps of up to `fill_s` within the picture, and jumps of up to that, take the place between their ends and half of
    the lower score; longer ones stay open. Joints that were changed get new flags, and frames in which sides were
    exchanged an event. Nothing else of the record changes.
    """
    rate = float(fps)
    keypoint, score, flag = people.keypoint.copy(), people.score.copy(), people.flag.copy()
    events = list(people.events)
    for p in range(people.num_people):
        made = _steady(people, p, rate, fill_s)
        if made is None:
            continue
        keypoint[p], score[p], flag[p], flipped = made
        events += [
            Event(kind="repair", start=start, stop=stop, people=(p,), note="left and right exchanged back")
            for start, stop in runs(flipped, join=round(0.2 * rate))
        ]
    changed = (keypoint != people.keypoint).any(-1) | (score != people.score)
    if not changed.any():
        return people
    flag = reflagged(people, keypoint, score, flag, changed, MaskCrops(people.mask))
    events.sort(key=lambda event: (event.start, event.stop, event.kind, event.people))
    return dataclasses.replace(people, keypoint=keypoint, score=score, flag=flag, events=tuple(events))


def body_sizes(people: People, p: int, fps: float) -> np.ndarray:
    """(T,) a person's size in pixels: the longer side of their box, from frames in which the body is seen whole.

    It is the greatest of half a second before and after: who crouches or turns their side to the camera has not
    shrunk.
    """
    box = people.box[p]
    longer = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]).astype(np.float64)
    frames = np.arange(len(box))
    for least in (_WHOLE, 0.0):
        whole = np.flatnonzero(people.present[p] & (people.visible[p] > least) & (longer > 0))
        if len(whole):
            size = np.interp(frames, whole, longer[whole])
            return np.asarray(maximum_filter1d(size, 2 * round(fps / 2) + 1, mode="nearest"))
    return np.maximum(longer, 1.0)


def _steady(
    people: People, p: int, fps: float, fill_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """One person's keypoints (T, J, 2), scores and flags (T, J), and where sides were exchanged (T,); None where
    nobody is posed."""
    score = np.where(people.present[p][:, None], people.score[p], 0)
    if not (score >= _SEEN).any():
        return None
    size, bones = body_sizes(people, p, fps), layout(people.skeleton)
    point, flag = people.keypoint[p], people.flag[p]
    swapped = flips(point, score, size, fps=fps, sigma=noise(point, score >= _SEEN, fps=fps))
    point, score, flag = (exchange(array, swapped, bones) for array in (point, score, flag))
    off = jumps(point, score, size, noise(point, score >= _SEEN, fps=fps), fps=fps, min_score=_SEEN, longest_s=fill_s)
    point, score = filled(point, score, off | _missing(people, p, score), round(fill_s * fps))
    return smooth(point, score, size, fps=fps, min_score=_SEEN), score, flag, np.asarray(swapped.any(1))


def _missing(people: People, p: int, score: np.ndarray) -> np.ndarray:
    """(T, J) joints without support of somebody in the shot, whose best estimate lies in the picture: what lies outside
    is unknown, and not missing."""
    h, w = people.mask.size
    point = people.keypoint[p]
    inside = ((point >= 0) & (point < (w, h))).all(-1)
    return (score < _SEEN) & inside & people.present[p][:, None]


def filled(point: np.ndarray, score: np.ndarray, lost: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (T, J, 2) and scores (T, J) with lost joints (T, J) put between the frames before and after.

    Runs of up to `most` frames get half of the lower score of both ends; longer runs 0, and so do those at an end of
    the clip, which keep the place of the one end that they have.
    """
    point, score = point.copy(), score.copy()
    frames = np.arange(len(point))
    for j in np.flatnonzero(lost.any(0)):
        good = np.flatnonzero(~lost[:, j] & (score[:, j] >= _SEEN))
        gone = np.flatnonzero(lost[:, j])
        score[gone, j] = 0.0
        if not len(good):
            continue
        for axis in range(2):
            point[gone, j, axis] = np.interp(gone, good, point[good, j, axis])
        after = np.searchsorted(good, frames[gone])
        between = (after > 0) & (after < len(good))
        a, b = good[np.maximum(after - 1, 0)], good[np.minimum(after, len(good) - 1)]
        short = between & (b - a - 1 <= most)
        score[gone[short], j] = np.minimum(score[a[short], j], score[b[short], j]) / 2
    return point, score


def reflagged(
    people: People,
    keypoint: np.ndarray,
    score: np.ndarray,
    flag: np.ndarray,
    changed: np.ndarray,
    crops: MaskCrops,
) -> np.ndarray:
    """Flags (P, T, J) with those of changed joints (P, T, J) found anew from the masks."""
    out = flag.copy()
    index = np.arange(people.num_people * people.num_frames).reshape(people.present.shape)
    for t in np.flatnonzero(changed.any((0, 2))):
        who = np.flatnonzero(np.diff(people.mask.offset)[index[:, t]] > 0)
        height = people.box[who, t, 3] - people.box[who, t, 1]
        slack = max(2, round(0.01 * float(np.median(height)))) if len(who) else 2
        window = crops.window(index[who, t], slack + 1)
        corner = np.array(window[:2], np.float32)
        found = flags(crops.stack(index[who, t], window), who, keypoint[:, t] - corner, score[:, t], slack)
        out[:, t] = np.where(changed[:, t], found, out[:, t])
    out[~people.present] = flag[~people.present]
    return out

"""Poses of tracks -> which way each track's head is turned where it begins and ends, and what that says of who goes on
as whom.

Nobody turns round in a few frames. Two people who walk past each other look where they did; had they turned back, their
heads would have turned as well. Of 16,000 pairs of clear pieces of filmed crossings (1,006 bindings of six seeds, as
filmed and with worse detections), how far the head turned over a gap of up to 0.1 s tells one person from two with an
area under the curve of 0.76, over 0.2 to 0.35 s of 0.69, over 0.6 to 1 s of 0.59. With it beside motion and followed
points the log loss of a logistic regression is, for people in the same clothes, 0.12 in place of 0.15 and 0.38 in place
of 0.44 over the first two. How shoulders and hips are turned adds nothing to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.records import Poses
from datasets.skeleton import SKELETONS
from tasks.ops.tracks import Track

_NOSE, _SHOULDERS, _HIPS = "nose", ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")
_CLEAR = 0.4  # share of a box that must be free: in a covered one the pose may be the other's
_LEAST = 2  # frames in which the head must be seen
_LEAST_TORSO = 5.0  # pixels
_REMEMBERED = 7.0  # times `fade_s`, after which less than a thousandth of it is left


@dataclass(frozen=True, slots=True, kw_only=True)
class FacingScales:
    """What a turned head is worth; lengths in torsos, from the middle of the shoulders to that of the hips."""

    weight: float = 2.0  # nats for each factor of e in how far the nose has gone from above the shoulders ...
    fade_s: float = 0.45  # ... and the time in which that falls to a third
    even: float = 0.17  # how far, with `least`, at which it speaks for neither
    least: float = 0.05  # what it cannot tell from nothing
    steady: float = 0.047  # what a nose goes in a quarter of a second as a rule: the median of filmed crossings
    window_s: float = 0.5  # of a track's end that counts ...
    frames: int = 5  # ... and of these the last so many frames that show the head
    score: float = 0.3  # of keypoints that count


def by_facing(tracks: Sequence[Track], clear: np.ndarray, poses: Poses, fps: float, scales: FacingScales) -> np.ndarray:
    """(N, N) nats for the second track being the same person as the first, next seen; 0 where a head was not seen, or
    all but forgotten in between.

    clear (N,) bool: tracks that were seen clearly; only such are asked. Where this clip's people turn faster than
    others do, or their poses tremble more, it counts in proportion less.
    """
    nose = nose_places(poses, scales)
    asked = np.flatnonzero(clear).tolist()
    last, first = np.full(len(tracks), np.nan), np.full(len(tracks), np.nan)
    for i in asked:
        last[i], first[i] = _end(tracks[i], nose, fps, scales, 1), _end(tracks[i], nose, fps, scales, -1)
    fast = max(_restless(tracks, nose, fps) / scales.steady, 1.0)
    begin = np.array([track.start for track in tracks])
    out = np.zeros((len(tracks), len(tracks)))
    for i in asked:
        wait_s = (begin - tracks[i].stop) / fps
        near = np.flatnonzero((wait_s >= 0) & (wait_s <= _REMEMBERED * scales.fade_s) & np.isfinite(first))
        gone = np.abs(first[near] - last[i]) / fast
        nats = scales.weight * np.log(scales.even / (scales.least + gone))
        out[i, near] = np.nan_to_num(nats * np.exp(-wait_s[near] / scales.fade_s))
    return out


def nose_places(poses: Poses, scales: FacingScales) -> np.ndarray:
    """(N,) how far right in the picture of the middle of the shoulders each pose's nose is, in torsos; NaN where it, a
    shoulder or a hip is not seen, or the skeleton has none."""
    names = SKELETONS[poses.skeleton].joints
    wanted = [_NOSE, *_SHOULDERS, *_HIPS]
    if not set(wanted) <= set(names):
        return np.full(len(poses.keypoint), np.nan)
    at = [names.index(name) for name in wanted]
    keypoint = poses.keypoint[:, at].astype(np.float64)
    neck, hip = keypoint[:, 1:3].mean(1), keypoint[:, 3:].mean(1)
    torso = np.linalg.norm(neck - hip, axis=1)
    seen = (poses.score[:, at].min(1) > scales.score) & (torso > _LEAST_TORSO)
    place = (keypoint[:, 0, 0] - neck[:, 0]) / np.maximum(torso, _LEAST_TORSO)
    return np.where(seen, np.clip(place, -1.5, 1.5), np.nan)


def _end(track: Track, nose: np.ndarray, fps: float, scales: FacingScales, side: int) -> float:
    """Where the nose is at a track's end for a side of 1, at its beginning for -1; NaN where that is not seen."""
    edge = track.frame[-1] if side > 0 else track.frame[0]
    near = (track.apart >= _CLEAR) & (np.abs(track.frame - edge) <= scales.window_s * fps)
    place = nose[track.row[near]]
    place = place[np.isfinite(place)][::-side][: scales.frames]
    return float(np.median(place)) if len(place) >= _LEAST else np.nan


def _restless(tracks: Sequence[Track], nose: np.ndarray, fps: float) -> float:
    """The median of how far a nose goes in a quarter of a second, of all tracks; 0 of none."""
    lag = max(round(0.25 * fps), 1)
    gone = [np.zeros(0)]
    for track in tracks:
        place = nose[track.row]
        moved = np.abs(place[lag:] - place[:-lag])
        gone.append(moved[np.isfinite(moved) & (track.frame[lag:] - track.frame[:-lag] == lag)])
    found = np.concatenate(gone)
    return float(np.median(found)) if len(found) else 0.0

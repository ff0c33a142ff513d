"""Tracks -> how tall each person would be at one distance, and what that says of who is who.

Unlike the height at a piece's end, which a contact cuts short, this is pooled over the frames in which a piece stands
clear and whole in the picture. Bones of a light pose estimator say nothing beside it: of 954 pairs of pieces of filmed
crossings, lengths of torso, thigh and shin over the height told one person from two hardly better than chance (area
under the curve 0.51 to 0.57), stature 0.72 to 0.85.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.ops.tracks import Track

_CLEAR = 0.6  # share of a box that is free
_LEAST = 3  # such frames
_RIM = 0.01  # of the frame's height: a box nearer to its upper or lower edge is cut off
_SLOPE = (
    0.15  # log height for each height that the feet stand lower, of a camera at eye level, until a clip shows its own
)
_SLOPE_WEIGHT = 0.5  # in squared heights of walking towards the camera
_SAME = 0.045  # spread of the log of one person's stature from piece to piece, beside the trembling of the boxes
_OTHER = 0.155  # of the difference of two people, until a clip shows its own
_OTHER_WEIGHT = 1.5  # pairs of tracks that this counts for
_BENT = 0.1  # share of pieces in which someone bends, kneels, is lifted; their stature is that of anyone


def statures(tracks: Sequence[Track], size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """(N,) log of each track's height in pixels, brought to one distance; NaN where it was not seen clear and whole;
    and the spread of the boxes' heights within a track.

    Who stands lower in the picture is nearer. How much taller that makes is learned of the tracks themselves, each for
    itself (a regression with fixed effects), so that people of different stature do not tell.
    """
    seen = [_seen(track, size[0]) for track in tracks]
    all_heights = [np.exp(h) for h, _ in seen if len(h)]
    if not all_heights:
        return np.full(len(tracks), np.nan), 0.0
    usual = float(np.median(np.concatenate(all_heights)))
    moment, moved = _SLOPE * _SLOPE_WEIGHT, _SLOPE_WEIGHT
    for h, foot in seen:
        if len(h):
            step = (foot - foot.mean()) / usual
            moment += float((step * (h - h.mean())).sum())
            moved += float((step**2).sum())
    out = [np.median(h) - moment / moved * np.median(foot) / usual if len(h) else np.nan for h, foot in seen]
    return np.array(out), float(np.median([h.std() for h, _ in seen if len(h)]))


def by_stature(tracks: Sequence[Track], size: tuple[int, int]) -> np.ndarray:
    """(N, N) nats for two tracks being one person by their statures, 0 where one is not known, and on the diagonal.

    As with looks, those who are seen at the same time tell how different the people of this clip are.
    """
    stature, tremble = statures(tracks, size)
    apart = np.abs(stature[:, None] - stature[None])
    total, weight = _OTHER**2 * _OTHER_WEIGHT, _OTHER_WEIGHT
    for i, a in enumerate(tracks):
        for j in range(i + 1, len(tracks)):
            if tracks[j].start >= a.stop:
                break
            if np.isfinite(apart[i, j]) and np.isin(a.frame, tracks[j].frame).sum() >= _LEAST:
                total, weight = total + float(apart[i, j] ** 2), weight + 1.0
    same = float(np.hypot(_SAME, tremble))
    # Nobody differs more from themselves than from others.
    other = max(float(np.sqrt(total / weight)), same)
    anyone = _density(apart, other)
    nats = np.log((1 - _BENT) * _density(apart, same) + _BENT * anyone) - np.log(anyone)
    np.fill_diagonal(nats, 0.0)
    return np.nan_to_num(nats)


def _seen(track: Track, tall: int) -> tuple[np.ndarray, np.ndarray]:
    """Log heights and feet, pixels, of the frames that show a track clear and whole."""
    whole = (track.apart >= _CLEAR) & (track.box[:, 1] > _RIM * tall) & (track.box[:, 3] < (1 - _RIM) * tall)
    if whole.sum() < _LEAST:
        return np.zeros(0), np.zeros(0)
    box = track.steady[whole]
    return np.log(np.maximum(box[:, 3] - box[:, 1], 1.0)), box[:, 3]


def _density(apart: np.ndarray, spread: float) -> np.ndarray:
    """Normal density but for the root of two pi; far out it is kept from vanishing."""
    return np.exp(-0.5 * np.minimum((apart / spread) ** 2, 50.0)) / spread

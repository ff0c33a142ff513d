"""A person's sure tracks -> where they are bound to be in between, and how far a track is off that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.ops.tracks import Track

_AT_ONCE = 0.08  # spread of a box's middle round the path beside a sure track, heights ...
_GROWTH = 0.5  # ... and its growth with each second from there
_MOST = 8.0  # nats that one frame may say
_FRAMES = 3.0  # frames after one another are wrong alike: a track counts as at most so many


def off_path(track: Track, chain: Sequence[Track], fps: float) -> float:
    """Nats against a track being the person of this chain of sure tracks, by where it lies; infinite where that person
    is seen elsewhere."""
    found = np.concatenate([other.frame for other in chain])
    if np.isin(track.frame, found).any() or any(_within(track, other) for other in chain):
        return float("inf")
    box = np.concatenate([other.steady for other in chain])
    foreseen = np.stack([np.interp(track.frame, found, box[:, k]) for k in range(4)], 1)
    after = np.clip(np.searchsorted(found, track.frame), 0, len(found) - 1)
    before = np.maximum(np.searchsorted(found, track.frame) - 1, 0)
    away = np.minimum(np.abs(found[after] - track.frame), np.abs(track.frame - found[before])) / fps
    height = np.maximum(foreseen[:, 3] - foreseen[:, 1], 1.0)
    middle = (track.steady[:, :2] + track.steady[:, 2:] - foreseen[:, :2] - foreseen[:, 2:]) / 2 / height[:, None]
    spread = _AT_ONCE + _GROWTH * away
    off = np.minimum(0.5 * (middle**2).sum(1) / spread**2, _MOST)
    return float(off.mean() * min(len(off), _FRAMES))


def _within(track: Track, other: Track) -> bool:
    """Whether a track lies in time between the first and last frame of another."""
    return track.start < other.stop and other.start < track.stop

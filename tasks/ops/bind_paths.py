"""A person's sure tracks -> where they are bound to be in between, and how far a track is off that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.ops.tracks import Track

_AT_ONCE = 0.08  # spread of a box's middle round the path beside a sure track, heights ...
_GROWTH = 0.5  # ... and its growth with each second from there
_MOST = 8.0  # nats that one frame may say
_FRAMES = 3.0  # frames after one another are wrong alike: a track counts as at most so many


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Path:
    """A person's sure tracks, frame by frame."""

    start: np.ndarray  # (n,) first frames of the tracks, ascending
    stop: np.ndarray  # (n,) one past their last
    found: np.ndarray  # (m,) frames, ascending
    steady: np.ndarray  # (m, 4) boxes


def path_of(chain: Sequence[Track]) -> Path:
    """The path of a chain of tracks in order of time."""
    return Path(
        start=np.array([track.start for track in chain]),
        stop=np.array([track.stop for track in chain]),
        found=np.concatenate([track.frame for track in chain]),
        steady=np.concatenate([track.steady for track in chain]),
    )


def off_path(track: Track, path: Path, fps: float) -> float:
    """Nats against a track being the person of this path, by where it lies; infinite where that person is seen
    elsewhere at the time."""
    if np.searchsorted(path.stop, track.start, side="right") < np.searchsorted(path.start, track.stop):
        return float("inf")
    last = len(path.found) - 1
    after = int(np.searchsorted(path.found, track.start))
    a, b = max(after - 1, 0), min(after, last)
    share = (track.frame - path.found[a]) / max(path.found[b] - path.found[a], 1)
    foreseen = path.steady[a] + np.clip(share, 0, 1)[:, None] * (path.steady[b] - path.steady[a])
    away = np.minimum(np.abs(path.found[b] - track.frame), np.abs(track.frame - path.found[a])) / fps
    height = np.maximum(foreseen[:, 3] - foreseen[:, 1], 1.0)
    middle = (track.steady[:, :2] + track.steady[:, 2:] - foreseen[:, :2] - foreseen[:, 2:]) / 2 / height[:, None]
    spread = _AT_ONCE + _GROWTH * away
    off = np.minimum(0.5 * (middle**2).sum(1) / spread**2, _MOST)
    return float(off.mean() * min(len(off), _FRAMES))

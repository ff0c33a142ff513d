"""Tracklets, Poses, Segments -> tracks: short certain pieces, with all that is known of each, ready to be bound."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from datasets.records import Poses, Segments, Tracklets
from tasks.ops.boxes import covered, iou
from tasks.ops.camera_motion import steadied


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """One piece of one tracklet, n frames long (not always each frame: a tracker may miss some)."""

    tracklet: int
    row: np.ndarray  # (n,) rows of Tracklets and Poses, ascending by frame
    frame: np.ndarray  # (n,) int
    box: np.ndarray  # (n, 4)
    steady: np.ndarray  # (n, 4) the boxes as a camera that never moved would have seen them
    score: np.ndarray  # (n,) how sure the detector is
    apart: np.ndarray  # (n,) share of the box that no other box of its frame covers
    segment: np.ndarray  # (n,) rows of Segments; -1 where there is none
    look: np.ndarray | None  # (E,) unit mean appearance; None where none was taken

    @property
    def start(self) -> int:
        """First frame."""
        return int(self.frame[0])

    @property
    def stop(self) -> int:
        """One past the last frame."""
        return int(self.frame[-1]) + 1

    @property
    def height(self) -> float:
        """Median box height, pixels."""
        return float(np.median(self.box[:, 3] - self.box[:, 1]))


def tracks_of(tracklets: Tracklets, segments: Segments, to_first: np.ndarray, *, clinch: float) -> list[Track]:
    """All tracks of a clip, by first frame, then tracklet. to_first (T, 2, 3): the camera, as `camera_motion` has it.

    A tracklet that goes on through a close contact (intersection over union above `clinch`) is cut at its closest
    frame: whether the same person comes out of it is for the binding to say, and to doubt.
    """
    cuts = _contact_cuts(tracklets, clinch)
    apart = _apart(tracklets)
    at = {(int(f), int(n)): i for i, (f, n) in enumerate(zip(segments.frame, segments.tracklet, strict=True))}
    tracks = []
    for name in np.unique(tracklets.tracklet[tracklets.tracklet >= 0]):
        rows = np.flatnonzero(tracklets.tracklet == name)
        # Two boxes of one tracklet in one frame would be a tracker's fault; the first stands.
        rows = rows[np.unique(tracklets.frame[rows], return_index=True)[1]]
        where = np.searchsorted(tracklets.frame[rows], sorted(cuts.get(int(name), ())))
        for piece in np.split(rows, where):
            if len(piece):
                tracks.append(_track(int(name), piece, tracklets, segments, apart, at, to_first))
    return sorted(tracks, key=lambda track: (track.start, track.tracklet))


def _apart(tracklets: Tracklets) -> np.ndarray:
    """(N,) the share of each box that the one covering it most leaves free. What is no tracklet's covers nothing."""
    out = np.ones(len(tracklets.frame))
    for start, stop in itertools.pairwise(np.flatnonzero(np.diff(tracklets.frame, prepend=-1, append=-1))):
        share = covered(tracklets.box[start:stop], tracklets.box[start:stop])
        np.fill_diagonal(share, 0)
        share[:, tracklets.tracklet[start:stop] < 0] = 0
        out[start:stop] = 1 - share.max(1)
    return out


def _track(
    name: int,
    row: np.ndarray,
    tracklets: Tracklets,
    segments: Segments,
    apart: np.ndarray,
    at: dict[tuple[int, int], int],
    to_first: np.ndarray,
) -> Track:
    frame = tracklets.frame[row].astype(np.int64)
    segment = np.array([at.get((int(t), name), -1) for t in frame], np.int64)
    return Track(
        tracklet=name,
        row=row,
        frame=frame,
        box=tracklets.box[row].astype(np.float64),
        steady=steadied(tracklets.box[row].astype(np.float64), frame, to_first),
        score=tracklets.score[row].astype(np.float64),
        apart=apart[row],
        segment=segment,
        look=_pooled(segments.embedding[segment[segment >= 0]], tracklets.embedding[row]),
    )


def piece_of(track: Track, keep: np.ndarray, tracklets: Tracklets, segments: Segments) -> Track:
    """Some rows of a track, keep (n,) bool, with the look that these alone have."""
    row, segment = track.row[keep], track.segment[keep]
    return replace(
        track, row=row, frame=track.frame[keep], box=track.box[keep], steady=track.steady[keep],
        score=track.score[keep], apart=track.apart[keep], segment=segment,
        look=_pooled(segments.embedding[segment[segment >= 0]], tracklets.embedding[row]),
    )  # fmt: skip


def _pooled(masked: np.ndarray, boxed: np.ndarray) -> np.ndarray | None:
    """The mean of a track's masked looks; of its tracker's own where there are none."""
    for vectors in (boxed, masked):
        taken = vectors[vectors.any(1)] if vectors.size else vectors
        if len(taken):
            mean = taken.mean(0)
            return mean / max(float(np.linalg.norm(mean)), 1e-9)
    return None


def _contact_cuts(tracklets: Tracklets, touch: float) -> dict[int, set[int]]:
    """tracklet -> frames before which it is cut: the closest frame of each contact that two tracklets live through."""
    frames: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for start, stop in itertools.pairwise(np.flatnonzero(np.diff(tracklets.frame, prepend=-1, append=-1))):
        name = tracklets.tracklet[start:stop]
        pair = np.triu(iou(tracklets.box[start:stop], tracklets.box[start:stop]), 1)
        for i, j in zip(*np.nonzero(pair > touch), strict=True):
            if name[i] >= 0 and name[j] >= 0:
                key = (int(min(name[i], name[j])), int(max(name[i], name[j])))
                frames.setdefault(key, []).append((int(tracklets.frame[start]), float(pair[i, j])))
    cuts: dict[int, set[int]] = {}
    for pair_names, seen in frames.items():
        for run in _runs(seen):
            closest = max(run, key=lambda item: item[1])[0]
            for one in pair_names:
                cuts.setdefault(one, set()).add(closest)
    return cuts


def _runs(seen: list[tuple[int, float]], most: int = 5) -> list[list[tuple[int, float]]]:
    """Ascending (frame, value) pairs in groups, parted where more than `most` frames lie between."""
    runs: list[list[tuple[int, float]]] = []
    for item in seen:
        if runs and item[0] - runs[-1][-1][0] <= most:
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs


def poses_at(poses: Poses, track: Track, which: int) -> tuple[np.ndarray, np.ndarray]:
    """The pose of a track's first (0) or last (-1) frame: keypoint (J, 2), score (J,)."""
    row = track.row[which]
    return poses.keypoint[row], poses.score[row]

"""Points that were followed on people's bodies -> how much they say that one track is followed by another; and tracks
that slide from one person to another, cut where they do.

A point on a shirt goes with whoever wears it. Of two people who cross, the one in front is in sight all the way: the
points that lay on them before lie on them after, whatever the boxes did, and the other is whoever is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.records import Segments, Tracklets
from tasks.ops.point_tracks import PointTracks
from tasks.ops.tracks import Track, piece_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PointScales:
    """What followed points are worth. Nothing hangs on the exact figures: half and twice of each bind filmed crossings
    alike."""

    window_s: float = 1.5  # longest gap that points are followed over
    end_s: float = 0.5  # of a track's end in which a point must lie on it ...
    sights: int = 2  # ... in so many frames
    weight: float = 3.0  # nats for each factor of e between points that stay and points that go over to somebody else
    # Share of a track's points that says nothing yet: of those few that come through a crossing in which all others are
    # lost, most have stuck to the wrong person (to another head, to another's sleeve).
    few: float = 0.2
    slide_s: float = 0.25  # before and after a frame, in which points tell whether a track slides there
    slide: float = 0.15  # share of its points that then go over to others, or come from others ...
    beside: float = 1.5  # ... and so many times those that stay
    least: int = 5  # points, of fewer no track is cut
    # Share of a track's points before or after a frame, whichever are fewer, that lie on it on both sides: of less it
    # may be somebody else who steps before the other, whatever the box does. At least `many` before and after.
    broken: float = 0.06
    many: int = 40


def carried(tracks: Sequence[Track], points: PointTracks, fps: float, scales: PointScales) -> np.ndarray:
    """(N, N) nats for the second track being the same person as the first, next seen; 0 where no points speak.

    Of the points at the first one's end: those that lie on the second when it begins, beside those that lie on anybody
    else then; and back in time from the second's beginning likewise. For each side the log of their ratio: a logistic
    regression over 10,000 pairs of tracks of 119 filmed crossings has a log loss of 0.40 by motion and points together,
    0.44 by points and 0.51 by motion alone.
    """
    out = np.zeros((len(tracks), len(tracks)))
    sights = _Sights.of(tracks, points)
    reach = max(round(scales.end_s * fps), scales.sights)
    ends = [sights.within(track.stop - reach, track.stop, scales.sights) for track in tracks]
    starts = [sights.within(track.start, track.start + reach, scales.sights) for track in tracks]
    begin = np.array([track.start for track in tracks])
    for i, track in enumerate(tracks):
        own = ends[i].of(i)
        for j in np.flatnonzero((begin >= track.stop) & (begin <= track.stop + scales.window_s * fps)).tolist():
            later = starts[j].of(j)
            stay, gone = starts[j].apart(own, j)
            _, come = ends[i].apart(later, i)
            for lost, of in ((gone, len(own)), (come, len(later))):
                unsure = scales.few * of + 0.5
                out[i, j] += scales.weight * float(np.log((stay + unsure) / (lost + unsure)))
    return out


def unslid(
    tracks: Sequence[Track],
    points: PointTracks,
    tracklets: Tracklets,
    segments: Segments,
    fps: float,
    scales: PointScales,
) -> list[Track]:
    """The tracks, by first frame, then tracklet; those that slide are cut where most points change over.

    When one person goes behind another, the box over the one in front may be taken for the hidden one's and follow them
    out on the other side. It never jumps, but the points that lay on it at first stay behind on somebody else's.
    """
    reach = max(round(scales.slide_s * fps), 2)
    score = _slides(tracks, points, reach, scales)
    out: list[Track] = []
    for track, slides in zip(tracks, score, strict=True):
        cuts = []
        while slides:
            most = max(slides.values())
            # As many change over in some frames around: where they do is the middle of these.
            equal = [t for t in sorted(slides) if slides[t] == most]
            equal = [t for t in equal if t <= equal[0] + reach]
            at = equal[len(equal) // 2]
            cuts.append(at)
            slides = {t: much for t, much in slides.items() if abs(t - at) > 2 * reach}
        if not cuts:
            out.append(track)
            continue
        part = np.searchsorted(sorted(cuts), track.frame, side="right")
        out += [piece_of(track, part == k, tracklets, segments) for k in np.unique(part)]
    return sorted(out, key=lambda one: (one.start, one.tracklet))


def _slides(tracks: Sequence[Track], points: PointTracks, reach: int, scales: PointScales) -> list[dict[int, float]]:
    """Of each track: the frames before which it may be cut, and how many points change over there, or are others than
    before, for one that stays."""
    out: list[dict[int, float]] = [{} for _ in tracks]
    sights = _Sights.of(tracks, points)
    # Also close to a track's ends: a box that is taken over slides most often just after its beginning (with
    # a margin of 4 frames in place of 2, 50 of 355 filmed clips had a wrong id, not 42).
    for t in np.unique(points.frame).tolist():
        before, after = sights.within(t - reach, t, 1), sights.within(t, t + reach, 1)
        _, a, b = np.intersect1d(before.point, after.point, assume_unique=True, return_indices=True)
        was, now = before.track[a], after.track[b]
        for k in np.unique([*before.track, *after.track]).tolist():
            if not tracks[k].start + 2 <= t < tracks[k].stop - 1:
                continue
            stay = int(((was == k) & (now == k)).sum())
            gone, come = int((was == k).sum()) - stay, int((now == k).sum()) - stay
            earlier, later = len(before.of(k)), len(after.of(k))
            if min(earlier, later) >= scales.many and stay < scales.broken * min(earlier, later):
                out[k][t] = min(earlier, later) / (stay + 1)
            for lost, of in ((gone, earlier), (come, later)):
                if lost >= max(scales.beside * stay, scales.slide * of, scales.least):
                    out[k][t] = max(out[k].get(t, 0.0), lost / (stay + 1))
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Window:
    """Some frames' points, ascending, and the track that each lies on most."""

    point: np.ndarray  # (N,)
    track: np.ndarray  # (N,)

    def of(self, track: int) -> np.ndarray:
        """The points on one track."""
        return np.asarray(self.point[self.track == track])

    def apart(self, points: np.ndarray, track: int) -> tuple[int, int]:
        """How many of these points lie on the track here, and how many on others."""
        if not len(self.point):
            return 0, 0
        at = np.minimum(np.searchsorted(self.point, points), len(self.point) - 1)
        there = self.track[at][self.point[at] == points]
        return int((there == track).sum()), int((there != track).sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sights:
    """Sights of points on tracks, ascending by frame."""

    point: np.ndarray  # (M,) int64
    frame: np.ndarray  # (M,)
    track: np.ndarray  # (M,)

    @classmethod
    def of(cls, tracks: Sequence[Track], points: PointTracks) -> _Sights:
        """Those on masks that belong to one of the tracks."""
        owner = np.full(int(points.segment.max(initial=-1)) + 1, -1)
        for k, track in enumerate(tracks):
            owner[track.segment[(track.segment >= 0) & (track.segment < len(owner))]] = k
        on = owner[points.segment]
        rows = np.flatnonzero(on >= 0)
        return cls(point=points.point[rows].astype(np.int64), frame=points.frame[rows], track=on[rows])

    def within(self, start: int, stop: int, least: int) -> _Window:
        """The points that lie on one track in `least` of these frames or more; of several tracks on the one where they
        do most, of equals the first."""
        here = slice(*np.searchsorted(self.frame, [start, stop]))
        several = int(self.track[here].max(initial=0)) + 1
        pair, count = np.unique(self.point[here] * several + self.track[here], return_counts=True)
        pair, count = pair[count >= least], count[count >= least]
        point, track = np.divmod(pair, several)
        order = np.lexsort((track, -count, point))
        point, first = np.unique(point[order], return_index=True)
        return _Window(point=point, track=track[order][first])

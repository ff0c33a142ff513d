"""Points that were followed on people's bodies -> how much they say that one track is followed by another; and tracks
that slide from one person to another, cut where they do.

A point on a shirt goes with whoever wears it. Of two people who cross, the one in front is in sight all the way: the
points that lay on them before lie on them after, whatever the boxes did, and the other is whoever is left.
"""

from __future__ import annotations

import functools
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
    broken: float = 0.2
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

    # Most tracks are cut where others are: they begin and end in the same frames.
    @functools.cache
    def around(start: int) -> _Window:
        return sights.within(start, start + reach, scales.sights)

    @functools.cache
    def met(stop: int, start: int) -> tuple[np.ndarray, np.ndarray]:
        return around(stop - reach).met(around(start))

    begin = np.array([track.start for track in tracks])
    for i, track in enumerate(tracks):
        for j in np.flatnonzero((begin >= track.stop) & (begin <= track.stop + scales.window_s * fps)).tolist():
            was, now = met(track.stop, tracks[j].start)
            stay = int(((was == i) & (now == j)).sum())
            gone, come = int((was == i).sum()) - stay, int((now == j).sum()) - stay
            for lost, of in ((gone, around(track.stop - reach).on(i)), (come, around(tracks[j].start).on(j))):
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
    changes = _Changes.of(len(tracks), sights, reach)
    # Also close to a track's ends: a box that is taken over slides most often just after its beginning (with
    # a margin of 4 frames in place of 2, 50 of 355 filmed clips had a wrong id, not 42).
    first, last = np.array([(track.start + 2, track.stop - 1) for track in tracks], int).reshape(-1, 2).T
    inside = (changes.frame >= first[changes.track]) & (changes.frame < last[changes.track])
    stay, fewer = changes.stay, np.minimum(changes.earlier, changes.later)
    much = np.where((fewer >= scales.many) & (stay < scales.broken * fewer), fewer / (stay + 1), -1.0)
    for lost, of in ((changes.gone, changes.earlier), (changes.come, changes.later)):
        enough = np.maximum(np.maximum(scales.beside * stay, scales.slide * of), scales.least)
        much = np.where(lost >= enough, np.maximum(much, lost / (stay + 1)), much)
    told = inside & (much >= 0) & (changes.earlier + changes.later > 0) & np.isin(changes.frame, points.frame)
    for at in np.flatnonzero(told).tolist():
        out[int(changes.track[at])][int(changes.frame[at])] = float(much[at])
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Changes:
    """Of tracks in frames, how many points lie where in the `reach` frames before that one, and from it on."""

    track: np.ndarray  # (C,) ascending
    frame: np.ndarray  # (C,) ascending within a track
    earlier: np.ndarray  # (C,) points on the track before
    later: np.ndarray  # (C,) and after
    stay: np.ndarray  # (C,) those that are on it both times
    gone: np.ndarray  # (C,) on it before, and on another after
    come: np.ndarray  # (C,) on it after, and on another before

    @classmethod
    def of(cls, num_tracks: int, sights: _Sights, reach: int) -> _Changes:
        """Wherever a track has points so near."""
        first, last = np.full(num_tracks, np.iinfo(np.int32).max), np.full(num_tracks, np.iinfo(np.int32).min)
        np.minimum.at(first, sights.track, sights.frame)
        np.maximum.at(last, sights.track, sights.frame)
        first -= reach - 1
        size = np.maximum(last - first + reach + 1, 0)
        offset, num = _offsets(size)
        shift = offset - first
        frame, after = sights.lying(reach)
        before = _later(after, reach, -1)
        later = np.bincount((shift[after] + frame)[after >= 0], minlength=num)
        both = np.flatnonzero((before >= 0) & (after >= 0))
        frame, before, after = frame[both], before[both], after[both]
        other = before != after

        def counted(on: np.ndarray, which: np.ndarray) -> np.ndarray:
            return np.bincount(shift[on[which]] + frame[which], minlength=num)

        track = np.repeat(np.arange(num_tracks), size)
        return cls(
            track=track,
            frame=np.arange(num) - shift[track],
            earlier=_later(later, reach, 0),
            later=later,
            stay=counted(after, ~other),
            gone=counted(before, other),
            come=counted(after, other),
        )


def _later(value: np.ndarray, by: int, of_none: int) -> np.ndarray:
    """(N,) so many places later. Of pieces in a row whose last `by` are empty, none runs into the next."""
    return np.concatenate([np.full(by, of_none, value.dtype), value])[: len(value)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Window:
    """Some frames' points, ascending, and the track that each lies on most."""

    point: np.ndarray  # (N,)
    track: np.ndarray  # (N,)

    def on(self, track: int) -> int:
        """How many points lie on one track."""
        return int((self.track == track).sum())

    def met(self, other: _Window) -> tuple[np.ndarray, np.ndarray]:
        """(K,), (K,): the tracks, here and there, of the points of both."""
        _, here, there = np.intersect1d(self.point, other.point, assume_unique=True, return_indices=True)
        return self.track[here], other.track[there]


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
        begin = np.flatnonzero(np.diff(point, prepend=-1))
        if len(begin) < len(point):
            best = np.maximum.reduceat(count * several + (several - 1 - track), begin)
            point, track = point[begin], several - 1 - best % several
        return _Window(point=point, track=track)

    def lying(self, reach: int) -> tuple[np.ndarray, np.ndarray]:
        """(E,) first frames of windows of `reach` frames, (E,) the track that a point lies on there, -1 for none.

        Point by point all windows from the first that holds a sight of it to the last, and `reach` empty ones. Of
        several tracks as in `within`, of one sight or more.
        """
        several = int(self.track.max(initial=0)) + 1
        key = self.point * several + self.track
        order = np.argsort(key)
        frame = self.frame[order].astype(np.int64)
        # Sights in pairs of a point and a track, pairs in points: where in the former each of the latter begins.
        pair = np.flatnonzero(np.diff(key[order], prepend=-1))
        point, track = np.divmod(key[order[pair]], several)
        begin = np.flatnonzero(np.diff(point, prepend=-1))
        of = np.repeat(np.arange(len(begin)), np.diff(begin, append=len(pair)))
        first, last = np.minimum.reduceat(frame, pair), np.maximum.reduceat(frame, pair)
        start, stop = np.minimum.reduceat(first, begin), np.maximum.reduceat(last, begin) + reach

        # How often each point lies on each track: a sight counts in `reach` windows.
        size = last - first + reach
        own, every = _offsets(size)
        at = np.repeat(own - first, np.diff(pair, append=len(frame))) + frame
        count = np.cumsum(np.bincount(at, minlength=every + 1) - np.bincount(at + reach, minlength=every + 1))[:-1]

        # And where most often. What is counted is larger than any track.
        rank = np.where(count > 0, count * several + np.repeat(several - 1 - track, size), 0)
        offset, num = _offsets(stop - start + reach)
        best = np.zeros(num, np.int64)
        np.maximum.at(best, np.repeat(offset[of] - start[of] + first - own, size) + np.arange(every), rank)
        window = np.arange(num) - np.repeat(offset - start + reach - 1, np.diff(offset, append=num))
        return window, np.where(best > 0, several - 1 - best % several, -1)


def _offsets(size: np.ndarray) -> tuple[np.ndarray, int]:
    """(N,) where each of some pieces of these sizes begins when one follows another, and the size of all."""
    stop = np.cumsum(size)
    return stop - size, int(stop[-1]) if len(stop) else 0

"""Tracks, poses -> those who only look on: they stay where they are, stand still, and are further off than all others.

Whoever may be one of the performers stays: all of this must hold, against everyone who is not an onlooker, and two
performers must be left. Lengths are in heights of the person, on the ground: of people about equally tall the smaller
is further off, as a pinhole camera has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.records import Event, Poses, Segments, Tracklets
from tasks.ops.bind_events import runs
from tasks.ops.boxes import iou
from tasks.ops.cast import LeftOut, Limits, Person, Shot, without_small
from tasks.ops.standing import CLEAR, Place, Rows, places_of, rows_of
from tasks.ops.tracks import Track, piece_of

_NEAREST, _FURTHEST = 5, 95  # percentiles over frames: in one of twenty anything may be found
_ALIKE = 0.15  # of the log of the height: so far apart, two who look on stand in one row
_THERE = 0.65  # overlap (IoU) with an onlooker's box of boxes that are theirs: nobody taller reaches it ...
_THERE_S = 0.15  # ... for so long
_SEES_WIDTH = 1.0  # focal length over the picture's longer side: 53 degrees; longer lenses put people further apart


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlookerLimits:
    """What makes an onlooker. Between a limit and its `unsure` multiple it is not clear, and the person is bound."""

    smaller: float = 0.85  # of a performer's height, at most: nearer in size, they may dance in the row behind
    behind: float = 0.5  # heights from the nearest performer, at least
    above: float = 0.05  # of a performer's height that their feet lie higher up in the picture; children's do not
    # People who stand quietly sway by 0.02 to 0.06 of their height. The further off, the more they may move ...
    moved: float = 0.08  # for each height from the nearest performer
    most: float = 0.12  # ... and no more than this: who dances on the spot moves more
    performers: int = 2  # seen at once, at least, without the onlookers
    together: float = 0.15  # the share of frames in which so many are seen
    unsure: float = 1.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Onlookers:
    """What was found of them."""

    left_out: tuple[LeftOut, ...]
    slipped: Mapping[int, tuple[np.ndarray, str]]  # id of a track of others -> (n,) bool its rows on an onlooker, why
    unsure: tuple[LeftOut, ...]  # tracks of people who may only look on, to be bound all the same


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Beside:
    """A place beside the performers, at their nearest."""

    size: float  # of a performer's height
    away: float  # heights
    above: float  # of a performer's height


def find_onlookers(
    tracks: Sequence[Track],
    poses: Poses,
    shot: Shot,
    to_first: np.ndarray,
    limits: OnlookerLimits | None,
    counts: Limits,
) -> Onlookers:
    """The tracks of those who only look on; none without limits. Tracks too small to count are not looked at.

    to_first (T, 2, 3): the camera, as `camera_motion` has it. If it is known how many people there are, so many stay.
    """
    if limits is None:
        return Onlookers(left_out=(), slipped={}, unsure=())
    enough = limits.performers if counts.people is None else counts.people
    tracks = without_small(list(tracks), counts)[0]
    if not tracks:
        return Onlookers(left_out=(), slipped={}, unsure=())
    rows = rows_of(tracks, poses, to_first)
    places = places_of(rows, shot.frames, shot.fps)
    looking, performs = _parted(places, rows, shot, limits)
    others = _others(rows, performs, looking)
    beside = {id(place): _beside(place, rows, others, shot) for place in looking}
    if not _enough(rows, others, shot, enough, limits.together):
        return Onlookers(left_out=(), slipped={}, unsure=_told(tracks, looking, beside))
    hidden = [place for place in places if place.moved is None and any(_in_a_row(place, other) for other in looking)]
    beside |= {id(place): _beside(place, rows, others, shot) for place in hidden}
    hidden = [place for place in hidden if _lies_off(place, beside[id(place)], limits, 1.0)]
    maybe = [place for place in places if place.moved is not None and place not in looking]
    near = {id(place): _beside(place, rows, others & _taller(maybe, place, rows, limits), shot) for place in maybe}
    unsure = [place for place in maybe if _looks_on(place, near[id(place)], limits, limits.unsure)]
    left_out = _told(tracks, [*looking, *hidden], beside)
    slipped = _slipped(tracks, rows, performs, list(zip(looking, _told_once(looking, beside), strict=True)), shot.fps)
    return Onlookers(left_out=left_out, slipped=slipped, unsure=_told(tracks, unsure, near))


def without_onlookers(
    tracks: Sequence[Track], looking: Onlookers, tracklets: Tracklets, segments: Segments
) -> tuple[list[Track], list[LeftOut]]:
    """The tracks of all others, and what is left out; a track that slipped from somebody to an onlooker is parted."""
    gone = {id(left.track) for left in looking.left_out}
    others, left_out = [], list(looking.left_out)
    for track in tracks:
        if id(track) in looking.slipped:
            theirs, why = looking.slipped[id(track)]
            left_out.append(LeftOut(track=piece_of(track, theirs, tracklets, segments), why=why))
            part = np.cumsum(np.diff(theirs, prepend=theirs[0]))
            for k in np.unique(part[~theirs]):
                others.append(piece_of(track, part == k, tracklets, segments))
        elif id(track) not in gone:
            others.append(track)
    return sorted(others, key=lambda track: (track.start, track.tracklet)), left_out


def unsure_events(unsure: Sequence[LeftOut], people: Sequence[Person]) -> list[Event]:
    """An event for each person who is bound though they may only look on."""
    why = {id(left.track): left.why for left in unsure}
    events = []
    for p, person in enumerate(people):
        own = [track for track in person.tracks if id(track) in why]
        if 2 * sum(len(track.frame) for track in own) >= sum(len(track.frame) for track in person.tracks):
            note = f"bound, though perhaps an {why[id(own[0])]}"
            events.append(Event(kind="repair", start=own[0].start, stop=own[-1].stop, people=(p,), note=note))
    return events


def _parted(places: list[Place], rows: Rows, shot: Shot, limits: OnlookerLimits) -> tuple[list[Place], np.ndarray]:
    """Places of those who look on, and (N,) bool: the tracks of all others who are seen well enough."""
    performs = np.ones(len(rows.first), bool)
    for place in places:
        performs[[*place.own, *place.parts]] = False
    seen = [place for place in places if place.moved is not None]
    looking = [place for place in seen if place.stays and (place.moved or 0) <= limits.most]
    back = [place for place in seen if place not in looking]
    if not back and not performs.any():
        back = [max(looking, key=lambda place: place.height)] if looking else []
    # Whoever cannot be told from a performer is one, beside whom the others are then looked at again.
    while True:
        for place in back:
            performs[place.own] = True
        looking = [place for place in looking if place not in back]
        others = _others(rows, performs, looking)
        back = [place for place in looking if not _looks_on(place, _beside(place, rows, others, shot), limits, 1.0)]
        if not back:
            return looking, performs


def _others(rows: Rows, performs: np.ndarray, looking: list[Place]) -> np.ndarray:
    """(R,) bool: the boxes of tracks (N,) that perform, but for those that lie on somebody who looks on."""
    out = performs[rows.track].copy()
    for place in looking:
        out &= iou(rows.box, place.box[None])[:, 0] < _THERE
    return out


def _taller(maybe: list[Place], place: Place, rows: Rows, limits: OnlookerLimits) -> np.ndarray:
    """(R,) bool: all boxes but those in places of people about as tall in the picture."""
    alike = [other.own for other in maybe if other.height <= place.height / limits.smaller]
    return ~np.isin(rows.track, np.concatenate(alike))


def _beside(place: Place, rows: Rows, performs: np.ndarray, shot: Shot) -> _Beside | None:
    """How a place lies to the nearest of these boxes (R,), frame by frame; None where none of them is seen clearly."""
    clear = np.flatnonzero(performs & (rows.apart >= CLEAR))
    if not len(clear):
        return None
    clear = clear[np.argsort(rows.frame[clear], kind="stable")]
    start = np.flatnonzero(np.diff(rows.frame[clear], prepend=-1))
    other = rows.box[clear]
    tall, middle = np.maximum(other[:, 3] - other[:, 1], 1.0), shot.size[1] / 2
    depth = _SEES_WIDTH * max(shot.size) * (1 / place.height - 1 / tall)
    across = (place.box[[0, 2]].mean() - middle) / place.height - (other[:, [0, 2]].mean(1) - middle) / tall
    away = np.sign(depth) * np.hypot(depth, across)
    above = (other[:, 3] - place.box[3]) / tall
    return _Beside(
        away=float(np.percentile(np.minimum.reduceat(away, start), _NEAREST)),
        size=float(np.percentile(np.maximum.reduceat(place.height / tall, start), _FURTHEST)),
        above=float(np.percentile(np.minimum.reduceat(above, start), _NEAREST)),
    )


def _looks_on(place: Place, beside: _Beside | None, limits: OnlookerLimits, slack: float) -> bool:
    """Whether all speaks for an onlooker, each limit widened by `slack`."""
    if beside is None or place.moved is None:
        return False
    still = place.moved <= slack * min(limits.moved * beside.away, limits.most)
    return still and _lies_off(place, beside, limits, slack)


def _lies_off(place: Place, beside: _Beside | None, limits: OnlookerLimits, slack: float) -> bool:
    """Whether somebody stays in a place further off than all performers."""
    return (
        beside is not None
        and place.stays
        and 1 - beside.size >= (1 - limits.smaller) / slack
        and beside.away >= limits.behind / slack
        and beside.above >= limits.above / slack
    )


def _in_a_row(place: Place, other: Place) -> bool:
    return bool(abs(np.log(place.height / other.height)) <= _ALIKE)


def _enough(rows: Rows, others: np.ndarray, shot: Shot, enough: int, together: float) -> bool:
    """Whether enough performers are seen at once."""
    count = np.bincount(rows.frame[others], minlength=shot.frames)
    return bool((count >= enough).mean() >= together)


def _slipped(
    tracks: Sequence[Track], rows: Rows, others: np.ndarray, looking: list[tuple[Place, str]], fps: float
) -> dict[int, tuple[np.ndarray, str]]:
    """Of these tracks (N,) those that lie on an onlooker for a while: somebody was followed past them, and lost."""
    out: dict[int, tuple[np.ndarray, str]] = {}
    least = max(round(_THERE_S * fps), 2)
    for i in np.flatnonzero(others).tolist() if looking else ():
        box = rows.box[rows.track == i]
        for place, why in looking:
            there = opened(iou(box, place.box[None])[:, 0] >= _THERE, least)
            if there.any() and not there.all() and id(tracks[i]) not in out:
                out[id(tracks[i])] = (there, why)
    return out


def opened(on: np.ndarray, least: int) -> np.ndarray:
    """(n,) bool, less the runs of true that are shorter than `least`.

    >>> opened(np.array([1, 0, 1, 1, 1], bool), 2).astype(int).tolist()
    [0, 0, 1, 1, 1]
    """
    out = np.zeros(len(on), bool)
    for start, stop in runs(on):
        out[start:stop] = stop - start >= least
    return out


def _told(tracks: Sequence[Track], places: list[Place], beside: Mapping[int, _Beside | None]) -> tuple[LeftOut, ...]:
    """The tracks of these places, and why in words."""
    return tuple(
        LeftOut(track=tracks[i], why=why)
        for place, why in zip(places, _told_once(places, beside), strict=True)
        for i in sorted((*place.own, *place.parts))
    )


def _told_once(places: list[Place], beside: Mapping[int, _Beside | None]) -> list[str]:
    """Why, in words, place by place."""
    out = []
    for place in places:
        near = beside[id(place)]
        assert near is not None
        moved = "hardly seen" if place.moved is None else f"moved {place.moved:.2f} of their height"
        why = f"onlooker: {moved} in {place.seconds:.1f} s, {near.away:.1f} heights from the nearest performer"
        out.append(f"{why}, {near.size:.2f} as tall in the picture")
    return out

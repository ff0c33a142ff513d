"""Tracks -> the people of a clip: how many there are, which tracks are whose, and who is left out and why.

Three steps, each an exact assignment over the whole clip. The sure pieces (anchors) are covered by chains at least
cost, which also says how many people there are. Then people have looks, and anchors go to people once more with
these. What was seen for a moment inside contacts goes to whoever is bound to be there. Last, with all of it at hand,
every exchange of two people is weighed (`bind_weigh`): that settles who is who, and says how surely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.records import Poses
from tasks.ops.bind_assign import NOBODY, Problem, assign
from tasks.ops.bind_cost import Costs, Network, network_of, part_of
from tasks.ops.bind_paths import off_path, path_of
from tasks.ops.bind_points import carried
from tasks.ops.bind_weigh import anchored, likeness_of, weighed
from tasks.ops.colour_looks import ColourLooks
from tasks.ops.doubles import doubles
from tasks.ops.embraces import held_boxes
from tasks.ops.facing import by_facing
from tasks.ops.point_tracks import PointTracks
from tasks.ops.tracks import Track

_ANCHOR_S = 0.2  # of clear sight, from which a track counts as a sure piece
_CLEAR = 0.5  # share of a box that is free: from there on it is fully clear
BESIDE = 0.35  # share of both boxes that is free: two such boxes are two people


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Who counts as one of the clip's people."""

    people: int | None = None  # exactly so many; None: as many as the evidence asks for
    min_height: float = 0.35  # of the main people's height: smaller ones are audience
    min_presence: float = 0.15  # share of the clip's frames in which a person is found: below, a passer-by


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What is known of the clip."""

    frames: int
    fps: float
    size: tuple[int, int]  # (h, w)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watched:
    """What the clip's own pictures show beside boxes, poses and masks."""

    points: PointTracks | None = None  # on people's bodies, followed from frame to frame
    colours: ColourLooks | None = None  # of what they wear


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Person:
    """One identity: its tracks in time, and 0..1 how sure each step from one to the next is."""

    tracks: tuple[Track, ...]
    sure: tuple[float, ...]  # one less than tracks
    held: tuple[np.ndarray, np.ndarray]  # frames (n,) and steadied boxes (n, 4) in one box with someone else


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeftOut:
    """A track that is nobody's."""

    track: Track
    why: str


def choose(
    tracks: list[Track], poses: Poses, shot: Shot, limits: Limits, costs: Costs, watched: Watched | None = None
) -> tuple[list[Person], list[LeftOut]]:
    """The clip's people, from left to right where they are first seen, and the tracks left out."""
    large, left_out = without_small(tracks, limits)
    if not large:
        return [], left_out
    watched = watched or Watched()
    double = doubles(large, shot.fps)
    anchors = np.flatnonzero([is_anchor(track, shot.fps) for track in large] & ~double)
    if not len(anchors):
        anchors = np.arange(len(large))
    clear = np.isin(np.arange(len(large)), anchors)
    told = by_facing(large, clear, poses, shot.fps, costs.facing)
    if watched.points is not None:
        told += carried(large, watched.points, shot.fps, costs.points)
    network = network_of(large, shot.frames, shot.fps, shot.size, costs, clear, told)
    alike = likeness_of(large, clear, shot.size, costs, watched.colours)
    least = seen_at_once(large, shot, limits.min_presence)
    part, looks = part_of(network, anchors), alike[np.ix_(anchors, anchors)]
    chains = anchored(part, looks, person=costs.person, people=limits.people, least=least)
    people, passing = _staying(large, [anchors[chain].tolist() for chain in chains], shot, limits, least)
    left_out += [LeftOut(track=large[i], why="a passer-by: too short in the picture") for i in sorted(passing)]
    fixed = passing | set(np.flatnonzero(double).tolist())
    owner = _with_fragments(large, people, set(anchors.tolist()), fixed, network, shot)
    rest = [track for i, track in enumerate(large) if owner[i] == NOBODY and i not in passing and not double[i]]
    left_out += [LeftOut(track=track, why="nobody's: a ghost, a part of someone or too short") for track in rest]
    embraces = [track for track, holds_two in zip(large, double, strict=True) if holds_two]
    whole = [np.flatnonzero(owner == k).tolist() for k in range(len(people))]
    chains, certain = weighed(whole, large, network, alike, clear, shot.fps)
    opened = sorted({i for chain in whole for i in chain} - {i for chain in chains for i in chain})
    left_out += [LeftOut(track=large[i], why="left open: brief, and as likely another's") for i in opened]
    out = [
        _person([large[i] for i in chain], sure, embraces, shot.fps)
        for chain, sure in zip(chains, certain, strict=True)
    ]
    out.sort(key=lambda person: (float(person.tracks[0].box[0, [0, 2]].mean()), person.tracks[0].start))
    return out, left_out


def is_anchor(track: Track, fps: float) -> bool:
    """Whether a track was seen clearly for long enough to know who it is."""
    clear = np.minimum(track.apart / _CLEAR, 1) * (track.apart > 0.15)
    return bool(clear.sum() >= max(_ANCHOR_S * fps, 3))


def _staying(
    tracks: list[Track], chains: list[list[int]], shot: Shot, limits: Limits, least: int
) -> tuple[list[list[int]], set[int]]:
    """Chains of people who stay long enough, and the tracks of those who only pass by.

    As many stay at least as are seen at once for long enough: in a close contact each alone may have few sure pieces.
    """
    presence = [sum(len(tracks[i].frame) for i in chain) / shot.frames for chain in chains]
    longest = sorted(range(len(chains)), key=lambda k: -presence[k])
    stay = [
        k for rank, k in enumerate(longest)
        if limits.people is not None or rank < least or presence[k] >= limits.min_presence
    ]  # fmt: skip
    return [chains[k] for k in sorted(stay)], {i for k in longest if k not in stay for i in chains[k]}


def seen_at_once(tracks: list[Track], shot: Shot, presence: float) -> int:
    """How many people there are at least: so many are seen at once, apart from each other, in that share of frames."""
    count = np.zeros(shot.frames, np.int64)
    for track in tracks:
        clear = track.frame[track.apart >= BESIDE]
        count[clear] += 1
    most = int(count.max(initial=0))
    return max((n for n in range(1, most + 1) if (count >= n).mean() >= presence), default=0)


def _with_fragments(
    tracks: list[Track], people: list[list[int]], anchors: set[int], passing: set[int], network: Network, shot: Shot
) -> np.ndarray:
    """(N,) the person of each track: the anchors' as they are, and of the rest what fits between them."""
    num = len(tracks)
    own = np.full((len(people), num), np.inf)
    nobody = network.nobody.copy()
    for k, chain in enumerate(people):
        own[k, chain] = 0.0
        nobody[chain] = np.inf
    if not people:
        return np.full(num, NOBODY)
    paths = [path_of([tracks[j] for j in chain]) for chain in people]
    for i in range(num):
        if i not in anchors and i not in passing:
            own[:, i] = [off_path(tracks[i], path, shot.fps) for path in paths]
    owner, _ = assign(Problem(own=own, nobody=nobody, link=network.link, start=network.start, end=network.end))
    return owner


def _person(tracks: list[Track], sure: list[float], embraces: list[Track], fps: float) -> Person:
    return Person(tracks=tuple(tracks), sure=tuple(sure), held=held_boxes(tracks, embraces, fps))


def without_small(tracks: list[Track], limits: Limits) -> tuple[list[Track], list[LeftOut]]:
    """Tracks of about the main people's size. The main height is that which a tenth of all found boxes reach."""
    if not tracks:
        return [], []
    height = np.concatenate([track.box[:, 3] - track.box[:, 1] for track in tracks])
    least = limits.min_height * float(np.percentile(height, 90))
    large = [track for track in tracks if track.height >= least]
    small = [track for track in tracks if track.height < least]
    return large, [LeftOut(track=track, why="audience: small beside the main people") for track in small]

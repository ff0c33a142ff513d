"""Tracks -> the people of a clip: how many there are, which tracks are whose, and who is left out and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.records import Poses
from tasks.ops.bind_cost import Costs, end_cost, evidence_of, link_cost, nobody_cost, start_cost
from tasks.ops.bind_solve import certainty, cover
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.tracks import Track


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
class Person:
    """One identity: its tracks in time, and 0..1 how sure each step from one to the next is."""

    tracks: tuple[Track, ...]
    sure: tuple[float, ...]  # one less than tracks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeftOut:
    """A track that is nobody's."""

    track: Track
    why: str


def choose(
    tracks: list[Track], shot: Shot, poses: Poses, crops: MaskCrops, limits: Limits, costs: Costs
) -> tuple[list[Person], list[LeftOut]]:
    """The clip's people, from left to right where they are first seen, and the tracks left out.

    The number of people is part of the one exact assignment: a person more costs `Costs.person` and must explain
    tracks that cost more as nobody's.
    """
    large, left_out = _without_small(tracks, limits)
    if not large:
        return [], left_out
    evidence = [evidence_of(track, poses) for track in large]
    link = np.full((len(large), len(large)), np.inf)
    for i, a in enumerate(evidence):
        for j, b in enumerate(evidence):
            if b.track.start >= a.track.stop:
                link[i, j] = link_cost(a, b, fps=shot.fps, poses=poses, crops=crops, costs=costs)
    best = cover(
        link,
        np.array([start_cost(track, shot.size, costs) for track in large]),
        np.array([end_cost(track, shot.frames, shot.size, costs) for track in large]),
        np.array([nobody_cost(track, shot.fps, costs) for track in large]),
        person=costs.person,
        people=limits.people,
    )
    people = []
    for chain, margins in zip(best.chains, best.margins, strict=True):
        own = tuple(large[i] for i in chain)
        presence = sum(len(track.frame) for track in own) / shot.frames
        if limits.people is None and presence < limits.min_presence:
            left_out += [LeftOut(track=track, why="a passer-by: too short in the picture") for track in own]
        else:
            people.append(Person(tracks=own, sure=tuple(certainty(margin) for margin in margins)))
    used = {i for chain in best.chains for i in chain}
    rest = [track for i, track in enumerate(large) if i not in used]
    left_out += [LeftOut(track=track, why="nobody's: a ghost, a part of someone or too short") for track in rest]
    people.sort(key=lambda person: (float(person.tracks[0].box[0, [0, 2]].mean()), person.tracks[0].start))
    return people, left_out


def _without_small(tracks: list[Track], limits: Limits) -> tuple[list[Track], list[LeftOut]]:
    """Tracks of about the main people's size. The main height is that which a tenth of all found boxes reach."""
    if not tracks:
        return [], []
    height = np.concatenate([track.box[:, 3] - track.box[:, 1] for track in tracks])
    least = limits.min_height * float(np.percentile(height, 90))
    large = [track for track in tracks if track.height >= least]
    small = [track for track in tracks if track.height < least]
    return large, [LeftOut(track=track, why="audience: small beside the main people") for track in small]

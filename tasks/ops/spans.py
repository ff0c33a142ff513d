"""People's tracks -> one row a frame: what was found when, what lies between, and who is in the shot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.ops.bind_cost import at_edge
from tasks.ops.camera_motion import unsteadied
from tasks.ops.cast import Person, Shot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gap:
    """Frames in which a person was not found."""

    person: int
    start: int
    stop: int  # one past the last
    filled: bool  # short enough to be interpolated
    away: bool  # the person left through the frame's edge, and is not in the shot
    sure: float  # that the same person comes back


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spans:
    """Each person's frames. P people, T frames."""

    row: np.ndarray  # (P, T) int    rows of Tracklets and Poses; -1: not found
    segment: np.ndarray  # (P, T) int    rows of Segments; -1: none
    box: np.ndarray  # (P, T, 4)     found, interpolated between, held before the first and after the last
    present: np.ndarray  # (P, T) bool
    sure: np.ndarray  # (P, T) 0..1
    gaps: tuple[Gap, ...]


def spans_of(people: list[Person], shot: Shot, to_first: np.ndarray, *, fill_s: float, doubt_s: float) -> Spans:
    """Lay each person's tracks on the clip's frames.

    Gaps up to `fill_s` count as filled. A step from track to track that is unsure makes the frames `doubt_s` before
    and after it unsure, and all frames between. Boxes are interpolated against the background, whatever the camera
    does: to_first (T, 2, 3), as `camera_motion` has it.
    """
    num, frames = len(people), shot.frames
    row, segment = np.full((num, frames), -1, np.int64), np.full((num, frames), -1, np.int64)
    box, present, sure = np.zeros((num, frames, 4)), np.zeros((num, frames), bool), np.zeros((num, frames))
    gaps: list[Gap] = []
    for p, person in enumerate(people):
        found = np.concatenate([track.frame for track in person.tracks])
        row[p, found] = np.concatenate([track.row for track in person.tracks])
        segment[p, found] = np.concatenate([track.segment for track in person.tracks])
        knots = np.concatenate([found, person.held[0]])
        order = np.argsort(knots, kind="stable")
        steady = np.concatenate([*(track.steady for track in person.tracks), person.held[1]])[order]
        between = np.stack([np.interp(np.arange(frames), knots[order], steady[:, k]) for k in range(4)], 1)
        box[p] = unsteadied(between, np.arange(frames), to_first)
        box[p, found] = np.concatenate([track.box for track in person.tracks])
        present[p, knots.min() : knots.max() + 1] = True
        sure[p, knots.min() : knots.max() + 1] = 1.0
        reach = round(doubt_s * shot.fps)
        for a, b, certain in zip(person.tracks[:-1], person.tracks[1:], person.sure, strict=True):
            doubted = slice(max(a.stop - reach, 0), b.start + reach)
            sure[p, doubted] = np.minimum(sure[p, doubted], certain)
        own = _gaps_of(p, found, person, shot, fill_s)
        for gap in own:
            present[p, gap.start : gap.stop] = not gap.away
        gaps += own
    return Spans(row=row, segment=segment, box=box, present=present, sure=sure * present, gaps=tuple(gaps))


def _gaps_of(p: int, found: np.ndarray, person: Person, shot: Shot, fill_s: float) -> list[Gap]:
    """Gaps between and within a person's tracks. Who goes and comes at the edge was away; else they are still in
    the shot."""
    certain = {track.stop: sure for track, sure in zip(person.tracks[:-1], person.sure, strict=True)}
    box = {int(t): b for track in person.tracks for t, b in zip(track.frame, track.box, strict=True)}
    gaps = []
    for i in np.flatnonzero(np.diff(found) > 1):
        start, stop = int(found[i]) + 1, int(found[i + 1])
        filled = (stop - start) <= fill_s * shot.fps
        left = at_edge(box[start - 1], shot.size) and at_edge(box[stop], shot.size)
        gaps.append(
            Gap(person=p, start=start, stop=stop, filled=filled, away=left and not filled, sure=certain.get(start, 1.0))
        )
    return gaps

"""How unlikely it is, in nats, that one track is followed by another, starts, ends, or is nobody's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tasks.ops.bind_motion import (
    End,
    MotionScales,
    continuation,
    first_end,
    last_end,
    overlap,
    overlap_weight,
    pieces_weight,
    size_change,
    stacked,
    unsteadiness,
)
from tasks.ops.bind_points import PointScales
from tasks.ops.colour_looks import ColourScales
from tasks.ops.facing import FacingScales
from tasks.ops.look_model import LookPrior
from tasks.ops.tracks import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The scales of the evidence, in nats."""

    motion: MotionScales = field(default_factory=MotionScales)
    look: LookPrior = field(default_factory=LookPrior)
    colours: ColourScales = field(default_factory=ColourScales)
    points: PointScales = field(default_factory=PointScales)
    facing: FacingScales = field(default_factory=FacingScales)
    window_s: float = 20.0  # nobody is looked for longer than this: it bounds the work on long clips
    unseen: float = 0.5  # each second unseen
    enter_edge: float = 1.0  # coming or going through the frame's edge
    enter_middle: float = 4.0  # or in the middle of the picture
    person: float = 6.0  # one more person in the clip
    nobody: float = 1.0  # a track that is nobody's, whatever its length
    nobody_s: float = 24.0  # and for each second of it, times the detector's score, when it stands apart
    nobody_part: float = 0.3  # share of that for boxes that lie wholly within another's


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """N tracks by first frame and what each step between them costs; infinite where there is none."""

    first: np.ndarray  # (N,) first frame
    stop: np.ndarray  # (N,) one past the last
    link: np.ndarray  # (N, N) the second being the same person as the first, next seen
    start: np.ndarray  # (N,) someone's first sight
    end: np.ndarray  # (N,) someone's last sight
    nobody: np.ndarray  # (N,) a ghost, a part of another, a reflection


def network_of(
    tracks: Sequence[Track],
    frames: int,
    fps: float,
    size: tuple[int, int],
    costs: Costs,
    clear: np.ndarray | None = None,
    told: np.ndarray | None = None,
) -> Network:
    """All costs of a clip but looks, which are a matter of whole people and not of single steps.

    clear (N,) bool: tracks that were seen clearly; of the steps between two such motion counts less where little time
    lies between (MotionScales.pieces). told (N, N): nats for one track to be followed by another that something else
    than the boxes gives: points on the bodies (`bind_points`), the way a head is turned (`facing`).
    """
    costs = replace(costs, motion=replace(costs.motion, unsteady=unsteadiness(tracks)))
    first, last = [first_end(track, fps) for track in tracks], [last_end(track, fps) for track in tracks]
    link = np.full((len(tracks), len(tracks)), np.inf)
    starts = np.array([track.start for track in tracks])
    for i, track in enumerate(tracks):
        near = np.flatnonzero((starts >= track.stop) & (starts <= track.stop + costs.window_s * fps))
        if len(near):
            wait_s = (starts[near] - track.stop + 1) / fps
            link[i, near] = link_cost(last[i], stacked([first[j] for j in near]), wait_s, size, costs)
            if clear is not None and clear[i]:
                counts = pieces_weight((starts[near] - track.stop) / fps, costs.motion)
                link[i, near] *= np.where(clear[near], counts, 1.0)
    if told is not None:
        link -= told
    return Network(
        first=starts,
        stop=np.array([track.stop for track in tracks]),
        link=link,
        start=np.array([_border(track.start == 0, track.box[0], size, costs) for track in tracks]),
        end=np.array([_border(track.stop == frames, track.box[-1], size, costs) for track in tracks]),
        nobody=np.array([nobody_cost(track, fps, costs) for track in tracks]),
    )


def part_of(network: Network, which: np.ndarray) -> Network:
    """The costs of some of the tracks, by their ascending numbers."""
    return Network(
        first=network.first[which], stop=network.stop[which], link=network.link[np.ix_(which, which)],
        start=network.start[which], end=network.end[which], nobody=network.nobody[which],
    )  # fmt: skip


def link_cost(a: End, b: End, wait_s: np.ndarray, size: tuple[int, int], costs: Costs) -> np.ndarray:
    """Nats against tracks that begin as b (stacked) being the same person as one that ends as a, `wait_s` before."""
    area = float(size[0] * size[1])
    motion = continuation(a, b, wait_s, area, costs.motion) + size_change(a, b, wait_s, costs.motion)
    once = 1 - costs.motion.told_twice * overlap_weight(wait_s, costs.motion)
    return motion * once + overlap(a, b, wait_s, costs.motion) + costs.unseen * wait_s


def nobody_cost(track: Track, fps: float, costs: Costs) -> float:
    """Nats against a track being nobody's: a ghost, a part of another, a reflection."""
    share = costs.nobody_part + (1 - costs.nobody_part) * track.apart
    return costs.nobody + costs.nobody_s * float((track.score * share).sum()) / fps


def at_edge(box: np.ndarray, size: tuple[int, int], share: float = 0.02) -> bool:
    """Whether a box touches the left, right or lower edge of the frame, through which people come and go."""
    h, w = size
    return bool(box[0] <= share * w or box[2] >= (1 - share) * w or box[3] >= (1 - share) * h)


def _border(at_clip_end: bool, box: np.ndarray, size: tuple[int, int], costs: Costs) -> float:
    if at_clip_end:
        return 0.0
    return costs.enter_edge if at_edge(box, size) else costs.enter_middle

"""Motions -> Scenes: who dances with whom, where they stand, which pieces of time, which cameras. Pure planning."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np

from datasets.records import Motion
from tasks.ops import retime
from tasks.ops.scene import CameraSpec, Gender, Look, PerformerSpec, Scene, scene_to_json

Looks = Literal["dressed", "plain", "robot", "human_robot"]
_PATH_FPS = 10.0  # of the paths on the floor that placing looks at
_NEAREST_M = 0.55  # pelvis to pelvis: closer and bodies stand in each other
_TRIES = 24
_AND = " + "  # between the names of a duet's motions


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the composer may choose from; see tasks.motion.Config."""

    seed: int
    partners: int  # partners drawn for each single motion
    cameras: int
    min_s: float
    max_s: float
    looks: Looks
    match: bool  # look-alikes: equal bodies and clothes


def length_s(motion: Motion) -> float:
    """Seconds from a motion's first frame to its last."""
    return (motion.pose.shape[1] - 1) / float(motion.fps)


def partners(digests: Sequence[str], seed: int, count: int) -> list[tuple[int, int]]:
    """Pairs of motions, each motion with the `count` others that hash highest with it, as sorted index pairs.

    Rendezvous hashing (Thaler and Ravishankar 1998): a new motion takes a partner's place only where it hashes higher,
    so of n motions' pairs about one in n changes. A motion alone dances with itself.
    """
    if len(digests) == 1:
        return [(0, 0)]
    pairs: set[tuple[int, int]] = set()
    for i, one in enumerate(digests):
        others = [j for j in range(len(digests)) if j != i]
        others.sort(key=lambda j: (_hash(seed, *sorted((one, digests[j]))), digests[j]), reverse=True)
        pairs |= {_pair(digests, i, j) for j in others[:count]}
    return in_order(pairs)


def still(names: Sequence[str], digests: Sequence[str], duets: Iterable[str]) -> list[tuple[int, int]]:
    """The duets, each named "a + b" (or "a", danced with itself), whose motions are all among `names`, as index pairs.

    >>> still(["a", "b", "c + d"], ["2", "1", "3"], ["a + b", "c + d + a", "b + gone", "c + d"])
    [(1, 0), (0, 2), (2, 2)]
    """
    at = {name: i for i, name in enumerate(names)}
    found: set[tuple[int, int]] = set()
    for duet in duets:
        words = duet.split(_AND)
        # A name may hold the sign between names: every way to read it that gives two names there are.
        halves = [(_AND.join(words[:i]), _AND.join(words[i:])) for i in range(1, len(words))]
        found |= {_pair(digests, at[a], at[b]) for a, b in [*halves, (duet, duet)] if a in at and b in at}
    return in_order(found)


def in_order(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs in the order in which they are composed."""
    return sorted(pairs, key=lambda pair: (min(pair), max(pair)))


def _pair(digests: Sequence[str], i: int, j: int) -> tuple[int, int]:
    """Two motions in an order that follows the files' contents, not where they stand in the run."""
    return (i, j) if (digests[i], i) < (digests[j], j) else (j, i)


def pieces(total_s: float, min_s: float, max_s: float) -> list[tuple[float, float]]:
    """(start_s, duration_s) of the equal pieces, of max_s or less, that a motion is cut into; min_s of one too short.

    >>> pieces(25.0, 2.0, 10.0)
    [(0.0, 8.333), (8.333, 8.333), (16.667, 8.333)]
    >>> pieces(1.2, 2.0, 10.0)
    [(0.0, 2.0)]
    """
    count = max(1, math.ceil(total_s / max_s - 1e-9))
    step = math.floor(1000 * max(total_s / count, min_s)) / 1000
    return [(round(i * total_s / count, 3), step) for i in range(count)]


def compose_pair(first: Motion, second: Motion, plan: Plan, *, name: str) -> list[Scene]:
    """The scenes of two single motions: they stand near each other and face, pass or flank one another."""
    seed = _hash(plan.seed, first.sha256, second.sha256)
    total = min(max(length_s(first), plan.min_s), max(length_s(second), plan.min_s))
    out = []
    for index, (start, duration) in enumerate(pieces(total, plan.min_s, plan.max_s)):
        rng = np.random.default_rng((seed, index))
        # A motion danced with itself begins a third later for the partner: a canon.
        later = length_s(second) / 3 if first.sha256 == second.sha256 else 0.0
        pair = [
            PerformerSpec(motion=first.source, start_s=_within(start, first)),
            PerformerSpec(motion=second.source, start_s=_within(start + later, second)),
        ]
        places = _places(rng, [first, second], [spec.start_s for spec in pair], duration)
        pair = [replace(spec, position=at, heading_deg=turn) for spec, (at, turn) in zip(pair, places, strict=True)]
        out.append(_scene(name, index, _dressed(pair, first.gender[0], rng, plan), duration, seed, plan, rng))
    return out


def compose_alone(motion: Motion, plan: Plan, *, name: str) -> list[Scene]:
    """The scenes of one motion, alone: a single person, or several as the file places them.

    Raises ValueError for several people of less than min_s: repeating them would pull them apart.
    """
    people, total = motion.pose.shape[0], length_s(motion)
    if people > 1 and total < plan.min_s:
        raise ValueError(f"want at least min_s = {plan.min_s:g} s of motion of {people} people, got {total:.2f} s")
    seed = _hash(plan.seed, motion.sha256)
    out = []
    for index, (start, duration) in enumerate(pieces(max(total, plan.min_s), plan.min_s, plan.max_s)):
        rng = np.random.default_rng((seed, index))
        group = [PerformerSpec(motion=motion.source, person=i, start_s=start) for i in range(people)]
        if people == 1:
            group = [replace(group[0], position=(0.0, 0.0), heading_deg=0.0)]
        out.append(_scene(name, index, _dressed(group, motion.gender[0], rng, plan), duration, seed, plan, rng))
    return out


def scene_digest(scene: Scene, digests: Sequence[str]) -> str:
    """sha256 over a scene's motions and the scene without its cameras: equal for all clips of one performance."""
    text = "\n".join([*sorted(digests), scene_to_json(replace(scene, cameras=()))])
    return hashlib.sha256(text.encode()).hexdigest()


def _places(
    rng: np.random.Generator, motions: Sequence[Motion], starts: Sequence[float], duration: float
) -> list[tuple[tuple[float, float], float]]:
    """Start and heading of two performers: of some drawn placings, the one that brings them nearest without a clash."""
    paths = [_path(motion, start, duration) for motion, start in zip(motions, starts, strict=True)]
    best: tuple[float, list[tuple[tuple[float, float], float]]] | None = None
    for _ in range(_TRIES):
        apart, bearing = rng.uniform(0.9, 2.4), rng.uniform(0, 360)
        style = rng.integers(3)
        facing = (bearing, bearing + 180) if style == 0 else (bearing + 90, bearing + (90 if style == 1 else -90))
        direction = np.array([np.sin(np.deg2rad(bearing)), np.cos(np.deg2rad(bearing))])
        places = []
        for side, turn in zip((-1, 1), facing, strict=True):
            at, jitter = direction * side * apart / 2, rng.uniform(-35, 35)
            places.append(((round(float(at[0]), 3), round(float(at[1]), 3)), round(float((turn + jitter) % 360), 1)))
        tracks = [_turned(path, *place) for path, place in zip(paths, places, strict=True)]
        nearest = float(np.linalg.norm(tracks[0] - tracks[1], axis=1).min())
        # Clashes cost most; then, being together is what a duet is for.
        cost = 10 * max(0.0, _NEAREST_M - nearest) + max(0.0, nearest - _NEAREST_M)
        if best is None or cost < best[0]:
            best = (cost, places)
    assert best is not None
    return best[1]


def _path(motion: Motion, start: float, duration: float) -> np.ndarray:
    """The pelvis on the floor from a start facing +Z at the origin, (N, 2) x, z, as often as it repeats."""
    rate, first = float(motion.fps), round(start * float(motion.fps))
    root, trans = motion.pose[0, first:, :1].astype(np.float64), motion.trans[0, first:].astype(np.float64)
    root, trans = retime.repeat(root, trans, math.ceil(duration * rate) + 1, blend=round(0.4 * rate))
    _, trans = retime.place(root, trans, np.zeros(3), (0.0, 0.0), 0.0)
    return trans[:: max(1, round(rate / _PATH_FPS)), [0, 2]]


def _turned(path: np.ndarray, at: tuple[float, float], heading_deg: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(heading_deg)), np.sin(np.deg2rad(heading_deg))
    return path @ np.array([[c, -s], [s, c]]) + at


def _within(start: float, motion: Motion) -> float:
    """A start inside a motion that may be shorter: as far into it as whole repeats leave over."""
    total = length_s(motion)
    return round(start % total, 3) if start >= total else round(start, 3)


def _dressed(
    performers: Sequence[PerformerSpec], gender: str, rng: np.random.Generator, plan: Plan
) -> tuple[PerformerSpec, ...]:
    """Looks, bodies and clothes from the seed; look-alikes share all, the first one's gender too."""
    shapes, clothes = rng.integers(2**31, size=len(performers)), rng.integers(2**31, size=len(performers))
    out = []
    for i, spec in enumerate(performers):
        look: Look = "dressed" if plan.looks == "human_robot" else plan.looks
        if plan.looks == "human_robot" and i % 2:
            look = "robot"
        which = 0 if plan.match else i
        spec = replace(spec, look=look, shape_seed=int(shapes[which]), clothes_seed=int(clothes[which]))
        out.append(replace(spec, gender=cast("Gender", gender)) if plan.match else spec)
    return tuple(out)


def _scene(
    name: str,
    index: int,
    performers: tuple[PerformerSpec, ...],
    duration: float,
    seed: int,
    plan: Plan,
    rng: np.random.Generator,
) -> Scene:
    kinds = itertools.cycle(rng.permutation(["static", "pan", "orbit"]).tolist())
    cameras = tuple(
        CameraSpec(
            kind=next(kinds), seed=int(rng.integers(2**31)), fov_deg=round(float(rng.uniform(32, 55)), 1),
            azimuth_deg=round(float(rng.uniform(0, 360)), 1),
        )
        for _ in range(plan.cameras)
    )  # fmt: skip
    return Scene(name=name, performers=performers, cameras=cameras, seed=(seed + index) % 2**31, duration_s=duration)


def _hash(seed: int, *texts: str) -> int:
    digest = hashlib.sha256("\n".join([str(seed), *texts]).encode()).digest()
    return int.from_bytes(digest[:6], "big")

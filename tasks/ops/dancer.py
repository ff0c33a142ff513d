"""What one person of a group does -> SMPL-H joint angles: a walk, and on top of it crouches, lifts and holds.

The stage's frame: metres, x to the right and z towards the camera that stands in front, arrays over T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from tasks.ops.arms import bend_arm
from tasks.ops.choreography import FPS, amass_arrays, draw_betas
from tasks.ops.gait import Walk, walk

UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hand that is somewhere for a while."""

    side: int  # 0 left, 1 right
    on: int  # the person on whose body it lies
    wrist: np.ndarray  # (T, 3) place, on a body of middle height
    elbow: np.ndarray  # (T, 3) direction that the elbow is out in
    share: np.ndarray  # (T,) 0..1 how far the hand is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Dancer:
    """One person over T frames."""

    path: np.ndarray  # (T, 2) x, z
    to: np.ndarray  # (T, 2) what is faced while standing and looked at
    towards: float = 0.5  # metres a second of walking that count as much as what is faced
    reach: np.ndarray | None = None  # (T, 2) 0..1 how far the left and right arm are raised to the side
    drop: np.ndarray | None = None  # (T,) metres of a crouch
    rise: np.ndarray | None = None  # (T,) metres held off the floor
    holds: tuple[Hold, ...] = ()
    touches: frozenset[int] = field(default_factory=frozenset)  # whom it may come nearer to than a passer-by would

    @property
    def heading(self) -> np.ndarray:
        """Where the body faces, (T,): along the path, drawn towards what is faced, turned smoothly."""
        velocity = np.gradient(self.path, 1 / FPS, axis=0)
        away = self.to - self.path
        away = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
        facing = velocity + self.towards * away
        angle = np.unwrap(np.arctan2(facing[:, 0], facing[:, 1]))
        return ndimage.gaussian_filter1d(angle, 0.16 * FPS, mode="nearest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Danced:
    """A dancer's walk, before the hands are where they hold."""

    dancer: Dancer
    pose: np.ndarray  # (T, 52, 3)
    pelvis: np.ndarray  # (T, 3)
    betas: np.ndarray  # (16,)

    def arrays(self, gender: str, stature: float, statures: Sequence[float]) -> dict[str, np.ndarray]:
        """The arrays of an AMASS file: Z up, 60 frames a second, SMPL-H.

        Statures, this one's and everybody's, are heights over the middle height: a small person's shoulder is reached
        for lower by a tall one.
        """
        pose = self.pose.copy()
        for hold in self.dancer.holds:
            wrist = hold.wrist * [1, statures[hold.on] / stature, 1]
            bend_arm(pose, self.pelvis, hold.side, wrist, hold.elbow, hold.share)
        return amass_arrays(pose, self.pelvis, gender, self.betas)


def dance(dancer: Dancer, rng: np.random.Generator) -> Danced:
    """A dancer's walk; steps, energy and betas are the rng's."""
    frames = len(dancer.path)
    away = dancer.to - dancer.path
    moves = Walk(
        fps=FPS, path=dancer.path, heading=dancer.heading, gaze=np.unwrap(np.arctan2(away[:, 0], away[:, 1])),
        reach=np.zeros((frames, 2)) if dancer.reach is None else dancer.reach, phase=float(rng.uniform(0, 2)),
        energy=float(rng.uniform(0.8, 1.25)), drop=dancer.drop, rise=dancer.rise,
    )  # fmt: skip
    pose, pelvis = walk(moves)
    return Danced(dancer=dancer, pose=pose, pelvis=pelvis, betas=draw_betas(rng))


def along(time: np.ndarray, keys: Sequence[float], points: Sequence[Sequence[float]]) -> np.ndarray:
    """A smooth path (T, 2) through points at times, without overshoot."""
    path = PchipInterpolator(keys, np.asarray(points, float))(np.clip(time, keys[0], keys[-1]))
    return ndimage.gaussian_filter1d(path, 0.12 * FPS, axis=0, mode="nearest")


def steadily(time: np.ndarray, start: float, stop: float) -> np.ndarray:
    """From 0 before start to 1 after stop at an even pace, eased at both ends, (T,)."""
    return ndimage.gaussian_filter1d(np.clip((time - start) / (stop - start), 0, 1), 0.2 * FPS, mode="nearest")


def during(time: np.ndarray, start: float, stop: float, ramp: float = 0.35) -> np.ndarray:
    """0 before start, 1 from start + ramp to stop - ramp, 0 after stop, (T,), smooth."""
    share = np.clip(np.minimum(time - start, stop - time) / ramp, 0, 1)
    return share * share * (3 - 2 * share)


def beside(at: np.ndarray, heading: np.ndarray, *, ahead: float, left: float, height: float | np.ndarray) -> np.ndarray:
    """Places (T, 3) so far ahead, to the left and above the floor of somebody at (T, 2) who faces headings (T,)."""
    front = np.stack([np.sin(heading), np.cos(heading)], axis=1)
    side = np.stack([np.cos(heading), -np.sin(heading)], axis=1)
    flat = at + ahead * front + left * side
    return np.stack([flat[:, 0], np.full(len(at), height), flat[:, 1]], axis=1)

"""Seed -> a duet in the AMASS layout: two people approach, cross, turn about each other, and part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from tasks.ops.gait import Walk, walk
from tasks.ops.rotation import rotate_root
from tasks.ops.scene import CameraKind, CameraSpec, Look, PerformerSpec, Scene

FPS = 60.0
_PELVIS = np.array([-0.0018, -0.2233, 0.0282])  # of SMPL-H at rest, which AMASS's trans is counted from
_Y_TO_Z = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """How two people move about their middle: times in seconds, distance in metres, turns of the line between them."""

    time_s: tuple[float, ...]
    apart_m: tuple[float, ...]
    turns: tuple[float, ...]
    towards: float  # 0: they face where they walk; large: they face each other and step sideways
    reach_s: tuple[float, float]  # when the arms on the partner's side are raised


FIGURES: dict[str, Figure] = {
    "allemande": Figure(
        time_s=(0.0, 1.3, 2.1, 2.8, 4.6, 5.1, 6.0), apart_m=(3.0, 1.15, 0.85, 0.95, 0.95, 1.25, 2.9),
        turns=(0.0, 0.06, 0.42, 0.62, 1.32, 1.46, 1.5), towards=0.45, reach_s=(2.6, 4.7),
    ),
    "mirror": Figure(
        time_s=(0.0, 1.3, 2.1, 2.9, 4.6, 5.1, 6.0), apart_m=(2.7, 1.2, 0.9, 1.0, 1.0, 1.25, 2.7),
        turns=(0.0, 0.05, 0.4, 0.6, 1.15, 1.28, 1.32), towards=2.2, reach_s=(2.3, 4.8),
    ),
    "pass": Figure(
        time_s=(0.0, 1.2, 2.0, 2.7, 4.0, 4.6, 5.7), apart_m=(2.9, 1.2, 0.8, 1.0, 0.95, 1.15, 2.9),
        turns=(0.0, 0.05, 0.45, 0.58, 1.0, 1.12, 1.15), towards=0.2, reach_s=(2.5, 3.9),
    ),
}  # fmt: skip


def duet(
    figure: Figure, seed: int, genders: tuple[str, str] = ("female", "male")
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Both dancers of a figure as the arrays of AMASS files: Z up, 60 frames a second, SMPL-H.

    The seed varies tempo, distance, direction of turning, steps and arms.
    """
    rng = np.random.default_rng((seed, 0xDA))
    tempo, spread = rng.uniform(0.94, 1.08), rng.uniform(0.96, 1.08)
    hand, start = rng.choice([-1.0, 1.0]), rng.uniform(0, 2 * np.pi)
    time = np.arange(0, figure.time_s[-1] / tempo, 1 / FPS)
    apart = _smooth(PchipInterpolator(figure.time_s, figure.apart_m)(time * tempo)) * spread
    angle = start + hand * 2 * np.pi * _smooth(PchipInterpolator(figure.time_s, figure.turns)(time * tempo))
    arm = np.stack([np.sin(angle), np.cos(angle)], axis=1) * apart[:, None] / 2
    drift = rng.uniform(-0.12, 0.12, 2) * (time / time[-1])[:, None]
    # The pair's middle sways, so that neither dancer walks a perfect circle.
    drift = drift + 0.06 * np.stack([np.sin(1.7 * time + start), np.cos(1.3 * time)], axis=1)
    out = []
    for side in (1, -1):
        path = drift + side * arm
        to_partner = np.arctan2(*(-side * arm).T)
        reach = _reach(figure, time * tempo, path, to_partner)
        moves = Walk(
            fps=FPS, path=path, heading=_heading(path, to_partner, figure.towards), gaze=to_partner, reach=reach,
            phase=float(rng.uniform(0, 2)), energy=float(rng.uniform(0.85, 1.2)),
        )  # fmt: skip
        out.append(amass_arrays(*walk(moves), genders[side < 0], draw_betas(rng)))
    return out[0], out[1]


def demo(seed: int) -> list[tuple[str, Mapping[str, Mapping[str, np.ndarray]], Scene]]:
    """The demo: three duets, each (name, AMASS files by name, scene). Strangers, look-alikes, a human and a robot."""
    rng = np.random.default_rng((seed, 0xDE))
    out: list[tuple[str, Mapping[str, Mapping[str, np.ndarray]], Scene]] = []
    casts: tuple[tuple[str, str, tuple[Look, Look], tuple[str, str]], ...] = (
        ("strangers", "allemande", ("dressed", "dressed"), ("female", "male")),
        ("twins", "pass", ("dressed", "dressed"), ("female", "female")),
        ("robot", "mirror", ("dressed", "robot"), ("male", "neutral")),
    )
    cameras: tuple[tuple[CameraKind, ...], ...] = (("static", "orbit"), ("static",), ("pan",))
    for (name, figure, looks, genders), kinds in zip(casts, cameras, strict=True):
        dancers = duet(FIGURES[figure], int(rng.integers(2**31)), genders)
        files = {f"{name}_a.npz": dancers[0], f"{name}_b.npz": dancers[1]}
        alike = genders[0] == genders[1]
        shapes, clothes = rng.integers(2**31, size=2), rng.integers(2**31, size=2)
        performers = tuple(
            PerformerSpec(
                motion=file, look=look, shape_seed=int(shapes[0 if alike else i]),
                clothes_seed=int(clothes[0 if alike else i]),
            )
            for i, (file, look) in enumerate(zip(files, looks, strict=True))
        )  # fmt: skip
        views = tuple(
            CameraSpec(kind=kind, seed=int(rng.integers(2**31)), azimuth_deg=round(float(rng.uniform(0, 360)), 1))
            for kind in kinds
        )
        scene = Scene(name=f"demo-{name}", performers=performers, cameras=views, seed=int(rng.integers(2**31)))
        out.append((name, files, scene))
    return out


def _smooth(values: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter1d(values, 0.12 * FPS, axis=0, mode="nearest")


def _heading(path: np.ndarray, to_partner: np.ndarray, towards: float) -> np.ndarray:
    """Where the body faces: along the path, drawn towards the partner, turned smoothly."""
    velocity = np.gradient(path, 1 / FPS, axis=0)
    facing = velocity + towards * np.stack([np.sin(to_partner), np.cos(to_partner)], axis=1)
    angle = np.unwrap(np.arctan2(facing[:, 0], facing[:, 1]))
    return ndimage.gaussian_filter1d(angle, 0.2 * FPS, mode="nearest")


def _reach(figure: Figure, time: np.ndarray, path: np.ndarray, to_partner: np.ndarray) -> np.ndarray:
    """How far each arm is raised, (T, 2): the one on the partner's side, in the middle of the figure."""
    start, stop = figure.reach_s
    raised = 1 / (1 + np.exp(-9 * (time - start))) / (1 + np.exp(9 * (time - stop)))
    heading = _heading(path, to_partner, figure.towards)
    beside = np.sin(to_partner - heading)  # positive: the partner is on the left
    left = 1 / (1 + np.exp(-6 * beside))
    return raised[:, None] * np.stack([left, 1 - left], axis=1) * 0.95


def draw_betas(rng: np.random.Generator) -> np.ndarray:
    """Shape coefficients as a motion file may hold them, (16,)."""
    return np.round(rng.normal(0, 0.7, 16), 3)


def amass_arrays(pose: np.ndarray, pelvis: np.ndarray, gender: str, betas: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of an AMASS file from SMPL-H angles (T, 52, 3) and pelvis places (T, 3), Y up, and betas (16,)."""
    pose = pose.copy()
    pose[:, 0] = rotate_root(_Y_TO_Z, pose[:, 0])
    return {
        "poses": pose.reshape(len(pose), -1).astype(np.float64),
        "trans": pelvis @ _Y_TO_Z.T - _PELVIS,
        "betas": betas,
        "gender": np.array(gender),
        "mocap_framerate": np.array(FPS),
    }

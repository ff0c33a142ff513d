"""Seed -> Crossings: short performances in which people cross, touch, leave and come back, for the benchmark.

Another seed gives other people, clothes, cameras and timings. Crossing i of a seed is the same however many are asked
for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from datasets.plain import to_plain
from tasks.ops import contact_figures, crossing_figures
from tasks.ops.body_build import sample_betas
from tasks.ops.choreography import FPS
from tasks.ops.crossing_figures import EDGE_M, Figure
from tasks.ops.dancer import Dancer, dance
from tasks.ops.film import Film
from tasks.ops.scene import CameraKind, CameraSpec, PerformerSpec, Scene, scene_to_json

SECONDS = 4.0
# Nearer than this, pelvis to pelvis, two who only pass would walk through one another; who touch may come this near.
PASS_M, TOUCH_M = 0.55, 0.3
_DRAWS = 60
# How many can dance together.
PEOPLE = (2, 3, 4, 5)


PASSING: tuple[Figure, ...] = (
    crossing_figures.pass_behind, crossing_figures.swap_places, crossing_figures.turn_about
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is asked of a crossing beside its seed."""

    figures: tuple[Figure, ...] = PASSING  # one is drawn
    people: tuple[int, ...] = (2, 3, 2, 4)  # in turn from clip to clip
    tall_first: bool = False  # the first of the two in the middle is the taller
    alike: bool = False  # everyone the same body in the same clothes
    handheld: bool = False  # the camera; else it stands still or pans
    half_width_m: float | None = None  # of the picture at the middle of the stage; None: all stay in the picture
    audience: tuple[int, int] = (0, 0)  # onlookers, at least and at most
    tempo: float = 1.0  # how much faster than usual they move
    film: Literal["clean", "blurred", "dim"] = "clean"


SCENARIOS: dict[str, Scenario] = {
    "pass_behind": Scenario(figures=(crossing_figures.pass_behind,), people=(2, 3, 4, 5)),
    "swap_places": Scenario(figures=(crossing_figures.swap_places,), people=(2, 4, 3, 5)),
    "turn_about": Scenario(figures=(crossing_figures.turn_about,)),
    "embrace": Scenario(figures=(contact_figures.embrace,)),
    "lift": Scenario(figures=(contact_figures.lift,), tall_first=True),
    "exit": Scenario(figures=(crossing_figures.leave_and_return,), half_width_m=EDGE_M),
    "crouch": Scenario(figures=(crossing_figures.crouch,)),
    "same_clothes": Scenario(people=(2, 2, 3, 2), alike=True),
    "camera_pan": Scenario(people=(2, 3, 2, 3), handheld=True),
    "motion_blur": Scenario(tempo=1.25, film="blurred"),
    "low_light": Scenario(film="dim"),
    "audience": Scenario(half_width_m=1.6, audience=(2, 4)),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crossing:
    """One clip to be filmed: everything that its picture and its truth follow from."""

    name: str  # a legal sample key
    scenario: str  # of SCENARIOS
    seed: int
    files: Mapping[str, Mapping[str, np.ndarray]] = field(repr=False)  # AMASS arrays by the scene's motion names
    scene: Scene  # with one camera
    film: Film
    audience: tuple[int, ...] = ()  # performers who only look on: nobody to bind

    @property
    def digest(self) -> str:
        """sha256 over all of it."""
        out = hashlib.sha256()
        about = [self.name, self.scenario, self.seed, to_plain(self.film), list(self.audience)]
        out.update(json.dumps([scene_to_json(self.scene), *about], sort_keys=True).encode())
        for file, arrays in self.files.items():
            for key, array in arrays.items():
                out.update(f"{file} {key} {array.dtype} {array.shape}".encode() + array.tobytes())
        return out.hexdigest()


def crossings(
    seed: int, count: int = 48, *, seconds: float = SECONDS, scenarios: Sequence[str] = (), people: Sequence[int] = ()
) -> list[Crossing]:
    """The first `count` crossings of a seed, scenario by scenario in turn.

    `scenarios`, names of SCENARIOS, and `people`, how many dance together, in turn, replace what the benchmark takes.
    A clip shorter than SECONDS shows the middle of its performance; in a longer one people stay where they came to.
    Raises ValueError for a negative seed or count, seconds or people out of range, or an unknown scenario.
    """
    if seed < 0 or count < 0 or not 1 <= seconds <= 8:
        raise ValueError(f"crossings: want seed and count of 0 or more, 1 to 8 s, got {seed}, {count}, {seconds} s")
    names = list(scenarios or SCENARIOS)
    unknown = sorted(set(names) - set(SCENARIOS))
    if unknown or not set(people) <= set(PEOPLE):
        raise ValueError(
            f"crossings: want scenarios of {', '.join(SCENARIOS)} with {PEOPLE[0]} to {PEOPLE[-1]} people, "
            f"got {', '.join(unknown) or list(people)}"
        )
    specs = [SCENARIOS[name] for name in names]
    if people:
        specs = [replace(spec, people=tuple(people)) for spec in specs]
    return [
        _crossing(seed, i, names[i % len(names)], specs[i % len(names)], i // len(names), seconds) for i in range(count)
    ]


def _crossing(seed: int, index: int, scenario: str, spec: Scenario, turn: int, seconds: float) -> Crossing:
    rng = np.random.default_rng((seed, index, 0xC5055))
    time = np.arange(round((max(seconds, SECONDS) + 0.2) * FPS)) / FPS
    figure = spec.figures[rng.integers(len(spec.figures))]
    dancers = _drawn(rng, figure, spec.people[turn % len(spec.people)], spec.tempo * time)
    bound = len(dancers)
    if spec.audience[1]:
        dancers += crossing_figures.onlookers(rng, int(rng.integers(spec.audience[0], spec.audience[1] + 1)), time)
    name = f"{scenario}-{seed}-{index:03d}"
    drawn = rng.choice(["female", "male"], len(dancers)).tolist()
    genders = drawn[:1] * len(drawn) if spec.alike else drawn
    danced = [dance(dancer, rng) for dancer in dancers]
    shapes, clothes = rng.integers(2**31, size=(2, len(dancers))).tolist()
    if spec.alike:
        shapes, clothes = shapes[:1] * len(dancers), clothes[:1] * len(dancers)
    statures = [stature(*body) for body in zip(shapes, genders, strict=True)]
    if spec.tall_first and statures[0] < statures[1]:
        for row in (shapes, clothes, genders, statures):
            row[:2] = row[1::-1]
    files = {
        f"{name}-{i}.npz": one.arrays(gender, own, statures)
        for i, (one, gender, own) in enumerate(zip(danced, genders, statures, strict=True))
    }
    start = max(0.0, (SECONDS - seconds) / 2)
    performers = tuple(
        PerformerSpec(motion=file, shape_seed=shape, clothes_seed=worn, start_s=start)
        for file, shape, worn in zip(files, shapes, clothes, strict=True)
    )
    scene = Scene(
        name=name, performers=performers, cameras=(_camera(spec, rng),), seed=int(rng.integers(2**31)),
        duration_s=seconds,
    )  # fmt: skip
    return Crossing(
        name=name, scenario=scenario, seed=seed, files=files, scene=scene, film=_film(spec.film, rng),
        audience=tuple(range(bound, len(dancers))),
    )  # fmt: skip


def stature(shape_seed: int, gender: str) -> float:
    """The height of the default body of this seed over that of the mean one, to a centimetre or two.

    Of the betas (tasks.ops.body_build.directions), tallness is 0.22 m and being male 0.07 m each.
    """
    male, tall = sample_betas(shape_seed, gender)[:2]
    return float(1 + (0.22 * tall + 0.07 * male) / 1.707)


def _camera(spec: Scenario, rng: np.random.Generator) -> CameraSpec:
    """In front of the stage, more or less to one side, between hip and head."""
    still: CameraKind = "static" if rng.random() < 0.6 else "pan"
    fov = round(float(rng.uniform(30, 45)), 1)
    camera = CameraSpec(
        kind="handheld" if spec.handheld else still, seed=int(rng.integers(2**31)), fov_deg=fov,
        azimuth_deg=round(float(rng.uniform(-20, 20)), 1), height_m=round(float(rng.uniform(1.0, 1.9)), 2),
    )  # fmt: skip
    if spec.half_width_m is None:
        return camera
    distance = spec.half_width_m / np.tan(np.radians(fov) / 2)  # pictures are square
    azimuth = round(float(rng.uniform(-7, 7)), 1)
    aim = (0.0, round(float(rng.uniform(0.85, 1.05)), 2), 0.0)
    return replace(camera, kind="static", aim=aim, azimuth_deg=azimuth, distance_m=round(float(distance), 2))


def _film(how: str, rng: np.random.Generator) -> Film:
    seed = int(rng.integers(2**31))
    if how == "blurred":
        return Film(subframes=5, seed=seed)
    if how == "dim":
        gain, noise = rng.uniform(0.12, 0.3), rng.uniform(0.03, 0.06)
        return Film(gain=round(float(gain), 3), noise=round(float(noise), 3), crf=int(rng.integers(34, 39)), seed=seed)
    return Film(seed=seed)


def _drawn(rng: np.random.Generator, figure: Figure, people: int, time: np.ndarray) -> list[Dancer]:
    """The first of some drawings of a figure in which nobody walks through another, or the best of them."""
    best: tuple[float, list[Dancer]] | None = None
    for _ in range(_DRAWS):
        dancers = figure(rng, people, time)
        spare = clearance(dancers)
        if best is None or spare > best[0]:
            best = (spare, dancers)
        if spare >= 0:
            break
    assert best is not None
    return best[1]


def clearance(dancers: list[Dancer]) -> float:
    """Metres by which the nearest two stay clear of one another; negative where they would walk through."""
    spare = np.inf
    for i, one in enumerate(dancers):
        for j in range(i):
            wanted = TOUCH_M if j in one.touches else PASS_M
            spare = min(spare, float(np.linalg.norm(one.path - dancers[j].path, axis=1).min()) - wanted)
    return spare

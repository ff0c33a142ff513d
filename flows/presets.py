"""Name -> full configuration: each preset is a function; `--set` changes single fields of what it returns."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypedDict

from tasks import (
    bind,
    bring,
    detect,
    face,
    identify,
    judge,
    pose,
    probe,
    refine,
    render,
    report,
    segment,
    shard,
    shots,
    track,
)
from tasks import (
    motion as motion_stage,
)
from tasks.backends.table import SKELETON_OF

Route = Literal["footage", "motion"]


@dataclass(frozen=True, kw_only=True)
class FootageConfig:
    """Every setting of the footage route, stage by stage in running order."""

    route: ClassVar[Route] = "footage"
    probe: probe.Config = field(default_factory=probe.Config)
    bring: bring.Config = field(default_factory=bring.Config)
    shots: shots.Config = field(default_factory=shots.Config)
    detect: detect.Config = field(default_factory=detect.Config)
    track: track.Config = field(default_factory=track.Config)
    pose: pose.Config = field(default_factory=pose.Config)
    segment: segment.Config = field(default_factory=segment.Config)
    bind: bind.Config = field(default_factory=bind.Config)
    refine: refine.Config = field(default_factory=refine.Config)
    identify: identify.Config = field(default_factory=identify.Config)
    face: face.Config = field(default_factory=face.Config)
    judge: judge.Config = field(default_factory=judge.Config)
    report: report.Config = field(default_factory=report.Config)
    shard: shard.Config = field(default_factory=shard.Config)

    def check(self) -> None:
        """Raises ValueError where two stages do not fit each other."""
        first, again = self.pose.estimator, self.refine.estimator
        if again is not None and SKELETON_OF[first] != SKELETON_OF[again]:
            raise ValueError(
                f"refine.estimator: want a network of pose.estimator's {SKELETON_OF[first]} keypoints, got {again} "
                f"with {SKELETON_OF[again]}; try --set refine.estimator={first}, or none to leave poses as they are"
            )


@dataclass(frozen=True, kw_only=True)
class MotionConfig:
    """Every setting of the motion route, stage by stage in running order."""

    route: ClassVar[Route] = "motion"
    motion: motion_stage.Config = field(default_factory=motion_stage.Config)
    render: render.Config = field(default_factory=render.Config)
    judge: judge.Config = field(default_factory=judge.Config)
    report: report.Config = field(default_factory=report.Config)
    shard: shard.Config = field(default_factory=shard.Config)

    def check(self) -> None:
        """Nothing here can be at odds."""


Preset = FootageConfig | MotionConfig


def demo() -> MotionConfig:
    """Two people from motion that the project makes itself: a CPU, no weights, minutes."""
    return MotionConfig(shard=shard.Config(name="duetflow-demo"))


def motion() -> MotionConfig:
    """Motion and scene files; single-person motions become seeded duets."""
    return MotionConfig(shard=shard.Config(name="duetflow-motion"))


def light() -> FootageConfig:
    """Footage on a CPU: RTMDet-nano, MoveNet, BoxMOT with re-ID 0248, GrabCut."""
    return FootageConfig(shard=shard.Config(name="duetflow-light"))


def pairfs_4k() -> FootageConfig:
    """Pairs of people, as the paper's PairFS-4K: YOLOX-m, whole-body poses, BoT-SORT with OSNet, SAM 2.1 large."""
    return FootageConfig(
        shots=shots.Config(min_s=4.0, max_s=24.0),
        **_large_networks(),
        bind=bind.Config(people=2),
        judge=judge.Config(min_people=2, max_people=2),
        shard=shard.Config(name="duetflow-pairfs-4k"),
    )


def humanrob_300() -> FootageConfig:
    """Humans with robots, as the paper's HumanRob-300: as pairfs-4k, and each identity marked human or robot."""
    return FootageConfig(
        shots=shots.Config(min_s=3.0, max_s=12.0),
        **_large_networks(),
        judge=judge.Config(min_people=2, min_humans=1, min_robots=1),
        shard=shard.Config(name="duetflow-humanrob-300"),
    )


class _Large(TypedDict):
    detect: detect.Config
    track: track.Config
    pose: pose.Config
    segment: segment.Config
    refine: refine.Config


def _large_networks() -> _Large:
    return {
        "detect": detect.Config(detector="yolox-m"),
        "track": track.Config(tracker="botsort", reid="osnet-x1.0"),
        "pose": pose.Config(estimator="rtmw-l-384"),
        "segment": segment.Config(backend="sam2", sam2="sam2.1-hiera-large", reid="osnet-x1.0"),
        "refine": refine.Config(masks="sam2", sam2="sam2.1-hiera-large", estimator="rtmw-l-384"),
    }


PRESETS: dict[str, Callable[[], Preset]] = {
    "demo": demo,
    "light": light,
    "motion": motion,
    "pairfs-4k": pairfs_4k,
    "humanrob-300": humanrob_300,
}


def near(name: str) -> str:
    """A hint at the preset that was probably meant."""
    close = difflib.get_close_matches(name, PRESETS, n=1)
    return f"; did you mean {close[0]}?" if close else ""

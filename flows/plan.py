"""Run -> what it would do: content keys name artifacts before they are made, so the store says what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any

from datasets.corrections import Correction
from datasets.folder import open_folder
from datasets.records import Artifact
from datasets.shards import finished
from flows.checks import WeightState, bytes_free, bytes_needed, wanted_weights
from flows.committed import committed
from flows.intake import footage_items, motion_items
from flows.presets import FootageConfig, MotionConfig
from flows.run import Run
from flows.settings import stages
from flows.words import with_words
from tasks import (
    bind,
    bring,
    detect,
    face,
    identify,
    judge,
    motion,
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
from tasks.backends.weights import WeightsError
from tasks.batch import Batch, Env, Item, Stage

CLIP_STAGES = (detect.STAGE, track.STAGE, pose.STAGE, segment.STAGE, bind.STAGE, refine.STAGE)


@dataclass(kw_only=True)
class StagePlan:
    """What a stage would do."""

    run: int = 0
    reuse: int = 0
    unknown_until: str | None = None  # more will come once this stage has run


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run would do."""

    out: str
    preset: str
    route: str
    sources: int
    duplicates: int
    clips: int  # known so far
    stages: dict[str, StagePlan]
    weights: list[WeightState]
    disk: dict[str, int] = field(default_factory=dict)  # bytes: needed, free

    def plain(self) -> dict[str, Any]:
        """What `--dry-run --json` prints."""
        return asdict(self)

    def text(self) -> str:
        """For people."""
        more = next((stage.unknown_until for stage in self.stages.values() if stage.unknown_until), None)
        lines = [
            f"{self.preset}, the {self.route} route, into {self.out}",
            f"sources  {self.sources}" + (f", {self.duplicates} of them copies of others" if self.duplicates else ""),
            f"clips    {self.clips}" + (f" known; more once {more} has run" if more else ""),
            "stage       run  reuse",
        ]
        for name, stage in self.stages.items():
            later = f"  and more once {stage.unknown_until} has run" if stage.unknown_until else ""
            lines.append(f"{name:<10} {stage.run:>4} {stage.reuse:>6}{later}")
        for weight in self.weights:
            lines.append(f"weights  {weight.name}: {weight.path or f'missing; {weight.file} from {weight.address}'}")
        lines.append(f"disk     about {self.disk['needed'] / 1e6:.0f} MB wanted, {self.disk['free'] / 1e6:.0f} MB free")
        return "\n".join(lines)


def forecast(run: Run) -> Plan:
    """What the run would do now. Hashes the sources and looks into the store; makes nothing."""
    look = _Look(run.env, {name: StagePlan() for name in stages(run.config)})
    if isinstance(run.config, FootageConfig):
        taken = footage_items(run)
        clips = _footage(taken, run.config, look, run.corrections)
    else:
        taken = motion_items(run)
        clips = _motion(taken, run.config, look, run.corrections, committed(run).duets)
    _shards(look, run, [clip for clip in clips if clip is not None])
    return Plan(
        out=run.out,
        preset=run.preset,
        route=run.route,
        sources=len(run.sources),
        duplicates=sum(not reject.fault for reject in taken.rejects),
        clips=len(clips),
        stages=look.plans,
        weights=weights_of(run),
        disk={"needed": bytes_needed(run.sources), "free": bytes_free(run.env.store.root)},
    )


def weights_of(run: Run) -> list[WeightState]:
    """The weights that the run's stages use, and where they are."""
    if not isinstance(run.config, FootageConfig):
        return []
    used = [(stage, getattr(run.config, stage.name)) for stage in (*CLIP_STAGES, identify.STAGE, face.STAGE)]
    # What a person brought beside every source needs no network.
    carried = dict.fromkeys(bring.artifacts_brought(source.path, run.config.bring) for source in run.sources)
    return wanted_weights(used, run.env, carried)


@dataclass(frozen=True)
class _Look:
    """The store, asked stage by stage."""

    env: Env
    plans: dict[str, StagePlan]

    def at(self, stage: Stage, item: Item, config: Any, extra: Sequence[str] = ()) -> tuple[Item, bool]:
        """The item with the artifact that the stage made or would make, and whether it is there."""
        try:
            key = stage.key(item, config, self.env, extra)
        except WeightsError:
            # Nothing can have been made with weights that are not here, nor with what follows from them.
            key = "0" * 32
        found = self.env.store.find(stage.name, key)
        self.count(stage.name, found is not None)
        artifact = found or Artifact(key=key, path=self.env.store.place(stage.name, key))
        return replace(item, artifacts={**item.artifacts, stage.name: artifact}), found is not None

    def brought(self, item: Item, config: bring.Config) -> Item | None:
        """The item with what stands beside its source; None when a file is off, and rejects it."""
        try:
            artifacts = bring.artifacts_of(item, config, self.env)
        except bring.BAD:
            return None
        for name, artifact in artifacts.items():
            self.count("bring", self.env.store.find(name, artifact.key) is not None)
        return replace(item, artifacts={**item.artifacts, **artifacts})

    def count(self, stage: str, found: bool) -> None:
        if found:
            self.plans[stage].reuse += 1
        else:
            self.plans[stage].run += 1

    def unknown(self, stages: Iterable[str], until: str) -> None:
        for name in stages:
            self.plans[name].unknown_until = self.plans[name].unknown_until or until


def _footage(taken: Batch, config: FootageConfig, look: _Look, corrections: Sequence[Correction]) -> list[Item | None]:
    """Look at the footage route: the clips known so far, None for one that was turned away."""
    clips: list[Item] = []
    for item in taken.items:
        probed, there = look.at(probe.STAGE, item, config.probe)
        brought = look.brought(probed, config.bring)
        if brought is None:
            continue
        cut, whole = look.at(shots.STAGE, brought, config.shots)
        if there and whole:
            clips += shots.clips_in(cut)[0]
        else:
            later = ("identify", *(["face"] if config.face.networks != "none" else []), "judge", "report")
            look.unknown((*(stage.name for stage in CLIP_STAGES), *later), "shots")
    seen = [(clip, True) for clip in with_words(Batch(items=tuple(clips)), corrections).items]
    for stage in CLIP_STAGES:
        seen = [look.at(stage, clip, getattr(config, stage.name)) for clip, _ in seen]
    known = list(_identified(look, seen, config.identify))
    if config.face.networks != "none":
        known = [look.at(face.STAGE, clip, config.face)[0] for clip in known]
    return [_tail(look, clip, config, judge.JUDGE_FOOTAGE, report.STAGE_FOOTAGE) for clip in known]


def _identified(look: _Look, bound: Sequence[tuple[Item, bool]], config: identify.Config) -> Iterator[Item]:
    """Look at `identify`, which sees all bound clips of a source: those not bound yet may still be refused."""
    config = identify.told(config)
    for _, group in groupby(bound, key=lambda pair: pair[0].source):
        pairs = list(group)
        whole = f"source={identify.group_digest([clip for clip, there in pairs if there])}"
        for clip, there in pairs:
            yield look.at(identify.STAGE, clip, config, (whole if there else "source=unknown",))[0]


def _motion(
    taken: Batch, config: MotionConfig, look: _Look, corrections: Sequence[Correction], duets: Sequence[str]
) -> list[Item | None]:
    """Look at the motion route: the scenes known so far, None for one that was turned away."""
    read: list[Item] = []
    for item in taken.items:
        made, there = look.at(motion.STAGE, item, config.motion)
        if there:
            read.append(made)
    if len(read) < len(taken.items):
        # Who dances with whom follows from all that can be read; what is here is the plan so far.
        look.unknown(("render", "judge", "report"), "motion")
    scenes = motion.compose(Batch(items=tuple(read)), config.motion, shard.splitter(config.shard), keep=duets)
    said = with_words(scenes, corrections).items
    rendered = [look.at(render.STAGE, scene, config.render)[0] for scene in said]
    return [_tail(look, clip, config, judge.JUDGE_MOTION, report.STAGE_MOTION) for clip in rendered]


def _tail(look: _Look, clip: Item, config: Any, judging: Stage, reporting: Stage) -> Item | None:
    """Judge and report: the clip, if it would ship. One that was judged and turned away has no report."""
    judged, there = look.at(judging, clip, config.judge)
    if there and judge.sample_of(judged).verdict == "rejected":
        return None
    return look.at(reporting, judged, config.report)[0]


def _shards(look: _Look, run: Run, shipped: Sequence[Item]) -> None:
    """Look at the shards, which follow from all clips that were judged."""
    if look.plans["judge"].run or look.plans["judge"].unknown_until:
        look.unknown(("shard",), "judge")
        return
    for job in shard.plan_shards([Batch(items=tuple(shipped))], run.config.shard, run.out).jobs:
        look.count("shard", finished(job.path, job.made_from, open_folder(run.out), job.committed) is not None)

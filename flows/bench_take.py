"""One crossing, in a worker: filmed, put through the light stages, followed by the rivals, and measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets.records import Artifact, Clip, load_record
from flows.presets import FootageConfig
from tasks import bind, detect, filming, identify, judge, pose, refine, replay, rivals, score, segment, stress, track
from tasks.batch import Batch, Cost, Env, Item, Stage
from tasks.ops.crossings import Crossing

Config = FootageConfig
AS_FILMED = "as filmed"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One clip's work for a worker."""

    crossing: Crossing | None = None  # to be filmed, or ...
    folder: str | None = None  # ... filmed already
    stresses: tuple[str, ...] = ()  # of tasks.stress: the clip again, each time with worse detections
    masks: bool = True  # measure masks, too


@dataclass(frozen=True, kw_only=True)
class Take:
    """What a worker tells of one clip, as filmed or stressed. All that was measured lies in the store."""

    name: str
    scenario: str
    stress: str
    frames: int
    seconds: float
    item: Item  # with all that was made: shots (clip and truth), refine (our people), score_ours, ...
    turned_away: str = ""  # by which stage and why
    costs: tuple[Cost, ...] = field(default=())

    @property
    def key(self) -> str:
        """A name of its own among all takes."""
        return self.name if self.stress == AS_FILMED else f"{self.name}-{self.stress}"


def run_job(job: Job, config: Config, env: Env) -> list[Take]:
    """Film one crossing, or take what was filmed, and measure it and its stressed forms."""
    item = filmed_item(Path(job.folder) if job.folder else job.crossing, env)
    about = json.loads((item.folder("shots") / filming.ABOUT).read_text())
    detected, costs = through(item, [(detect.STAGE, config.detect)], env)
    takes = [_take(about, AS_FILMED, detected, config, env, costs=costs, rivals_too=True, masks=job.masks)]
    # Whose box is whose in a contact is settled with the masks, whether ids are right before poses are made again.
    plainer = replace(config, refine=replace(config.refine, estimator=None, smooth=False))
    for name in job.stresses:
        stressed, costs = through(detected, [(stress.STAGE, stress.named(name))], env)
        worse = stress.taken(stressed)
        takes.append(_take(about, name, worse, plainer, env, costs=costs, rivals_too=False, masks=False))
    return takes


def filmed_item(what: Crossing | Path | None, env: Env) -> Item:
    """The item of a crossing, filmed unless the store holds it, or of a folder that one was filmed into."""
    if isinstance(what, Crossing):
        filmed = filming.film(what, env.store)[0]
    elif what is not None:
        digest = hashlib.sha256()
        for name in ("clip.npz", "clip.mp4", "people.npz", filming.ABOUT):
            digest.update((what / name).read_bytes())
        filmed = Artifact(key=digest.hexdigest()[:32], path=str(what))
    else:
        raise ValueError("job: want a crossing or a folder, got neither")
    clip = load_record(Clip, Path(filmed.path) / "clip.npz")
    return Item(
        key=clip.key, source=clip.source, path=clip.source, part="clip", frames=clip.frames, artifacts={"shots": filmed}
    )


def through(item: Item, stages: Sequence[tuple[Stage, object]], env: Env) -> tuple[Item, tuple[Cost, ...]]:
    """An item through stages that must not turn it away. Raises RuntimeError with the reason where one does."""
    batch = Batch(items=(item,))
    for stage, config in stages:
        batch = stage.run(batch, config, env)
        if batch.rejects:
            raise RuntimeError(f"{item.key}: {batch.rejects[0].stage}: {batch.rejects[0].reason}")
    return batch.items[0], batch.costs


def _take(
    about: dict[str, str],
    stressed: str,
    item: Item,
    config: Config,
    env: Env,
    *,
    costs: Sequence[Cost],
    rivals_too: bool,
    masks: bool,
) -> Take:
    """Everything from the detections on."""
    spent, reason = list(costs), ""
    blind = stress.blinds(stressed)
    batch = Batch(items=(item,))
    for stage, part in light_stages(config, blind):
        batch = stage.run(batch, part, env)
        reached = batch.items[0] if batch.items else None
        if reached is None:
            break
        item = reached
    if batch.items:
        batch = identify.identify.fn(batch, config.identify, env)
        batch = judge.JUDGE_FOOTAGE.run(batch, config.judge, env)
        item = batch.items[0] if batch.items else item
    for reject in batch.rejects:
        if reject.fault:
            raise RuntimeError(f"{item.key}, {stressed}: {reject.stage}: {reject.reason}")
        reason = f"{reject.stage}: {reject.reason}"
    spent += batch.costs
    for stage, part in _measures(config, item, turned_away=bool(reason), rivals_too=rivals_too, masks=masks):
        item, done = through(item, [(stage, part)], env)
        spent += done
    clip = load_record(Clip, item.folder("shots") / "clip.npz")
    return Take(
        name=about["name"],
        scenario=about["scenario"],
        stress=stressed,
        frames=clip.frames,
        seconds=clip.duration_s,
        item=item,
        turned_away=reason,
        costs=tuple(spent),
    )


def light_stages(config: Config, blind: bool) -> Iterator[tuple[Stage, object]]:
    """The light route from the detections to our people; blind: without anybody's looks, re-ID or colours, but
    for those that masks are cut by."""
    yield track.STAGE, config.track
    if blind:
        yield stress.BLIND_TRACK, stress.BlindConfig()
    yield pose.STAGE, config.pose
    yield segment.STAGE, config.segment
    if blind:
        yield stress.BLIND_SEGMENT, stress.BlindConfig()
    yield bind.STAGE, replace(config.bind, colours=False) if blind else config.bind
    yield refine.STAGE, replace(config.refine, colours=False) if blind else config.refine


def _measures(
    config: Config, item: Item, *, turned_away: bool, rivals_too: bool, masks: bool
) -> Iterator[tuple[Stage, object]]:
    if rivals_too and "segment" in item.artifacts:
        yield rivals.LOOKS_STAGE, rivals.LooksConfig()
        yield rivals.STAGE, rivals.Config()
        yield score.RIVALS, score.Config()
    yield score.TURNED_AWAY if turned_away else score.OURS_STAGE, score.Config(judge=config.judge)
    if masks and not turned_away:
        yield score.MASKS_STAGE, score.MaskConfig()
        yield score.CUT, score.MaskConfig()


def replayed(take: Take, env: Env) -> Path:
    """The folder of a take's video beside the truth."""
    stage = replay.STAGE if "refine" in take.item.artifacts else replay.TURNED_AWAY
    return stage.make(take.item, replay.Config(), env)[0].folder("replay")

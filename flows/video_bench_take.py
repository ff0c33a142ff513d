"""One sample's generated video, in a worker: lined up with the real one, put through the light stages, and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets.members import ShardError
from datasets.shards import read_sample
from datasets.video import VideoError
from flows.bench_take import Config, light_stages
from tasks import beside_real, coherence, compare, detect, generated, probe, quality
from tasks.backends.video_features import FeatureError, FeatureSource, check_size
from tasks.batch import Batch, Env, Item, Refused

GENERATED, CEILING = "generated", "ceiling"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One sample and where its video is, or comes from; with neither, the real one stands for it."""

    out: str  # the dataset's folder
    row: Mapping[str, Any]  # of its index
    video: str | None = None
    run: str | None = None
    generate: generated.Config | None = None
    device: str | None = None  # that it is generated on


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A sample whose video is there and fits, or what is wrong with it."""

    key: str
    item: Item | None = None
    compare: compare.Config | None = None
    notes: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One video with all that was measured of it, in the store."""

    key: str
    subject: str  # GENERATED or CEILING
    item: Item  # with compare, coherence, quality and, where people were found, refine
    compare: compare.Config
    fps: float
    notes: tuple[str, ...]
    turned_away: str = ""  # by which stage nobody was found, and why


def make_ready(job: Job, sources: tuple[FeatureSource, ...], env: Env) -> Ready:
    """Have the video and line it up: all that can be wrong with it shows here, before anything is measured."""
    key = str(job.row["key"])
    try:
        item = _real_item(job, env)
        if not item.path:
            clip = compare.real_clip(item)
            config = compare.Config(size=clip.size, fps=clip.fps, frames=clip.frames)
        else:
            source = replace(probe.source_item(item.path, item.source, env.store), artifacts=item.artifacts)
            item, _ = probe.STAGE.make(replace(source, key=key), probe.Config(), env)
            found = probe.source_of(item)
            config = compare.Config(size=(found.height, found.width), fps=found.fps, frames=found.frames)
        for one in sources:
            check_size(one, config.size, item.source)
        return Ready(key=key, item=item, compare=config, notes=compare.lined(item, config).notes)
    except (Refused, ShardError, VideoError, FeatureError, OSError) as error:
        return Ready(key=key, trouble=" ".join(str(error).split()))


def with_video(job: Job, env: Env) -> Job:
    """The job with its video generated, where it comes from a run. Raises Refused where it cannot be."""
    if job.run is None or job.generate is None:
        return job
    item = _real_item(job, env)
    asked = job.generate
    if asked.frames is not None:
        asked = replace(asked, frames=min(asked.frames, compare.real_clip(item).frames))
    out = str(Path(job.out).absolute())
    item = generated.generated(item, Path(job.run), out, asked, env, job.device)
    return replace(job, video=str(item.folder("generate") / generated.VIDEO))


def _real_item(job: Job, env: Env) -> Item:
    row = job.row
    with (Path(job.out) / row["shard"]).open("rb") as file:
        members = read_sample(file, row["key"], row["offset"], row["size"], compare.MEMBERS)
    real = compare.real_sample(members, env.store)
    key = str(row["key"])
    return Item(key=key, source=f"{key}.mp4", path=job.video or "", artifacts={compare.REAL: real})


def score(ready: Ready, subject: str, config: Config, sources: tuple[FeatureSource, ...], env: Env) -> Scored:
    """Everything that is measured of one video, or of the real one in its place."""
    assert ready.item is not None
    assert ready.compare is not None
    compared = replace(ready.compare, real=subject == CEILING)
    item, why = _people_of(compare.compared(ready.item, compared, env), config, env)
    found = "refine" in item.artifacts
    item, _ = (coherence.STAGE if found else coherence.NOBODY).make(item, coherence.Config(), env)
    item, _ = quality.STAGE.make(item, quality.Config(compare=compared), env)
    for source in sources:
        item = quality.with_features(item, compared, source, env)
    clip_fps = float(compared.fps)
    return Scored(
        key=ready.key, subject=subject, item=item, compare=compared, fps=clip_fps, notes=ready.notes, turned_away=why
    )


def _people_of(item: Item, config: Config, env: Env) -> tuple[Item, str]:
    """The item through the light route, and where it stopped: nobody to be found is a result, a fault is none."""
    batch = Batch(items=(item,))
    for stage, part in [(detect.STAGE, config.detect), *light_stages(config, False)]:
        batch = stage.run(batch, part, env)
        for reject in batch.rejects:
            if reject.fault:
                raise RuntimeError(f"{item.key}: {reject.stage}: {reject.reason}")
            return item, f"{reject.stage}: {reject.reason}"
        item = batch.items[0]
    return item, ""


def shown(scored: Scored, env: Env) -> Path:
    """The folder of a video beside the real one."""
    stage = beside_real.STAGE if "refine" in scored.item.artifacts else beside_real.NOBODY
    item, _ = stage.make(scored.item, beside_real.Config(compare=scored.compare), env)
    return item.folder(stage.name)

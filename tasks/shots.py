"""Source -> Clips: cut where the picture cuts, each piece written as the very video that is annotated and shipped."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.counted import counted
from tasks.backends.sandbox import Limits
from tasks.batch import Batch, Env, Item, Reject, Stage
from tasks.cut_file import cut_file
from tasks.fence import Fence, check_limits, limit
from tasks.ops.shots import sample_key
from tasks.probe import source_of
from tasks.source_files import video_here

VERSION = 1
INDEX = "shots.json"
# The settings that say how a file is cut.
CUTTING = (
    "min_s", "max_s", "threshold", "min_content", "min_shot_s", "fade_level", "max_side", "crf", "gop", "preset",
)  # fmt: skip
# Ten times what one slow core takes.
_S_PER_MEGAPIXEL = 0.3


@dataclass(frozen=True, kw_only=True)
class Config:
    """How footage is cut and how its clips are encoded."""

    min_s: float = 1.0  # shortest clip
    max_s: float = 10.0  # longest clip; longer shots are split evenly
    threshold: float = 3.0  # a cut changes this many times more than the frames around it
    min_content: float = 27.0  # and at least so much, of 255
    min_shot_s: float = 0.3  # hard cuts closer than this are one
    fade_level: float = 8.0  # mean level, of 255, below which a frame is black; 0 keeps black and does not cut at fades
    max_side: int | None = None  # scale clips down to this longer side
    crf: int = 20  # x264's quality: 0 lossless, 51 worst
    gop: int = 12  # frames from keyframe to keyframe: what a random window decodes in vain
    preset: str = "veryfast"  # x264's effort
    budget_s: float = limit(120.0)  # for cutting a file, and 0.3 s more for each million pixels; then it is given up
    memory_mb: int = limit(8192)  # for decoding and encoding it

    def __post_init__(self) -> None:
        if not 0 < self.min_s <= self.max_s:
            raise ValueError(f"shots: want 0 < min_s <= max_s, got {self.min_s} and {self.max_s}")
        if self.max_side is not None and self.max_side < 16:
            raise ValueError(f"shots.max_side: want 16 or more pixels, got {self.max_side}")
        if not 0 <= self.crf <= 51 or self.gop < 1:
            raise ValueError(f"shots: want crf within 0 .. 51 and gop of 1 or more, got {self.crf} and {self.gop}")
        check_limits("shots", self.budget_s, self.memory_mb)


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Find the cuts in one pass over the source and write its clips in a second; memory holds one frame at a time."""
    source = source_of(item)
    # Decoded twice, read for its sound as often as it has clips, encoded once.
    megapixels = source.width * source.height * max(source.frames, source.decoded) / 1e6
    fence = Fence(
        stage="shots",
        name=Path(item.source).name,
        limits=Limits(budget_s=config.budget_s + _S_PER_MEGAPIXEL * megapixels, memory_mb=config.memory_mb),
        reads=(item.path,),
        writes=(str(out),),
    )
    cutting = {name: getattr(config, name) for name in CUTTING}
    fence.call(cut_file, item.path, source, out, name=item.source, index=INDEX, **cutting)


def clips_in(item: Item) -> tuple[tuple[Item, ...], tuple[Reject, ...]]:
    """The clips of a source that has been through this stage, and the pieces that were dropped, with reasons.

    Reads only the index that the stage wrote: a dry run may call it for a source whose clips are in the store.
    """
    index = json.loads(item.file(STAGE.name, INDEX).read_bytes())
    clips = tuple(
        replace(item, key=clip["key"], part=f"{clip['start']:08d}", frames=clip["frames"]) for clip in index["clips"]
    )
    sha256 = source_of(item).sha256
    rejects = [
        Reject(
            source=item.source,
            clip=sample_key(item.source, sha256, piece["start"]),
            stage=STAGE.name,
            reason=piece["reason"],
            fault=False,
        )
        for piece in index["dropped"]
    ]
    if not clips:
        kinds = Counter(piece["reason"].partition(":")[0] for piece in index["dropped"])
        why = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        dropped = counted(len(rejects), "piece")
        rejects.append(STAGE.reject(item, f"no clip in it: {dropped} dropped ({why})", fault=False))
    return clips, tuple(rejects)


STAGE = Stage(name="shots", version=VERSION, inputs=("probe",), compute=compute, here=video_here)


@task(name="shots", cache_policy=NO_CACHE, persist_result=False)
def shots(batch: Batch, config: Config, env: Env) -> Batch:
    """Every source of the batch cut; the items that go on are its clips."""
    cut = STAGE.run(batch, config, env)
    expanded = [clips_in(item) for item in cut.items]
    clips = tuple(clip for clips, _ in expanded for clip in clips)
    rejects = tuple(reject for _, dropped in expanded for reject in dropped)
    return replace(cut, items=clips, rejects=(*cut.rejects, *rejects))

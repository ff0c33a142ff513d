"""Source -> Clips: cut where the picture cuts, each piece written as the very video that is annotated and shipped."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.records import Clip, Source, save_record
from datasets.video import VideoWriter, read_pictures, read_small
from tasks.backends.scenedetect import find_cuts, working_size
from tasks.batch import Batch, Env, Item, Reject, Stage
from tasks.ops.shots import Piece, plan_pieces, sample_key
from tasks.probe import source_of

VERSION = 1
INDEX = "shots.json"


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

    def __post_init__(self) -> None:
        if not 0 < self.min_s <= self.max_s:
            raise ValueError(f"shots: want 0 < min_s <= max_s, got {self.min_s} and {self.max_s}")
        if self.max_side is not None and self.max_side < 16:
            raise ValueError(f"shots.max_side: want 16 or more pixels, got {self.max_side}")
        if not 0 <= self.crf <= 51 or self.gop < 1:
            raise ValueError(f"shots: want crf within 0 .. 51 and gop of 1 or more, got {self.crf} and {self.gop}")


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Find the cuts in one pass over the source and write its clips in a second; memory holds one frame at a time."""
    source = source_of(item)
    small = read_small(item.path, source, working_size(source.height, source.width))
    found = find_cuts(
        small,
        source.fps,
        threshold=config.threshold,
        min_content=config.min_content,
        min_shot=max(1, round(config.min_shot_s * source.fps)),
        fade_level=config.fade_level,
    )
    pieces = plan_pieces(
        found.cuts, found.level, source.fps, min_s=config.min_s, max_s=config.max_s, fade_level=config.fade_level
    )
    kept = [piece for piece in pieces if not piece.reason]
    clips = list(_write_clips(item, source, kept, config, out))
    dropped = [{"start": p.start, "frames": p.frames, "reason": p.reason} for p in pieces if p.reason]
    index = {
        "cuts": list(found.cuts),
        "clips": [{"start": clip.start, "frames": clip.frames, "key": clip.key} for clip in clips],
        "dropped": dropped,
    }
    (out / INDEX).write_text(json.dumps(index, sort_keys=True))


def _write_clips(item: Item, source: Source, pieces: Sequence[Piece], config: Config, out: Path) -> Iterator[Clip]:
    """Encode the pieces in one pass over the source."""
    if not pieces:
        return
    size = _clip_size(source, config.max_side)
    first, last = pieces[0].start, pieces[-1].start + pieces[-1].frames
    position = first
    scale_to = None if size == (source.height, source.width) else size
    frames = read_pictures(item.path, source, start=first, frames=last - first, size=scale_to)
    with contextlib.closing(frames):
        for piece in pieces:
            for _ in range(piece.start - position):
                next(frames)
            position = piece.start + piece.frames
            clip = _clip_of(item, source, piece, size)
            with VideoWriter(
                out / clip.file,
                fps=source.fps,
                size=size,
                crf=config.crf,
                gop=config.gop,
                preset=config.preset,
                audio=source.audio,
            ) as writer:
                for _ in range(piece.frames):
                    writer.write(next(frames))
                if source.audio:
                    writer.add_audio(item.path, source.audio, float(piece.start / source.fps))
            save_record(clip, out / f"{piece.start:08d}.npz")
            yield clip


def _clip_of(item: Item, source: Source, piece: Piece, size: tuple[int, int]) -> Clip:
    return Clip(
        key=sample_key(item.source, source.sha256, piece.start),
        source=item.source,
        sha256=source.sha256,
        file=f"{piece.start:08d}.mp4",
        start=piece.start,
        frames=piece.frames,
        fps=source.fps,
        size=size,
        audio=source.audio is not None,
        licence=source.licence,
    )


def _clip_size(source: Source, max_side: int | None) -> tuple[int, int]:
    """(h, w) of the clips, even, no longer than max_side."""
    longer = max(source.height, source.width)
    if max_side is None or longer <= max_side:
        return source.height, source.width
    scale = Fraction(max_side, longer)
    return max(2, int(source.height * scale) // 2 * 2), max(2, int(source.width * scale) // 2 * 2)


def clips_in(item: Item) -> tuple[tuple[Item, ...], tuple[Reject, ...]]:
    """The clips of a source that has been through this stage, and the pieces that were dropped, with reasons.

    Reads only the index that the stage wrote: a dry run may call it for a source whose clips are in the store.
    """
    index = json.loads((item.folder(STAGE.name) / INDEX).read_bytes())
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
        rejects.append(STAGE.reject(item, f"no clip in it: all {len(rejects)} pieces dropped ({why})", fault=False))
    return clips, tuple(rejects)


STAGE = Stage(name="shots", version=VERSION, inputs=("probe",), compute=compute)


@task(name="shots", cache_policy=NO_CACHE, persist_result=False)
def shots(batch: Batch, config: Config, env: Env) -> Batch:
    """Every source of the batch cut; the items that go on are its clips."""
    cut = STAGE.run(batch, config, env)
    expanded = [clips_in(item) for item in cut.items]
    clips = tuple(clip for clips, _ in expanded for clip in clips)
    rejects = tuple(reject for _, dropped in expanded for reject in dropped)
    return replace(cut, items=clips, rejects=(*cut.rejects, *rejects))

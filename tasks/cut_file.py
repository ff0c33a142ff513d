"""What `shots` does behind the fence: a file's cuts found, its clips written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from datasets.records import Clip, Source, save_record
from datasets.video import VideoWriter, read_pictures, read_small
from tasks.backends.scenedetect import find_cuts, working_size
from tasks.ops.shots import Piece, plan_pieces, sample_key


def cut_file(
    path: str,
    source: Source,
    out: Path,
    *,
    name: str,
    index: str,
    min_s: float,
    max_s: float,
    threshold: float,
    min_content: float,
    min_shot_s: float,
    fade_level: float,
    max_side: int | None,
    crf: int,
    gop: int,
    preset: str,
) -> None:
    """Cut the file at `path`, which its run calls `name`: clips, their records and the file `index` into `out`.

    The settings are those of tasks.shots.Config. Memory holds one frame at a time.
    """
    small = read_small(path, source, working_size(source.height, source.width))
    found = find_cuts(
        small,
        source.fps,
        threshold=threshold,
        min_content=min_content,
        min_shot=max(1, round(min_shot_s * source.fps)),
        fade_level=fade_level,
    )
    pieces = plan_pieces(found.cuts, found.level, source.fps, min_s=min_s, max_s=max_s, fade_level=fade_level)
    kept = [piece for piece in pieces if not piece.reason]
    size = _clip_size(source, max_side)
    clips = [_clip_of(name, source, piece, size) for piece in kept]
    _write_clips(path, source, clips, out, crf=crf, gop=gop, preset=preset)
    dropped = [{"start": p.start, "frames": p.frames, "reason": p.reason} for p in pieces if p.reason]
    plain = {
        "cuts": list(found.cuts),
        "clips": [{"start": clip.start, "frames": clip.frames, "key": clip.key} for clip in clips],
        "dropped": dropped,
    }
    (out / index).write_text(json.dumps(plain, sort_keys=True))


def _write_clips(
    path: str, source: Source, clips: Sequence[Clip], out: Path, *, crf: int, gop: int, preset: str
) -> None:
    """Encode the clips in one pass over the source."""
    if not clips:
        return
    first, last, size = clips[0].start, clips[-1].start + clips[-1].frames, clips[0].size
    position = first
    scale_to = None if size == (source.height, source.width) else size
    frames = read_pictures(path, source, start=first, frames=last - first, size=scale_to)
    with contextlib.closing(frames):
        for clip in clips:
            for _ in range(clip.start - position):
                next(frames)
            position = clip.start + clip.frames
            with VideoWriter(
                out / clip.file, fps=source.fps, size=size, crf=crf, gop=gop, preset=preset, audio=source.audio
            ) as writer:
                for _ in range(clip.frames):
                    writer.write(next(frames))
                if source.audio:
                    writer.add_audio(path, source.audio, float(clip.start / source.fps))
            save_record(clip, out / f"{clip.start:08d}.npz")


def _clip_of(name: str, source: Source, piece: Piece, size: tuple[int, int]) -> Clip:
    return Clip(
        key=sample_key(name, source.sha256, piece.start),
        source=name,
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

"""Clips of ours (constant rate, short closed GOPs) -> frames: all in order, or any few without decoding the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from av.container import InputContainer

from datasets.video_file import (
    EXACT,
    FAST,
    Damage,
    Painter,
    VideoError,
    decode,
    geometry_of,
    name_of,
    open_video,
    video_stream,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFacts:
    """What a clip's file says of itself, without decoding it."""

    frames: int
    fps: Fraction
    size: tuple[int, int]  # (h, w)
    keyframes: tuple[int, ...]  # frames at which decoding can start
    audio: bool


@dataclass(frozen=True, slots=True)
class _Index:
    """Where a clip's frames are: frame i is shown at i * step, and a closed GOP's frames all follow its keyframe."""

    step: int  # in the stream's time base
    frames: int
    keyframes: np.ndarray  # (K,) int64


def clip_facts(file: str | Path | bytes) -> ClipFacts:
    """Frames, rate, size and keyframes of a clip of ours, from its index. Raises VideoError for a file that is none."""
    name = name_of(file)
    with open_video(file) as container:
        stream = video_stream(container, name)
        index = _index_of(stream, name)
        size = stream.codec_context.height, stream.codec_context.width
        fps = 1 / (index.step * Fraction(stream.time_base or 1))
        keys = tuple(int(k) for k in index.keyframes)
        return ClipFacts(
            frames=index.frames, fps=fps, size=size, keyframes=keys, audio=len(container.streams.audio) > 0
        )


def read_frames(
    file: str | Path | bytes,
    *,
    start: int = 0,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    exact: bool = False,
) -> Iterator[np.ndarray]:
    """Frames [start, start + frames) of a clip of ours in order, each (h, w, 3) uint8 RGB, from the nearest keyframe.

    `size` is (h, w) to scale to; `exact` gives the very colours of read_source, in more time. Raises VideoError when
    the file is damaged or holds fewer frames than asked for.
    """
    name = name_of(file)
    with open_video(file) as container:
        stream = video_stream(container, name)
        index = _index_of(stream, name)
        stop = index.frames if frames is None else start + frames
        if not 0 <= start <= stop <= index.frames:
            raise ValueError(f"{name}: want frames within 0 .. {index.frames}, got {start} .. {stop}")
        if start > 0:
            container.seek(int(_keyframe(index, start)) * index.step, stream=stream)
        damage, painter, position = Damage(), None, start
        while position < stop:
            for frame in decode(container, [stream], damage):
                painter = painter or Painter(geometry_of(frame, stream, name), size, EXACT if exact else FAST)
                if frame.pts == position * index.step:
                    position += 1
                    yield painter.paint(frame)
                if position == stop:
                    return
            raise VideoError(
                f"{name}: want {stop - start} frames from {start}, got {position - start} {damage.first}; make it again"
            )


def read_window(
    file: str | Path | bytes, indices: Sequence[int] | np.ndarray, *, size: tuple[int, int] | None = None
) -> np.ndarray:
    """These frames of a clip of ours, in the order asked for: (n, h, w, 3) uint8 RGB.

    Decodes from the keyframe before each wanted frame, on one thread, and never the GOPs or disposable frames between.
    `size` is (h, w): the scaler goes from YUV to RGB at that size in one pass. Raises VideoError as read_frames does.
    """
    wanted = np.asarray(indices, np.int64)
    name = name_of(file)
    with open_video(file) as container:
        stream = video_stream(container, name)
        index = _index_of(stream, name)
        if wanted.ndim != 1 or len(wanted) == 0 or wanted.min() < 0 or wanted.max() >= index.frames:
            raise ValueError(f"{name}: want frame indices within 0 .. {index.frames - 1}, got {wanted.tolist()}")
        out: np.ndarray | None = None
        painter: Painter | None = None
        for frame in _decode_only(container, stream, index, np.unique(wanted), name):
            if painter is None:
                painter = Painter(geometry_of(frame, stream, name), size, FAST)
            picture = painter.paint(frame)
            if out is None:
                out = np.empty((len(wanted), *picture.shape), np.uint8)
            out[wanted == frame.pts // index.step] = picture
    assert out is not None  # _decode_only gives every wanted frame or raises
    return out


def _decode_only(container: InputContainer, stream: Any, index: _Index, wanted: np.ndarray, name: str) -> Iterator[Any]:
    """The wanted frames, ascending, from as few packets as their GOPs allow."""
    remaining = {int(i) for i in wanted}
    gop_of = np.searchsorted(index.keyframes, wanted, side="right") - 1
    position = 0  # the keyframe that the demuxer stands at
    for gop in np.unique(gop_of):
        key, last = int(index.keyframes[gop]), int(wanted[gop_of == gop].max())
        if key != position:
            container.seek(key * index.step, stream=stream)
        packets = container.demux(stream)
        try:
            for frame in _decode_gop(packets, stream.codec_context, index.step, remaining, last):
                remaining.discard(frame.pts // index.step)
                yield frame
        except av.error.FFmpegError as error:
            raise VideoError(
                f"{name}: want frame {last}, got damaged data ({error.strerror}); make it again"
            ) from error
        position = -1
    if remaining:
        raise VideoError(f"{name}: want frames {sorted(remaining)}, got none of them by decoding; make it again")


def _decode_gop(packets: Iterator[Any], context: Any, step: int, wanted: set[int], last: int) -> Iterator[Any]:
    """The wanted frames of the GOP that the demuxer stands at, up to frame `last`."""
    waiting = {i for i in wanted if i <= last}
    for packet in packets:
        if packet.pts is None:
            break
        # A frame that nobody wants and no other frame refers to is not decoded at all.
        context.skip_frame = "DEFAULT" if packet.pts // step in waiting else "NONREF"
        waiting.discard(packet.pts // step)
        for frame in context.decode(packet):
            if frame.pts // step in wanted:
                yield frame
        if not waiting:
            break
    for frame in context.decode(None):
        if frame.pts is not None and frame.pts // step in wanted:
            yield frame
    context.flush_buffers()


def _keyframe(index: _Index, frame: int) -> int:
    return int(index.keyframes[np.searchsorted(index.keyframes, frame, side="right") - 1])


def _index_of(stream: Any, name: str) -> _Index:
    entries = stream.index_entries
    if len(entries) == 0:
        raise VideoError(f"{name}: want a clip with an index of its frames, got none; write it with VideoWriter")
    first = entries[0].timestamp
    step = entries[1].timestamp - first if len(entries) > 1 else max(int(stream.duration or 1), 1)
    keyframes = np.array([i for i, entry in enumerate(entries) if entry.is_keyframe], np.int64)
    if step <= 0 or len(keyframes) == 0 or keyframes[0] != 0:
        raise VideoError(f"{name}: want a clip of constant rate that starts with a keyframe; write it with VideoWriter")
    return _Index(step, len(entries), keyframes)

"""Raw files -> facts found by decoding all of them, and their frames at a constant rate."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from datasets.records import Audio, Source
from datasets.video_file import (
    EXACT,
    FAST,
    Damage,
    Geometry,
    Painter,
    Picture,
    VideoError,
    decode,
    geometry_of,
    name_of,
    open_video,
    unwrapped,
    video_stream,
)

# Ten hours at 60 frames a second: beyond it a file is a mistake or an attack.
MAX_FRAMES = 10 * 3600 * 60
# Twice the pixels of 8K.
MAX_PIXELS = 2 * 7680 * 4320
# Pixels a byte: a still picture in 1080p takes about 10,000. What any file may hold: 600 frames of 8K.
MAX_EXPANSION = 1e5
FREE_PIXELS = 2e10


# Nobody looks at these pictures closely: without deblocking they decode a third faster, and damage shows all the same.
_UNSEEN = {"skip_loop_filter": "all"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VideoFacts:
    """One file after decoding all of it."""

    container: str
    codec: str
    width: int  # upright, square pixels, even
    height: int
    rotation: int  # degrees clockwise that the container asks for
    time_s: np.ndarray  # (N,) float64  when each decoded frame is shown, from the first one; never falls
    last_s: float  # how long the last frame is shown; 0 when the file does not say
    rates: tuple[Fraction, ...]  # frame rates that the headers name, most trusted first; they may lie
    promised_s: float  # length that the headers give; 0 when they give none
    damaged: int  # packets or frames that were damaged
    damage: str  # what the decoder said of the first
    audio: Audio | None


@dataclass(slots=True)
class _Sound:
    """Running facts of a sound track."""

    first_s: float | None = None
    samples: int = 0


def probe_video(
    path: str | Path,
    *,
    max_frames: int = MAX_FRAMES,
    max_pixels: int = MAX_PIXELS,
    max_expansion: float = MAX_EXPANSION,
) -> VideoFacts:
    """Decode a whole file, pictures and sound, and say what it holds.

    Raises VideoError for a file that is no video, holds no frame, more than max_frames, frames of more than max_pixels,
    or more pixels in all than `most_pixels` of its size.
    """
    name = name_of(path)
    with open_video(path) as container:
        stream = video_stream(container, name)
        _refuse_large(stream.codec_context.width * stream.codec_context.height, max_pixels, name)
        # FFmpeg's own check: a stream may say another size later on, before it takes the memory for it.
        stream.codec_context.options = {**_UNSEEN, "max_pixels": str(max_pixels)}
        tracks = [track for track in container.streams.audio if track.codec_context is not None][:1]
        damage, sound, geometry = Damage(), _Sound(), None
        pixels, most = 0, most_pixels(Path(path).stat().st_size, max_expansion)
        times, last_s, first = array("d"), 0.0, 0.0
        for frame in decode(container, [stream, *tracks], damage):
            if not hasattr(frame, "pict_type"):
                _hear(frame, sound)
                continue
            if geometry is None:
                geometry = geometry_of(frame, stream, name)
                first = _time_of(frame, 0.0)
            times.append(_time_of(frame, times[-1] + first + last_s if times else first) - first)
            last_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
            if len(times) > max_frames:
                raise VideoError(f"{name}: want at most {max_frames} frames, got more; cut it into shorter files")
            pixels += frame.width * frame.height
            refuse_bomb(pixels, most, name)
        if geometry is None:
            why = f" ({damage.first})" if damage.first else ""
            raise VideoError(f"{name}: want a video with frames, got none that decodes{why}; it is empty or broken")
        return VideoFacts(
            container=container.format.name,
            codec=stream.codec_context.name,
            width=geometry.size[1],
            height=geometry.size[0],
            rotation=geometry.quarter_turns * 90,
            time_s=np.maximum.accumulate(np.frombuffer(times, np.float64)),
            last_s=last_s,
            rates=_header_rates(stream),
            promised_s=float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0,
            damaged=damage.packets,
            damage=damage.first,
            audio=_audio_facts(tracks, sound, first),
        )


def most_pixels(size: int, expansion: float = MAX_EXPANSION) -> float:
    """How many pixels a file of so many bytes may hold in all its frames."""
    return FREE_PIXELS + expansion * size


def refuse_bomb(pixels: float, most: float, name: str) -> None:
    """Raise VideoError for more pixels than a file may hold."""
    if pixels > most:
        raise VideoError(
            f"{name}: want at most {most / 1e9:.0f} billion pixels for a file of its size, got more; a small file that "
            "becomes very large is a mistake or an attack: leave it out, or set probe.max_expansion"
        )


def _refuse_large(pixels: int, most: int, name: str) -> None:
    if pixels > most:
        raise VideoError(
            f"{name}: want frames of at most {most / 1e6:.0f} million pixels, got {pixels / 1e6:.0f} million; "
            "scale it, or set probe.max_pixels"
        )


def read_source(
    path: str | Path,
    source: Source,
    *,
    start: int = 0,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[np.ndarray]:
    """The constant-rate upright frames [start, start + frames) of a raw file, each (h, w, 3) uint8 RGB, read-only.

    `size` is (h, w) to scale to. Frames before `start` are decoded and dropped: raw files cannot be trusted to seek.
    A frame that is shown twice is one array given twice. Raises VideoError when the file holds less than was probed.
    """
    stop = source.frames if frames is None else start + frames
    for painter, frame, repeats in _shown(path, source, start, stop, size, EXACT):
        picture = painter.paint(frame)
        picture.setflags(write=False)
        yield from itertools.repeat(picture, repeats)


def read_pictures(
    path: str | Path,
    source: Source,
    *,
    start: int = 0,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
) -> Generator[Picture, None, None]:
    """As read_source, for VideoWriter.write: YUV that needs no turning stays YUV, in half the time, with no loss."""
    stop = source.frames if frames is None else start + frames
    for painter, frame, repeats in _shown(path, source, start, stop, size, EXACT):
        yield from itertools.repeat(painter.keep(frame), repeats)


def read_small(path: str | Path, source: Source, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """All frames as read_source gives them, scaled to (h, w), quick and rough: enough to see cuts, not to keep."""
    for painter, frame, repeats in _shown(path, source, 0, source.frames, size, FAST):
        picture = painter.paint(frame)
        picture.setflags(write=False)
        yield from itertools.repeat(picture, repeats)


def _shown(
    path: str | Path, source: Source, start: int, stop: int, size: tuple[int, int] | None, interpolation: int
) -> Iterator[tuple[Painter, Any, int]]:
    """Each decoded frame that is shown within constant-rate frames [start, stop), and how many times."""
    if not 0 <= start <= stop <= source.frames:
        raise ValueError(f"{source.path}: want frames within 0 .. {source.frames}, got {start} .. {stop}")
    shown = source.frame_map[start:stop]
    position, name = 0, name_of(path)
    with open_video(path) as container:
        stream = video_stream(container, name)
        if interpolation == FAST:
            stream.codec_context.options = _UNSEEN
        painter: Painter | None = None
        for index, frame in enumerate(decode(container, [stream], Damage())):
            if painter is None:
                painter = Painter(_same_geometry(geometry_of(frame, stream, name), source), size, interpolation)
            repeats = int(np.searchsorted(shown, index, side="right")) - position
            if repeats > 0:
                position += repeats
                yield painter, frame, repeats
            if position == len(shown):
                return
    if position < len(shown):
        raise VideoError(
            f"{name}: want {len(shown)} frames as probed, got {position}; has the file changed? run it again"
        )


def _same_geometry(geometry: Geometry, source: Source) -> Geometry:
    if geometry.size != (source.height, source.width):
        want, got = f"{source.width}x{source.height}", f"{geometry.size[1]}x{geometry.size[0]}"
        raise VideoError(
            f"{source.path}: want frames of {want} as probed, got {got}; has the file changed? run it again"
        )
    return geometry


def _time_of(frame: Any, otherwise: float) -> float:
    return otherwise if frame.pts is None else float(frame.pts * frame.time_base)


def _header_rates(stream: Any) -> tuple[Fraction, ...]:
    named = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return tuple(dict.fromkeys(Fraction(rate) for rate in named if rate))


def _hear(frame: Any, sound: _Sound) -> None:
    if sound.first_s is None and frame.pts is not None:
        sound.first_s = float(frame.pts * frame.time_base)
    sound.samples += frame.samples


def _audio_facts(tracks: list[Any], sound: _Sound, first: float) -> Audio | None:
    """What the sound track is, on the clock of the first video frame; None when nothing of it decodes."""
    if not tracks or not sound.samples:
        return None
    context = tracks[0].codec_context
    return Audio(
        codec=context.name,
        rate=context.sample_rate,
        channels=context.layout.nb_channels,
        start_s=0.0 if sound.first_s is None else unwrapped(sound.first_s, first) - first,
        duration_s=sound.samples / context.sample_rate,
    )

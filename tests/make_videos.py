"""Small videos for tests, each with one thing that real footage has: odd times or sizes, turned, cut short, clicks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

MILLISECOND = Fraction(1, 1000)
# A phone held upright: the picture is to be turned clockwise by 90 degrees (ISO 14496-12, the track header's matrix).
CLOCKWISE = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
MIRRORED = (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
CLICK_S = 0.002


def flat(level: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A grey picture."""
    return np.full((*size, 3), level, np.uint8)


def numbered(count: int, size: tuple[int, int] = (48, 72)) -> list[np.ndarray]:
    """Pictures that tell their number: a bright bar, `number_of` reads its place; it goes round every 12."""
    pictures = []
    for i in range(count):
        picture = flat(40, size)
        width = size[1] // 12
        picture[:, i % 12 * width : (i % 12 + 1) * width] = 220
        pictures.append(picture)
    return pictures


def number_of(picture: np.ndarray) -> int:
    """Which of `numbered` a picture is, modulo 12."""
    width = picture.shape[1] // 12
    return int(np.argmax([picture[:, k * width : (k + 1) * width].mean() for k in range(12)]))


def write_video(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    times: Sequence[int] | None = None,
    base: Fraction = MILLISECOND,
    rate: Fraction = Fraction(25),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    matrix: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    colour: dict[str, int] | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    clicks: Sequence[float] | None = None,
    sound: str = "aac",
    sound_rate: int = 48000,
    delay_s: float = 0.0,
) -> Path:
    """Encode RGB or RGBA pictures shown at `times` (in `base`), else evenly at `rate`; sound begins `delay_s` late."""
    frames = iter(pictures)
    first = next(frames)
    with av.open(str(path), "w", container_options=container or {}) as out:
        stream: Any = out.add_stream(codec, rate=rate, options=options or {"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], pixels
        stream.codec_context.time_base = base if times is not None else 1 / rate
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in (colour or {}).items():
            setattr(stream.codec_context, name, value)
        if matrix:
            stream.set_display_matrix(matrix)
        track: Any = None
        if clicks is not None:
            track = out.add_stream(sound, rate=sound_rate)
            track.codec_context.layout = "stereo"
        for i, picture in enumerate(itertools.chain([first], frames)):
            form = "rgb24" if picture.dtype == np.uint8 and picture.shape[-1] == 3 else "rgba"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=form)
            frame.pts, frame.time_base = (i, 1 / rate) if times is None else (times[i], base)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if track is not None:
            length_s = float((i + 1) / rate)
            for frame in _click_frames(clicks or (), length_s, sound_rate, track.codec_context.format.name):
                frame.pts += round(delay_s * sound_rate)
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
    return path


def _click_frames(clicks: Sequence[float], length_s: float, rate: int, form: str) -> Iterable[av.AudioFrame]:
    wave = np.zeros((2, round(length_s * rate)), np.float32)
    for at in clicks:
        begin = round(at * rate)
        wave[:, begin : begin + round(CLICK_S * rate)] = 0.8
    converter = av.AudioResampler(format=form, layout="stereo", rate=rate)
    for position in range(0, wave.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(wave[:, position : position + 1024]), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
        yield from converter.resample(frame)


def write_sound(path: Path) -> Path:
    """A file with sound and no picture."""
    with av.open(str(path), "w") as out:
        track: Any = out.add_stream("aac", rate=48000)
        track.codec_context.layout = "stereo"
        for frame in _click_frames((0.5,), 1.0, 48000, track.codec_context.format.name):
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return path


def clicks_in(path: Path) -> list[float]:
    """Times at which clicks begin in a file's sound, seconds."""
    found: list[float] = []
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        for frame in container.decode(track):
            wave = np.abs(frame.to_ndarray()).max(axis=0)
            for at in np.flatnonzero(wave > 0.3) / frame.sample_rate + float(frame.pts * frame.time_base):
                if not found or at - found[-1] > 0.1:
                    found.append(float(at))
    return found

"""A source's sound over a stretch of its video's clock: exactly so many samples, silence where there is none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from datasets.records import Audio
from datasets.video_file import Damage, decode, open_video, unwrapped

# What AAC can hold (ISO/IEC 14496-3, table 1.18); any other rate is resampled to 48 kHz.
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
# After a seek the first blocks of most codecs are wrong until their overlap has filled: start this much before.
_PREROLL_S = 1.0
# Containers round times to a millisecond or so; only a larger step is a real gap or overlap.
_TOLERANCE_S = 0.01


def output_rate(rate: int) -> int:
    """The sample rate that a clip carries for a source of this rate."""
    return rate if rate in _AAC_RATES else 48000


def read_sound(path: str | Path, audio: Audio, *, start_s: float, samples: int, block: int) -> Iterator[np.ndarray]:
    """`samples` samples from `start_s` on the video's clock, in blocks of (channels, <= block) float32 at output_rate.

    One channel stays one; more are mixed to two.
    """
    layout, rate = ("mono" if audio.channels == 1 else "stereo"), output_rate(audio.rate)
    channels = 1 if layout == "mono" else 2
    waiting: list[np.ndarray] = []
    held = given = 0
    for piece in _aligned(path, audio, start_s, samples / rate, layout, rate):
        waiting.append(piece[:, : samples - given - held])
        held += waiting[-1].shape[1]
        while held >= block:
            joined = np.concatenate(waiting, axis=1)
            yield np.ascontiguousarray(joined[:, :block])
            waiting, held, given = [joined[:, block:]], held - block, given + block
        if given + held >= samples:
            break
    rest = np.concatenate([*waiting, np.zeros((channels, samples - given - held), np.float32)], axis=1)
    for position in range(0, rest.shape[1], block):
        yield np.ascontiguousarray(rest[:, position : position + block])


def _aligned(
    path: str | Path, audio: Audio, start_s: float, duration_s: float, layout: str, rate: int
) -> Iterator[np.ndarray]:
    """Decoded sound as (channels, n) float32, cut and padded so that its first sample is at `start_s`."""
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    converter = av.AudioResampler(format="fltp", layout=layout, rate=audio.rate)
    position = 0  # in samples of the source, from start_s
    stop = round(duration_s * audio.rate) + audio.rate // 10
    for at_s, frame in _decoded(path, audio, start_s):
        begin = min(round((at_s - start_s) * audio.rate), stop)
        for plain in converter.resample(frame):
            sound = plain.to_ndarray()
            if abs(begin - position) <= _TOLERANCE_S * audio.rate and position > 0:
                begin = position
            begin += sound.shape[1]
            sound = _placed(sound, begin - sound.shape[1], position)
            if sound.shape[1] == 0:
                continue
            position += sound.shape[1]
            yield from _resampled(resampler, sound, layout, audio.rate)
        if position >= stop:
            break
    yield from (frame.to_ndarray() for frame in resampler.resample(None))


def _placed(sound: np.ndarray, begin: int, position: int) -> np.ndarray:
    """The part of `sound` (which begins at `begin`) from `position` on, with silence before it where there is a gap."""
    if begin > position:
        return np.concatenate([np.zeros((sound.shape[0], begin - position), np.float32), sound], axis=1)
    return sound[:, position - begin :]


def _resampled(resampler: Any, sound: np.ndarray, layout: str, rate: int) -> Iterator[np.ndarray]:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout=layout)
    frame.sample_rate = rate
    for out in resampler.resample(frame):
        yield out.to_ndarray()


def _decoded(path: str | Path, audio: Audio, start_s: float) -> Iterator[tuple[float, Any]]:
    """Decoded frames with the time of each on the video's clock, from `start_s` or a little before it."""
    first_s = next(at_s for at_s, _ in _frames(path, None))
    # The track's first sample is at audio.start_s on the video's clock.
    offset = audio.start_s - first_s
    frames = _frames(path, None)
    if start_s - audio.start_s > 2 * _PREROLL_S:
        sought = _frames(path, start_s - offset - _PREROLL_S)
        landed = next(sought, None)
        # Some formats' seeks land too late: then all is read from the start.
        if landed is not None and unwrapped(landed[0] + offset, start_s) <= start_s:
            frames = itertools.chain([landed], sought)
    for at_s, frame in frames:
        yield unwrapped(at_s + offset, start_s), frame


def _frames(path: str | Path, seek_s: float | None) -> Iterator[tuple[float, Any]]:
    """Decoded frames of the sound track at the container's own times, from its start or the block before `seek_s`."""
    with open_video(path) as container:
        stream = container.streams.audio[0]
        if seek_s is not None:
            container.seek(int(seek_s / (stream.time_base or 1)), stream=stream)
        at_s: float | None = None
        for frame in decode(container, [stream], Damage()):
            if frame.pts is not None:
                at_s = float(frame.pts * frame.time_base)
            if at_s is None:
                continue
            yield at_s, frame
            at_s += frame.samples / frame.sample_rate

"""Frames -> clips in the shard encoding; equal frames give equal bytes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from datasets.records import Audio
from datasets.video_file import EXACT, REPEATABLE, Picture, matrix_of, name_of
from datasets.video_sound import output_rate, read_sound

_AUDIO_BIT_RATE = 128_000
_AUDIO_BLOCK = 1024


class VideoWriter:
    """A clip in the shard encoding: H.264 yuv420p BT.709, constant rate, closed GOPs, the index in front.

    Nothing refers to a B frame, so a reader may leave out those it does not want; CAVLC decodes a third faster than
    CABAC for a tenth more bytes. Equal frames give equal bytes: one thread, and no mbtree, whose vector code reads
    memory that it never set (tried: other bytes in 2 of 20 runs) and rounds differently from processor to processor.

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "grey.mp4")
    >>> with VideoWriter(path, fps=Fraction(25), size=(32, 48)) as writer:
    ...     writer.write(np.full((32, 48, 3), 128, np.uint8))
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: Fraction,
        size: tuple[int, int],
        crf: int = 20,
        gop: int = 12,
        preset: str = "veryfast",
        audio: Audio | None = None,
    ) -> None:
        """`size` is (h, w), both even. With `audio`, call add_audio after the last frame."""
        height, width = size
        if height % 2 or width % 2 or min(size) < 2:
            raise ValueError(
                f"{name_of(path)}: want even sides for 4:2:0 video, got {width}x{height}; crop or pad the frames"
            )
        self.size, self.fps, self.frames = (height, width), Fraction(fps), 0
        self._container = av.open(
            str(path), "w", format="mp4", container_options={**REPEATABLE, "movflags": "+faststart"}
        )
        self._scaler = VideoReformatter()
        self._matrix: Colorspace | None = None
        self._video = self._container.add_stream("libx264", rate=self.fps)
        context = self._video.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = 1 / self.fps
        context.thread_count = 1
        context.options = {
            "a53cc": "0",  # captions of the source would else be copied into some clips
            "preset": preset,
            "crf": str(crf),
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes=3:b-pyramid=none:b-adapt=0"
            ":cabac=0:mbtree=0:threads=1:lookahead-threads=1",
        }
        self._audio = self._add_audio_stream(audio) if audio else None

    def _add_audio_stream(self, audio: Audio) -> Any:
        stream: Any = self._container.add_stream("aac", rate=output_rate(audio.rate))
        stream.codec_context.layout = "mono" if audio.channels == 1 else "stereo"
        stream.codec_context.format = "fltp"
        stream.codec_context.bit_rate = _AUDIO_BIT_RATE
        return stream

    def write(self, frame: Picture) -> None:
        """Add one frame: (h, w, 3) uint8 RGB, or what read_pictures gives. Raises ValueError for another shape.

        The first frame decides the colour tags: BT.709 for RGB, else the matrix that its YUV has.
        """
        picture = self._encodable(frame)
        if self.frames == 0:
            context = self._video.codec_context
            context.color_range, context.colorspace = int(ColorRange.MPEG), picture.colorspace
            context.color_primaries, context.color_trc = picture.color_primaries, picture.color_trc
            self._matrix = matrix_of(picture)
        picture.pts, picture.time_base = self.frames, 1 / self.fps
        self.frames += 1
        self._container.mux(self._video.encode(picture))

    def _encodable(self, frame: Picture) -> VideoFrame:
        """The frame as limited-range yuv420p in the matrix of the frames before it."""
        if isinstance(frame, VideoFrame):
            if (frame.height, frame.width, frame.format.name) != (*self.size, "yuv420p"):
                got = f"{(frame.height, frame.width)} {frame.format.name}"
                raise ValueError(f"frame {self.frames}: want {self.size} yuv420p, got {got}")
            matrix = matrix_of(frame)
            return self._convert(frame, matrix, ColorRange.MPEG, self._matrix or matrix)
        if frame.shape != (*self.size, 3) or frame.dtype != np.uint8:
            want, got = f"{(*self.size, 3)} uint8 RGB", f"{frame.shape} {frame.dtype}"
            raise ValueError(f"frame {self.frames}: want {want}, got {got}")
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.color_primaries, picture.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return self._convert(picture, None, ColorRange.JPEG, self._matrix or Colorspace.ITU709)

    def _convert(
        self, picture: VideoFrame, matrix: Colorspace | None, levels: ColorRange, to: Colorspace
    ) -> VideoFrame:
        return self._scaler.reformat(
            picture,
            format="yuv420p",
            src_colorspace=matrix,
            dst_colorspace=to,
            src_color_range=levels,
            dst_color_range=ColorRange.MPEG,
            interpolation=EXACT,
            threads=1,
        )

    def add_audio(self, path: str | Path, audio: Audio, start_s: float) -> None:
        """Add the sound of a source from `start_s` on its video's clock, as long as the frames written so far.

        Silence stands where the source has none. Raises ValueError when the writer was made without audio.
        """
        if self._audio is None:
            raise ValueError("want a VideoWriter made with audio=..., got one without; pass the source's Audio to it")
        context = self._audio.codec_context
        samples = round(self.frames / self.fps * context.sample_rate)
        position, tick = 0, Fraction(1, context.sample_rate)
        for block in read_sound(path, audio, start_s=start_s, samples=samples, block=_AUDIO_BLOCK):
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=context.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = context.sample_rate, position, tick
            position += block.shape[1]
            self._container.mux(self._audio.encode(frame))
        self._container.mux(self._audio.encode(None))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self.frames == 0:
                    raise ValueError("want at least one frame in a clip, got none")
                self._container.mux(self._video.encode(None))
        finally:
            self._container.close()

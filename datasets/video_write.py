"""Frames -> clips in the shard encoding, depth -> lossless 16-bit video; equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from datasets.records import Audio
from datasets.video_file import EXACT, Damage, Picture, VideoError, decode, matrix_of, name_of, open_video, video_stream
from datasets.video_sound import output_rate, read_sound

# Muxers write their version and a random id unless told to be exact.
_REPEATABLE = {"fflags": "+bitexact"}
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
            str(path), "w", format="mp4", container_options={**_REPEATABLE, "movflags": "+faststart"}
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
        """Add one frame: (h, w, 3) uint8 RGB, or what read_pictures gives. Raises ValueError for another shape or dtype.

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
        if isinstance(frame, VideoFrame):
            if (frame.height, frame.width, frame.format.name) != (*self.size, "yuv420p"):
                got = f"{(frame.height, frame.width)} {frame.format.name}"
                raise ValueError(f"frame {self.frames}: want {self.size} yuv420p, got {got}")
            matrix = matrix_of(frame)
            source, levels, to = frame, ColorRange.MPEG, self._matrix or matrix
        else:
            if frame.shape != (*self.size, 3) or frame.dtype != np.uint8:
                want, got = f"{(*self.size, 3)} uint8 RGB", f"{frame.shape} {frame.dtype}"
                raise ValueError(f"frame {self.frames}: want {want}, got {got}")
            source, levels, matrix = (
                VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
                ColorRange.JPEG,
                None,
            )
            source.color_primaries, source.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
            to = self._matrix or Colorspace.ITU709
        return self._scaler.reformat(
            source,
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
        position = 0
        for block in read_sound(path, audio, start_s=start_s, samples=samples, block=_AUDIO_BLOCK):
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=context.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = (
                context.sample_rate,
                position,
                Fraction(1, context.sample_rate),
            )
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


def write_depth(path: str | Path, frames: Iterable[np.ndarray], fps: Fraction) -> None:
    """Depth maps, (h, w) uint16 millimetres, as FFV1 gray16 in Matroska: bit-exact, equal bytes for equal maps.

    Raises ValueError for maps of another dtype or of unequal sizes, and for none at all.
    """
    with av.open(str(path), "w", format="matroska", container_options=_REPEATABLE) as container:
        stream: Any = None
        size: tuple[int, ...] = ()
        for i, depth in enumerate(frames):
            if depth.dtype != np.uint16 or depth.ndim != 2 or (size and depth.shape != size):
                raise ValueError(f"depth {i}: want {size or '(h, w)'} uint16 mm, got {depth.shape} {depth.dtype}")
            if stream is None:
                size = depth.shape
                stream = container.add_stream("ffv1", rate=fps)
                context = stream.codec_context
                context.height, context.width, context.pix_fmt = *size, "gray16le"
                context.time_base, context.thread_count, context.gop_size = 1 / Fraction(fps), 1, 1
                context.options = {"level": "3", "slices": "4", "slicecrc": "1", "context": "1"}
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(depth), format="gray16le")
            frame.pts, frame.time_base = i, 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        if stream is None:
            raise ValueError(f"{name_of(path)}: want at least one depth map, got none")
        container.mux(stream.encode(None))


def read_depth(file: str | Path | bytes) -> Iterator[np.ndarray]:
    """The depth maps of a file of write_depth in order, each (h, w) uint16 mm.

    Raises VideoError for a file that is damaged or none of write_depth's.
    """
    name = name_of(file)
    with open_video(file) as container:
        stream = video_stream(container, name)
        if stream.codec_context.name != "ffv1" or stream.codec_context.pix_fmt != "gray16le":
            got = f"{stream.codec_context.name} {stream.codec_context.pix_fmt}"
            raise VideoError(f"{name}: want depth as ffv1 gray16le, got {got}; write it with write_depth")
        damage = Damage()
        for frame in decode(container, [stream], damage):
            yield frame.to_ndarray()
        if damage.packets:
            raise VideoError(
                f"{name}: want undamaged depth, got {damage.packets} damaged packets ({damage.first}); make it again"
            )

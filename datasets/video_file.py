"""Opening and decoding: local files only, damage counted, every frame made upright square-pixel RGB8.

Of FFmpeg's errors, want of memory is MemoryError: it says nothing of the file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream

# A playlist or a concat script makes FFmpeg open other files and addresses; only self-contained formats are read.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpegtsraw,mpeg,mpegvideo,flv,asf,ogg,gif,apng,mxf,ivf,obu,h264,hevc,vvc,"
    "av1,m4v,mjpeg,yuv4mpegpipe,nut,rm,dv,wtv,swf,vc1,aac,mp3,wav,flac"
)
_LOCAL_ONLY = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
# Muxers write their version and a random id unless told to be exact.
REPEATABLE = {"fflags": "+bitexact"}
_WRAP_S = 2**33 / 90000
# A demuxer that fails this often in a row has nothing left to give.
_MAX_READ_ERRORS = 8
# AVCOL_SPC_*: BT.709, none named, and those with BT.601's matrix; HDR's transfer curves, SMPTE 2084 and ARIB STD-B67.
_BT709, _UNSPECIFIED = 1, 2
_PLAIN = (_BT709, _UNSPECIFIED, 5, 6)
_HDR = (int(ColorTrc.SMPTE2084), int(ColorTrc.ARIB_STD_B67))
# Upright frames are cut to even sides, so the smallest has two pixels a side; the largest is what H.264 can hold.
_MIN_SIDE, _MAX_SIDE = 2, 16384
EXACT = int(Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT)


# YUV to RGB, scaled or not, in one vectorised pass: ten times faster, for errors of a level or two.
FAST = int(Interpolation.BILINEAR)


class VideoError(ValueError):
    """A file that cannot be read as the video it should be: what, wanted, got and what to do."""


# A frame on its way to an encoder: (h, w, 3) uint8 RGB, or yuv420p still in the decoder's hands.
Picture: TypeAlias = np.ndarray | VideoFrame


@dataclass(slots=True)
class Damage:
    """What went wrong while decoding, counted instead of raised."""

    packets: int = 0  # packets or frames that were damaged
    first: str = ""  # what FFmpeg said of the first


def open_video(file: str | Path | bytes | io.BufferedIOBase) -> InputContainer:
    """A container to read from: a path, or the bytes of a whole file. The caller closes it.

    Raises VideoError for a file that is missing, empty or in no video format.
    """
    name = name_of(file)
    try:
        if isinstance(file, bytes | bytearray | memoryview):
            # One read call a file, not one each 32 KB: each is a call into Python.
            size = max(len(file), 1)
            return av.open(io.BytesIO(file), "r", container_options=_LOCAL_ONLY, buffer_size=min(size, 1 << 22))
        if isinstance(file, str | Path):
            if not os.path.isfile(file):
                got = "a folder" if os.path.isdir(file) else "no such file"
                raise VideoError(f"{name}: want a video file, got {got}; check the path")
            if os.path.getsize(file) == 0:
                raise VideoError(f"{name}: want a video file, got an empty one (0 bytes); copy it again")
            # The "file:" keeps a name with a colon in it from being read as a protocol.
            return av.open(f"file:{os.path.abspath(file)}", "r", container_options=_LOCAL_ONLY)
        return av.open(file, "r", container_options=_LOCAL_ONLY)
    except MemoryError:
        raise
    except (av.error.FFmpegError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"{name}: want a video, got something else or one cut short ({reason}); try to play it"
        ) from error


def name_of(file: object) -> str:
    """What to call a file in messages: its last part, never the folders above it."""
    return Path(file).name if isinstance(file, str | Path) else f"video of {_length(file)} bytes"


def _length(file: object) -> int | str:
    return len(cast(bytes, file)) if isinstance(file, bytes | bytearray | memoryview) else "unknown"


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The moving-picture stream, set to one decode thread. Raises VideoError when there is none.

    One thread: data-loader workers are many, and with several a damaged file may give other frames from run to run.
    """
    for stream in container.streams.video:
        if Disposition.attached_pic not in stream.disposition and stream.codec_context is not None:
            stream.codec_context.thread_count = 1
            return stream
    sound = ", ".join(sorted({s.codec_context.name for s in container.streams.audio}))
    got = f"only sound ({sound})" if sound else "no stream of pictures"
    raise VideoError(f"{name}: want a video, got {got}; leave it out, or join it with its pictures")


def decode(container: InputContainer, streams: list[Any], damage: Damage) -> Iterator[Any]:
    """Every frame of these streams in the decoder's order; damaged packets are counted and skipped."""
    errors = 0
    while errors < _MAX_READ_ERRORS:
        try:
            for packet in container.demux(*streams):
                frames = _decode_packet(packet, damage)
                errors = 0 if frames else errors
                yield from frames
            return
        except MemoryError:
            raise
        except av.error.FFmpegError as error:
            errors += 1
            _note(damage, error)
    for stream in streams:
        yield from stream.codec_context.decode(None)


def _decode_packet(packet: Any, damage: Damage) -> list[Any]:
    try:
        frames = packet.decode()
    except av.error.EOFError:
        return []
    except MemoryError:
        raise  # of FFmpeg too: no damage of the file's, and what comes after would be missing for want of it
    except av.error.FFmpegError as error:
        _note(damage, error)
        return []
    if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
        _note(damage, "damaged data")
    return frames


def _note(damage: Damage, error: object) -> None:
    damage.packets += 1
    damage.first = damage.first or getattr(error, "strerror", None) or str(error)


def unwrapped(time_s: float, near_s: float) -> float:
    """A time whose clock may have wrapped, as its nearest to another: MPEG-TS counts 33 bits of 1/90000 s, 26 hours.

    >>> round(unwrapped(95443.70, 0.0), 2)
    -0.02
    """
    return time_s - _WRAP_S * round((time_s - near_s) / _WRAP_S)


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a decoded picture becomes an upright one with square pixels and even sides."""

    coded: tuple[int, int]  # (h, w) as decoded
    square: tuple[int, int]  # (h, w) with square pixels, before turning
    quarter_turns: int  # clockwise, 0..3
    mirrored: bool  # left and right swapped, before turning

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) upright. An odd side loses its last row or column: 4:2:0 has none, and padding would invent pixels."""
        height, width = self.square if self.quarter_turns % 2 == 0 else self.square[::-1]
        return height // 2 * 2, width // 2 * 2


def geometry_of(frame: VideoFrame, stream: VideoStream, name: str) -> Geometry:
    """The geometry that a stream's first frame and headers ask for. Raises VideoError for a size out of bounds."""
    height, width = frame.height, frame.width
    aspect = float(stream.sample_aspect_ratio or 1) or 1.0
    # Pixels are only ever stretched, so that no detail is lost.
    square = (height, round(width * aspect)) if aspect >= 1 else (round(height / aspect), width)
    if min(square) < _MIN_SIDE or max(square) > _MAX_SIDE:
        raise VideoError(
            f"{name}: want sides of {_MIN_SIDE} to {_MAX_SIDE} pixels, got {square[1]}x{square[0]}; scale it"
        )
    turns, mirrored = _orientation(frame)
    return Geometry((height, width), square, turns, mirrored)


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Clockwise quarter turns and mirroring that the display matrix asks for; it maps picture to screen, y down."""
    try:
        data = bytes(cast("Any", frame.side_data)["DISPLAYMATRIX"])
    except KeyError:
        return 0, False
    a, b, _, c, d = (int(v) for v in np.frombuffer(data, np.int32)[:5])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    # Column vectors: x' = a x + c y, y' = b x + d y; a clockwise quarter turn sends (1, 0) to (0, 1).
    angle = np.degrees(np.arctan2(b, a))
    return round(angle / 90) % 4, mirrored


class Painter:
    """Decoded frames -> (h, w, 3) uint8 RGB of one upright size; keeps one scaler for all of them."""

    def __init__(self, geometry: Geometry, size: tuple[int, int] | None = None, interpolation: int = EXACT) -> None:
        self.geometry = geometry
        self.size = size
        self.interpolation = interpolation
        self._scaler = VideoReformatter()

    def paint(self, frame: VideoFrame) -> np.ndarray:
        """One frame as RGB: limited or full range, 8 bits or more, SDR or HDR, over black where it is transparent."""
        height, width = self.geometry.square if self.size is None else self.size
        if self.size is not None and self.geometry.quarter_turns % 2:
            height, width = width, height
        picture = self._rgb(frame, height, width)
        if self.geometry.mirrored:
            picture = picture[:, ::-1]
        if self.geometry.quarter_turns:
            picture = np.rot90(picture, -self.geometry.quarter_turns)
        height, width = self.geometry.size if self.size is None else self.size
        return np.ascontiguousarray(picture[:height, :width])

    def keep(self, frame: VideoFrame) -> Picture:
        """One frame as yuv420p straight from the decoder's YUV; as RGB where it must be turned, blended or tone-mapped.

        The way by RGB and back costs twice an encoder's half of a frame's time, and a little colour.
        """
        height, width = self.geometry.size if self.size is None else self.size
        uncut = self.size is not None or self.geometry.size == self.geometry.square
        turned = self.geometry.quarter_turns or self.geometry.mirrored
        if turned or not uncut or frame.colorspace not in _PLAIN or _is_wide(frame) or not _is_yuv(frame):
            return self.paint(frame)
        matrix = matrix_of(frame)
        kept = self._scaler.reformat(
            frame,
            width,
            height,
            "yuv420p",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=frame.color_range or ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=self.interpolation,
            threads=1,
        )
        # Else the encoder would take over which frames the source had as keyframes.
        kept.pict_type = PictureType.NONE
        return kept

    def _rgb(self, frame: VideoFrame, height: int, width: int) -> np.ndarray:
        alpha = _has_alpha(frame)
        wide = _is_wide(frame)
        painted = self._scaler.reformat(
            frame,
            width,
            height,
            "rgba" if alpha else "rgb24",
            src_colorspace=matrix_of(frame) if frame.colorspace in _PLAIN else None,
            dst_color_range=ColorRange.JPEG,
            dst_color_trc=ColorTrc.BT709 if wide else None,
            dst_color_primaries=ColorPrimaries.BT709 if wide else None,
            interpolation=self.interpolation,
            threads=1,
        )
        picture = painted.to_ndarray()
        if alpha:
            opacity = picture[..., 3:].astype(np.uint16)
            picture = ((picture[..., :3] * opacity + 127) // 255).astype(np.uint8)
        return picture


def matrix_of(frame: VideoFrame) -> Colorspace:
    """BT.709 or BT.601, whichever YUV matrix a frame names; one that names none is taken as players do, by its size."""
    if frame.colorspace != _UNSPECIFIED:
        return Colorspace.ITU709 if frame.colorspace == _BT709 else Colorspace.ITU601
    return Colorspace.ITU709 if min(frame.height, frame.width) >= 720 or frame.width >= 1280 else Colorspace.ITU601


def _is_yuv(frame: VideoFrame) -> bool:
    return not frame.format.is_rgb and not _has_alpha(frame)


def _is_wide(frame: VideoFrame) -> bool:
    """Whether light or colours go beyond what BT.709 can say."""
    return frame.color_trc in _HDR or frame.color_primaries == ColorPrimaries.BT2020


def _has_alpha(frame: VideoFrame) -> bool:
    return any(component.is_alpha for component in frame.format.components)

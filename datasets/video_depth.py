"""Depth maps <-> lossless 16-bit video, FFV1 in Matroska: bit-exact, equal bytes for equal maps, damage always seen."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame

from datasets.video_file import REPEATABLE, VideoError, name_of, open_video, video_stream

# What follows each FFV1 slice: 3 bytes of size, 1 of status, 4 of checksum (RFC 9043, section 4.9).
_FOOTER = 8
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def write_depth(path: str | Path, frames: Iterable[np.ndarray], fps: Fraction) -> None:
    """Depth maps, (h, w) uint16 millimetres, as FFV1 gray16 in Matroska: bit-exact, equal bytes for equal maps.

    Raises ValueError for maps of another dtype or of unequal sizes, and for none at all.
    """
    with av.open(str(path), "w", format="matroska", container_options=REPEATABLE) as container:
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
        try:
            for packet in container.demux(stream):
                if packet.size and not _intact(bytes(packet)):
                    raise VideoError(f"{name}: want undamaged depth, got a wrong checksum; make it again")
                for frame in packet.decode():
                    yield frame.to_ndarray()
        except av.error.FFmpegError as error:
            raise VideoError(f"{name}: want undamaged depth, got {error.strerror}; make it again") from error


def _intact(packet: bytes) -> bool:
    """Whether the checksums of all slices hold. FFmpeg's decoder sees a wrong one and quietly shows the map before it.

    Over a slice with its footer, the CRC of polynomial 0x04C11DB7 from 0, highest bit first, is 0 (RFC 9043, section
    4.9.3). zlib's runs lowest bit first, so it is given every byte reversed.
    """
    stop = len(packet)
    while stop > 0:
        size = int.from_bytes(packet[stop - _FOOTER : stop - _FOOTER + 3], "big")
        start = stop - _FOOTER - size
        if start < 0 or zlib.crc32(packet[start:stop].translate(_REVERSED), 0xFFFFFFFF) != 0xFFFFFFFF:
            return False
        stop = start
    return True

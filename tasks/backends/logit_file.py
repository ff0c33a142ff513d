"""Mask logits on disk while a clip is propagated: forward and backward passes meet here, and memory stays flat."""

from __future__ import annotations

import tempfile
import zlib
from types import TracebackType

import numpy as np

_STEP = 8.0  # levels a nat; beyond +-16 a pixel is as certain as can be


class LogitFile:
    """(frame, tracklet) -> low-resolution mask logits, eight bits each, deflated, in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="duetflow-logits-")  # noqa: SIM115  closed by __exit__
        self._index: dict[int, dict[int, tuple[int, int, tuple[int, ...], float]]] = {}

    def __enter__(self) -> LogitFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def put(self, frame: int, tracklet: int, logits: np.ndarray, score: float) -> None:
        """Keep (h, w) float32 logits and the object's score; an earlier entry of the same name is replaced."""
        # Rounded away from zero: a mask keeps its outline to the pixel.
        level = np.clip(np.sign(logits) * np.ceil(np.abs(logits) * _STEP), -127, 127).astype(np.int8)
        data = zlib.compress(level.tobytes(), 1)
        offset = self._file.seek(0, 2)
        self._file.write(data)
        self._index.setdefault(frame, {})[tracklet] = (offset, len(data), logits.shape, score)

    def at(self, frame: int) -> dict[int, tuple[np.ndarray, float]]:
        """tracklet -> logits (h, w) float32 and score, of one frame."""
        out = {}
        for tracklet, (offset, size, shape, score) in self._index.get(frame, {}).items():
            self._file.seek(offset)
            level = np.frombuffer(zlib.decompress(self._file.read(size)), np.int8).reshape(shape)
            out[tracklet] = level.astype(np.float32) / _STEP, score
        return out

"""A clip's file -> its frames: decoded once for the stages that read the same clip one after another, and ahead."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from datasets.video import read_frames, read_window
from tasks.backends.ahead import ahead

# What a worker may hold of decoded frames, of all clips together: five seconds of two clips at 512 x 512. Of a larger
# clip the first frames stay, and the others are decoded again.
MAX_BYTES = 256 << 20


@dataclass(slots=True)
class _Kept:
    """The first frames of one clip."""

    frames: list[np.ndarray] = field(default_factory=list)
    size: int = 0  # bytes


@dataclass(slots=True)
class FrameCache:
    """Decoded frames of the clips read last, up to `most` bytes; the clip that was not read for longest goes first."""

    most: int = MAX_BYTES
    _clips: OrderedDict[tuple[str, int, int, int], _Kept] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(kept.size for kept in self._clips.values())

    def read(self, path: Path, frames: int | None = None) -> Generator[np.ndarray, None, None]:
        """As datasets.video.read_frames from the first on, (h, w, 3) uint8 RGB each, which nobody may write to."""
        kept, position = self._of(path), 0
        while position < len(kept.frames) and (frames is None or position < frames):
            yield kept.frames[position]
            position += 1
        if frames is not None and position >= frames:
            return
        rest = None if frames is None else frames - position
        decoding = cast("Generator[np.ndarray, None, None]", read_frames(path, start=position, frames=rest))
        with contextlib.closing(ahead(decoding)) as decoded:
            for frame in decoded:
                frame.setflags(write=False)
                self._keep(kept, position, frame)
                position += 1
                yield frame

    def at(self, path: Path, frame: int) -> np.ndarray:
        """One frame, (h, w, 3) uint8 RGB, decoded anew only when it is not held."""
        kept = self._of(path)
        return kept.frames[frame] if frame < len(kept.frames) else read_window(path, [frame])[0]

    def clear(self) -> None:
        """Let go of all frames."""
        with self._lock:
            self._clips.clear()

    def _of(self, path: Path) -> _Kept:
        """What is held of a file, which counts as read just now. A file in another's place is another clip."""
        there = path.stat()
        key = str(path), there.st_ino, there.st_size, there.st_mtime_ns
        with self._lock:
            kept = self._clips.setdefault(key, _Kept())
            self._clips.move_to_end(key)
            return kept

    def _keep(self, kept: _Kept, position: int, frame: np.ndarray) -> None:
        """Add a clip's next frame, at the cost of clips read longer ago, never of its own first frames."""
        with self._lock:
            # Another thread may read the same clip, or have pushed this one out.
            if position != len(kept.frames) or not any(kept is other for other in self._clips.values()):
                return
            while self.size + frame.nbytes > self.most and next(iter(self._clips.values())) is not kept:
                self._clips.popitem(last=False)
            if self.size + frame.nbytes <= self.most:
                kept.frames.append(frame)
                kept.size += frame.nbytes


FRAMES = FrameCache()  # one a worker

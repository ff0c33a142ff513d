"""Good videos with boxes, keypoints and masks beside them that are bombs, lies, or no files at all."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.hostile.case import Canary, Case
from tests.hostile.videos import FRAMES, SIZE, distinct

# What a run over these may take for reading them: much less than they ask for.
MEMORY_MB = 1024


def cases(canary: Canary) -> list[Case]:
    """Every video of the corpus that has something beside it."""
    boxes, poses, masks, reject = ".mot.txt", ".keypoints.json", ".masks.json", "rejected"
    plain = "want a plain file, got a pipe, a device or a broken link"
    return [
        Case("boxes that are well", "beside-good.mp4", _with(boxes, _text(_boxes())), "accepted"),
        Case("boxes in a pipe", "beside-pipe.mp4", _with(boxes, lambda p: os.mkfifo(p)), reject, plain),
        Case("keypoints of a device without end", "beside-zero.mp4",
             _with(poses, lambda p: p.symlink_to("/dev/zero")), reject, plain),
        Case("masks of nothing", "beside-nothing.mp4", _with(".masks", lambda p: p.symlink_to("gone")), reject, plain),
        Case("JSON of a gigabyte", "beside-large.mp4", _with(poses, _gigabyte), reject, "want at most 536870912 bytes"),
        Case("JSON of 100,000 brackets", "beside-deep.mp4", _with(masks, _text("[" * 100_000)), reject, "want JSON"),
        Case("JSON of twenty times its size", "beside-grows.mp4", _with(poses, _text(f"[{'{},' * 15_000_000}0]")),
             reject, rf"at most {MEMORY_MB} MB of memory .* bring\.memory_mb"),
        Case("an id of 5,000 digits", "beside-digits.mp4", _with(poses, _text(f'[{{"image_id": {"9" * 5000}}}]')),
             reject, "want JSON"),
        Case("boxes that are no numbers", "beside-nan.mp4", _with(boxes, _text("1,1,nan,2,3,4\n")), reject,
             "want a number, got 'nan'"),
        Case("runs beyond the picture", "beside-runs.mp4", _with(masks, _text(_rle(list(SIZE)))), reject,
             "runs that add up to"),
        Case("masks of a billion pixels a side", "beside-side.mp4", _with(masks, _text(_rle([10**9, 10**9]))), reject,
             r"want \[h, w\] of 1 .. 16384 pixels"),
        Case("masks of 60,000 x 60,000", "beside-bomb.mp4", _with(".masks", _folder(_png(60_000, b""))), reject,
             "DecompressionBombError"),
        Case("masks of 13,300 x 13,300 in 22 KB", "beside-vast.mp4",
             _with(".masks", _folder(_png(13_300, zlib.compress((b"\0" + b"\xff" * 1663) * 13_300)))), reject,
             "want a picture of 128x96|MemoryError|MB of memory"),
        Case("a picture cut short", "beside-cut.mp4", _with(".masks", _folder(_png(96, b"x\x9c")[:60])), reject,
             "cannot be read"),
        Case("a picture of 1 TB", "beside-tera.mp4", _with(".masks", _folder(b"", size=1 << 40)), reject,
             "want at most 67108864 bytes"),
        Case("a mask that leads out", "beside-out.mp4", _with(".masks", _folder(b"", link=canary.file)), reject,
             "cannot be read"),
        Case("masks in a pipe", "beside-pipes.mp4", _with(".masks", _pipe_in_folder), reject, "want PNG files only"),
    ]  # fmt: skip


def _with(ending: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """A good video of its own bytes, and what `make` writes beside it."""

    def both(path: Path) -> None:
        distinct(path)
        make(path.with_suffix(ending))

    return both


def _text(words: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(words)


def _boxes() -> str:
    """Two people in every frame."""
    return "".join(f"{t},{who},{20 * who},9,30,70,1,1,1\n" for t in range(1, FRAMES + 1) for who in (1, 2))


def _gigabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


def _rle(size: list[int]) -> str:
    """A mask of a million pixels, whatever its size says."""
    rle = {"size": size, "counts": [500_000, 500_000]}
    return json.dumps([{"image_id": 0, "track_id": 1, "segmentation": rle}])


def _png(side: int, body: bytes) -> bytes:
    """A picture of a bit a pixel with these bytes for pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _folder(data: bytes, *, size: int = 0, link: Path | None = None) -> Callable[[Path], object]:
    """One person's one mask: bytes, so many bytes of nothing, or a link."""

    def make(path: Path) -> None:
        picture = path / "1" / "0.png"
        picture.parent.mkdir(parents=True)
        if link is not None:
            picture.symlink_to(link)
            return
        with picture.open("wb") as file:
            file.write(data)
            file.truncate(max(size, len(data)))

    return make


def _pipe_in_folder(path: Path) -> None:
    (path / "1").mkdir(parents=True)
    os.mkfifo(path / "1" / "0.png")

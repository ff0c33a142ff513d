"""Video files, mutated and read behind the fence as `probe` and `shots` read them: a crash there is no find, an error
of ours that says nothing is one."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from datasets.records import Source, load_record
from datasets.video import VideoError
from tasks.backends.sandbox import Limits
from tasks.batch import Refused
from tasks.cut_file import cut_file
from tasks.fence import Crashed, Fence
from tasks.probe_file import probe_file
from tests.make_videos import write_video
from tests.tiny_weights import people_video

# Name of the seed -> how it is written: each a container and a codec that probe takes.
SEEDS: dict[str, dict] = {
    "h264.mp4": {"clicks": [0.05]},
    "front.mp4": {"container": {"movflags": "+faststart"}, "codec": "mpeg4"},
    "pieces.mp4": {"container": {"movflags": "+frag_keyframe+empty_moov"}},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "ffv1.mkv": {"codec": "ffv1", "options": {}},
    "h264.ts": {"clicks": [0.05]},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p", "options": {}},
    "qtrle.mov": {"codec": "qtrle", "pixels": "rgb24", "options": {}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {}},
    "flv.flv": {"codec": "flv1", "options": {}},
    "gif.gif": {"codec": "gif", "pixels": "rgb8", "options": {}},
    "wmv.asf": {"codec": "wmv2", "options": {}},
}
# What probe and shots of tasks/ take by default, and a file too small for it to take long.
LIMITS = Limits(budget_s=20, memory_mb=4096)
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_CUTTING = {
    "min_s": 0.1, "max_s": 10.0, "threshold": 3.0, "min_content": 27.0, "min_shot_s": 0.3, "fade_level": 8.0,
    "max_side": None, "crf": 30, "gop": 12, "preset": "ultrafast",
}  # fmt: skip


def seeds(folder: Path) -> dict[str, bytes]:
    """A small good video of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = list(people_video(5, (48, 64)))
    return {
        name: write_video(folder / name, pictures, rate=Fraction(25), **how).read_bytes() for name, how in SEEDS.items()
    }


def mutated(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to eight changes: bits, bytes, numbers at their limits, pieces moved, left out or mixed in."""
    raw = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        # Headers are at the beginning or, of some, at the end; a change in the middle is one of the pictures.
        at = int(rng.integers(0, len(raw)) if rng.random() < 0.5 else rng.integers(0, min(len(raw), 800)))
        at = len(raw) - 1 - at if rng.random() < 0.3 else at
        kind = int(rng.integers(0, 8))
        if kind == 0:
            raw[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            raw[at] = int(rng.integers(0, 256))
        elif kind == 2:
            form = str(rng.choice([">I", "<I", ">H", "<H"]))
            size = struct.calcsize(form)
            raw[at : at + size] = struct.pack(form, int(rng.choice(_EXTREMES)) & (256**size - 1))
        elif kind == 3:
            del raw[at : at + int(rng.integers(1, 64))]
        elif kind == 4:
            piece = raw[at : at + int(rng.integers(1, 200))]
            to = int(rng.integers(0, len(raw) + 1))
            raw[to:to] = piece
        elif kind == 5:
            raw = raw[: max(16, at)]
        elif kind == 6:
            piece = other[int(rng.integers(0, len(other))) :][: int(rng.integers(1, 200))]
            raw[at : at + len(piece)] = piece
        else:
            raw[at : at + 8] = rng.bytes(8)
        if len(raw) < 2:
            raw = bytearray(data)
    return bytes(raw)


def read(path: Path, out: Path) -> str:
    """What becomes of a file: accepted, refused, or crashed and how. Raises whatever else comes, a find."""
    fence = Fence(stage="probe", name=path.name, limits=LIMITS, reads=(str(path),), writes=(str(out),))
    try:
        fence.call(
            probe_file, str(path), out / "source.npz", name=path.name, sha256="0" * 64, licence="", max_lost=1.0,
            max_frames=5000, max_pixels=4096 * 4096, max_expansion=1e5, max_hold_s=60.0,
        )  # fmt: skip
        source = load_record(Source, out / "source.npz")
        if source.frames * source.width * source.height > 1e8:
            return "large"
        fence.call(cut_file, str(path), source, out, name=path.name, index="shots.json", **_CUTTING)
    except (Refused, VideoError):
        return "refused"
    except Crashed as crash:
        return str(crash).partition(": ")[2].partition(";")[0]
    finally:
        for made in out.iterdir():
            made.unlink()
    return "accepted"


def cases(seed: int, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Mutated files without end, named by their seed's ending."""
    known = seeds(folder)
    names, rng = sorted(known), np.random.default_rng(seed)
    while True:
        name, other = (names[int(i)] for i in rng.integers(0, len(names), 2))
        yield name, mutated(known[name], known[other], rng)


def fuzz(minutes: float, seed: int, folder: Path, found: Path, *, most: int | None = None) -> int:
    """Read mutated files for so long; those that raise are kept in `found`. Gives how many did."""
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    finds, until, told = 0, time.monotonic() + 60 * minutes, time.monotonic()
    for number, (name, data) in enumerate(cases(seed, folder / "seeds")):
        if time.monotonic() > until or (most is not None and number >= most):
            break
        path = folder / f"fuzz{Path(name).suffix}"
        path.write_bytes(data)
        try:
            became = read(path, out)
        except Exception as error:
            became, finds = f"{type(error).__name__}: {error}"[:100], finds + 1
        if became not in ("accepted", "refused", "large") and counts[became] == 0:
            found.mkdir(parents=True, exist_ok=True)
            (found / f"video-{seed}-{number}{path.suffix}").write_bytes(data)
            print(f"video: {became}: kept as {found}/video-{seed}-{number}{path.suffix}", flush=True)
        counts[became] += 1
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"video: {sum(counts.values())} files: {dict(counts)}", flush=True)
    print(f"video: {sum(counts.values())} files, {finds} finds: {dict(counts)}", flush=True)
    return finds

"""File -> Source: what a video is once all of it is decoded, brought to a constant rate by its timestamps."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets import remote_source
from datasets.folder import open_folder
from datasets.records import Source, load_record
from datasets.remote import is_address
from datasets.remote_scratch import local_text, scratch
from datasets.store import NOTES, Store
from datasets.video import MAX_EXPANSION, MAX_FRAMES, MAX_PIXELS
from tasks.backends.sandbox import Limits
from tasks.batch import Batch, Env, Item, Stage
from tasks.fence import Fence, check_limits, limit
from tasks.probe_file import probe_file
from tasks.source_files import video_here

VERSION = 1
FILE = "source.npz"
# Three times what a very small stream takes, such as a recording of a screen on which little moves.
_S_PER_MB = 10.0


@dataclass(frozen=True, kw_only=True)
class Config:
    """How much is taken in, and under what licence."""

    licence: str = "unknown"  # of the footage; written into every sample
    max_lost: float = 0.1  # share of a file that may be damaged or missing; 0..1
    max_frames: int = MAX_FRAMES
    max_pixels: int = limit(MAX_PIXELS)  # of a frame
    max_expansion: float = limit(MAX_EXPANSION)  # pixels in all frames together, for each byte of the file
    max_hold_s: float = limit(60.0)  # that one frame may be shown; longer is a jump of the clock
    budget_s: float = limit(120.0)  # for decoding a file, and 10 s more for each MB; then it is given up
    memory_mb: int = limit(8192)  # for decoding it

    def __post_init__(self) -> None:
        if not 0 <= self.max_lost <= 1 or self.max_frames < 1:
            raise ValueError(
                f"probe: want max_lost within 0 .. 1 and max_frames >= 1, got {self.max_lost} and {self.max_frames}"
            )
        if min(self.max_pixels, self.max_expansion, self.max_hold_s) <= 0:
            raise ValueError(
                "probe: want max_pixels, max_expansion and max_hold_s above 0, got "
                f"{self.max_pixels}, {self.max_expansion:g} and {self.max_hold_s:g}"
            )
        check_limits("probe", self.budget_s, self.memory_mb)


def sha256_of(path: str | Path, store: Store) -> str:
    """The sha256 of a file, remembered in the store by path, size and time of change: a file is hashed once.

    One at an address is remembered by its etag: nothing of it is read again. Raises OSError for a file that cannot be
    read, or is none (a pipe or a device may never end).
    """
    if is_address(str(path)):
        there = remote_source.stat(str(path))
        if there is None:
            raise FileNotFoundError(errno.ENOENT, "No such file", str(path))
        name, seen = str(path), [str(path), there.size, there.etag]
    else:
        name = os.path.abspath(path)
        state = os.stat(name)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "not a plain file", name)
        seen = [name, state.st_size, state.st_mtime_ns]
        if (copy := local_text(name)) != name:
            # A copy of what lies at an address is named by what it is a copy of, and fetched again it has a new time.
            name, seen = name.removeprefix(str(scratch())), [copy, state.st_size]
    note = note_name(name)
    noted = store.noted(note)
    if isinstance(noted, dict) and noted.get("seen") == seen and isinstance(noted.get("sha256"), str):
        return noted["sha256"]
    with open(video_here(str(path)), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    store.note(note, {"seen": seen, "sha256": digest})
    return digest


def forget_sha256(path: str | Path, store: Store) -> None:
    """Forget what is remembered of a file: of one that was taken down nothing stays."""
    name = str(path) if is_address(str(path)) else os.path.abspath(path)
    if local_text(name) != name:
        name = name.removeprefix(str(scratch()))
    open_folder(store.root).remove(f"{NOTES}/{note_name(name)}.json")


def note_name(path: str) -> str:
    """Under which name the store remembers a file's sha256.

    >>> len(note_name("/footage/duet.mp4"))
    32
    """
    return hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:32]


def source_item(path: str | Path, source: str, store: Store) -> Item:
    """The item of a footage file: `source` is its name under its root, `path` where it lies now.

    Its part, and so every key, holds the file's sha256 and its name, since both are written into what is made.
    """
    return Item(key=source, source=source, path=os.fspath(path), part=f"{sha256_of(path, store)} {source}")


def source_of(item: Item) -> Source:
    """The item's Source record."""
    return load_record(Source, item.folder("probe") / FILE)


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Decode the file, behind the fence, and write its Source.

    Raises Refused for one that is no video, has no frames or is broken, Crashed for one that its decoder cannot stand.
    """
    sha256 = item.part.partition(" ")[0] or sha256_of(item.path, env.store)
    fence = Fence(
        stage="probe",
        name=Path(item.source).name,
        limits=Limits(budget_s=config.budget_s + _S_PER_MB * _megabytes(item.path), memory_mb=config.memory_mb),
        reads=(item.path,),
        writes=(str(out),),
    )
    fence.call(
        probe_file,
        item.path,
        out / FILE,
        name=item.source,
        sha256=sha256,
        licence=config.licence,
        max_lost=config.max_lost,
        max_frames=config.max_frames,
        max_pixels=config.max_pixels,
        max_expansion=config.max_expansion,
        max_hold_s=config.max_hold_s,
    )


def _megabytes(path: str) -> float:
    """Of a file; 0 where there is none, which its reader will say."""
    return os.path.getsize(path) / 1e6 if os.path.isfile(path) else 0.0


STAGE = Stage(name="probe", version=VERSION, inputs=(), compute=compute, here=video_here)


@task(name="probe", cache_policy=NO_CACHE, persist_result=False)
def probe(batch: Batch, config: Config, env: Env) -> Batch:
    """Every file of the batch probed; its item then knows how many frames it has."""
    probed = STAGE.run(batch, config, env)
    return replace(probed, items=tuple(replace(item, frames=source_of(item).frames) for item in probed.items))

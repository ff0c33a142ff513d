"""Local copies of what lies at addresses: a bounded folder that any number of processes of a machine share.

An entry is a folder named by what it is a copy of, so that a copy never grows old; it may be removed at any time and is
then fetched again. DUETFLOW_SCRATCH names the folder, DUETFLOW_SCRATCH_GB its bound.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datasets.remote import endpoint

DEFAULT_GB = 20.0
# What was used within this time stays, also beyond the bound: a stage may be in the middle of reading it.
IN_USE_S = 15 * 60.0
# What a killed process left half made; nothing is fetched for so long.
STALE_S = 24 * 3600.0
# Bytes that came since this process last measured the folder; none: it never did.
_since: int | None = None


def scratch() -> Path:
    """The folder."""
    told = os.environ.get("DUETFLOW_SCRATCH")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.path.abspath(told)) if told else Path(cache) / "duetflow" / "scratch"


def bound() -> int:
    """How many bytes it may hold. Raises ValueError for a DUETFLOW_SCRATCH_GB that is no positive number."""
    told = os.environ.get("DUETFLOW_SCRATCH_GB")
    try:
        gigabytes = float(told) if told else DEFAULT_GB
    except ValueError:
        gigabytes = 0.0
    if not gigabytes > 0:
        raise ValueError(f"DUETFLOW_SCRATCH_GB: want a number of gigabytes above 0, got {told!r}")
    return int(gigabytes * 1e9)


def entry(kind: str, *names: str) -> Path:
    """The folder of the copy of what these names say, there or not. It counts as used now."""
    digest = hashlib.sha256("\0".join((endpoint(), *names)).encode(errors="surrogateescape")).hexdigest()[:32]
    path = scratch() / kind / digest[:2] / digest
    with suppress(FileNotFoundError):
        os.utime(path)
    return path


@contextmanager
def aside() -> Iterator[Path]:
    """A new folder to make something in, on the disk of the copies; gone afterwards unless it was moved."""
    path = scratch() / ".tmp" / f"{os.getpid()}.{uuid.uuid4().hex[:8]}"
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def keep(made: Path, place: Path) -> None:
    """Move a finished folder to its entry; another process' equal one, if that was faster, stays."""
    size = _weight(made)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(made, place)
    except OSError:
        if not place.is_dir():
            raise
        return
    grown(size)


def grown(size: int) -> None:
    """So many bytes came. Makes room, oldest use first, when they may have gone beyond the bound."""
    global _since
    limit = bound()
    if _since is not None and _since + size < limit // 20:
        _since += size
        return
    _since = 0
    make_room(limit, time.time())


def make_room(limit: int, now: float) -> int:
    """Remove entries, the longest unused first, until at most `limit` bytes are left; gives the bytes removed."""
    found = []
    for place in scratch().glob("*/??/*"):
        with suppress(FileNotFoundError):  # another process was faster
            found.append((place.stat().st_mtime, _weight(place), place))
    for left in (scratch() / ".tmp").glob("*"):
        with suppress(FileNotFoundError):
            if now - left.stat().st_mtime > STALE_S:
                shutil.rmtree(left, ignore_errors=True)
    total, removed = sum(size for _, size, _ in found), 0
    for used, size, place in sorted(found):
        if total - removed <= limit or now - used < IN_USE_S:
            break
        gone = scratch() / ".tmp" / f"{os.getpid()}.{uuid.uuid4().hex[:8]}"
        gone.parent.mkdir(exist_ok=True)
        with suppress(OSError):
            # Renamed first: nobody finds half an entry.
            os.rename(place, gone)
            shutil.rmtree(gone, ignore_errors=True)
            removed += size
    return removed


def local_text(text: str) -> str:
    """A text without the folders of copies, for reasons that are the same on every machine.

    >>> local_text(f"{scratch()}/sources/ab/{'ab' * 16}/bucket/duet.mp4: broken")
    'bucket/duet.mp4: broken'
    """
    top = f"{scratch()}{os.sep}"
    while top in text:
        before, _, after = text.partition(top)
        parts = after.split(os.sep, 3)
        text = before + (parts[3] if len(parts) == 4 else after)
    return text


def _weight(folder: Path) -> int:
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(top, name)).st_size
    return total

"""Source files at addresses -> copies on this machine, each named by exactly the bytes that were listed.

A copy holds all files that one source is read from, under their own names, so that what stands beside a file is found
beside its copy. A file that changes while a run is at work is an error of that source, never a mixture.
"""

from __future__ import annotations

import shutil
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from datasets import remote
from datasets.remote import Stat
from datasets.remote_scratch import aside, entry, keep

KIND = "sources"
AT_A_TIME = 8
# How long an answer of the store counts: the stages of one source ask for the same within it.
KNOWN_S = 300.0
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    """A whole listing below an address, as it was at a time."""

    until: float
    names: list[str]  # sorted
    stats: Mapping[str, Stat]


_lock = threading.Lock()
_trees: dict[str, _Known] = {}
_stats: dict[str, tuple[float, Stat | None]] = {}


def listed(address: str) -> dict[str, Stat]:
    """Every file below an address: a request a thousand. Questions about single ones need none for a while."""
    found = dict(remote.listing(address))
    with _lock:
        _trees[address.rstrip("/")] = _Known(time.monotonic() + KNOWN_S, sorted(found), found)
    return found


def stat(address: str) -> Stat | None:
    """What is at an address; None: nothing. Raises OSError."""
    known, name = _tree(address)
    if known is not None:
        return known.stats.get(name)
    now = time.monotonic()
    with _lock:
        until, found = _stats.get(address, (0.0, None))
    if until > now:
        return found
    found = remote.stat(address)
    with _lock:
        if len(_stats) >= _MOST_KNOWN:
            _stats.clear()
        _stats[address] = (now + KNOWN_S, found)
    return found


def beginning(folder: str, start: str) -> dict[str, Stat]:
    """The files below a folder whose names, relative to it, begin with `start`. Raises OSError."""
    known, name = _tree(remote.join(folder, start))
    if known is None:
        return dict(remote.listing(folder, beginning=start))
    cut, found = len(name) - len(start), {}
    for one in known.names[bisect_left(known.names, name) :]:
        if not one.startswith(name):
            break
        found[one[cut:]] = known.stats[one]
    return found


def copied(files: Mapping[str, Stat], of: str) -> Path:
    """The path of the file `of` (an address) in a copy of these files (address -> what was listed).

    `of` need not be among them: what stands beside it is found from there. Raises OSError.
    """
    place = entry(KIND, *(f"{address} {one.size} {one.etag}" for address, one in sorted(files.items())))
    paths = {address: place / _inside(address) for address in files}
    if not all(paths[address].is_file() and paths[address].stat().st_size == files[address].size for address in files):
        shutil.rmtree(place, ignore_errors=True)
        with aside() as made:
            _fetch(made, files)
            keep(made, place)
    return place / _inside(of)


def _fetch(made: Path, files: Mapping[str, Stat]) -> None:
    def one(address: str) -> None:
        path = made / _inside(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        remote.fetch(address, path, etag=files[address].etag)

    with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
        list(pool.map(one, files))


def _inside(address: str) -> str:
    """Bucket and name, under which a file lies in its copy. Raises OSError for one that could lead out of it."""
    name = address.removeprefix(remote.SCHEME)
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise OSError(f"{address}: want a name of plain parts, got one with empty parts, . or ..")
    return name


def _tree(address: str) -> tuple[_Known | None, str]:
    """A listing that is known and has the address below it, and the address' name in it."""
    now = time.monotonic()
    with _lock:
        for top, known in _trees.items():
            if known.until > now and address.startswith(f"{top}/"):
                return known, address[len(top) + 1 :]
    return None, ""


def forget() -> None:
    """Ask anew from now on."""
    with _lock:
        _trees.clear()
        _stats.clear()


def many(files: Sequence[str]) -> dict[str, Stat]:
    """Those of addresses at which something is."""
    return {address: found for address in files if (found := stat(address)) is not None}

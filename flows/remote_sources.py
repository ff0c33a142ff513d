"""s3:// SOURCE arguments -> source files: one listing, and only what must be looked into is fetched."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets import remote_source
from datasets.remote import SCHEME, AddressError, Stat, check_address, join, read
from datasets.remote_scratch import local_text
from flows.errors import UsageError
from tasks.motion import motions_named, sources_among

AT_A_TIME = 8
# A follower's and a leader's file make one motion, named by the first.
_PAIRED = re.compile(r"(.*_)0([01])(\.npy|\.pkl)", re.S | re.I)


def look(address: str) -> tuple[Stat | None, dict[str, Stat]]:
    """What is at an address: a file's size and etag, or the files below it. Raises UsageError."""
    try:
        check_address(address, "SOURCE")
        there = remote_source.stat(address.rstrip("/")) if not address.endswith("/") else None
        return there, {} if there else remote_source.listed(address)
    except AddressError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{address}: want an address that can be read, got {error.strerror or error}") from error


def text_of(address: str, size: int, most: int) -> bytes:
    """The bytes of a list at an address. Raises UsageError."""
    if size > most:
        raise UsageError(f"{address}: want a list of at most {most} bytes, got {size}")
    try:
        return read(address)
    except OSError as error:
        raise UsageError(f"{address}: want an address that can be read, got {error.strerror or error}") from error


def chosen(
    folder: str,
    listed: Mapping[str, Stat],
    kind_of: Callable[[str], str | None],
    is_scene: Callable[[Path], bool],
    skip: Sequence[str],
) -> Iterator[tuple[str, str]]:
    """(address, kind) of the sources among the files listed below a folder, in the order of names, folder by folder.

    `kind_of` says by its name what a file may be. Hidden files and those below `skip` are left out, array files that
    are no motion, text files that are no scene, and motions that a scene among them uses.
    """
    names = [
        name
        for name in sorted(listed, key=lambda name: name.split("/"))
        if kind_of(name)
        and not any(part.startswith(".") for part in name.split("/"))
        and not any(join(folder, name).startswith(f"{other}/") for other in skip)
    ]
    files = [join(folder, name) for name in names]
    motions = _motions([one for one in files if kind_of(one) == "motion"], {join(folder, n) for n in listed})
    scenes = {one for one in files if kind_of(one) == "scene"}
    copies = _copies(sorted(scenes))
    scenes = {one for one in scenes if is_scene(copies[one])}
    used = {
        motions.get(named, named)
        for scene in sorted(scenes)
        for named in (join(posixpath.dirname(scene), posixpath.normpath(n)) for n in motions_named(copies[scene]))
    }
    for one in files:
        kind = kind_of(one)
        if kind == "video" or (kind == "scene" and one in scenes):
            yield one, kind
        # Who wrote a scene said who dances with whom: its motions are no material for other duets too.
        elif kind == "motion" and one in motions and motions[one] not in used:
            yield motions[one], kind


def _motions(files: Sequence[str], listed: set[str]) -> dict[str, str]:
    """Those of array files that are motion: file -> its source: itself, its folder, or the first of its pair."""
    copies = _copies(files)
    found = sources_among([copies[one] for one in files])
    out = {}
    for one in files:
        if copies[one] not in found:
            continue
        pair = _PAIRED.fullmatch(one)
        other = f"{pair[1]}0{1 - int(pair[2])}{pair[3]}" if pair else one
        source = SCHEME + local_text(str(found[copies[one]]))
        out[one] = min(one, other) if other in listed else source
    return out


def _copies(files: Sequence[str]) -> dict[str, Path]:
    """Each file copied to this machine, alone: as a stage will want it later."""

    def one(address: str) -> Path:
        there = remote_source.stat(address)
        return remote_source.copied({address: there} if there else {}, address)

    try:
        with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
            return dict(zip(files, pool.map(one, files), strict=True))
    except OSError as error:
        raise UsageError(f"SOURCE: want addresses that can be read, got {error}") from error

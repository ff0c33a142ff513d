"""Content key -> finished artifact, on object storage: the files put one by one, the manifest last.

An artifact is there when its manifest is. Workers read it from a local copy, file by file as they are wanted; the one
that made it has that copy already.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from datasets import remote
from datasets.remote_scratch import aside, entry, grown, keep

# Small files: each costs a round trip, so several go at a time.
AT_A_TIME = 8
# An artifact's address, and what in it is meant: a scene's artifact holds a folder for each of its motions.
_ARTIFACT = re.compile(r"(.+?/[^/]+/([0-9a-f]{2})/\2[0-9a-f]{30})(?:/(.+))?", re.S)
KIND = "artifacts"


def find(address: str, manifest: str) -> bool:
    """Whether the artifact is there and whole, by its manifest and one listing; a request where it is not."""
    try:
        data = remote.read(remote.join(address, manifest))
        files = dict(json.loads(data)["files"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return False
    sizes = {name: one.size for name, one in remote.listing(address)}
    if any(sizes.get(name) != size for name, size in files.items()):
        return False
    _remember(entry(KIND, address), manifest, data)
    return True


def make(address: str, manifest: str, write: Callable[[Path], None], seal: Callable[[Path], Mapping[str, int]]) -> None:
    """Fill a local folder, put its files and then its manifest, and keep the folder as the local copy.

    `seal` writes the manifest of the folder and gives its files with their sizes.
    """
    with aside() as made:
        write(made)
        files = seal(made)
        _several(lambda name: remote.send(made / name, remote.join(address, name)), files)
        remote.put(remote.join(address, manifest), (made / manifest).read_bytes())
        place = entry(KIND, address)
        shutil.rmtree(place, ignore_errors=True)
        keep(made, place)


def folder(address: str, manifest: str) -> Path:
    """All files of an artifact, or of the folder in it that the address names, on this machine.

    Raises OSError when it is not there, or a file is not what its manifest says.
    """
    top, inner = _parts(address)
    place, files = _opened(top, manifest)
    below = f"{inner}/" if inner else ""
    _several(lambda name: _have(top, place, name, files[name]), [name for name in files if name.startswith(below)])
    return place / inner


def file(address: str, name: str, manifest: str) -> Path:
    """One file of an artifact on this machine; the others are left where they are. Raises OSError."""
    top, inner = _parts(address)
    place, files = _opened(top, manifest)
    full = f"{inner}/{name}" if inner else name
    if full in files:
        _have(top, place, full, files[full])
    return place / full


def sizes(address: str, manifest: str) -> dict[str, int]:
    """The artifact's files and their bytes, without reading them. Raises OSError."""
    top, inner = _parts(address)
    below = f"{inner}/" if inner else ""
    files = _opened(top, manifest)[1]
    return {name.removeprefix(below): size for name, size in files.items() if name.startswith(below)}


def manifest(address: str, name: str) -> dict[str, Any]:
    """The manifest of an artifact, or of the one in which the address lies. Raises OSError."""
    top, _ = _parts(address)
    place, _ = _opened(top, name)
    return json.loads((place / name).read_bytes())


def _parts(address: str) -> tuple[str, str]:
    found = _ARTIFACT.fullmatch(address)
    if found is None:
        raise OSError(f"{address}: want the address of an artifact, got another")
    return found[1], found[3] or ""


def _opened(top: str, manifest: str) -> tuple[Path, Mapping[str, int]]:
    """The place of the copy, and the files that the artifact has."""
    place = entry(KIND, top)
    try:
        data = (place / manifest).read_bytes()
    except FileNotFoundError:
        data = remote.read(remote.join(top, manifest))
        _remember(place, manifest, data)
    return place, json.loads(data)["files"]


def _remember(place: Path, manifest: str, data: bytes) -> None:
    """Keep the manifest with the copy; a copy of an artifact that was since made anew goes."""
    try:
        if (place / manifest).read_bytes() == data:
            return
        shutil.rmtree(place, ignore_errors=True)
    except FileNotFoundError:
        pass  # no copy yet
    place.mkdir(parents=True, exist_ok=True)
    part = place / f".{manifest}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    part.write_bytes(data)
    os.replace(part, place / manifest)


def _have(top: str, place: Path, name: str, size: int) -> None:
    """One file of the copy, fetched unless it is there whole."""
    path = place / name
    if path.is_file() and path.stat().st_size == size:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        remote.fetch(remote.join(top, name), part)
        got = part.stat().st_size
        if got != size:
            raise OSError(f"{remote.join(top, name)}: want the {size} bytes that its manifest lists, got {got}")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    grown(size)


def _several(do: Callable[[str], Any], names: Any) -> None:
    names = list(names)
    if len(names) < 2:
        for name in names:
            do(name)
        return
    with ThreadPoolExecutor(max_workers=min(AT_A_TIME, len(names))) as pool:
        list(pool.map(do, names))


def swept() -> None:
    """Make room in the local copies: what killed processes left, and what is beyond the bound."""
    from datasets.remote_scratch import bound, make_room

    make_room(bound(), time.time())

"""The store's artifacts that were made from some sources, found by what their manifests say, and removed.

`probe` and `motion` artifacts say the sha256 of the bytes that they were read from; every other names the keys of all
that its item had before it. So what comes of a source is a closure, and it is removed from the last made to the first:
a removal that is killed on its way finds the rest again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TypeVar

import psutil

from datasets import remote, remote_store
from datasets.folder import Folder, LocalFolder
from datasets.records import Motion, load_record
from datasets.remote_scratch import entry
from datasets.store import MANIFEST, NOTES

_FILE = re.compile(r"([^/.][^/]*)/([0-9a-f]{2})/(\2[0-9a-f]{30})/(.+)", re.S)
_SCENE_MOTION = re.compile(r"[0-9]+/motion\.npz")
# Stages that read sources: their part begins with the sha256 of what they read.
READERS = ("probe", "motion")
AT_A_TIME = 16
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One artifact, as its manifest has it."""

    stage: str
    key: str
    files: dict[str, int] = field(default_factory=dict)  # all that lie in its folder, with their bytes
    item: str = ""  # the source's name, or the sample's key
    part: str = ""
    inputs: frozenset[str] | None = None  # keys of what its item had before; None: the manifest does not say
    damaged: bool = False  # it has no manifest that can be read

    @property
    def folder(self) -> str:
        """Under the store."""
        return f"{self.stage}/{self.key[:2]}/{self.key}"

    @property
    def source(self) -> tuple[str, str] | None:
        """sha256 and name of the source that it was read from; None for what was not."""
        sha256, _, name = self.part.partition(" ")
        return (sha256, name) if len(sha256) == 64 else None


def scan(store: Folder) -> list[Made]:
    """Every artifact of a store. One whose manifest is gone or damaged comes with its files alone."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for name, size in store.sizes().items():
        if match := _FILE.fullmatch(name):
            found.setdefault((match[1], match[3]), {})[match[4]] = size
    bare = [Made(stage=stage, key=key, files=files) for (stage, key), files in sorted(found.items())]
    return _several(lambda one: _read(store, one), bare)


def _several(do: Callable[[T], R], of: Iterable[T]) -> list[R]:
    """Results in order. At an address each is a request that mostly waits, so many are out at a time."""
    with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
        return list(pool.map(do, of))


def _read(store: Folder, bare: Made) -> Made:
    try:
        about = json.loads(store.read(f"{bare.folder}/{MANIFEST}"))["about"]
        inputs = about.get("inputs")
        return Made(
            stage=bare.stage,
            key=bare.key,
            files=bare.files,
            item=str(about.get("item", "")),
            part=str(about.get("part", "")),
            # A scene's motions are KEY.0, KEY.1, ... of the one artifact of its file.
            inputs=None if inputs is None else frozenset(str(key).partition(".")[0] for key in inputs),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return replace(bare, damaged=True)


def made_from(
    made: Sequence[Made], shas: Collection[str], names: Collection[str], keys: Collection[str], store: Folder
) -> list[Made]:
    """What was made from sources, in the order in which it is to be removed. `keys` are samples known to be of them.

    An artifact of an older release, which does not say what stood before it, is known by its item's name or key. One
    without a manifest goes too: nobody can say what it shows, and the store takes it for none.
    """
    doomed = {one.key for one in made if one.item in keys or _is_root(one, shas, names, store)}
    while True:
        more = {one.key for one in made if one.inputs and not doomed.isdisjoint(one.inputs)} - doomed
        if not more:
            break
        doomed |= more
    chosen = [one for one in made if one.key in doomed or one.damaged]
    return sorted(chosen, key=lambda one: (-len(one.inputs or ()), one.stage in READERS, one.folder))


def _is_root(one: Made, shas: Collection[str], names: Collection[str], store: Folder) -> bool:
    if one.source and one.source[0] in shas:
        return True
    if one.inputs is None and (one.item in names or any(f"-{sha[:8]}-" in one.item for sha in shas)):
        return True
    scene = [file for file in one.files if _SCENE_MOTION.fullmatch(file)] if one.stage == "motion" else []
    return any(_motion_of(store, f"{one.folder}/{file}") in shas for file in scene)


def _motion_of(store: Folder, name: str) -> str:
    try:
        return load_record(Motion, BytesIO(store.read(name))).sha256  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError):
        return ""  # a damaged one shows nothing, and is made anew when it is next wanted


def notes_on(store: Folder, shas: Collection[str], names: Collection[str]) -> list[str]:
    """The notes of what these sources' files, and those brought beside them, hash to: their names under the store."""

    def goes(name: str) -> bool:
        try:
            noted = json.loads(store.read(name))
            text = json.dumps(noted["seen"], ensure_ascii=False)
            return noted["sha256"] in shas or any(_speaks_of(text, source) for source in names)
        except (ValueError, KeyError, TypeError):
            return True  # cut short: worth nothing
        except FileNotFoundError:
            return False  # a run was faster

    noted = list(store.names(NOTES))
    return [name for name, one in zip(noted, _several(goes, noted), strict=True) if one]


def _speaks_of(seen: str, source: str) -> bool:
    """Whether a note's files are the source, or stand beside it: a.mp4, a.mot.txt, a.masks/0001.png."""
    return f"/{PurePosixPath(source).with_suffix('').as_posix()}." in seen or f'/{source}"' in seen


def remove(store: Folder, gone: Sequence[Made]) -> int:
    """Remove artifacts in the order of `made_from`, those that stand on others first; the bytes that they took."""
    levels = [list(some) for _, some in groupby(gone, key=lambda one: (len(one.inputs or ()), one.stage in READERS))]
    return sum(sum(_several(lambda one: _remove(store, one), level)) for level in levels)


def _remove(store: Folder, one: Made) -> int:
    """Remove an artifact, its manifest last; the bytes that it took."""
    for file in sorted(one.files, key=lambda file: file == MANIFEST):
        store.remove(f"{one.folder}/{file}")
    if isinstance(store, LocalFolder):
        place = store.root / one.folder
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):  # others of the same first digits may lie there
            os.rmdir(place.parent)
    else:
        # This machine's copy of it; other machines' copies go when room is made there.
        shutil.rmtree(entry(remote_store.KIND, remote.join(store.address, one.folder)), ignore_errors=True)
    return sum(one.files.values())


def sweep(store: Folder) -> int:
    """Remove what killed writers of this machine left half made: it may show anything. How many there were."""
    removed = 0
    for aside in (store.root / ".tmp").glob("*") if isinstance(store, LocalFolder) else ():
        words = Path(aside).name.split(".")
        if len(words) > 1 and words[1].isdigit() and psutil.pid_exists(int(words[1])):
            continue
        shutil.rmtree(aside, ignore_errors=True)
        removed += 1
    return removed

"""What a dataset was after each commit: OUT/versions/NNNNNN/ holds its dataset.json, tables and card.

Shards are not kept twice: a version tells what there was and how it was scored, so that two can be compared. It is
written before the dataset's own dataset.json is: a version above the committed generation is what a killed run left,
and counts for nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import index
from datasets.folder import Folder, open_folder
from datasets.members import ShardError

VERSIONS = "versions"
NOTES = "takedowns.json"  # in a version: what was taken out of it later
FILES = (index.INDEX, index.REJECTS, index.CARD, index.DATASET)
_NAME = re.compile(rf"{VERSIONS}/([0-9]{{6,9}})/")


class VersionError(ValueError):
    """A dataset or version that is not there or cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A dataset as it was committed once: its tables, without its shards."""

    address: str  # as people name it: OUT, or OUT@3
    info: index.DatasetInfo
    rows: list[dict[str, Any]]  # of index.parquet
    rejects: list[dict[str, Any]]  # of rejects.parquet


def version_name(generation: int) -> str:
    """The folder of a version under OUT.

    >>> version_name(3)
    'versions/000003'
    """
    return f"{VERSIONS}/{generation:06d}"


def keep(folder: Folder, info: index.DatasetInfo, table: bytes, rejects: bytes, card: str) -> None:
    """Keep what is about to be committed as a version, and what is committed now where an older release kept none.

    Files that are there with these bytes are left alone, so that a run with nothing new writes nothing.
    """
    _keep_committed(folder, info.generation)
    under = version_name(info.generation)
    files = {index.INDEX: table, index.REJECTS: rejects, index.CARD: card.encode()}
    # dataset.json last here too: with it the version can be read.
    for name, data in (*files.items(), (index.DATASET, index.encode_dataset(info))):
        put(folder, f"{under}/{name}", data)


def put(folder: Folder, name: str, data: bytes) -> bool:
    """Write a file unless it is there with these bytes; whether it was written."""
    if folder.size(name) == len(data) and folder.read(name) == data:
        return False
    folder.write(name, data)
    return True


def kept(folder: Folder) -> list[int]:
    """The generations that a version is kept of, ascending, the committed one among them."""
    last = _committed(folder)
    return [n for n in numbers(folder) if n <= last]


def numbers(folder: Folder) -> list[int]:
    """Every generation that there is a whole version of, ascending, committed or not."""
    found = {int(match[1]) for name in folder.names(VERSIONS) if (match := _NAME.match(name))}
    return sorted(n for n in found if folder.size(f"{version_name(n)}/{index.DATASET}") is not None)


def roll_forward(folder: Folder) -> bool:
    """Finish a commit that was killed between its files; whether there was one.

    The version that was coming is whole before the first of the dataset's own files is replaced, as are its shards.
    """
    try:
        info = index.decode_dataset(folder.read(index.DATASET))
        under = version_name(info.generation + 1)
        coming = index.decode_dataset(folder.read(f"{under}/{index.DATASET}"))
        files = {name: folder.read(f"{under}/{name}") for name in FILES}
        begun = any(
            info.files[name] != coming.files[name] == index.sha256(folder.read(name))
            for name in (index.INDEX, index.REJECTS)
        )
    except (FileNotFoundError, ShardError, KeyError):
        return False
    if begun:
        card = files[index.CARD].decode()
        index.commit(folder, coming, files[index.INDEX], files[index.REJECTS], card)
    return begun


def drop_uncommitted(folder: Folder) -> None:
    """Remove versions above the committed one: what killed runs were about to commit, and did not."""
    last = _committed(folder)
    for name in list(folder.names(VERSIONS)):
        if (match := _NAME.match(name)) and int(match[1]) > last:
            folder.remove(name)


def tables(folder: Folder, info: index.DatasetInfo) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the index and of the rejects that a dataset was committed with, from its version where they are damaged.

    Raises ShardError where neither has them.
    """
    return _either(folder, index.INDEX, info), _either(folder, index.REJECTS, info)


def _either(folder: Folder, name: str, info: index.DatasetInfo) -> list[dict[str, Any]]:
    try:
        return _table(folder, "", name, info)
    except (FileNotFoundError, ShardError):
        pass  # its kept copy may be whole
    try:
        return _table(folder, f"{version_name(info.generation)}/", name, info)
    except FileNotFoundError:
        raise ShardError(
            f"{name}: want the table that was committed, got other bytes, and no copy; build again"
        ) from None


def read_version(address: str | Path) -> Version:
    """The dataset at OUT, or the version OUT@N of it. Raises VersionError where there is none that can be read."""
    out, generation = split_address(str(address))
    folder = open_folder(out)
    under = "" if generation is None else f"{version_name(generation)}/"
    try:
        if generation is not None and generation > _committed(folder):
            raise FileNotFoundError
        info = index.decode_dataset(folder.read(under + index.DATASET))
        rows, rejects = (_table(folder, under, name, info) for name in (index.INDEX, index.REJECTS))
    except (FileNotFoundError, NotADirectoryError):
        raise VersionError(_none(out, generation, folder)) from None
    except (ShardError, OSError) as error:
        raise VersionError(f"{address}: {error}; python -m datasets.verify {out} says more") from error
    return Version(address=str(address), info=info, rows=rows, rejects=rejects)


def split_address(address: str) -> tuple[str, int | None]:
    """OUT or OUT@N -> OUT and N. A folder that is so named is taken for itself.

    >>> split_address("out/duets@3")
    ('out/duets', 3)
    >>> split_address("s3://bucket/duets")
    ('s3://bucket/duets', None)
    """
    match = re.fullmatch(r"(.+)@([0-9]+)", address)
    if match is None or Path(address).is_dir():
        return address, None
    return match[1], int(match[2])


def _keep_committed(folder: Folder, coming: int) -> None:
    """A dataset of a release that kept no versions gets its last one."""
    try:
        info = index.decode_dataset(folder.read(index.DATASET))
        files = {name: folder.read(name) for name in FILES}
    except (FileNotFoundError, ShardError):
        return  # nothing is committed, or it is damaged: nothing to keep
    whole = all(index.sha256(files[name]) == digest for name, digest in info.files.items())
    under = version_name(info.generation)
    if info.generation >= coming or not whole or folder.size(f"{under}/{index.DATASET}") is not None:
        return
    for name in FILES:
        put(folder, f"{under}/{name}", files[name])


def _committed(folder: Folder) -> int:
    """The committed generation; 0 when nothing is, or what is cannot be read."""
    try:
        return index.decode_dataset(folder.read(index.DATASET)).generation
    except (FileNotFoundError, NotADirectoryError, ShardError):
        return 0


def _table(folder: Folder, under: str, name: str, info: index.DatasetInfo) -> list[dict[str, Any]]:
    data = folder.read(under + name)
    if index.sha256(data) != info.files.get(name):
        raise ShardError(f"{under}{name}: want the table that dataset.json was committed with, got other bytes")
    schema = index.COLUMNS if name == index.INDEX else index.REJECT_COLUMNS
    return index.read_table(data, schema, under + name)


def _none(out: str, generation: int | None, folder: Folder) -> str:
    if generation is None:
        return f"{out}: want a dataset, got no {index.DATASET} there; check the path, or build it"
    there = kept(folder)
    got = f"versions {', '.join(map(str, there))}" if there else "none"
    return f"{out}@{generation}: want a version that is kept, got {got} in {out}/{VERSIONS}"


def notes(folder: Folder, generation: int) -> list[Mapping[str, Any]]:
    """What was taken out of a kept version after it was committed; see flows.takedown."""
    name = f"{version_name(generation)}/{NOTES}"
    return json.loads(folder.read(name)) if folder.size(name) is not None else []

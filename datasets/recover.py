"""OUT -> what is committed there, also where files of it are damaged or gone: a run then writes the very same again."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from datasets import index, versions
from datasets.folder import Folder
from datasets.index import DamagedError, DatasetInfo, ShardInfo
from datasets.members import ShardError
from datasets.shards import finished, read_sidecar, shard_digest, sidecar_path

log = logging.getLogger("duetflow")


def committed(out: Folder) -> DatasetInfo | None:
    """What dataset.json says, or its last kept version where it is damaged or gone; None when nothing is committed.

    A version that is newer than the last commit is what a killed run was about to commit, of shards that are whole.
    Raises ShardError for a dataset of another format: that is no damage.
    """
    try:
        info = index.read_dataset(out)
        if info is not None:
            return info
    except DamagedError as error:
        log.warning("%s: %s", out.address, error)
    for generation in reversed(versions.numbers(out)):
        try:
            return index.decode_dataset(out.read(f"{versions.version_name(generation)}/{index.DATASET}"))
        except (DamagedError, FileNotFoundError):
            continue
    return None


def committed_samples(out: Folder, digests: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Path -> (key, digest) of each committed shard's samples, in order; none where nothing tells any more.

    The sidecar tells, where it is the one that was committed, whatever became of its shard. Else the index tells the
    keys, and `digests` (key -> digest of today's samples) the rest, where they give the shard that was committed.
    """
    info = committed(out)
    rows: dict[str, list[str]] | None = None
    found = {}
    for one in info.shards if info else ():
        samples = _of_sidecar(out, one)
        if samples is None:
            rows = _index(out) if rows is None else rows
            samples = [(key, digests[key]) for key in rows.get(one.path, ()) if key in digests]
        # A shard that is lost keeps its number, so that no new one takes its name.
        found[one.path] = samples if shard_digest(samples) == one.made_from else []
    return found


def committed_sidecars(out: Folder) -> dict[str, str]:
    """Path of each committed shard -> sha256 of its sidecar."""
    info = committed(out)
    return {one.path: one.sidecar for one in info.shards} if info else {}


def _of_sidecar(out: Folder, one: ShardInfo) -> list[tuple[str, str]] | None:
    side = finished(one.path, one.made_from, out, one.sidecar)
    try:
        if side is None and index.sha256(out.read(str(sidecar_path(Path(one.path))))) == one.sidecar:
            side = read_sidecar(one.path, out)
    except (ShardError, OSError):
        return None
    return [(sample.key, sample.digest) for sample in side.samples] if side else None


def _index(out: Folder) -> dict[str, list[str]]:
    """Path of a shard -> its keys in order, as index.parquet has it; nothing where that cannot be read."""
    try:
        rows = index.read_table(out.read(index.INDEX), index.COLUMNS, index.INDEX)
    except (ShardError, OSError):
        return {}
    keys: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (str(row["shard"]), row["offset"] or 0)):
        keys[str(row["shard"])].append(str(row["key"]))
    return keys

"""Dataset folder or shards -> the samples there are, and the order in which a worker of a rank visits its share."""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np

from datasets import remote
from datasets.index import COLUMNS, INDEX, read_table
from datasets.members import ShardError, decode_about, decode_json
from datasets.shards import read_sample, scan_samples

SHARD = re.compile(r"(shards|review)/[A-Za-z0-9_-]+\.tar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """Where one sample lies."""

    shard: str  # a path or an address that fsspec opens
    key: str
    offset: int
    size: int
    frames: int


def list_samples(source: str | Sequence[str], *, split: str | None, include_review: bool) -> tuple[Ref, ...]:
    """The samples of a dataset folder, by its index; or of the given shards, by their headers.

    `split` None takes all splits; shards tell theirs by name (SPLIT-NUMBER.tar). A folder's samples in review are left
    out unless asked for; shards that are named are taken as they are. Raises ShardError where there is nothing to
    read.
    """
    if isinstance(source, str) and not source.endswith(".tar"):
        refs, where = _from_index(source, split, include_review), f"{source}/{INDEX}"
    else:
        shards = [source] if isinstance(source, str) else [str(shard) for shard in source]
        named = [shard for shard in shards if split in (None, posixpath.basename(shard).rpartition("-")[0])]
        refs, where = [ref for shard in named for ref in _from_shard(shard)], ", ".join(shards) or "no shard"
    if not refs:
        asked = f"split {split!r}" if split else "any split"
        raise ShardError(f"{where}: want samples of {asked}, got none; see the counts in dataset.json")
    return tuple(refs)


def read_at(ref: Ref, members: Sequence[str]) -> dict[str, bytes]:
    """The wanted members of a sample. From s3:// all of it comes in one request. Raises ShardError, OSError."""
    if remote.is_address(ref.shard) and ref.shard.startswith(remote.SCHEME):
        data = remote.read(ref.shard, ref.offset, ref.size)
        return read_sample(io.BytesIO(data), ref.key, 0, ref.size, members)
    with fsspec.open(ref.shard, "rb") as file:
        return read_sample(file, ref.key, ref.offset, ref.size, members)


def visit_order(shards: Sequence[str], *, seed: int, epoch: int, buffer: int) -> np.ndarray:
    """Positions of all samples, (N,) int64, in the order of one epoch: a function of its arguments alone.

    Shards are shuffled whole, and then samples within runs of `buffer`, so that reads stay near each other. With a
    buffer of 0 the order is as listed.
    """
    names, shard = np.unique(np.asarray(shards), return_inverse=True)
    if buffer == 0:
        return np.arange(len(shard))
    rng = np.random.default_rng((seed, epoch))
    order = np.argsort(rng.permutation(len(names))[shard], kind="stable")
    for start in range(0, len(order), buffer):
        rng.shuffle(order[start : start + buffer])
    return order


def padded_order(order: np.ndarray, world_size: int) -> np.ndarray:
    """An order made as long as `world_size` ranks can share evenly: its first samples come again at its end.

    >>> padded_order(np.array([2, 0, 1]), 2)
    array([2, 0, 1, 2])
    """
    return np.resize(order, -(-len(order) // world_size) * world_size)


def share_of(order: np.ndarray, *, rank: int, world_size: int, worker: int, num_workers: int, even: bool) -> np.ndarray:
    """The part of an order that one worker of one rank visits: all parts together are the whole, none twice.

    With `even`, every rank gets equally many, and up to world_size - 1 samples at the end of the order are left out.
    """
    if even:
        order = order[: len(order) // world_size * world_size]
    return order[rank::world_size][worker::num_workers]


def _from_index(folder: str, split: str | None, include_review: bool) -> list[Ref]:
    url = f"{folder.rstrip('/')}/{INDEX}"
    try:
        with fsspec.open(url, "rb") as file:
            data: Any = file.read()
    except FileNotFoundError:
        raise ShardError(f"{url}: want a dataset folder or a list of .tar shards, got no such file") from None
    rows = read_table(data, COLUMNS, INDEX)
    for name in {row["shard"] for row in rows}:
        # The table came with the shards: it may not lead out of their folder, nor to an address (fsspec's `::`).
        if not SHARD.fullmatch(name):
            raise ShardError(f"{url}: want shards such as shards/train-000000.tar, got {name!r}")
    return [
        Ref(
            shard=f"{folder.rstrip('/')}/{row['shard']}",
            key=row["key"],
            offset=row["offset"],
            size=row["size"],
            frames=row["num_frames"],
        )
        for row in rows
        if split in (None, row["split"]) and (include_review or row["verdict"] == "accepted")
    ]


def _from_shard(shard: str) -> list[Ref]:
    refs = []
    try:
        with fsspec.open(shard, "rb") as file:
            for key, entries in scan_samples(file):
                offset, size = entries[0].offset, entries[-1].stop - entries[0].offset
                clip, *_ = decode_about(decode_json(read_sample(file, key, offset, size, ["json"])))
                refs.append(Ref(shard=shard, key=key, offset=offset, size=size, frames=clip.frames))
    except FileNotFoundError:
        raise ShardError(f"{shard}: want a shard, got no such file") from None
    except ShardError as error:
        raise ShardError(f"{shard}: {error}") from error
    return refs

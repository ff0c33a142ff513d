"""Samples <-> shard: a USTAR file of samples, and beside it a sidecar, written last, that says what is in it and where.

A sample can be read by position without the rest of its shard. Names, sizes and order in a file are never believed:
what is not exactly one sample of the format, member after member, is an error that names its place.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from datasets import tar
from datasets.folder import Folder, LocalFolder
from datasets.members import FORMAT, MEMBERS, ShardError, legal_key
from datasets.plain import from_plain, to_plain

# Shards that are named by a path of this machine.
HERE: Folder = LocalFolder(Path())


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where one sample lies in its shard, and what it was made from."""

    key: str
    digest: str  # of what the sample was made from
    offset: int  # of its first header
    size: int  # bytes up to the next sample
    crc32: dict[str, str]  # member -> 8 hex digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What lies beside the shard NAME.tar as NAME.json."""

    format: int
    count: int
    bytes: int
    sha256: str
    made_from: str  # `shard_digest` of the samples
    samples: tuple[Placed, ...]


def shard_digest(samples: Iterable[tuple[str, str]]) -> str:
    """What a shard is made from: 64 hex digits over its samples' (key, digest), in order, and the format version."""
    return hashlib.sha256(json.dumps([FORMAT, [list(sample) for sample in samples]]).encode()).hexdigest()


def sidecar_path(shard: Path) -> Path:
    """Where the sidecar of a shard lies."""
    return shard.with_suffix(".json")


def write_shard(
    path: str | Path, samples: Iterable[tuple[str, str, Mapping[str, bytes]]], folder: Folder = HERE
) -> Sidecar:
    """Write (key, digest, members) in order as one shard and its sidecar; kill -9 leaves a whole shard or none.

    `path` is relative to the folder. Memory holds one sample at a time. Raises ShardError for a key or member that the
    format does not know.
    """
    aside = folder.aside(str(path))
    placed: list[Placed] = []
    digest, at = hashlib.sha256(), 0
    try:
        with aside.open("wb") as file:
            for key, made_from, members in samples:
                block = _pack(key, members)
                crc32 = {name: f"{zlib.crc32(data):08x}" for name, data in members.items()}
                placed.append(Placed(key=key, digest=made_from, offset=at, size=len(block), crc32=crc32))
                file.write(block)
                digest.update(block)
                at += len(block)
            file.write(tar.END)
            digest.update(tar.END)
            file.flush()
            os.fsync(file.fileno())
        # A sidecar of an older shard under this name must not vouch for the new one.
        folder.remove(str(sidecar_path(Path(path))))
        folder.put(str(path), aside)
    finally:
        aside.unlink(missing_ok=True)
    sidecar = Sidecar(
        format=FORMAT,
        count=len(placed),
        bytes=at + len(tar.END),
        sha256=digest.hexdigest(),
        made_from=shard_digest((sample.key, sample.digest) for sample in placed),
        samples=tuple(placed),
    )
    folder.write(str(sidecar_path(Path(path))), encode_sidecar(sidecar))
    return sidecar


def encode_sidecar(sidecar: Sidecar) -> bytes:
    """The bytes of a sidecar file."""
    return json.dumps(to_plain(sidecar), sort_keys=True, indent=1).encode() + b"\n"


def read_sidecar(shard: str | Path, folder: Folder = HERE) -> Sidecar:
    """The sidecar beside a shard. Raises ShardError when there is none, or it cannot be read."""
    path = sidecar_path(Path(shard))
    try:
        sidecar = from_plain(Sidecar, json.loads(folder.read(str(path))))
    except FileNotFoundError:
        raise ShardError(f"{path.name}: want the sidecar of {Path(shard).name}, got no such file") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ShardError(f"{path.name}: want the sidecar of a shard, got {type(error).__name__}: {error}") from error
    if sidecar.format != FORMAT:
        raise ShardError(f"{path.name}: want format version {FORMAT}, got {sidecar.format}")
    return sidecar


def finished(shard: str | Path, made_from: str, folder: Folder = HERE, committed: str = "") -> Sidecar | None:
    """The sidecar of a whole shard made from exactly this, or None: then it is to be written.

    `committed` is the sha256 of the sidecar that dataset.json was committed with, where it was.
    """
    try:
        sidecar = read_sidecar(shard, folder)
        whole = sidecar.made_from == made_from and folder.size(str(shard)) == sidecar.bytes
        whole = whole and (not committed or committed == hashlib.sha256(encode_sidecar(sidecar)).hexdigest())
        whole = whole and _unchanged(str(shard), sidecar, folder)
    except (ShardError, OSError):
        return None
    return sidecar if whole else None


def distrust(shard: str | Path, folder: Folder = HERE) -> None:
    """Have the next `finished` read the whole shard, whose bytes were seen to be off."""
    if isinstance(folder, LocalFolder):
        os.utime(folder.root / shard)


def _unchanged(shard: str, sidecar: Sidecar, folder: Folder) -> bool:
    """Whether a shard has the bytes that its sidecar was written after.

    Reading a whole dataset at each run would take longer than most runs: a shard is read when it is younger than its
    sidecar. An object cannot be changed in part, and its store keeps sums.
    """
    if not isinstance(folder, LocalFolder):
        return True
    path, beside = folder.root / shard, folder.root / sidecar_path(Path(shard))
    if path.stat().st_mtime_ns <= beside.stat().st_mtime_ns:
        return True
    with path.open("rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == sidecar.sha256
    if same:
        os.utime(beside)  # a copy, or only touched: not to be read again
    return same


def scan_samples(file: BinaryIO) -> Iterator[tuple[str, tuple[tar.Entry, ...]]]:
    """Each sample's key and entries, reading headers only. Raises ShardError that names the member or the offset."""
    key, entries = "", list[tar.Entry]()
    seen: set[str] = set()
    for entry in _entries(file):
        stem, _ = split_name(entry.name)
        if stem != key:
            if entries:
                yield key, tuple(entries)
            if stem in seen:
                raise ShardError(f"{entry.name}: want the members of a sample side by side, got {stem} again")
            seen.add(stem)
            key, entries = stem, []
        elif any(entry.name == other.name for other in entries):
            raise ShardError(f"{entry.name}: want each member once, got it again at offset {entry.offset}")
        entries.append(entry)
    if entries:
        yield key, tuple(entries)


def read_sample(file: BinaryIO, key: str, offset: int, size: int, members: Sequence[str] = MEMBERS) -> dict[str, bytes]:
    """The wanted members of the sample at an offset, skipping others; one that it does not have is left out.

    Raises ShardError when another sample lies there: the index is of another shard, or one of the two is damaged.
    """
    found: dict[str, bytes] = {}
    try:
        for entry in tar.scan(file, start=offset, stop=offset + size):
            stem, member = split_name(entry.name)
            if stem != key:
                raise ShardError(f"offset {entry.offset}: want sample {key}, got {stem}; rebuild the index")
            if member in members:
                found[member] = tar.read(file, entry)
                if len(found) == len(members):
                    break
    except tar.TarError as error:
        raise ShardError(f"{key}: {error}") from error
    return found


def split_name(name: str) -> tuple[str, str]:
    """A tar name as (key, member). Raises ShardError for any that the format does not know.

    >>> split_name("duet-0a1b2c3d-00000000.mask.npz")
    ('duet-0a1b2c3d-00000000', 'mask.npz')
    """
    key, _, member = name.partition(".")
    if member not in MEMBERS:
        raise ShardError(f"{name!r}: want a name of KEY.MEMBER with one of {', '.join(MEMBERS)}")
    return legal_key(key), member


def _entries(file: BinaryIO) -> Iterator[tar.Entry]:
    try:
        yield from tar.scan(file)
    except tar.TarError as error:
        raise ShardError(str(error)) from error


def _pack(key: str, members: Mapping[str, bytes]) -> bytes:
    legal_key(key)
    if not members or not set(members) <= set(MEMBERS):
        raise ShardError(f"{key}: want members among {', '.join(MEMBERS)}, got {', '.join(members)}")
    return b"".join(tar.pack(f"{key}.{name}", members[name]) for name in MEMBERS if name in members)

"""One shard -> what is wrong with it: sidecar, bytes, and each sample by itself, so that no fault hides another."""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, cast

from datasets import tar
from datasets.folder import Folder
from datasets.index import ShardInfo, about_row, sha256
from datasets.members import MEMBERS, Bundle, ShardError
from datasets.shards import (
    Placed,
    Sidecar,
    distrust,
    read_sidecar,
    scan_samples,
    shard_digest,
    sidecar_path,
    split_name,
)
from datasets.verify_sample import check_sample

Note = Callable[[str, str, str], None]  # file, member, what


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A sample that lies in a shard."""

    shard: str
    offset: int
    size: int
    about: dict[str, Any]  # the fields of its index row that it knows itself
    scores: dict[str, float]


def check_shard(folder: Folder, shard: str, info: ShardInfo | None, note: Note) -> dict[str, Found]:
    """The samples of a shard by key, decoded. `info` is what dataset.json says of it, when it says anything."""
    found = dict[str, Found]()
    sidecar = _sidecar(folder, shard, info, note)
    try:
        with folder.open(shard) as file:
            if not _bytes(file, shard, info, sidecar, note):
                # Who may not write here does not build here either.
                with contextlib.suppress(PermissionError):
                    distrust(shard, folder)
            for placed in _places(file, shard, sidecar, note):
                members = _members(file, shard, placed, note)
                bundle, problems = check_sample(members) if members is not None else (None, [])
                for member, what in problems:
                    note(shard, f"{placed.key}.{member}" if member else placed.key, what)
                if bundle and bundle.clip.key != placed.key:
                    note(shard, f"{placed.key}.json", f"want the key of its name, got {bundle.clip.key}")
                elif bundle:
                    found[placed.key] = _found(shard, placed, bundle)
    except OSError as error:
        note(shard, "", f"want a shard that can be read, got {error.strerror or error}")
    return found


def _sidecar(folder: Folder, shard: str, info: ShardInfo | None, note: Note) -> Sidecar | None:
    name = sidecar_path(Path(shard)).as_posix()
    try:
        sidecar = read_sidecar(shard, folder)
        data = folder.read(name)
    except (ShardError, OSError) as error:
        note(name, "", str(error))
        return None
    if info and sha256(data) != info.sidecar:
        note(name, "", "want the sidecar that dataset.json was committed with, got other bytes")
    samples = [(one.key, one.digest) for one in sidecar.samples]
    if sidecar.count != len(samples) or sidecar.made_from != shard_digest(samples):
        note(name, "", "want count and digest of the samples it lists, got others")
    if info:
        for what in ("count", "bytes", "sha256", "made_from"):
            if getattr(info, what) != getattr(sidecar, what):
                note(name, "", f"want {what} {getattr(info, what)} as in dataset.json, got {getattr(sidecar, what)}")
    return sidecar


def _bytes(file: BinaryIO, shard: str, info: ShardInfo | None, sidecar: Sidecar | None, note: Note) -> bool:
    """Whether a shard's bytes are those that were written, as far as anything tells."""
    digest = hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()
    size = file.tell()
    told = info or sidecar
    if told and size != told.bytes:
        note(shard, "", f"want {told.bytes} bytes, got {size}")
    if told and digest != told.sha256:
        note(shard, "", f"want sha256 {told.sha256}, got {digest}")
        return False
    return True


def _places(file: BinaryIO, shard: str, sidecar: Sidecar | None, note: Note) -> list[Placed]:
    """Where samples lie: as the tar itself has it when it is whole, else as the sidecar has it."""
    places, key = [], ""
    try:
        for key, entries in scan_samples(file):
            offset, size = entries[0].offset, entries[-1].stop - entries[0].offset
            places.append(Placed(key=key, digest="", offset=offset, size=size, crc32={}))
    except ShardError as error:
        note(shard, "", f"after sample {key}: {error}" if key else str(error))
        return list(sidecar.samples) if sidecar else places
    if sidecar is None:
        return places
    if [(p.key, p.offset, p.size) for p in places] != [(p.key, p.offset, p.size) for p in sidecar.samples]:
        note(shard, "", "want the samples that its sidecar lists, got others")
        return places
    return list(sidecar.samples)


def _members(file: BinaryIO, shard: str, placed: Placed, note: Note) -> dict[str, bytes] | None:
    """The members of a sample; None when one of them is damaged, which has then been noted."""
    members: dict[str, bytes] = {}
    expected = [name for name in MEMBERS if name in placed.crc32]
    whole = True
    try:
        for entry in tar.scan(file, start=placed.offset, stop=placed.offset + placed.size):
            key, member = split_name(entry.name)
            members[member] = tar.read(file, entry)
            crc32 = f"{zlib.crc32(members[member]):08x}"
            if key != placed.key or (placed.crc32 and member not in placed.crc32):
                note(shard, entry.name, f"want a member of {placed.key} that its sidecar lists, got this one")
                whole = False
            elif placed.crc32 and crc32 != placed.crc32[member]:
                note(shard, entry.name, f"want crc32 {placed.crc32[member]}, got {crc32}: its bytes were changed")
                whole = False
    except (ShardError, tar.TarError) as error:
        missing = [name for name in expected if name not in members]
        note(shard, f"{placed.key}.{missing[0]}" if missing else placed.key, str(error))
        return None
    missing = [name for name in expected if name not in members]
    for name in missing:
        note(shard, f"{placed.key}.{name}", "want this member, got none")
    return members if whole and not missing else None


def _found(shard: str, placed: Placed, bundle: Bundle) -> Found:
    about = about_row(bundle.clip, bundle.cast, bundle.sample)
    return Found(shard=shard, offset=placed.offset, size=placed.size, about=about, scores=dict(bundle.sample.scores))

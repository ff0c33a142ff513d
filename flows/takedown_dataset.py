"""OUT without some sources: shards that held them written anew; tables, card and versions without their rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from datasets import index, takedowns, versions
from datasets.folder import Folder
from datasets.members import ShardError
from datasets.plain import to_plain
from datasets.shards import encode_sidecar, finished, read_sample, read_sidecar, shard_digest, write_shard
from flows.intake import refusal
from flows.takedown_known import is_footage, names_in
from tasks.batch import Reject
from tasks.ops.dataset_card import dataset_card
from tasks.ops.shard_plan import SHARD_PATH, parse_path

Row = Mapping[str, Any]
# A reject's reason that names another source.
_SAME = re.compile(r"(?:same bytes as|the same clip as in) (.+)", re.S)
# A file, or the report's folder, that a killed writer never put in place.
_ASIDE = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}(\.old)?|\..+\.new", re.S)
_WEIGHTS = re.compile(r"^\| ([^|]+) \| ([0-9a-f]{64}) \|$", re.M)


@dataclass(frozen=True, kw_only=True)
class Doomed:
    """What is to go, as tables, report and words know it."""

    takedowns: tuple[takedowns.Takedown, ...]
    keys: frozenset[str]  # samples, as far as anything names them

    @property
    def shas(self) -> frozenset[str]:
        """Of all sources that go."""
        return frozenset(one.sha256 for one in self.takedowns)

    @property
    def names(self) -> frozenset[str]:
        """Of all sources that go."""
        return frozenset(name for one in self.takedowns for name in one.names)

    def sample(self, row: Row) -> bool:
        """Whether a row of the index, or a clip of the report, goes."""
        if row["key"] in self.keys or row.get("source_sha256") in self.shas or self.key(row["key"]):
            return True
        return not is_footage(row["source"]) and not self.names.isdisjoint(names_in(row["source"]))

    def key(self, key: str) -> bool:
        """Whether a sample's key goes: one of footage holds 8 digits of its source's sha256."""
        return key in self.keys or any(f"-{sha256[:8]}-" in key for sha256 in self.shas)

    def reject(self, row: Row) -> bool:
        """Whether a reject goes: one of a source that goes, or one that names it."""
        other = _SAME.fullmatch(row["reason"])
        named = {*names_in(row["source"]), *([other[1]] if other else [])}
        return bool(row["clip"] and self.key(row["clip"])) or not self.names.isdisjoint(named)

    def refusals(self) -> list[Reject]:
        """The rejects that stand for what went, as builds give them that still find it among their sources."""
        seen = [one for one in self.takedowns if one.names]
        return [refusal(one, "probe" if any(map(is_footage, one.names)) else "motion") for one in seen]


@dataclass(kw_only=True)
class Removed:
    """What a takedown changed."""

    clips: list[str] = field(default_factory=list)  # keys
    remade: list[str] = field(default_factory=list)  # keys of others that lay in a damaged shard: the next build's
    shards_rewritten: int = 0
    shards_removed: int = 0
    bytes: int = 0  # that OUT is smaller by, as far as shards go
    rejects: int = 0
    versions: list[int] = field(default_factory=list)
    words: int = 0  # of a person, about the clips
    report: int = 0  # clips on the page
    store: bool = True  # whether there was a store to take artifacts from
    artifacts: int = 0
    artifact_bytes: int = 0
    notes: int = 0
    generation: int = 0


def cut_versions(folder: Folder, doomed: Doomed, removed: Removed, *, write: bool) -> None:
    """Take rows out of every kept version; each that lost some says so in its takedowns.json.

    A version that a killed takedown left half done has tables that its dataset.json does not know yet: so they are
    read without that check, and written again.
    """
    for generation in versions.kept(folder):
        under = versions.version_name(generation)
        try:
            info = index.decode_dataset(folder.read(f"{under}/{index.DATASET}"))
            rows, rejects = _tables(folder, f"{under}/")
        except (FileNotFoundError, ShardError):
            # It cannot be told what a damaged version shows.
            _remove_version(folder, under, write)
            removed.versions.append(generation)
            continue
        gone = [row for row in rows if doomed.sample(row)]
        stay, kept = [r for r in rows if not doomed.sample(r)], [r for r in rejects if not doomed.reject(r)]
        table, turned = _encoded(stay), index.encode_rejects(kept)
        files = {index.INDEX: index.sha256(table), index.REJECTS: index.sha256(turned)}
        if not gone and len(kept) == len(rejects) and info.files == files:
            continue
        removed.versions.append(generation)
        if not write:
            continue
        _note(folder, generation, doomed, len(gone), len(rejects) - len(kept))
        counts = index.count(stay, kept, [shard.bytes for shard in info.shards])
        info = replace(info, files=files, counts=counts)
        card = dataset_card(info, stay, kept, _weights(folder, under))
        for name, data in ((index.INDEX, table), (index.REJECTS, turned), (index.CARD, card.encode())):
            versions.put(folder, f"{under}/{name}", data)
        versions.put(folder, f"{under}/{index.DATASET}", index.encode_dataset(info))


def cut_dataset(folder: Folder, doomed: Doomed, removed: Removed, *, write: bool) -> None:
    """Commit the dataset without what goes: only shards that hold some of it are written, under new numbers."""
    info = index.read_dataset(folder)
    if info is None:
        return
    removed.generation = info.generation
    rows, rejects = versions.tables(folder, info)
    stay = {row["key"]: row for row in rows if not doomed.sample(row)}
    removed.clips += [row["key"] for row in rows if row["key"] not in stay]
    kept = [row for row in rejects if not doomed.reject(row)]
    removed.rejects += len(rejects) - len(kept)
    touched = {row["shard"] for row in rows if row["key"] not in stay}
    if not write:
        _forecast(info, rows, stay, removed)
        return
    shards, placed = _shards(folder, info, touched, stay, removed)
    out = [
        _row(stay[key], placed.get(key), doomed)
        for key in sorted(stay)
        if key in placed or stay[key]["shard"] in shards
    ]
    turned = {tuple(row.items()): row for row in [*map(to_plain, doomed.refusals()), *kept]}
    ordered = sorted(turned.values(), key=lambda r: (r["source"], r["clip"], r["stage"], r["reason"]))
    table, reject_table = _encoded(out), index.encode_rejects(ordered)
    after = replace(
        info,
        counts=index.count(out, ordered, [shard.bytes for shard in shards.values()]),
        files={index.INDEX: index.sha256(table), index.REJECTS: index.sha256(reject_table)},
        shards=tuple(shards[path] for path in sorted(shards)),
    )
    if after != info:
        after = replace(after, generation=info.generation + 1)
        card = dataset_card(after, out, ordered, _weights(folder, ""))
        versions.keep(folder, after, table, reject_table, card)
        index.commit(folder, after, table, reject_table, card)
    removed.generation = after.generation
    removed.bytes += sum(shard.bytes for shard in info.shards) - sum(shard.bytes for shard in after.shards)
    _sweep(folder, set(shards))


def _shards(
    folder: Folder, info: index.DatasetInfo, touched: set[str], stay: Mapping[str, Row], removed: Removed
) -> tuple[dict[str, index.ShardInfo], dict[str, tuple[str, int, int]]]:
    """The shards to be, by path, and where the samples of rewritten ones lie: shard, offset, size."""
    shards = {one.path: one for one in info.shards if one.path not in touched}
    placed: dict[str, tuple[str, int, int]] = {}
    number: dict[tuple[str, str], int] = {}
    for one in info.shards:
        place, at = parse_path(one.path)
        number[place] = max(number.get(place, 0), at + 1)
    for path in sorted(touched):
        mine = [row for row in stay.values() if row["shard"] == path]
        samples = _whole_samples(folder, path, sorted(mine, key=lambda row: row["offset"]))
        removed.remade += sorted({row["key"] for row in mine} - {key for key, _, _ in samples})
        if not samples:
            removed.shards_removed += 1
            continue
        place, _ = parse_path(path)
        name = f"{place[0]}/{place[1]}-{number[place]:06d}.tar"
        number[place] += 1
        made_from = shard_digest((key, digest) for key, digest, _ in samples)
        side = finished(name, made_from, folder) or write_shard(name, _members(folder, path, samples), folder)
        sidecar = index.sha256(encode_sidecar(side))
        shards[name] = index.ShardInfo(
            path=name, count=side.count, bytes=side.bytes, sha256=side.sha256, made_from=made_from, sidecar=sidecar
        )
        placed |= {at.key: (name, at.offset, at.size) for at in side.samples}
        removed.shards_rewritten += 1
    return shards, placed


def _whole_samples(folder: Folder, path: str, rows: Sequence[Row]) -> list[tuple[str, str, Row]]:
    """Key, digest and row of the samples of a shard that can be read; the others the next build makes anew."""
    try:
        digests = {one.key: one.digest for one in read_sidecar(path, folder).samples}
        with folder.open(path) as file:
            whole = []
            for row in rows:
                try:
                    read_sample(file, row["key"], row["offset"], row["size"])
                    whole.append((row["key"], digests[row["key"]], row))
                except (ShardError, KeyError):
                    continue
            return whole
    except (ShardError, OSError):
        return []


def _members(
    folder: Folder, path: str, samples: Sequence[tuple[str, str, Row]]
) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    with folder.open(path) as file:
        for key, digest, row in samples:
            yield key, digest, read_sample(file, key, row["offset"], row["size"])


def _row(row: Row, at: tuple[str, int, int] | None, doomed: Doomed) -> Row:
    """The row, where its sample lies now. A group that bears the name of what went gets another: its split stays."""
    moved = dict(zip(("shard", "offset", "size"), at, strict=True)) if at else {}
    if row["split_group"] in doomed.shas:
        moved["split_group"] = hashlib.sha256(f"without {row['split_group']}".encode()).hexdigest()
    return {**row, **moved}


def _forecast(info: index.DatasetInfo, rows: Sequence[Row], stay: Mapping[str, Row], removed: Removed) -> None:
    """How many shards would go, how many would be written anew, and what that would save."""
    gone = [row for row in rows if row["key"] not in stay]
    touched, left = {row["shard"] for row in gone}, {row["shard"] for row in stay.values()}
    removed.shards_removed, removed.shards_rewritten = len(touched - left), len(touched & left)
    removed.bytes += sum(one.bytes for one in info.shards if one.path in touched - left)
    removed.bytes += sum(row["size"] for row in gone if row["shard"] in left)


def sweep_out(folder: Folder) -> None:
    """Remove what killed runs left aside in OUT, which nobody else writes now: it may show anything."""
    versions.drop_uncommitted(folder)
    for name in list(folder.names()):
        if any(_ASIDE.fullmatch(part) for part in name.split("/")):
            folder.remove(name)


def _sweep(folder: Folder, keep: set[str]) -> None:
    """Remove shards that the dataset does not know: those that were rewritten, and what killed runs left."""
    for under in ("shards", "review"):
        for name in list(folder.names(under)):
            shard = name.removesuffix(".json") + ".tar" if name.endswith(".json") else name
            if not SHARD_PATH.fullmatch(shard) or shard not in keep:
                folder.remove(name)


def _tables(folder: Folder, under: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows = index.read_table(folder.read(under + index.INDEX), index.COLUMNS, under + index.INDEX)
    return rows, index.read_table(folder.read(under + index.REJECTS), index.REJECT_COLUMNS, under + index.REJECTS)


def _encoded(rows: Sequence[Row]) -> bytes:
    """index.parquet of rows as they were read: a score that no row has any more has no column."""
    scores = [
        {n.removeprefix(index.SCORE): v for n, v in row.items() if _is_score(n) and v is not None} for row in rows
    ]
    return index.encode_index([{n: v for n, v in row.items() if not _is_score(n)} for row in rows], scores)


def _is_score(name: str) -> bool:
    return name.startswith(index.SCORE)


def _weights(folder: Folder, under: str) -> dict[str, str]:
    """The weights that a card lists; it is the one place that tells them without reading every sample."""
    name = under + ("/" if under else "") + index.CARD
    text = folder.read(name).decode() if folder.size(name) is not None else ""
    return dict(_WEIGHTS.findall(text.partition("## What it was made with")[2]))


def _note(folder: Folder, generation: int, doomed: Doomed, clips: int, rejects: int) -> None:
    """Say in a version that rows were taken out of it; the first count stands when a killed takedown goes on."""
    said = list(versions.notes(folder, generation))
    known = {note["takedown"] for note in said}
    ids = " ".join(one.id for one in doomed.takedowns)
    if ids not in known and (clips or rejects):
        said.append({"takedown": ids, "clips": clips, "rejects": rejects})
        data = json.dumps(said, sort_keys=True, indent=1).encode() + b"\n"
        folder.write(f"{versions.version_name(generation)}/{versions.NOTES}", data)


def _remove_version(folder: Folder, under: str, write: bool) -> None:
    if write:
        for name in list(folder.names(under)):
            folder.remove(name)

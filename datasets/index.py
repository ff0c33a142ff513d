"""What lies beside the shards: index.parquet (a row a sample), rejects.parquet, dataset.json (what is committed)."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datasets.folder import Folder, open_folder
from datasets.members import FORMAT, ShardError
from datasets.plain import from_plain, to_plain
from datasets.records import Cast, Clip, Sample

INDEX, REJECTS, DATASET, CARD, LOCK = "index.parquet", "rejects.parquet", "dataset.json", "README.md", ".lock"
SPLITS = ("train", "val", "test")
# Scores differ from release to release: each is a column of its own behind this prefix.
SCORE = "score_"
COLUMNS = pa.schema(
    [
        ("key", pa.string()),
        ("source", pa.string()),  # the path as given, under its root
        ("source_sha256", pa.string()),
        ("split_group", pa.string()),  # samples of one group share footage or motion, and so a split
        ("shard", pa.string()),  # relative to index.parquet
        ("offset", pa.int64()),  # of the sample's first tar header in the shard
        ("size", pa.int64()),  # bytes of all its members with their headers
        ("verdict", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("split", pa.string()),
        ("num_people", pa.int32()),
        ("num_frames", pa.int32()),
        ("fps", pa.string()),  # a fraction, such as 30000/1001
        ("fps_float", pa.float64()),
        ("duration_s", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("kinds", pa.list_(pa.string())),
        ("identities", pa.list_(pa.string())),
        ("licence", pa.string()),
    ]
)
REJECT_COLUMNS = pa.schema(
    [
        ("source", pa.string()),
        ("clip", pa.string()),  # empty when the whole source was turned away
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("fault", pa.bool_()),  # true: it failed; false: a rule turned it away
    ]
)


class DamagedError(ShardError):
    """dataset.json is not what was written: a disk's fault, or a hand's. One of another format is none of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """A committed shard."""

    path: str  # relative to dataset.json
    count: int
    bytes: int
    sha256: str
    made_from: str  # `shards.shard_digest` of its samples
    sidecar: str  # sha256 of the sidecar's bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """dataset.json: what is committed. No time and no path of a machine, so that equal runs give equal bytes."""

    format: int
    name: str
    generation: int  # 1, and one more with each change
    configuration: str  # digest of the run's whole configuration
    counts: dict[str, int]
    files: dict[str, str]  # index.parquet, rejects.parquet -> sha256
    shards: tuple[ShardInfo, ...]


def about_row(clip: Clip, cast: Cast, sample: Sample) -> dict[str, Any]:
    """The fields of an index row that the sample itself knows."""
    return {
        "key": clip.key,
        "source": clip.source,
        "source_sha256": clip.sha256,
        "verdict": sample.verdict,
        "reasons": list(sample.reasons),
        "num_people": len(cast.kind),
        "num_frames": clip.frames,
        "fps": f"{clip.fps.numerator}/{clip.fps.denominator}",
        "fps_float": float(clip.fps),
        "duration_s": clip.duration_s,
        "width": clip.size[1],
        "height": clip.size[0],
        "kinds": list(cast.kind),
        "identities": list(cast.identity),
        "licence": clip.licence,
    }


def count(
    rows: Sequence[Mapping[str, Any]], rejects: Sequence[Mapping[str, Any]], shard_bytes: Sequence[int]
) -> dict[str, int]:
    """The counts of dataset.json."""
    return {
        "samples": len(rows),
        "accepted": sum(row["verdict"] == "accepted" for row in rows),
        "review": sum(row["verdict"] == "review" for row in rows),
        "rejected": len(rejects),
        "frames": sum(row["num_frames"] for row in rows),
        "people": sum(row["num_people"] for row in rows),
        "sources": len({row["source_sha256"] for row in rows}),
        "shards": len(shard_bytes),
        "bytes": sum(shard_bytes),
        **{split: sum(row["split"] == split for row in rows) for split in SPLITS},
    }


def encode_index(rows: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, float]]) -> bytes:
    """index.parquet of rows with the fields of COLUMNS, in the order given, and each row's scores by name."""
    names = sorted({name for one in scores for name in one})
    schema = pa.schema([*COLUMNS, *((f"{SCORE}{name}", pa.float64()) for name in names)])
    full = [
        {**row, **{f"{SCORE}{name}": one.get(name) for name in names}} for row, one in zip(rows, scores, strict=True)
    ]
    return _parquet(pa.Table.from_pylist(full, schema=schema))


def encode_rejects(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """rejects.parquet of rows with the fields of REJECT_COLUMNS, in the order given."""
    return _parquet(pa.Table.from_pylist(list(rows), schema=REJECT_COLUMNS))


def read_table(data: bytes, schema: pa.Schema, name: str) -> list[dict[str, Any]]:
    """The rows of a parquet file that has at least the columns of a schema. Raises ShardError."""
    try:
        # No threads: a process that ends soon after would abort on those that pyarrow still has waiting.
        table = pq.ParquetFile(io.BytesIO(data), pre_buffer=False).read(use_threads=False)
        have = {field.name: field.type for field in table.schema}
        wrong = ", ".join(field.name for field in schema if have.get(field.name) != field.type)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ShardError(f"{name}: want a parquet table, got {type(error).__name__}: {error}") from error
    if wrong:
        raise ShardError(f"{name}: want the columns of format {FORMAT}, got no or other {wrong}")
    return table.to_pylist()


def encode_dataset(info: DatasetInfo) -> bytes:
    """The bytes of dataset.json. Its last word is a digest of the rest, so that damage to it shows."""
    plain = to_plain(info)
    return json.dumps({**plain, "digest": _digest(plain)}, sort_keys=True, indent=1).encode() + b"\n"


def read_dataset(folder: str | Path | Folder) -> DatasetInfo | None:
    """What is committed in a folder; None when nothing is. Raises ShardError for one damaged or of another format."""
    try:
        data = open_folder(folder).read(DATASET)
    except FileNotFoundError:
        return None
    return decode_dataset(data)


def decode_dataset(data: bytes) -> DatasetInfo:
    """The bytes of dataset.json, read. Raises ShardError for ones that are damaged or of another format."""
    try:
        plain = json.loads(data)
        version, digest = plain["format"], plain.pop("digest")
        if version != FORMAT:
            raise ShardError(f"{DATASET}: want format version {FORMAT}, got {version!r}")
        info = from_plain(DatasetInfo, plain)
    except ShardError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{DATASET}: want what was committed, got {type(error).__name__}: {error}") from error
    if digest != _digest(plain) or encode_dataset(info) != data:
        raise DamagedError(f"{DATASET}: want the bytes that were written, got changed ones; build again")
    return info


def commit(folder: str | Path | Folder, info: DatasetInfo, index: bytes, rejects: bytes, card: str) -> None:
    """Put the tables and the card in place, and dataset.json last: until then the older one and its shards hold."""
    to = open_folder(folder)
    for name, data in ((INDEX, index), (REJECTS, rejects), (CARD, card.encode()), (DATASET, encode_dataset(info))):
        if to.size(name) != len(data) or to.read(name) != data:
            to.write(name, data)


def sha256(data: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def _digest(plain: Mapping[str, Any]) -> str:
    return sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode())


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False)
    return sink.getvalue()

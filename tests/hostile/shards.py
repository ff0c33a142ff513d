"""Datasets whose tars, members and tables lie: each a whole dataset with one thing changed."""

from __future__ import annotations

import io
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datasets.store import Store
from datasets.tar import BLOCK, END, pack, scan
from tasks.shard import Config
from tests.build_samples import bundle, judged
from tests.hostile.case import Canary, Case

SHARD = "shards/train-000000.tar"


def good_dataset(folder: Path) -> Path:
    """Two samples in one shard."""
    from tests.test_shard_task import build

    batch = judged(Store(root=str(folder / "store")), [bundle(source=f"{name}.mp4") for name in "ab"])
    build(batch, folder / "dataset", Config(val_fraction=0, test_fraction=0))
    return folder / "dataset"


def cases(good: Path, canary: Canary) -> list[Case]:
    """Every dataset of the corpus; each is a folder."""
    named = "named"

    def shard(change: Callable[[list[tuple[str, bytes]]], bytes]) -> Callable[[Path], object]:
        def make(path: Path) -> None:
            shutil.copytree(good, path)
            with (path / SHARD).open("rb") as file:
                entries = list(scan(file))
                members = [(e.name, (file.seek(e.data), file.read(e.size))[1]) for e in entries]
            (path / SHARD).write_bytes(change(members))

        return make

    def member(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
        return shard(lambda members: _tar([(n, change(d) if n.endswith(name) else d) for n, d in members]))

    def table(column: str, value: Any) -> Callable[[Path], object]:
        def make(path: Path) -> None:
            shutil.copytree(good, path)
            rows = pq.read_table(path / "index.parquet")
            at = rows.column_names.index(column)
            filled = pa.array([value] * len(rows), rows.schema.field(at).type)
            pq.write_table(rows.set_column(at, rows.schema.field(at), filled), path / "index.parquet")

        return make

    def file(name: str, raw: bytes) -> Callable[[Path], object]:
        def make(path: Path) -> None:
            shutil.copytree(good, path)
            (path / name).write_bytes(raw)

        return make

    return [
        Case("members with absolute names", "tar-absolute", shard(_named(lambda n: f"/tmp/{n}")), named,
             "train-000000"),
        Case("members that climb", "tar-climb", shard(_named(lambda n: f"../../{n}")), named, "train-000000"),
        Case("a symbolic link for a member", "tar-link", shard(lambda m: _with(m, tarfile.SYMTYPE, str(canary.file))),
             named, "header of a regular file"),
        Case("a hard link for a member", "tar-hard", shard(lambda m: _with(m, tarfile.LNKTYPE, str(canary.file))),
             named, "header of a regular file"),
        Case("a device for a member", "tar-device", shard(lambda m: _with(m, tarfile.CHRTYPE, "")), named,
             "header of a regular file"),
        Case("a pax header", "tar-pax", shard(_pax), named, "header of a regular file"),
        Case("a size beyond the end", "tar-size", shard(lambda m: _sized(m, b"77777777777\0")), named,
             "the end of the file"),
        Case("a size in base 256", "tar-base256", shard(lambda m: _sized(m, b"\x80" + b"\xff" * 11)), named,
             "octal number"),
        Case("a negative size", "tar-negative", shard(lambda m: _sized(m, b"-0000000001\0")), named, "octal number"),
        Case("no end", "tar-open", shard(lambda m: _tar(m)[: -len(END)]), named, "two blocks of zeros"),
        Case("a sample twice", "tar-twice", shard(lambda m: _tar([*m, *m])), named, "train-000000"),
        Case("a pickle in an npz", "npz-pickle", member(".pose.npz", lambda d: _objects()), named, "pose.npz"),
        Case("a bomb in an npz", "npz-bomb", member(".mask.npz", lambda d: _bomb()), named, "mask.npz"),
        Case("an npz of no arrays", "npz-empty", member(".pose.npz", lambda d: _npz({})), named, "pose.npz"),
        Case("NaN in poses", "npz-nan", member(".pose.npz", _nan), named, "pose.npz"),
        Case("JSON of 100,000 brackets", "json-deep", member(".json", lambda d: b"[" * 100_000), named, "json"),
        Case("JSON that is a list", "json-list", member(".json", lambda d: b"[]"), named, "json"),
        Case("JSON with NaN", "json-nan", member(".json", lambda d: d.replace(b'"fps": ', b'"x": NaN, "fps": ')), named,
             "json"),
        Case("a playlist for an mp4", "mp4-playlist",
             member(".mp4", lambda d: f"#EXTM3U\n#EXTINF:9,\n{canary.address}/a.ts\n".encode()), named, "mp4"),
        Case("a picture of 60,000 x 60,000", "png-bomb", member(".png", lambda d: _png_bomb()), named, "ref.png"),
        Case("an index that leads out", "index-out", table("shard", "../../canary.tar"), named,
             "index.parquet|want shards"),
        Case("an index that leads to an address", "index-far", table("shard", f"a.tar::{canary.address}/b.tar"), named,
             "index.parquet|want shards"),
        Case("an index with places beyond the end", "index-place", table("offset", 1 << 60), named,
             "index.parquet|offset"),
        Case("an index that is none", "index-none", file("index.parquet", b"PAR1" + bytes(99)), named, "index.parquet"),
        Case("a dataset.json that is none", "dataset-none", file("dataset.json", b"{" * 99), named, "dataset.json"),
        Case("a sidecar that is none", "sidecar-none", file("shards/train-000000.json", b"[1, 2]"), named,
             "train-000000"),
    ]  # fmt: skip


def _tar(members: list[tuple[str, bytes]]) -> bytes:
    return b"".join(pack(name, data) for name, data in members) + END


def _named(change: Callable[[str], str]) -> Callable[[list[tuple[str, bytes]]], bytes]:
    return lambda members: _tar([(change(name), data) for name, data in members])


def _with(members: list[tuple[str, bytes]], kind: bytes, target: str) -> bytes:
    """The archive with a member more, of another kind."""
    entry = tarfile.TarInfo(members[0][0].replace(".json", ".depth.mkv"))
    entry.type, entry.linkname = kind, target
    return _tar(members)[: -len(END)] + entry.tobuf(tarfile.USTAR_FORMAT) + END


def _pax(members: list[tuple[str, bytes]]) -> bytes:
    entry = tarfile.TarInfo(members[0][0])
    entry.size, entry.pax_headers = len(members[0][1]), {"path": "/tmp/elsewhere"}
    head = entry.tobuf(tarfile.PAX_FORMAT)
    data = members[0][1]
    return head + data + bytes(-len(data) % BLOCK) + _tar(members[1:])


def _sized(members: list[tuple[str, bytes]], field: bytes) -> bytes:
    raw = bytearray(_tar(members))
    raw[124:136] = field
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:BLOCK])
    return bytes(raw)


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _objects() -> bytes:
    return _npz({"keypoint": np.array([print], object)})


def _bomb() -> bytes:
    """3 GB by its index."""
    raw = bytearray(_npz({"rle": np.zeros(9, np.uint8)}))
    at = raw.index(b"PK\1\2")
    raw[at + 24 : at + 28] = struct.pack("<I", 3 << 30)
    return bytes(raw)


def _nan(data: bytes) -> bytes:
    arrays = dict(np.load(io.BytesIO(data)))
    arrays["box"] = np.full(arrays["box"].shape, np.nan, np.float32)
    return _npz(arrays)


def _png_bomb() -> bytes:
    """PNG of one colour: 3.6 billion pixels in 4 MB would do; here only its header says so."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99_999))) + chunk(b"IEND", b"")

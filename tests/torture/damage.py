"""What happens to the files of a finished build: the next run must end with the bytes of an undisturbed one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from datasets import tar
from datasets.shards import read_sidecar
from datasets.verify import verify
from tests.torture.place import Place

Damage = Callable[[Place, np.random.Generator], str]


def _one(paths: list[Path], draw: np.random.Generator) -> Path:
    return sorted(paths)[int(draw.integers(len(paths)))]


def _files(place: Place, draw: np.random.Generator) -> Path:
    manifest = _one(list(place.store.glob("[a-z]*/*/*/artifact.json")), draw)
    named = json.loads(manifest.read_bytes())["files"]
    return _one([manifest.parent / name for name, size in named.items() if size], draw)


def _flip(path: Path, draw: np.random.Generator, *, start: int = 0, stop: int | None = None) -> str:
    data = bytearray(path.read_bytes())
    at = int(draw.integers(start, len(data) if stop is None else stop))
    data[at] ^= 1 << int(draw.integers(8))
    path.write_bytes(data)
    return f"byte {at} of {path.name}"


def artifact_truncated(place: Place, draw: np.random.Generator) -> str:
    """A file of an artifact loses its end."""
    path = _files(place, draw)
    size = int(draw.integers(path.stat().st_size))
    with path.open("r+b") as file:
        file.truncate(size)
    return f"{path.relative_to(place.store)} at {size}"


def artifact_gone(place: Place, draw: np.random.Generator) -> str:
    """A file of an artifact is gone."""
    path = _files(place, draw)
    path.unlink()
    return str(path.relative_to(place.store))


def artifact_flipped(place: Place, draw: np.random.Generator) -> str:
    """A bit of an artifact flips, and the shards are gone: what is made anew must not have it."""
    path = _files(place, draw)
    said = _flip(path, draw)
    for shard in place.out.glob("*/*.tar"):
        shard.unlink()
    return f"{path.relative_to(place.store)}: {said}"


MANIFESTS = (b"", b"{", b"[]", b'"x"', b"{}", b"\xff\xfe\x00", b'{"files": []}', b'{"files": {"x": "y"}}', b"null")


def manifest_damaged(place: Place, draw: np.random.Generator) -> str:
    """An artifact's manifest is another text."""
    path = _one(list(place.store.glob("[a-z]*/*/*/artifact.json")), draw)
    data = MANIFESTS[int(draw.integers(len(MANIFESTS)))]
    path.write_bytes(data)
    return f"{path.relative_to(place.store)}: {data!r}"


def shard_flipped(place: Place, draw: np.random.Generator) -> str:
    """A bit flips in a member of a shard: verify names the member, and the next run writes the shard again."""
    path = _one(list(place.out.glob("*/*.tar")), draw)
    samples = read_sidecar(path).samples
    sample = samples[int(draw.integers(len(samples)))]
    with path.open("rb") as file:
        entries = list(tar.scan(file, start=sample.offset, stop=sample.offset + sample.size))
    entry = entries[int(draw.integers(len(entries)))]
    said = f"{entry.name}, {_flip(path, draw, start=entry.data, stop=entry.data + entry.size)}"
    problems = verify(place.out).problems
    if not any(one.member == entry.name for one in problems):
        raise AssertionError(f"{path.name}, {said}: want verify to name it, got {list(map(str, problems))}")
    return f"{path.name}: {said}"


def shard_truncated(place: Place, draw: np.random.Generator) -> str:
    """A shard loses its end."""
    path = _one(list(place.out.glob("*/*.tar")), draw)
    with path.open("r+b") as file:
        file.truncate(int(draw.integers(path.stat().st_size)))
    return path.name


def damaged(pattern: str) -> Damage:
    """A file of OUT has a flipped bit, lost its end, is empty or is gone."""

    def one(place: Place, draw: np.random.Generator) -> str:
        path = _one(list(place.out.glob(pattern)), draw)
        how = str(draw.choice(["flipped", "cut", "empty", "gone"]))
        if how == "flipped":
            _flip(path, draw)
        elif how == "gone":
            path.unlink()
        else:
            data = path.read_bytes()
            path.write_bytes(data[: int(draw.integers(len(data)))] if how == "cut" else b"")
        return f"{path.name} {how}"

    return one


DAMAGES: dict[str, Damage] = {
    "an artifact truncated": artifact_truncated,
    "a file of an artifact gone": artifact_gone,
    "a bit flipped in an artifact": artifact_flipped,
    "an artifact's manifest damaged": manifest_damaged,
    "a bit flipped in a shard": shard_flipped,
    "a shard truncated": shard_truncated,
    "a shard gone": lambda place, draw: (path := _one(list(place.out.glob("*/*.tar")), draw)).unlink() or path.name,
    "a sidecar damaged": damaged("[sr]*/*.json"),
    "index.parquet damaged": damaged("index.parquet"),
    "rejects.parquet damaged": damaged("rejects.parquet"),
    "dataset.json damaged": damaged("dataset.json"),
    "the card damaged": damaged("README.md"),
}

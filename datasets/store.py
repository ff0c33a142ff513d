"""Content key -> finished artifact: written aside, synced, renamed. What is in the store is complete.

A store at an address does the same with objects: see `remote_store`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import remote, remote_scratch, remote_store
from datasets.plain import to_plain
from datasets.records import Artifact

MANIFEST = "artifact.json"
# sha256 of source files, by where they lie and what they were when they were hashed.
NOTES = ".sha256"


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of artifacts, one folder each, named by what they were made from."""

    root: str  # a path, or an s3:// address

    @property
    def remote(self) -> bool:
        """Whether it lies at an address."""
        return remote.is_address(self.root)

    def place(self, stage: str, key: str) -> str:
        """Where the artifact of this key lies or will lie: a path or an address."""
        return f"{self.root}/{stage}/{key[:2]}/{key}" if self.remote else str(self.path(stage, key))

    def path(self, stage: str, key: str) -> Path:
        """Where the artifact of this key lies or will lie in a store on this machine."""
        return Path(self.root) / stage / key[:2] / key

    def find(self, stage: str, key: str) -> Artifact | None:
        """The finished artifact of this key, or None. One with a file missing, or with other bytes, counts as none.

        Bytes are summed again only of files that were written to since: their times are in the manifest.
        """
        if self.remote:
            place = self.place(stage, key)
            return Artifact(key=key, path=place) if remote_store.find(place, MANIFEST) else None
        path = self.path(stage, key)
        try:
            manifest = json.loads((path / MANIFEST).read_bytes())
            if any((path / name).stat().st_size != size for name, size in manifest["files"].items()):
                return None
            if not all(_unchanged(path / name, *seal) for name, seal in manifest.get("seals", {}).items()):
                return None
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return Artifact(key=key, path=str(path))

    def make(
        self, stage: str, key: str, write: Callable[[Path], None], *, about: Mapping[str, Any] | None = None
    ) -> tuple[Artifact, bool]:
        """The artifact of this key, and whether it was already there; `write` fills a new folder when it was not.

        kill -9 at any moment leaves nothing or the whole artifact (and a folder under .tmp, which `sweep` removes).
        """
        found = self.find(stage, key)
        if found:
            return found, True

        def seal(folder: Path) -> dict[str, int]:
            files = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
            manifest = {"stage": stage, "key": key, "files": files, "about": to_plain(dict(about or {}))}
            manifest["seals"] = {name: _seal(folder / name) for name in files}
            (folder / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1))
            return files

        if self.remote:
            remote_store.make(self.place(stage, key), MANIFEST, write, seal)
            return Artifact(key=key, path=self.place(stage, key)), False
        final = self.path(stage, key)
        aside = Path(self.root) / ".tmp" / f"{key}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        aside.mkdir(parents=True)
        try:
            write(aside)
            files = seal(aside)
            for name in [*files, MANIFEST]:
                sync(aside / name)
            sync(aside)
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():
                # Either another worker finished first, or a damaged artifact stands in the way: `find` tells which.
                finished = self.find(stage, key)
                if finished:
                    return finished, False
                os.rename(final, aside.with_suffix(".damaged"))
                shutil.rmtree(aside.with_suffix(".damaged"), ignore_errors=True)
            try:
                os.rename(aside, final)
            except OSError:
                finished = self.find(stage, key)
                if finished is None:
                    raise
                return finished, False
            sync(final.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return Artifact(key=key, path=str(final)), False

    @contextlib.contextmanager
    def aside(self, name: str) -> Iterator[Path]:
        """A new folder on the disk that artifacts are made on, gone afterwards; `sweep` removes a killed process'."""
        if self.remote:
            with remote_scratch.aside() as folder:
                yield folder
            return
        path = Path(self.root) / ".tmp" / f"{name}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def sweep(self, *, older_than_s: float, now_s: float) -> int:
        """Remove what killed writers left under .tmp for longer than this; gives how many. Live writers are younger."""
        if self.remote:
            remote_store.swept()
            return 0
        removed = 0
        for aside in (Path(self.root) / ".tmp").glob("*"):
            try:
                if now_s - aside.stat().st_mtime > older_than_s:
                    shutil.rmtree(aside)
                    removed += 1
            except FileNotFoundError:  # its writer, or another sweep, was faster
                continue
        return removed

    def check(self) -> None:
        """Raise OSError where a store at an address cannot be written."""
        if self.remote:
            self.note("writable", {"by": "duetflow"})

    def noted(self, name: str) -> Any:
        """What `note` was given under a name; None when nothing, or a killed disk's rest."""
        try:
            if self.remote:
                return json.loads(remote.read(f"{self.root}/{NOTES}/{name}.json"))
            return json.loads((Path(self.root) / NOTES / f"{name}.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def note(self, name: str, plain: Any) -> None:
        """Remember something small beside the artifacts."""
        data = json.dumps(plain, sort_keys=True).encode()
        if self.remote:
            remote.put(f"{self.root}/{NOTES}/{name}.json", data)
        else:
            write_atomic(Path(self.root) / NOTES / f"{name}.json", data)


def _seal(path: Path) -> tuple[int, str]:
    """A finished file's time of change, in ns, and its sha256."""
    with path.open("rb") as file:
        return path.stat().st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()


def _unchanged(path: Path, mtime_ns: int, sha256: str) -> bool:
    """Whether a file is the one that was sealed. A copy, or one that was only touched, is given its old time back."""
    if path.stat().st_mtime_ns == mtime_ns:
        return True
    if _seal(path)[1] != sha256:
        return False
    with contextlib.suppress(PermissionError):  # then the next run sums it again
        os.utime(path, ns=(mtime_ns, mtime_ns))
    return True


def local_folder(artifact: Artifact) -> Path:
    """The artifact's files as a folder of this machine. Raises OSError where they have to be fetched and cannot be."""
    if remote.is_address(artifact.path):
        return remote_store.folder(artifact.path, MANIFEST)
    return Path(artifact.path)


def local_file(artifact: Artifact, name: str) -> Path:
    """One file of an artifact on this machine, without the others. Raises OSError as `local_folder` does."""
    if remote.is_address(artifact.path):
        return remote_store.file(artifact.path, name, MANIFEST)
    return Path(artifact.path) / name


def size_in(artifact: Artifact, name: str) -> int | None:
    """Bytes of a file of an artifact, without fetching it; None where it has none of that name."""
    if remote.is_address(artifact.path):
        return remote_store.sizes(artifact.path, MANIFEST).get(name)
    path = Path(artifact.path) / name
    return path.stat().st_size if path.is_file() else None


def manifest_of(artifact: Artifact) -> dict[str, Any] | None:
    """An artifact's manifest; of a folder in one (a scene's motions 0, 1, ...) that artifact's. None where it has none.

    Raises OSError where it has to be fetched and cannot be.
    """
    if remote.is_address(artifact.path):
        return remote_store.manifest(artifact.path, MANIFEST)
    for place in (Path(artifact.path), Path(artifact.path).parent):
        if (place / MANIFEST).is_file():
            return json.loads((place / MANIFEST).read_bytes())
    return None


def content_key(stage: str, version: int, config: Any, inputs: Sequence[str], weights: Mapping[str, str]) -> str:
    """32 hex digits over all that an artifact is made from.

    >>> content_key("probe", 1, {"a": 1}, ["x"], {}) == content_key("probe", 2, {"a": 1}, ["x"], {})
    False
    """
    text = json.dumps(
        [stage, version, to_plain(config), list(inputs), dict(weights)], sort_keys=True, ensure_ascii=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def sync(path: Path) -> None:
    """fsync a file or folder, so that a rename after it cannot come to disk before it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: str | Path, data: bytes) -> None:
    """Put bytes at a path so that a reader sees the old file or the new one, never a part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        aside.write_bytes(data)
        sync(aside)
        os.replace(aside, path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)

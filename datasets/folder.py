"""OUT, wherever it lies: files by relative names with forward slashes. Every write is whole or not there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from datasets.store import sync, write_atomic


class Folder(Protocol):
    """What a dataset is read from and written into."""

    @property
    def address(self) -> str:
        """What to call it: a path, or an address such as s3://bucket/name. Never holds a credential."""
        ...

    def read(self, name: str) -> bytes:
        """All bytes of a file. Raises FileNotFoundError."""
        ...

    def open(self, name: str) -> BinaryIO:
        """A file to read and seek in. Raises FileNotFoundError."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        ...

    def names(self, under: str = "") -> Iterator[str]:
        """Every file below `under`, sorted, hidden ones too; nothing where there is no such folder."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Put bytes at a name: a reader sees the old file or the new one, never a part."""
        ...

    def put(self, name: str, file: Path) -> None:
        """Put a finished local file at a name, as `write` does. The local file may be moved away by it."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder of this machine, or of a file system that it mounts."""

    root: Path

    @property
    def address(self) -> str:
        """The path."""
        return str(self.root)

    def read(self, name: str) -> bytes:
        """See Folder."""
        return (self.root / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        """See Folder."""
        return (self.root / name).open("rb")

    def size(self, name: str) -> int | None:
        """See Folder."""
        path = self.root / name
        return path.stat().st_size if path.is_file() else None

    def names(self, under: str = "") -> Iterator[str]:
        """See Folder."""
        for path in sorted((self.root / under).rglob("*")):
            if path.is_file():
                yield path.relative_to(self.root).as_posix()

    def write(self, name: str, data: bytes) -> None:
        """See Folder."""
        write_atomic(self.root / name, data)

    def put(self, name: str, file: Path) -> None:
        """See Folder. Synced; a file of another file system is copied, since a rename cannot take it."""
        final = self.root / name
        final.parent.mkdir(parents=True, exist_ok=True)
        if os.stat(file).st_dev != os.stat(final.parent).st_dev:
            aside = final.with_name(f".{final.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
            try:
                with file.open("rb") as source, aside.open("wb") as copy:
                    while block := source.read(1 << 22):
                        copy.write(block)
                sync(aside)
                os.replace(aside, final)
            finally:
                aside.unlink(missing_ok=True)
        else:
            sync(file)
            os.replace(file, final)
        sync(final.parent)

    def remove(self, name: str) -> None:
        """See Folder."""
        (self.root / name).unlink(missing_ok=True)


def open_folder(address: str | Path) -> Folder:
    """The folder at a path or an address."""
    return LocalFolder(Path(address))

"""OUT, wherever it lies: files by relative names with forward slashes. Every write is whole or not there."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from datasets import remote
from datasets.remote_scratch import scratch
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

    def part(self, name: str, offset: int, size: int) -> bytes:
        """Bytes of a file from an offset on, fewer where it ends before. Raises FileNotFoundError."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        ...

    def names(self, under: str = "") -> Iterator[str]:
        """Every file below `under`, sorted, hidden ones too; nothing where there is no such folder."""
        ...

    def sizes(self, under: str = "") -> dict[str, int]:
        """`names`, each with its bytes: on object storage a request for a thousand of them."""
        ...

    def aside(self, name: str) -> Path:
        """A new path of this machine to write a file to before it is `put` at a name."""
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

    def part(self, name: str, offset: int, size: int) -> bytes:
        """See Folder."""
        with self.open(name) as file:
            file.seek(offset)
            return file.read(size)

    def size(self, name: str) -> int | None:
        """See Folder."""
        path = self.root / name
        return path.stat().st_size if path.is_file() else None

    def names(self, under: str = "") -> Iterator[str]:
        """See Folder."""
        for path in sorted((self.root / under).rglob("*")):
            if path.is_file():
                yield path.relative_to(self.root).as_posix()

    def sizes(self, under: str = "") -> dict[str, int]:
        """See Folder."""
        return {name: (self.root / name).stat().st_size for name in self.names(under)}

    def aside(self, name: str) -> Path:
        """See Folder. It lies beside the name, so that `put` can rename it; a build sweeps what a killed one left."""
        final = self.root / name
        final.parent.mkdir(parents=True, exist_ok=True)
        return final.with_name(f".{final.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")

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


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """What lies below an s3:// address: each file an object, put whole."""

    address: str

    def read(self, name: str) -> bytes:
        """See Folder."""
        return remote.read(self._at(name))

    def open(self, name: str) -> BinaryIO:
        """See Folder. A copy on this machine, gone when it is closed: whoever seeks in it reads it once only."""
        # A hidden name: what a killed process leaves is swept with the other copies.
        (scratch() / ".tmp").mkdir(parents=True, exist_ok=True)
        copy = tempfile.NamedTemporaryFile(dir=scratch() / ".tmp")  # noqa: SIM115 - whoever opens it closes it
        try:
            remote.fetch(self._at(name), Path(copy.name))
        except BaseException:
            copy.close()
            raise
        return cast(BinaryIO, copy)

    def part(self, name: str, offset: int, size: int) -> bytes:
        """See Folder."""
        return remote.read(self._at(name), offset, size)

    def size(self, name: str) -> int | None:
        """See Folder."""
        found = remote.stat(self._at(name))
        return found.size if found else None

    def names(self, under: str = "") -> Iterator[str]:
        """See Folder."""
        yield from self.sizes(under)

    def sizes(self, under: str = "") -> dict[str, int]:
        """See Folder."""
        below = f"{under}/" if under else ""
        return {f"{below}{name}": one.size for name, one in remote.listing(self._at(under))}

    def aside(self, name: str) -> Path:
        """See Folder."""
        folder = scratch() / ".tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{os.getpid()}.{uuid.uuid4().hex[:8]}"

    def write(self, name: str, data: bytes) -> None:
        """See Folder."""
        remote.put(self._at(name), data)

    def put(self, name: str, file: Path) -> None:
        """See Folder."""
        remote.send(file, self._at(name))
        file.unlink()

    def remove(self, name: str) -> None:
        """See Folder."""
        remote.remove(self._at(name))

    def _at(self, name: str) -> str:
        return remote.join(self.address, name)


def open_folder(address: str | Path | Folder) -> Folder:
    """The folder at a path or an address; one that is open already as it is.

    Raises remote.AddressError for an address that cannot be used.
    """
    if isinstance(address, str) and remote.is_address(address):
        remote.check_address(address, "OUT")
        return RemoteFolder(remote.place_of(address))
    return LocalFolder(Path(address)) if isinstance(address, str | Path) else address

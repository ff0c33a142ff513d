"""Bytes <-> USTAR: regular files only, bytes that depend on nothing else, and a reader that trusts no header."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 512
# The header's size field holds 11 octal digits.
MAX_SIZE = 8**11 - 1
END = bytes(2 * BLOCK)


class TarError(ValueError):
    """The bytes are no USTAR archive of regular files, or end too early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of an archive, by position."""

    name: str
    offset: int  # of its header
    data: int  # of its first byte
    size: int  # bytes of data

    @property
    def stop(self) -> int:
        """Where the next header starts."""
        return self.data + -(-self.size // BLOCK) * BLOCK


def pack(name: str, data: bytes) -> bytes:
    """Header, data and padding of one file: mode 644, owner 0, time 0. Raises TarError for a name or size too long."""
    raw = name.encode("ascii", "replace")
    if not 0 < len(raw) <= 100 or b"?" in raw:
        raise TarError(f"tar name: want 1 to 100 ASCII characters, got {name!r}")
    if len(data) > MAX_SIZE:
        raise TarError(f"{name}: want at most {MAX_SIZE} bytes (USTAR), got {len(data)}")
    zero = b"0000000\0"
    head = raw.ljust(100, b"\0") + b"0000644\0" + zero + zero + b"%011o\0" % len(data) + b"00000000000\0"
    tail = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + zero + zero + bytes(167)
    checksum = sum(head) + sum(tail) + 8 * ord(" ")
    return b"".join((head, b"%06o\0 " % checksum, tail, data, bytes(-len(data) % BLOCK)))


def scan(file: BinaryIO, *, start: int = 0, stop: int | None = None) -> Iterator[Entry]:
    """The files of an archive, or of the piece of it from `start` to `stop`, reading headers only.

    Raises TarError, naming the offset, for a damaged header, anything but a regular file, data that runs past the end,
    and a whole archive without its two closing blocks of zeros.
    """
    end = file.seek(0, io.SEEK_END)
    if stop is not None and stop > end:
        raise TarError(f"offset {start}: want bytes up to {stop}, got a file of {end}")
    limit, at = end if stop is None else stop, start
    while at < limit:
        file.seek(at)
        block = file.read(BLOCK)
        if block == bytes(BLOCK) and stop is None:
            if limit - at != len(END) or file.read(BLOCK) != bytes(BLOCK):
                raise TarError(f"offset {at}: want two blocks of zeros and then the end, got something else")
            return
        entry = _entry(block, at)
        if entry.stop > limit:
            raise TarError(f"offset {at}: {entry.name}: want {entry.size} bytes of data, got the end of the file")
        yield entry
        at = entry.stop
    if stop is None:
        raise TarError(f"offset {at}: want two blocks of zeros at the end, got the end of the file")


def read(file: BinaryIO, entry: Entry) -> bytes:
    """The data of one file. Raises TarError when the archive ends before it does."""
    file.seek(entry.data)
    data = file.read(entry.size)
    if len(data) != entry.size:
        raise TarError(f"offset {entry.data}: {entry.name}: want {entry.size} bytes of data, got {len(data)}")
    return data


def _entry(block: bytes, at: int) -> Entry:
    if len(block) != BLOCK:
        raise TarError(f"offset {at}: want a header of {BLOCK} bytes, got {len(block)}")
    if block[257:263] != b"ustar\0" or block[156:157] != b"0" or block[345] != 0:
        raise TarError(f"offset {at}: want the USTAR header of a regular file, got {block[:24]!r}...")
    checksum = sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")
    if checksum != _octal(block[148:156], at):
        raise TarError(f"offset {at}: want a header that adds up to its checksum, got {checksum}")
    name = block[:100].rstrip(b"\0").decode("ascii", "backslashreplace")
    return Entry(name=name, offset=at, data=at + BLOCK, size=_octal(block[124:136], at))


def _octal(field: bytes, at: int) -> int:
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise TarError(f"offset {at}: want an octal number in the header, got {field!r}")
    return int(digits, 8)

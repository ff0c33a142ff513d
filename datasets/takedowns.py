"""OUT/takedowns.jsonl: what was taken out of a dataset for good, a JSON object a line, appended, never changed.

A source is known by the sha256 of its bytes, so that a copy under another name stays out too. This is the one file of a
dataset that still names what was taken down; nothing reads it but builds, which refuse the source, and flows.takedown.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from datasets.folder import Folder
from datasets.plain import from_plain, to_plain

FILE = "takedowns.jsonl"
FORMAT = 1
_SHA256 = re.compile("[0-9a-f]{64}")


class TakedownError(ValueError):
    """A takedowns file that is not what it should be; the message names the line and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Takedown:
    """One source that was taken down."""

    id: str  # 12 hex digits: what the dataset calls it from then on, in place of its name
    sha256: str
    names: tuple[str, ...]  # the names under which it was a source
    when: str  # ISO 8601, UTC
    why: str = ""
    done: bool = False  # false: it was begun; what is left of it is still to be removed


def new_takedown(sha256: str, names: Sequence[str], when: str, why: str) -> Takedown:
    """A takedown to be begun. Raises ValueError for what is no sha256."""
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"sha256: want 64 hex digits, got {sha256!r}")
    # Not made of the sha256 alone: who has the file must not be able to find it in the dataset by the id.
    digest = hashlib.sha256(f"{sha256} {when}".encode()).hexdigest()[:12]
    return Takedown(id=digest, sha256=sha256, names=tuple(sorted(set(names))), when=when, why=why)


def standing(folder: Folder) -> dict[str, Takedown]:
    """sha256 -> the takedown that stands, in order. Raises TakedownError for a file that cannot be read."""
    stand: dict[str, Takedown] = {}
    for number, line in enumerate(_lines(folder), start=1):
        where = f"{folder.address}/{FILE}: line {number}"
        try:
            plain = json.loads(line)
            version, word = plain.pop("format"), plain.pop("word")
            if version != FORMAT:
                raise TakedownError(f"{where}: want format {FORMAT}, got {version!r}; read it with what wrote it")
            if word == "takedown":
                one = from_plain(Takedown, {"why": "", **plain, "done": False})
                if not _SHA256.fullmatch(one.sha256):
                    raise ValueError(f"sha256 {one.sha256!r}")
                stand[one.sha256] = one
                continue
            sha256 = next(sha256 for sha256, one in stand.items() if one.id == plain["of"])
            if word == "done":
                stand[sha256] = replace(stand[sha256], done=True)
            elif word == "undo":
                del stand[sha256]
            else:
                raise ValueError(f"the word {word!r}")
        except TakedownError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, StopIteration, RecursionError) as error:
            # A line that is skipped would let a source in again: nothing is built until a person has looked.
            raise TakedownError(
                f"{where}: want a line that flows.takedown wrote, got {type(error).__name__} {error}; restore the file"
            ) from error
    return stand


def begin(folder: Folder, takedowns: Sequence[Takedown]) -> None:
    """Add takedowns: from now on builds refuse these sources."""
    lines = []
    for one in takedowns:
        plain = {name: value for name, value in to_plain(one).items() if name != "done"}
        lines.append({"word": "takedown", **plain})
    _append(folder, lines)


def finish(folder: Folder, takedowns: Sequence[Takedown]) -> None:
    """Note that nothing is left of these sources."""
    _append(folder, [{"word": "done", "of": one.id} for one in takedowns])


def undo(folder: Folder, takedowns: Sequence[Takedown], when: str) -> None:
    """Take takedowns back: the next build takes these sources in again."""
    _append(folder, [{"word": "undo", "of": one.id, "when": when} for one in takedowns])


def _lines(folder: Folder) -> list[bytes]:
    try:
        return [line for line in folder.read(FILE).split(b"\n") if line.strip()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _append(folder: Folder, lines: Sequence[dict[str, Any]]) -> None:
    """All lines at once; a reader sees the file with them or without."""
    if not lines:
        return
    added = [json.dumps({"format": FORMAT, **line}, sort_keys=True, ensure_ascii=False).encode() for line in lines]
    folder.write(FILE, b"\n".join([*_lines(folder), *added]) + b"\n")

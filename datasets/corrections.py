"""A person's words on clips -> corrections.jsonl: a JSON object a line, appended, never changed; and what still stands.

A word names its clip by a digest of footage, start and length, and the people by sightings: where they stood in frames
in which nobody else was near. Numbers of people, and faults themselves, change with the detector; where a person stood
does not. So each word can be held to any later binding of the same clip.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datasets import remote
from datasets.plain import from_plain, to_plain
from datasets.records import Clip, Kind
from datasets.store import sync

FILE = "corrections.jsonl"  # in a dataset's folder; its lock lies beside it
FORMAT = 1
Word = Literal["accept", "reject", "swap", "drop", "kind", "undo"]
# frame, then the box: x0, y0, x1, y1 in pixels of the clip
Sighting = tuple[int, float, float, float, float]
_PLAIN = ("who", "when", "note")  # about the saying, not about what was said: no content key sees them


class CorrectionsError(ValueError):
    """A corrections file that is not what it should be; the message names the line and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One word of a person on one clip. Frames are 0-based, people are counted from 1, as the report counts them."""

    word: Word
    clip: str  # `clip_digest`
    key: str  # the sample key, by which people know the clip
    people: tuple[int, ...] = ()  # whom it speaks of: A and B of swap, the person of drop and kind
    start: int | None = None  # swap: the first frame in which the two are exchanged
    stop: int | None = None  # and one past the last; None: to the clip's end
    kind: Kind | None = None
    # A chain of sightings for each person: swap has two, of who A and who B truly are; accept, drop and kind have one
    # for everybody in the clip, in the report's order.
    anchors: tuple[tuple[Sighting, ...], ...] = ()
    undoes: str | None = None  # undo: the id of the word that it takes back
    who: str | None = None
    when: str | None = None
    note: str | None = None
    nth: int = 0  # how many words stood in the file before: the same word said twice is two words
    id: str = ""  # 12 hex digits over all of the above but who, when and note

    def identified(self, nth: int) -> Correction:
        """The same word at its place in a file."""
        plain = {**to_plain(self), "nth": nth}
        del plain["id"]
        return from_plain(Correction, {**plain, "id": _id(plain)})


def clip_digest(clip: Clip) -> str:
    """32 hex digits of what a clip is: the source's bytes, and which of its frames."""
    return hashlib.sha256(f"{clip.sha256} {clip.start} {clip.frames}".encode()).hexdigest()[:32]


def read_corrections(path: str | Path) -> tuple[Correction, ...]:
    """Every word of a file, in order; none when there is no file.

    Raises CorrectionsError that names the line for one that is cut short, changed, repeated, or of another format.
    """
    try:
        text = remote.read(str(path)) if remote.is_address(str(path)) else Path(path).read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise CorrectionsError(f"{path}: want a corrections file, got {error.strerror}; name another") from error
    return _words(text, str(path))


def _words(text: bytes, path: str) -> tuple[Correction, ...]:
    """The words of a file's bytes; `path` is for errors."""
    lines = text.removesuffix(b"\n").split(b"\n") if text else []
    words = [_parse(line, f"{path}: line {number}") for number, line in enumerate(lines, start=1)]
    _check_story(words, path)
    return tuple(words)


def standing(words: Sequence[Correction]) -> tuple[Correction, ...]:
    """The words that were not taken back, in order, without the undos themselves."""
    undone = {word.undoes for word in words if word.word == "undo"}
    return tuple(word for word in words if word.word != "undo" and word.id not in undone)


def append_correction(path: str | Path, say: Callable[[tuple[Correction, ...]], Correction]) -> Correction:
    """Add the word that `say` makes of all words so far, and return it as it stands in the file.

    Writers wait for each other. The file is written whole beside the old one, synced and renamed: a reader, and a
    machine that loses power, sees the file with the line or without it. Raises CorrectionsError as
    `read_corrections`, and whatever `say` raises; then nothing is written.
    """
    if remote.is_address(str(path)):
        return _append_at(str(path), say)
    path = Path(os.path.realpath(path))
    with _alone(path):
        words = read_corrections(path)
        # Words may have been taken out of the file: numbers go on, so that no word gets the id of an older one.
        word = say(words).identified(max((word.nth + 1 for word in words), default=0))
        line = _line(word)
        before = path.read_bytes() if path.exists() else b""
        # A line that was edited by hand may lack its end.
        before += b"\n" if before and not before.endswith(b"\n") else b""
        _replace(path, before + line)
    return word


def _append_at(address: str, say: Callable[[tuple[Correction, ...]], Correction]) -> Correction:
    """`append_correction` at an address: put where nobody else did meanwhile, else said over what is there now."""
    while True:
        try:
            before, etag, _ = remote.aged(address)
        except FileNotFoundError:
            before, etag = b"", None
        words = _words(before, address)
        # Words may have been taken out of the file: numbers go on, so that no word gets the id of an older one.
        word = say(words).identified(max((word.nth + 1 for word in words), default=0))
        before += b"\n" if before and not before.endswith(b"\n") else b""
        try:
            remote.put(address, before + _line(word), replaces=etag, new=etag is None)
        except remote.ChangedError:
            continue
        return word


def remove_corrections(path: str | Path, goes: Callable[[Correction], bool]) -> int:
    """Take every word out of a file for which `goes` holds, with the undos of those; how many lines went.

    The lines that stay keep their bytes, and so their ids: no content key changes. Raises CorrectionsError.
    """
    if remote.is_address(str(path)):
        while True:
            try:
                before, etag, _ = remote.aged(str(path))
            except FileNotFoundError:
                return 0
            stay, gone = _without(before, goes, str(path))
            try:
                if gone:
                    remote.put(str(path), stay, replaces=etag)
            except remote.ChangedError:
                continue
            return gone
    path = Path(os.path.realpath(path))
    if not path.exists():
        return 0
    with _alone(path):
        stay, gone = _without(path.read_bytes(), goes, str(path))
        if gone:
            _replace(path, stay)
    return gone


def _without(text: bytes, goes: Callable[[Correction], bool], path: str) -> tuple[bytes, int]:
    """A file's bytes without some words, and how many those are."""
    words = _words(text, path)
    gone = {word.id for word in words if goes(word)}
    gone |= {word.id for word in words if word.undoes in gone}
    lines = text.removesuffix(b"\n").split(b"\n") if words else []
    return b"".join(line + b"\n" for line, word in zip(lines, words, strict=True) if word.id not in gone), len(gone)


def _line(word: Correction) -> bytes:
    """A word as its line."""
    return json.dumps(_plain(word), sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def file_in(out: str | Path) -> str:
    """A dataset's own corrections file."""
    return f"{str(out).rstrip('/')}/{FILE}"


def _replace(path: Path, data: bytes) -> None:
    aside = path.with_name(f".{path.name}.new")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    sync(path.parent)


def lock_name(name: str = FILE) -> str:
    """The file beside a corrections file that its writers hold."""
    return f".{name}.lock"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until nobody else writes the file. The kernel lets go of it when a process ends, however it ends."""
    handle = os.open(path.with_name(lock_name(path.name)), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _plain(word: Correction) -> dict[str, Any]:
    """What a line holds: the fields that say something, and the format."""
    plain = {name: value for name, value in to_plain(word).items() if value not in (None, [], "")}
    return {"format": FORMAT, **plain}


def _id(plain: dict[str, Any]) -> str:
    said = {name: value for name, value in plain.items() if name not in _PLAIN and value not in (None, [], "")}
    text = json.dumps(said, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _parse(line: bytes, where: str) -> Correction:
    advice = "restore it, or remove the line and say the word again with flows.review"
    try:
        plain = json.loads(line)
        if not isinstance(plain, dict):
            raise ValueError("no JSON object")
        version = plain.pop("format", None)
        if version != FORMAT:
            raise CorrectionsError(f"{where}: want format {FORMAT}, got {version!r}; read it with what wrote it")
        fields = Correction.__dataclass_fields__
        unknown = ", ".join(sorted(set(plain) - set(fields)))
        if unknown:
            raise ValueError(f"the unknown field {unknown}")
        defaults = {name: field.default for name, field in fields.items() if name not in ("word", "clip", "key")}
        word = from_plain(Correction, {**defaults, **plain})
        _check(word)
    except CorrectionsError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorrectionsError(f"{where}: want a word that flows.review wrote, got {error}; {advice}") from error
    if word.id != _id({name: value for name, value in to_plain(word).items() if name != "id"}):
        raise CorrectionsError(f"{where}: want the words that id {word.id!r} stands for, got changed ones; {advice}")
    return word


def _check(word: Correction) -> None:
    """Hold a word to what its kind of word needs. Raises ValueError."""
    wanted = {"swap": 2, "drop": 1, "kind": 1}.get(word.word, 0)
    if len(word.people) != wanted or min(word.people, default=1) < 1 or len(set(word.people)) != wanted:
        raise ValueError(f"{word.word} of people {list(word.people)}, where it takes {wanted}")
    if (word.start is not None) != (word.word == "swap") or not 0 <= (word.start or 0) < (word.stop or math.inf):
        raise ValueError(f"{word.word} from {word.start} to {word.stop}")
    if (word.kind is not None) != (word.word == "kind") or (word.undoes is not None) != (word.word == "undo"):
        raise ValueError(f"{word.word} with kind {word.kind} and undoes {word.undoes}")
    chains = {"swap": 2, "drop": word.people[0] if word.people else 0, "kind": word.people[0] if word.people else 0}
    if len(word.anchors) < chains.get(word.word, 0):
        raise ValueError(f"{word.word} with {len(word.anchors)} chains of sightings")
    if not all(math.isfinite(value) for chain in word.anchors for sighting in chain for value in sighting):
        raise ValueError("sightings that are no numbers")


def _check_story(words: Sequence[Correction], path: str) -> None:
    """Every id once, and nothing taken back that was not said before."""
    seen: dict[str, int] = {}
    for number, word in enumerate(words, start=1):
        if word.id in seen:
            raise CorrectionsError(
                f"{path}: line {number}: want each word once, got line {seen[word.id]} again; remove it"
            )
        if word.undoes is not None and word.undoes not in seen:
            raise CorrectionsError(
                f"{path}: line {number}: want an undo of a line above, got one of {word.undoes}, which is not there; "
                "remove the line"
            )
        seen[word.id] = number

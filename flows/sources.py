"""SOURCE arguments -> source files: videos, motion files and scenes, in an order that never changes, each once."""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from datasets.remote import Stat, is_address, place_of
from flows.errors import UsageError
from flows.remote_sources import chosen, look, text_of
from tasks.motion import motions_named, sources_among

Kind = Literal["video", "motion", "scene"]
EXTENSIONS: dict[str, Kind] = {
    **dict.fromkeys(
        (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"), "video"
    ),
    **dict.fromkeys((".wmv", ".flv", ".ogv", ".3gp"), "video"),
    **dict.fromkeys((".npz", ".pkl", ".npy"), "motion"),
    **dict.fromkeys((".yaml", ".yml", ".json"), "scene"),
}  # type: ignore[dict-item]
LIST = ".txt"
TAKEN = (
    f"a video ({', '.join(e for e, k in EXTENSIONS.items() if k == 'video')}), a motion file (.npz, .pkl, .npy), "
    + ("a scene (.yaml, .yml, .json), a folder, or a .txt list of those")
)
MAX_LIST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One source of a run."""

    name: str  # as given, under its root: what the tables call it
    path: str  # where it is, absolute
    kind: Kind
    bytes: int | None = None  # of one at an address, as it was listed


def find_sources(
    given: Sequence[str], *, kinds: Sequence[Kind] | None = None, leave_out: Sequence[str | Path] = ()
) -> list[SourceFile]:
    """The files that the arguments name: folders searched, lists read, each file once, in the order given.

    Inside a folder the order is that of the names. Hidden files, whatever lies in the folders of `leave_out` (the run's
    own output), and motions that a scene in it uses are no sources. With `kinds`, a folder gives those kinds only; a
    file of another kind that is named by itself is an error. Raises UsageError for what is not there, cannot be read,
    or names nothing.
    """
    found: dict[str, SourceFile] = {}
    skip = [Path(folder).resolve() for folder in leave_out if not is_address(str(folder))]
    skip_addresses = [place_of(str(folder)) for folder in leave_out if is_address(str(folder))]
    for argument in given:
        if is_address(argument):
            sources = list(_of_address(argument, kinds, skip_addresses))
        else:
            sources = list(_of_argument(argument, kinds, skip))
        if not sources:
            raise UsageError(f"{argument}: want {_wanted(kinds)} in the folder, got none")
        for source in sources:
            found.setdefault(source.path, source)
    return _distinct(list(found.values()))


def _of_argument(argument: str, kinds: Sequence[Kind] | None, skip: Sequence[Path]) -> Iterator[SourceFile]:
    path = Path(argument)
    if path.is_dir():
        yield from _of_folder(path, path, kinds, skip)
    elif path.suffix.lower() == LIST and path.is_file():
        yield from _of_list(path, kinds, skip)
    elif path.is_file():
        yield _of_file(path, path.parent, kinds)
    else:
        raise UsageError(
            f"{argument}: want {TAKEN}, got {'a special file' if path.exists() else 'no such file or folder'}"
        )


def _of_address(address: str, kinds: Sequence[Kind] | None, skip: Sequence[str]) -> Iterator[SourceFile]:
    """The sources at an address: a file, a list, or all below a folder."""
    there, listed = look(address)
    ending = posixpath.splitext(address)[1].lower()
    if there is not None and ending == LIST:
        yield from _of_list_at(address, text_of(address, there.size, MAX_LIST_BYTES), kinds, skip)
    elif there is not None:
        yield _at(address, posixpath.dirname(address), _kind_of(address, kinds), there.size)
    elif listed:
        yield from _of_folder_at(address.rstrip("/"), address.rstrip("/"), listed, kinds, skip)
    else:
        raise UsageError(f"{address}: want {TAKEN}, got no such file or folder")


def _of_folder_at(
    folder: str, root: str, listed: Mapping[str, Stat], kinds: Sequence[Kind] | None, skip: Sequence[str]
) -> Iterator[SourceFile]:
    def kind_of(name: str) -> str | None:
        kind = EXTENSIONS.get(posixpath.splitext(name)[1].lower())
        return kind if kinds is None or kind in kinds else None

    for one, kind in chosen(folder, listed, kind_of, _is_scene, skip):
        stat = listed.get(one[len(folder) + 1 :])
        yield _at(one, root, kind, stat.size if stat else None)  # type: ignore[arg-type]


def _of_list_at(address: str, data: bytes, kinds: Sequence[Kind] | None, skip: Sequence[str]) -> Iterator[SourceFile]:
    """The sources of a text list at an address, each relative to it."""
    root = posixpath.dirname(address)
    for number, entry in _entries(address, data):
        one = f"{root}/{posixpath.normpath(entry)}"
        there, listed = look(one)
        if posixpath.splitext(one)[1].lower() == LIST:
            raise UsageError(
                f"{address}, line {number}: want a video, motion file, scene or folder, got another list: {entry}"
            )
        if there is not None:
            yield _at(one, root, _kind_of(one, kinds), there.size)
        elif listed:
            yield from _of_folder_at(one, root, listed, kinds, skip)
        else:
            raise UsageError(f"{address}, line {number}: want {TAKEN}, got no such file or folder: {entry}")


def _at(address: str, root: str, kind: Kind, size: int | None) -> SourceFile:
    return SourceFile(name=address[len(root) + 1 :], path=address, kind=kind, bytes=size)


def _of_file(path: Path, root: Path, kinds: Sequence[Kind] | None) -> SourceFile:
    return _source(path, root, _kind_of(str(path), kinds))


def _kind_of(path: str, kinds: Sequence[Kind] | None) -> Kind:
    """The kind of a file that was named by itself, by its ending. Raises UsageError."""
    ending = posixpath.splitext(path)[1]
    kind = EXTENSIONS.get(ending.lower())
    if kind is None:
        raise UsageError(f"{path}: want {TAKEN}, got a file that ends in {ending or 'nothing'!r}")
    if kinds is not None and kind not in kinds:
        raise UsageError(
            f"{path}: want {_wanted(kinds)} for this preset, got a {kind} file; leave --preset out or name another"
        )
    return kind


def _of_list(path: Path, kinds: Sequence[Kind] | None, skip: Sequence[Path]) -> Iterator[SourceFile]:
    """The sources of a text list: one a line, relative to the list's folder; blank lines and # comments are skipped."""
    if path.stat().st_size > MAX_LIST_BYTES:
        raise UsageError(f"{path}: want a list of at most {MAX_LIST_BYTES} bytes, got {path.stat().st_size}")
    for number, entry in _entries(str(path), path.read_bytes()):
        one = path.parent / entry
        if one.is_dir():
            yield from _of_folder(one, path.parent, kinds, skip)
        elif one.suffix.lower() == LIST:
            raise UsageError(
                f"{path}, line {number}: want a video, motion file, scene or folder, got another list: {entry}"
            )
        elif one.is_file():
            yield _of_file(one, path.parent, kinds)
        else:
            raise UsageError(f"{path}, line {number}: want {TAKEN}, got no such file or folder: {entry}")


def _entries(where: str, data: bytes) -> list[tuple[int, str]]:
    """The lines of a list that name something, with their numbers. Raises UsageError."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{where}: want a UTF-8 text list of sources, got bytes that are not ({error.reason})"
        ) from error
    entries = [
        (i, line.strip()) for i, line in enumerate(lines, 1) if line.strip() and not line.strip().startswith("#")
    ]
    if not entries:
        raise UsageError(f"{where}: want a source a line, got an empty list")
    return entries


def _of_folder(folder: Path, root: Path, kinds: Sequence[Kind] | None, skip: Sequence[Path]) -> list[SourceFile]:
    found = list(_in_folder(folder, root, kinds, skip))
    named = [one for source in found if source.kind == "scene" for one in _motions_of(Path(source.path))]
    used = {os.path.abspath(source) for source in sources_among(named).values()}
    # Who wrote a scene said who dances with whom: its motions are no material for other duets too.
    return [source for source in found if source.kind != "motion" or source.path not in used]


def _in_folder(folder: Path, root: Path, kinds: Sequence[Kind] | None, skip: Sequence[Path]) -> Iterator[SourceFile]:
    paths = [path for path in _walk(folder, skip) if _taken(path, kinds)]
    # What cannot be read stays in, for its reject to say why.
    motions = sources_among([path for path in paths if EXTENSIONS[path.suffix.lower()] == "motion"])
    for path in paths:
        kind = EXTENSIONS[path.suffix.lower()]
        if (kind == "scene" and not _is_scene(path)) or (kind == "motion" and path not in motions):
            continue
        # Some layouts keep one motion in several files: the folder, or the first of them, stands for all.
        yield _source(motions[path] if kind == "motion" else path, root, kind)


def _taken(path: Path, kinds: Sequence[Kind] | None) -> bool:
    kind = EXTENSIONS.get(path.suffix.lower())
    return kind is not None and (kinds is None or kind in kinds)


def _walk(top: Path, skip: Sequence[Path]) -> Iterator[Path]:
    """Files under a folder, by name. A loop of links ends where it closes."""
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        path = waiting.pop()
        if not path.is_dir():
            # A link that leads nowhere stays in: its reject says so, where silence would lose it. One that leads to a
            # pipe or a device does not: reading it might never end.
            if path.is_file() or (path.is_symlink() and not path.exists()):
                yield path
            continue
        status = path.stat()
        if (status.st_dev, status.st_ino) in seen or path.resolve() in skip:
            continue
        seen.add((status.st_dev, status.st_ino))
        try:
            names = sorted(name for name in os.listdir(path) if not name.startswith("."))
        except OSError as error:
            raise UsageError(f"{path}: want a folder that can be read, got {error.strerror}") from error
        waiting += [path / name for name in reversed(names)]


def _is_scene(path: Path) -> bool:
    """Whether a YAML or JSON file among others is a scene, and not somebody's notes about the footage."""
    try:
        with path.open("rb") as file:
            text = file.read(1 << 20)
    except OSError:
        return True
    # Blanks, not all white space: a megabyte of empty lines would be gone through once from each of them.
    return re.search(rb"""(^[ \t]*|[{,]\s*)["']?performers["']?\s*:""", text, re.M) is not None


def _motions_of(scene: Path) -> list[Path]:
    """The motions that a scene file names; its own reject will say what is off with it."""
    return [scene.parent / name for name in motions_named(scene)]


def _source(path: Path, root: Path, kind: Kind) -> SourceFile:
    absolute = os.path.abspath(path)
    top = os.path.abspath(root)
    below = absolute != top and Path(absolute).is_relative_to(top)
    name = os.path.relpath(absolute, top) if below else os.path.basename(absolute)
    # A name of bytes that are no UTF-8 must still fit into JSON and parquet.
    readable = Path(name).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return SourceFile(name=readable, path=absolute, kind=kind)


def _distinct(sources: list[SourceFile]) -> list[SourceFile]:
    """Names that stand once each: those that two roots share take parent folders on until they differ."""
    while True:
        count = Counter(source.name for source in sources)
        if max(count.values(), default=1) == 1:
            return sources
        sources = [s if count[s.name] == 1 else replace(s, name=_longer(s)) for s in sources]


def _longer(source: SourceFile) -> str:
    parts = Path(source.path).parts[1:]
    return "/".join(parts[-(len(Path(source.name).parts) + 1) :])


def _wanted(kinds: Sequence[Kind] | None) -> str:
    return " or ".join(f"{kind} files" for kind in (kinds or ("video", "motion", "scene")))

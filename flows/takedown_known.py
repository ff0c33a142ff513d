"""SOURCE arguments -> what is to be taken down: sha256 and every name, from all that OUT, store and disk know."""

from __future__ import annotations

import difflib
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from datasets.folder import Folder
from datasets.members import ShardError
from datasets.npz import read_npz
from datasets.shards import read_sample
from datasets.store import Store
from datasets.takedowns import Takedown
from flows.committed import BESIDE
from flows.errors import UsageError
from flows.sources import EXTENSIONS
from flows.takedown_store import READERS, Made
from tasks import motion, probe

_HEX = re.compile("[0-9a-f]{8,64}")
SCENE = "scene.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One source to be taken down."""

    sha256: str
    names: tuple[str, ...]


@dataclass(slots=True)
class Known:
    """Names of sources, and the sha256 of their bytes where anything tells it."""

    shas: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by name; empty: not known
    names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by sha256

    def add(self, name: str, sha256: str | None) -> None:
        """A source has this name, and these bytes if anything says so."""
        self.shas[name] |= {sha256} if sha256 else set()
        if sha256:
            self.names[sha256].add(name)


def is_footage(name: str) -> bool:
    """Whether a source's samples carry its own sha256: what motion makes carries one of the whole scene."""
    return EXTENSIONS.get(PurePosixPath(name).suffix.lower()) == "video"


def is_scene(name: str) -> bool:
    """Whether a source is a scene file, which names motions of its own."""
    return EXTENSIONS.get(PurePosixPath(name).suffix.lower()) == "scene"


def names_in(source: str) -> set[str]:
    """A sample's source and, for `a + b`, each run of its words: a name may hold the sign between names.

    >>> sorted(names_in("a + b"))
    ['a', 'a + b', 'b']
    """
    words = source.split(BESIDE)
    return {BESIDE.join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}


def performers(out: Folder, rows: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Key -> names of the motions danced in it, of samples that were made by scene files; read from their shards."""
    found = {}
    for row in rows:
        if is_scene(row["source"]):
            try:
                with out.open(row["shard"]) as file:
                    members = read_sample(file, row["key"], row["offset"], row["size"], (SCENE,))
                scene = json.loads(read_npz(io.BytesIO(members[SCENE]))["json"].tobytes())
                folder = PurePosixPath(row["source"]).parent
                found[row["key"]] = {(folder / one["motion"]).as_posix() for one in scene["performers"]}
            except (OSError, ShardError, ValueError, KeyError, TypeError):
                continue  # damaged: the next build makes it anew, and refuses what was taken down
    return found


def known_of(
    rows: Iterable[Mapping[str, Any]],
    rejects: Iterable[Mapping[str, Any]],
    danced: Mapping[str, Iterable[str]],
    made: Iterable[Made],
    standing: Mapping[str, Takedown],
) -> Known:
    """All that tables, scenes, manifests and earlier takedowns tell of names and bytes."""
    known = Known()
    for row in rows:
        for name in {row["source"]} if is_footage(row["source"]) else names_in(row["source"]):
            known.add(name, row["source_sha256"] if is_footage(name) else None)
    for row in rejects:
        if not row["source"].startswith("takedown "):
            known.add(row["source"], None)
    for names in danced.values():
        for name in names:
            known.add(name, None)
    for one in made:
        if one.stage in READERS and one.source:
            known.add(one.source[1], one.source[0])
    for takedown in standing.values():
        known.names[takedown.sha256] |= set(takedown.names)
        for name in takedown.names:
            known.add(name, takedown.sha256)
    return known


def targets_of(given: Sequence[str], known: Known) -> list[Target]:
    """What the arguments name. Raises UsageError for one that names nothing, or more than one thing."""
    found: dict[str, set[str]] = {}
    for text in given:
        for sha256, names in _target(text, known).items():
            found.setdefault(sha256, set()).update(names | known.names.get(sha256, set()))
    return [Target(sha256=sha256, names=tuple(sorted(names))) for sha256, names in found.items()]


def _target(text: str, known: Known) -> dict[str, set[str]]:
    if text in known.shas:
        return _by_name(text, text, known)
    if _HEX.fullmatch(text):
        return _by_digest(text, known)
    if Path(text).is_file():
        return _by_file(Path(text), known)
    if Path(text).is_dir():
        raise UsageError(f"{text}: want a source, got a folder; name each of its files")
    same = sorted(name for name in known.shas if PurePosixPath(name).name == text)
    if len(same) == 1:
        return _by_name(text, same[0], known)
    if same:
        raise UsageError(
            f"{text}: want one source, got {len(same)} of that name: {', '.join(same[:5])}; give one whole"
        )
    near = difflib.get_close_matches(text, known.shas, n=1)
    raise UsageError(
        f"{text}: want a source of this dataset by name, its file, or its sha256 (8 digits or more), got none"
        + (f"; did you mean {near[0]}?" if near else "; is --store the one that it was built with?")
    )


def _by_name(text: str, name: str, known: Known) -> dict[str, set[str]]:
    if known.shas[name]:
        return {sha256: {name} for sha256 in known.shas[name]}
    if Path(text).is_file():
        return _by_file(Path(text), known)
    raise UsageError(
        f"{text}: want its sha256, so that later builds can refuse it, got only its name; "
        "give the file, or --store with what it was built with"
    )


def _by_digest(text: str, known: Known) -> dict[str, set[str]]:
    found = {sha256: set(names) for sha256, names in known.names.items() if sha256.startswith(text)}
    if len(found) == 1:
        return found
    if not found and len(text) == 64:
        unsure = sorted(n for n, shas in known.shas.items() if not (shas or is_footage(n) or BESIDE in n))
        if unsure:
            raise UsageError(
                f"{text}: want to know which clips are of it, got motion whose bytes nothing tells ({unsure[0]}, ...); "
                "give the file itself, or --store with what the dataset was built with"
            )
        return {text: set()}  # not here yet, and it is not to come
    got = ", ".join(sorted(found)[:3]) or "none; give all 64 digits to keep out what was never here"
    raise UsageError(f"{text}: want the beginning of one source's sha256, got {len(found)}: {got}")


def _by_file(path: Path, known: Known) -> dict[str, set[str]]:
    footage = is_footage(path.name)
    with TemporaryDirectory() as folder:
        item = (probe if footage else motion).source_item(path, path.name, Store(root=folder))
    sha256, whole = item.part.split()[0], path.resolve().as_posix()
    # Tables name motion without its bytes: there the end of the path tells.
    names = {name for name, shas in known.shas.items() if not shas and not footage and whole.endswith(f"/{name}")}
    return {sha256: names | known.names.get(sha256, set())}

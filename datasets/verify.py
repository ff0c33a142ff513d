"""python -m datasets.verify OUT [--json]: every shard, sidecar, index row and member of a dataset checked.

Exit code 0 and one line when all is right; 1 and a list that names shard and member when anything is off; 2 for usage.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from datasets import corrections, index, takedowns, versions
from datasets.counted import counted
from datasets.folder import Folder, LocalFolder, open_folder
from datasets.members import KEY, ShardError
from datasets.remote import AddressError
from datasets.shards import sidecar_path
from datasets.verify_shard import Found, Note, check_shard

# What else may lie in a dataset: the report with its media, and what older versions were.
ALLOWED_FOLDERS = ("report", "versions")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One thing that is off."""

    file: str  # under OUT
    member: str  # the sample, or the sample's member, in it; may be empty
    what: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.member, self.what) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a verification went through, and what it found."""

    shards: int
    samples: int
    frames: int
    bytes: int
    problems: tuple[Problem, ...]


def verify(out: str | Path) -> Checked:
    """Check a whole dataset, decoding every frame of every clip. Damage is a Problem, never an exception.

    OUT may be an address: each shard is fetched once, and gone when it is checked. Raises FileNotFoundError when OUT is
    no folder, OSError for an address that cannot be listed.
    """
    folder, problems = open_folder(out), dict[Problem, None]()
    sizes = folder.sizes()
    if not sizes and not (isinstance(folder, LocalFolder) and folder.root.is_dir()):
        raise FileNotFoundError(f"{out}: want a dataset folder, got none there; check the path")

    def note(file: str, member: str, what: str) -> None:
        problems[Problem(file=file, member=member, what=" ".join(what.split()))] = None

    info = _dataset(folder, note)
    listed = {one.path: one for one in info.shards} if info else {}
    on_disk = {name for name in sizes if fnmatchcase(name, "shards/*.tar") or fnmatchcase(name, "review/*.tar")}
    found: dict[str, Found] = {}
    for path in sorted({*listed, *on_disk}):
        for key, one in check_shard(folder, path, listed.get(path), note).items():
            if key in found:
                note(path, key, f"want each key once, got it in {found[key].shard} too")
            found[key] = one
    rows = _table(folder, index.INDEX, index.COLUMNS, info, note)
    rejects = _table(folder, index.REJECTS, index.REJECT_COLUMNS, info, note)
    if rows is not None:
        _rows(rows, found, note)
        _splits(rows, note)
    if info and rows is not None and rejects is not None:
        want = index.count(rows, rejects, [one.bytes for one in info.shards])
        if want != info.counts:
            note(index.DATASET, "", f"counts: want {want} as the tables have it, got {info.counts}")
    _files(sizes, set(listed), note)
    _history(folder, note)
    return Checked(
        shards=len({*listed, *on_disk}),
        samples=len(found),
        frames=sum(one.about["num_frames"] for one in found.values()),
        bytes=sum(sizes[path] for path in on_disk),
        problems=tuple(problems),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m datasets.verify", description=__doc__, allow_abbrev=False)
    parser.add_argument("out", metavar="OUT", help="the dataset's folder, or its s3:// address")
    parser.add_argument("--json", action="store_true", help="print one object instead of lines")
    arguments = parser.parse_args(argv)
    try:
        checked = verify(arguments.out)
    except (OSError, AddressError) as error:
        print(f"datasets.verify: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps({"out": arguments.out, "ok": not checked.problems, **asdict(checked)}))
    else:
        for problem in checked.problems:
            print(problem)
        verdict = counted(len(checked.problems), "problem") if checked.problems else "all right"
        print(
            f"{arguments.out}: {verdict} in {counted(checked.shards, 'shard')}, {counted(checked.samples, 'sample')}, "
            f"{counted(checked.frames, 'frame')}, {counted(checked.bytes, 'byte')}"
        )
    return 1 if checked.problems else 0


def _dataset(folder: Folder, note: Note) -> index.DatasetInfo | None:
    try:
        info = index.read_dataset(folder)
    except (ShardError, OSError) as error:
        note(index.DATASET, "", str(error).removeprefix(f"{index.DATASET}: "))
        return None
    if info is None:
        note(index.DATASET, "", "want what a build commits last, got no such file; build again")
    return info


def _table(
    folder: Folder, name: str, schema: Any, info: index.DatasetInfo | None, note: Note
) -> list[dict[str, Any]] | None:
    """The rows of a table; None, noted, when it cannot be read."""
    try:
        data = folder.read(name)
        if info and index.sha256(data) != info.files.get(name):
            note(name, "", "want the table that dataset.json was committed with, got other bytes")
        return index.read_table(data, schema, name)
    except (ShardError, OSError) as error:
        note(name, "", str(error).removeprefix(f"{name}: "))
        return None


def _rows(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Found], note: Note) -> None:
    """Every row against the sample that it points at, and every sample against its row."""
    seen: set[str] = set()
    for row in rows:
        key = str(row["key"])
        if key in seen or not KEY.fullmatch(key):
            note(index.INDEX, key, "want legal keys, each once, got this one")
        seen.add(key)
        if key not in found:
            note(index.INDEX, key, f"want a sample that can be read in {row['shard']}, got none")
            continue
        one = found[key]
        want = {"shard": one.shard, "offset": one.offset, "size": one.size, **one.about}
        want["split"] = Path(one.shard).name.rpartition("-")[0]
        want |= {f"{index.SCORE}{name}": score for name, score in one.scores.items()}
        for name, value in want.items():
            if not _equal(row.get(name), value):
                note(index.INDEX, key, f"{name}: want {value} as in the sample, got {row.get(name)}")
        if one.shard.startswith("review/") != (one.about["verdict"] == "review"):
            note(one.shard, f"{key}.json", f"want its verdict's folder, got verdict {one.about['verdict']}")
    for key in sorted(set(found) - seen):
        note(index.INDEX, key, f"want a row for this sample of {found[key].shard}, got none")


def _equal(got: Any, want: Any) -> bool:
    if isinstance(got, float) and isinstance(want, float):
        return got == want or (math.isnan(got) and math.isnan(want))
    return got == want


def _splits(rows: Sequence[Mapping[str, Any]], note: Note) -> None:
    for what in ("source", "source_sha256", "split_group"):
        splits: dict[Any, set[str]] = defaultdict(set)
        for row in rows:
            splits[row[what]].add(str(row["split"]))
        for name, some in splits.items():
            if len(some) > 1:
                note(index.INDEX, str(name), f"want each {what} in one split, got {', '.join(sorted(some))}")


def _files(names: Collection[str], shards: set[str], note: Note) -> None:
    known = {index.INDEX, index.REJECTS, index.DATASET, index.CARD, index.LOCK, *shards}
    # A person's words lie beside what was made of them; the build neither writes nor removes them.
    known |= {corrections.FILE, corrections.lock_name(), takedowns.FILE}
    known |= {sidecar_path(Path(shard)).as_posix() for shard in shards}
    if index.CARD not in names:
        note(index.CARD, "", "want the dataset card, got no such file")
    for name in sorted(names):
        if name not in known and name.split("/")[0] not in ALLOWED_FOLDERS:
            note(name, "", "want only files that dataset.json knows, got this one; a killed run's end, or not ours")


def _history(folder: Folder, note: Note) -> None:
    """Kept versions that cannot be read, and takedowns of which something may be left."""
    for generation in versions.kept(folder):
        try:
            versions.read_version(f"{folder.address}@{generation}")
        except versions.VersionError as error:
            what = str(error).partition(f"@{generation}: ")[2].partition("; python -m")[0]
            said = f"{what}; the dataset itself is whole without it: remove the folder"
            note(versions.version_name(generation), "", said)
    try:
        left = [one.id for one in takedowns.standing(folder).values() if not one.done]
        if left:
            advice = f"python -m flows.takedown {folder.address} goes on with it"
            note(takedowns.FILE, "", f"want takedowns that were finished, got {', '.join(left)} begun; {advice}")
    except takedowns.TakedownError as error:
        note(takedowns.FILE, "", str(error).removeprefix(f"{folder.address}/{takedowns.FILE}: "))


if __name__ == "__main__":
    sys.exit(main())

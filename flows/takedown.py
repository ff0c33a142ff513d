"""Sources -> gone: out of a dataset's shards, tables, versions, report and words, out of the store; and kept out."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from datasets import index, remote_source, takedowns, versions
from datasets.corrections import file_in, read_corrections, remove_corrections
from datasets.counted import counted
from datasets.folder import Folder, open_folder
from datasets.lock import building
from datasets.members import ShardError
from datasets.remote import AddressError, check_address, is_address
from datasets.remote_scratch import scratch
from datasets.takedowns import Takedown, new_takedown
from flows.command import OK, Parser, carry_out
from flows.errors import UsageError
from flows.run import STORE
from flows.takedown_dataset import Doomed, Removed, cut_dataset, cut_versions, sweep_out
from flows.takedown_known import Known, Target, known_of, performers, targets_of
from flows.takedown_store import READERS, Made, made_from, notes_on, remove, scan, sweep
from tasks.report_cut import cut_report

EXAMPLES = """examples:
  python -m flows.takedown out/mine clips/meeting.mp4                  by its name in the dataset
  python -m flows.takedown out/mine /data/meeting.mp4 --why "asked by the person filmed"
  python -m flows.takedown out/mine 1a2b3c4d --dry-run                 by sha256 (8 digits or more): what would change
  python -m flows.takedown out/duets dance_a.npz --store out/.store    a motion: every duet and scene with it goes
  python -m flows.takedown out/mine                                    go on with one that was stopped
  python -m flows.takedown out/mine --list
  python -m flows.takedown out/mine meeting.mp4 --undo                 the next build takes it in again

The source goes out of the shards that hold it (these alone are written anew), the tables, the kept versions, the
report, a person's words about its clips, and the store with all that was made from it. OUT/takedowns.jsonl keeps its
name and sha256, so that builds refuse the file, under any name, where they still find it. The file itself, exports,
trained models, Prefect's database and other datasets are left alone; no build should use the store meanwhile, and other
datasets of the same store need a takedown of their own.
Stopped at any moment, the same command goes on where it was.
exit code: 0; 1 when it could not be finished; 2 for a command that cannot be run.
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a takedown works on."""

    out: Folder
    store: Folder | None
    words: str
    standing: dict[str, Takedown]
    made: list[Made]


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    arguments = _parser().parse_intermixed_args(argv)
    return carry_out(lambda stdout: _command(arguments, stdout), "the takedown")


def _command(arguments: argparse.Namespace, stdout: TextIO) -> int:
    _check_addresses(arguments)
    out = open_folder(arguments.out)
    if not any(out.size(name) is not None for name in (index.DATASET, takedowns.FILE)):
        raise UsageError(f"{arguments.out}: want a dataset, got no {index.DATASET} there; check the path")
    try:
        if arguments.list:
            return _list(out, arguments.json, stdout)
        if arguments.store and not _there(arguments.store):
            raise UsageError(
                f"--store {arguments.store}: want the store that the dataset was built with, got no such folder; "
                "check the path, or leave it out where the store is gone"
            )
        with building(arguments.out):
            if arguments.undo:
                return _undo(out, arguments.sources, arguments.json, stdout)
            found, removed = take_down(
                arguments.out,
                arguments.sources,
                store=arguments.store or STORE,
                words=arguments.corrections,
                why=arguments.why,
                when=_now(),
                write=not arguments.dry_run,
            )
    except (takedowns.TakedownError, ShardError) as error:
        raise UsageError(str(error)) from error
    if arguments.json:
        plain = {"dry_run": arguments.dry_run, "takedowns": [asdict(one) for one in found], **asdict(removed)}
        print(json.dumps(plain, ensure_ascii=False), file=stdout)
    else:
        print(told_of(arguments.out, found, removed, arguments.dry_run), file=stdout)
    return OK


def _check_addresses(arguments: argparse.Namespace) -> None:
    for what, place in (("OUT", arguments.out), ("--store", arguments.store), ("--corrections", arguments.corrections)):
        if place and is_address(place):
            try:
                check_address(place, what)
            except AddressError as error:
                raise UsageError(str(error)) from error


def take_down(
    address: str,
    given: Sequence[str],
    *,
    store: str,
    when: str,
    words: str | None = None,
    why: str = "",
    write: bool = True,
) -> tuple[list[Takedown], Removed]:
    """Take sources out of a dataset and its store. Hold `building(address)` around it.

    Without sources, what was begun and not finished. First it is written down what is to go, then it goes, from what
    tells least to what tells most: whatever is killed on the way is found again by the same command. Raises UsageError,
    TakedownError, ShardError, OSError.
    """
    out = open_folder(address)
    if write:
        versions.roll_forward(out)
    store_folder = open_folder(store) if _there(store) else None
    scene = Scene(
        out=out,
        store=store_folder,
        words=words or file_in(address),
        standing=takedowns.standing(out),
        made=scan(store_folder) if store_folder else [],
    )
    rows, rejects = _all_rows(out)
    danced = performers(out, _current(out))
    begun = _begun(given, scene, known_of(rows, rejects, danced, scene.made, scene.standing), why, when)
    doomed = Doomed(takedowns=tuple(begun), keys=frozenset())
    keys = {row["key"] for row in rows if doomed.sample(row)}
    keys |= {key for key, names in danced.items() if not doomed.names.isdisjoint(names)}
    gone = made_from(scene.made, doomed.shas, doomed.names, keys, scene.store) if scene.store else []
    keys |= {one.item for one in gone if one.stage not in READERS} - doomed.names
    doomed = replace(doomed, keys=frozenset(keys))
    if write:
        takedowns.begin(out, [one for one in begun if one.sha256 not in scene.standing])
    removed = _remove(scene, doomed, gone, write=write)
    if write:
        takedowns.finish(out, [one for one in begun if not one.done])
        begun = [replace(one, done=True) for one in begun]
    return begun, removed


def _begun(given: Sequence[str], scene: Scene, known: Known, why: str, when: str) -> list[Takedown]:
    """The takedowns of the sources named: those that stand already, and new ones; of none named, those left open."""
    open_ones = [one for one in scene.standing.values() if not one.done]
    if not given:
        if not open_ones:
            raise UsageError(
                "SOURCE: want what is to be taken down, got none, and nothing was left unfinished; see --help"
            )
        targets = [Target(sha256=one.sha256, names=one.names) for one in open_ones]
    else:
        targets = targets_of(given, known)
    found = []
    for target in targets:
        before = scene.standing.get(target.sha256)
        names = sorted({*target.names, *(before.names if before else ())})
        found.append(replace(before, names=tuple(names)) if before else new_takedown(target.sha256, names, when, why))
    return found


def _remove(scene: Scene, doomed: Doomed, gone: Sequence[Made], *, write: bool) -> Removed:
    """Words and report first, then versions and the dataset itself, which know the clips by name; last the store, which
    knows them by what they were made from."""
    removed, refusals = Removed(), doomed.refusals()
    if write:
        removed.words = remove_corrections(scene.words, lambda word: doomed.key(word.key))
    else:
        removed.words = sum(doomed.key(word.key) for word in read_corrections(scene.words))
    removed.report = cut_report(scene.out, doomed.sample, doomed.reject, refusals, write=write)
    cut_versions(scene.out, doomed, removed, write=write)
    cut_dataset(scene.out, doomed, removed, write=write)
    if write:
        sweep_out(scene.out)
    if scene.store is None:
        removed.store = False
        return removed
    removed.artifacts = len(gone)
    removed.artifact_bytes = remove(scene.store, gone) if write else sum(sum(one.files.values()) for one in gone)
    for name in notes_on(scene.store, doomed.shas, doomed.names):
        removed.notes += 1
        if write:
            scene.store.remove(name)
    if write:
        sweep(scene.store)
        # This machine's copies of sources at addresses: which is of whom, only its address would tell.
        shutil.rmtree(scratch() / remote_source.KIND, ignore_errors=True)
    return removed


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _there(store: str) -> bool:
    return is_address(store) or Path(store).is_dir()


def _current(out: Folder) -> list[dict[str, Any]]:
    try:
        return index.read_table(out.read(index.INDEX), index.COLUMNS, index.INDEX)
    except FileNotFoundError:
        return []


def _all_rows(out: Folder) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the dataset and of all its versions: what any of them names can be taken down."""
    rows, rejects = [], []
    for under in ("", *(f"{versions.version_name(generation)}/" for generation in versions.kept(out))):
        # A damaged table names nothing; the dataset's own is met again, and said, when it is to be written.
        with suppress(FileNotFoundError, ShardError):
            rows += index.read_table(out.read(under + index.INDEX), index.COLUMNS, under + index.INDEX)
            rejects += index.read_table(out.read(under + index.REJECTS), index.REJECT_COLUMNS, under + index.REJECTS)
    return rows, rejects


def _list(out: Folder, as_json: bool, stdout: TextIO) -> int:
    standing = list(takedowns.standing(out).values())
    if as_json:
        print(json.dumps([asdict(one) for one in standing], ensure_ascii=False), file=stdout)
    for one in () if as_json else standing:
        state = "" if one.done else "  NOT FINISHED: run it without SOURCE"
        print(f"{one.id}  {one.when}  {one.sha256[:16]}  {', '.join(one.names)}  {one.why}{state}", file=stdout)
    return OK


def _undo(out: Folder, given: Sequence[str], as_json: bool, stdout: TextIO) -> int:
    standing = takedowns.standing(out)
    found: dict[str, Takedown] = {}
    for text in given:
        some = {
            sha256: one
            for sha256, one in standing.items()
            if text in (one.id, *one.names) or (len(text) >= 8 and sha256.startswith(text))
        }
        if not some:
            raise UsageError(f"{text}: want a takedown that stands, by name, sha256 or id, got none; see --list")
        found |= some
    if not found:
        raise UsageError("SOURCE: want what is to be taken in again, got none; see --list")
    takedowns.undo(out, list(found.values()), _now())
    if as_json:
        print(json.dumps({"undone": [asdict(one) for one in found.values()]}, ensure_ascii=False), file=stdout)
    else:
        for one in found.values():
            print(
                f"{', '.join(one.names) or one.sha256}: the next build takes it in again, where it finds it",
                file=stdout,
            )
    return OK


def told_of(out: str, found: Sequence[Takedown], removed: Removed, dry: bool) -> str:
    """For people."""
    named = [f"{', '.join(one.names) or 'never seen here'}  {one.sha256[:16]}" for one in found]
    # A takedown that is not begun has no id yet.
    lines = named if dry else [f"{one.id}  {name}" for one, name in zip(found, named, strict=True)]
    would = "would go" if dry else "gone"
    lines.append(f"{out}: {counted(len(removed.clips), 'clip')} {would}; generation {removed.generation}")
    lines += [f"- {key}" for key in removed.clips]
    lines.append(
        f"shards   {removed.shards_rewritten} rewritten, {removed.shards_removed} removed; "
        f"{counted(removed.bytes, 'byte')} less"
    )
    lines.append(f"versions {', '.join(map(str, removed.versions)) or 'none'} lost rows")
    lines.append(
        f"beside   {counted(removed.rejects, 'reject')}, {counted(removed.words, 'word')} of a person, "
        f"{removed.report} in the report"
    )
    lines.append(
        f"store    {counted(removed.artifacts, 'artifact')}, {counted(removed.artifact_bytes, 'byte')}; "
        f"{counted(removed.notes, 'note')}"
        if removed.store
        else "store    not found: what was made from it stays there; name the store with --store DIR"
    )
    if removed.remade:
        lines.append(f"damaged  {', '.join(removed.remade)}: lay in a damaged shard; the next build makes them anew")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flows.takedown",
        description="Remove sources everywhere, keep them out, and say what changed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("out", metavar="OUT", help="the dataset's folder")
    add("sources", metavar="SOURCE", nargs="*", help="name in the dataset, file, or sha256 (8 digits or more)")
    add("--store", metavar="DIR", help=f"the artifacts it was built with (default: {STORE})")
    add("--why", default="", metavar="TEXT", help="for takedowns.jsonl")
    add("--corrections", metavar="FILE", help="a person's words, when they are not in OUT/corrections.jsonl")
    add("--dry-run", action="store_true", help="say what would go, and remove nothing")
    add("--list", action="store_true", help="what was taken down")
    add("--undo", action="store_true", help="take a takedown back: later builds take the source in again")
    add("--json", action="store_true", help="print one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())

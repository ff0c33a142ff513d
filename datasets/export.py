"""python -m datasets.export OUT --to FORM [--out DIR]: the clips of a dataset as COCO, MOTChallenge or StableAnimator.

Exit code 0 when all is written; 1 when the dataset is damaged; 2 for a command that cannot be run.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from datasets import index
from datasets.counted import counted
from datasets.export_coco import CocoWriter
from datasets.export_mot import MotWriter
from datasets.export_stableanimator import StableAnimatorWriter
from datasets.folder import Folder, LocalFolder, open_folder
from datasets.members import Bundle, ShardError, decode_sample
from datasets.remote import AddressError
from datasets.shards import read_sample

EXAMPLES = """examples:
  python -m datasets.export out/mine --to coco                     out/mine-coco: KEY.mp4, KEY.coco.json, ...
  python -m datasets.export out/mine --to mot --split test         out/mine-mot: KEY/gt/gt.txt, KEY/seqinfo.ini, ...
  python -m datasets.export out/mine --to stableanimator --out sa  sa: rec/00001/01/{images,poses,faces,masks}, ...
  python -m datasets.export out/mine --to coco --frames --key KEY  one clip, with its frames as PNG

docs/perception.md says what each form holds, and how it is brought back.
"""
EVERY_S = 2.0


class Writer(Protocol):
    """One form of export."""

    def __init__(self, folder: Path, *, frames: bool) -> None: ...

    def add(self, bundle: Bundle) -> None:
        """Write one clip."""

    def close(self) -> None:
        """Write what stands over all clips."""


FORMS: dict[str, type[Writer]] = {"coco": CocoWriter, "mot": MotWriter, "stableanimator": StableAnimatorWriter}


class UsageError(ValueError):
    """A command that cannot be run: what, wanted, got and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    out: str
    form: str
    clips: int
    people: int
    frames: int


def export(
    dataset: str | Path,
    form: str,
    out: str | Path | None = None,
    *,
    split: str | None = None,
    verdict: str | None = "accepted",
    keys: Sequence[str] = (),
    frames: bool = False,
) -> Exported:
    """Write the clips of a dataset, in the order of their keys, into a new folder (default: OUT-FORM).

    The folder is there whole or not at all. `verdict` None takes accepted and review; `keys` take these clips, whatever
    their split and verdict. Raises UsageError, ShardError.
    """
    folder = open_folder(dataset)
    if out is not None:
        to = Path(out)
    elif isinstance(folder, LocalFolder):
        to = folder.root.with_name(f"{folder.root.absolute().name}-{form}")
    else:
        raise UsageError(f"{dataset}: want --out DIR, a folder of this machine, with a dataset at an address, got none")
    rows = _rows(folder, split, verdict, keys)
    _check_target(to, folder)
    to.parent.mkdir(parents=True, exist_ok=True)
    aside = to.with_name(f".{to.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    people = shown = 0
    try:
        aside.mkdir()
        writer = FORMS[form](aside, frames=frames)
        for bundle in _progress(_bundles(folder, rows), len(rows)):
            writer.add(bundle)
            people, shown = people + bundle.people.num_people, shown + bundle.clip.frames
        writer.close()
        if to.is_dir():
            to.rmdir()
        # In one go: thousands of small files, synced one by one, take longer than to write.
        os.sync()
        os.rename(aside, to)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Exported(out=str(to), form=form, clips=len(rows), people=people, frames=shown)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.export",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("dataset", metavar="OUT", help="the dataset's folder")
    parser.add_argument("--to", choices=FORMS, required=True, help="the form")
    parser.add_argument("--out", metavar="DIR", help="a folder that is not there yet (default: OUT-FORM)")
    parser.add_argument("--split", choices=index.SPLITS, help="only this split")
    parser.add_argument(
        "--verdict", choices=("accepted", "review", "all"), default="accepted", help="default: accepted"
    )
    parser.add_argument("--key", action="append", default=[], metavar="KEY", help="only this clip; may be given again")
    parser.add_argument("--frames", action="store_true", help="the frames too, as PNG (stableanimator: always)")
    parser.add_argument("--json", action="store_true", help="print one object instead of a line")
    arguments = parser.parse_args(argv)
    try:
        done = export(
            arguments.dataset,
            arguments.to,
            arguments.out,
            split=arguments.split,
            verdict=None if arguments.verdict == "all" else arguments.verdict,
            keys=arguments.key,
            frames=arguments.frames,
        )
    except (UsageError, AddressError) as error:
        print(f"datasets.export: {error}", file=sys.stderr)
        return 2
    except (ShardError, OSError) as error:
        print(f"datasets.export: {error}; see python -m datasets.verify {arguments.dataset}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(asdict(done)))
    else:
        people, frames = counted(done.people, "person"), counted(done.frames, "frame")
        print(f"{done.out}: {counted(done.clips, 'clip')}, {people}, {frames} as {done.form}")
    return 0


def _rows(folder: Folder, split: str | None, verdict: str | None, keys: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of the index that are asked for."""
    path = f"{folder.address}/{index.INDEX}"
    try:
        data = folder.read(index.INDEX)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{folder.address}: want a dataset folder, got none with {index.INDEX}; check the path"
        ) from None
    rows = sorted(index.read_table(data, index.COLUMNS, index.INDEX), key=lambda row: str(row["key"]))
    if keys:
        missing = sorted(set(keys) - {row["key"] for row in rows})
        if missing:
            raise UsageError(f"--key {missing[0]}: want the key of a clip in {path}, got none of that name")
        return [row for row in rows if row["key"] in keys]
    found = [row for row in rows if split in (None, row["split"]) and verdict in (None, row["verdict"])]
    if not found:
        raise UsageError(
            f"{folder.address}: want clips of split {split or 'any'} and verdict {verdict or 'any'}, "
            f"got none of {len(rows)}"
        )
    return found


def _check_target(to: Path, dataset: Folder) -> None:
    """Refuse a folder that holds something, and one inside the dataset."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"--out {to}: want a folder that is not there yet, got one with files; name another")
    if isinstance(dataset, LocalFolder) and to.resolve().is_relative_to(dataset.root.resolve()):
        raise UsageError(f"--out {to}: want a folder outside the dataset {dataset.root}, got one in it; name another")


def _bundles(folder: Folder, rows: Sequence[dict[str, Any]]) -> Iterator[Bundle]:
    for row in rows:
        try:
            data = folder.part(row["shard"], row["offset"], row["size"])
            yield decode_sample(read_sample(io.BytesIO(data), row["key"], 0, row["size"]))
        except (ShardError, OSError) as error:
            raise ShardError(f"{row['shard']}: {row['key']}: {error}") from error


def _progress(bundles: Iterator[Bundle], total: int) -> Iterator[Bundle]:
    """The bundles, with a line to stderr every few seconds."""
    shown = time.monotonic()
    for number, bundle in enumerate(bundles, 1):
        yield bundle
        if time.monotonic() - shown >= EVERY_S or number == total:
            shown = time.monotonic()
            print(f"[{number:>5} of {total}] {bundle.clip.key}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

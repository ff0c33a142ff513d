"""Two datasets, or two versions of one -> what was added, removed and changed, clip by clip."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from datasets.counted import counted
from datasets.folder import open_folder
from datasets.index import SCORE, SPLITS
from datasets.remote import AddressError, check_address, is_address
from datasets.versions import Version, VersionError, kept, notes, read_version, split_address

SAME, DIFFERENT, TROUBLE = 0, 1, 2
TOLERANCE = 0.01
# What a clip is, beside its scores; `split_group` only names what ties clips, and follows from which others there are.
FIELDS = (
    "verdict",
    "reasons",
    "split",
    "num_people",
    "kinds",
    "identities",
    "num_frames",
    "width",
    "height",
    "licence",
)
SHOWN = 20
EXAMPLES = """examples:
  python -m datasets.diff out/mine                    what the last build changed: the last two versions
  python -m datasets.diff out/mine@3 out/mine@7       two kept versions; OUT alone is what is committed now
  python -m datasets.diff out/light out/pairfs        two datasets of the same footage
  python -m datasets.diff out/mine --tolerance 0.05   smaller changes of a score say nothing
  python -m datasets.diff out/mine --all --json

A clip is the same in both when its key is: name and bytes of its source, and its first frame. Where a clip has another
key in B only because its source was renamed, it is said to be renamed.
exit code: 0 nothing differs; 1 something does; 2 one of the two is not there or cannot be read.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One clip that is in both."""

    key: str
    source: str
    fields: dict[str, list[Any]]  # name -> its value in A and in B
    scores: dict[str, list[float | None]]  # those that changed by more than the tolerance
    moved: list[str] | None  # its shard in A and in B, where that is another

    @property
    def weight(self) -> tuple[bool, bool, float]:
        """How much it matters: a verdict before another field, that before scores, the largest change first."""
        sizes = [abs(b - a) for a, b in self.scores.values() if a is not None and b is not None]
        return "verdict" in self.fields, bool(self.fields), max(sizes, default=math.inf if self.scores else 0.0)

    @property
    def says_more(self) -> bool:
        """Whether anything but the shard changed."""
        return bool(self.fields or self.scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What B has that A has not, and the other way round."""

    a: str
    b: str
    generations: list[int]
    configurations: list[str]
    counts: dict[str, list[int]]  # of dataset.json: in A and in B
    added: list[dict[str, Any]]  # rows of B
    removed: list[dict[str, Any]]  # rows of A
    renamed: list[list[str]]  # key in A, key in B: the same frames of the same bytes
    changed: list[Change]  # what matters most first
    moved: int  # clips that lie in another shard, whatever else changed
    shards: dict[str, int]  # added, removed, kept
    by_source: dict[str, dict[str, int]]  # source -> added, removed, changed, those with most first
    by_split: dict[str, dict[str, int]]
    verdicts: dict[str, int]  # "review -> accepted" -> clips
    reasons: dict[str, list[int]]  # why clips were turned away: how many in A and in B, where that differs
    notes: list[str]

    @property
    def same(self) -> bool:
        """Whether the two hold the same clips, judged the same, in the same shards."""
        return not (self.added or self.removed or self.renamed or self.changed or self.moved or self.reasons)


def compare(a: Version, b: Version, *, tolerance: float = TOLERANCE) -> Difference:
    """What changed from A to B. A score that moved by no more than `tolerance` has not changed."""
    old, new = ({row["key"]: row for row in one.rows} for one in (a, b))
    renamed = _renamed(old, new)
    names = {**{key: key for key in old.keys() & new.keys()}, **renamed}
    both = [(old[before], new[after]) for before, after in sorted(names.items())]
    changes = [_change(before, after, tolerance) for before, after in both]
    changed = sorted((c for c in changes if c.says_more), key=lambda c: c.key)
    changed.sort(key=lambda c: c.weight, reverse=True)
    added = [new[key] for key in sorted(new.keys() - set(names.values()))]
    removed = [old[key] for key in sorted(old.keys() - names.keys())]
    kinds = {"added": added, "removed": removed, "changed": [new[names.get(c.key, c.key)] for c in changed]}
    ours, theirs = ({shard.path: shard.sha256 for shard in one.info.shards} for one in (a, b))
    keep = sum(theirs.get(path) == digest for path, digest in ours.items())
    return Difference(
        a=a.address,
        b=b.address,
        generations=[a.info.generation, b.info.generation],
        configurations=[a.info.configuration, b.info.configuration],
        counts={name: [a.info.counts.get(name, 0), b.info.counts.get(name, 0)] for name in b.info.counts},
        added=added,
        removed=removed,
        renamed=[list(pair) for pair in sorted(renamed.items())],
        changed=changed,
        moved=sum(c.moved is not None for c in changes),
        shards={"added": len(theirs) - keep, "removed": len(ours) - keep, "kept": keep},
        by_source=_grouped(kinds, "source"),
        by_split={name: counts for name in SPLITS if (counts := _grouped(kinds, "split").get(name))},
        verdicts=dict(Counter(" -> ".join(c.fields["verdict"]) for c in changed if "verdict" in c.fields)),
        reasons=_reasons(a.rejects, b.rejects),
        notes=[],
    )


def last_two(out: str) -> tuple[str, str]:
    """The addresses of the last two versions of a dataset. Raises VersionError where only one is kept."""
    read_version(out)  # a path that is no dataset is said to be so
    there = kept(open_folder(out))
    if len(there) < 2:
        raise VersionError(
            f"{out}: want two versions to compare, got {len(there) or 'none'} kept; name another dataset as B"
        )
    return f"{out}@{there[-2]}", f"{out}@{there[-1]}"


def _renamed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Key in A -> key in B of clips whose source only got another name: the same frames of the same bytes.

    Clips of one scene by several cameras show the same by that measure: those are told apart by nothing, and stay.
    """
    gone, come = (_by_content(some, set(others)) for some, others in ((old, new), (new, old)))
    return {keys[0]: come[what][0] for what, keys in gone.items() if len(keys) == len(come.get(what, ())) == 1}


def _by_content(rows: Mapping[str, Any], others: set[str]) -> dict[tuple[Any, ...], list[str]]:
    found: dict[tuple[Any, ...], list[str]] = {}
    for key, row in rows.items():
        if key not in others:
            start = key.rpartition("-")[2]
            found.setdefault((row["source_sha256"], start, row["num_frames"]), []).append(key)
    return found


def _change(a: Mapping[str, Any], b: Mapping[str, Any], tolerance: float) -> Change:
    scores = sorted({name for row in (a, b) for name in row if name.startswith(SCORE)})
    return Change(
        key=a["key"],
        source=b["source"],
        fields={name: [a.get(name), b.get(name)] for name in FIELDS if a.get(name) != b.get(name)},
        scores={
            name.removeprefix(SCORE): [a.get(name), b.get(name)]
            for name in scores
            if _differs(a.get(name), b.get(name), tolerance)
        },
        moved=[a["shard"], b["shard"]] if a["shard"] != b["shard"] else None,
    )


def _differs(a: float | None, b: float | None, tolerance: float) -> bool:
    """Not a number, and none at all, are as good as any other value here: equal to themselves only."""
    if a is None or b is None or math.isnan(a) or math.isnan(b):
        return not (a is b or (a is not None and b is not None and math.isnan(a) and math.isnan(b)))
    return abs(b - a) > tolerance


def _grouped(kinds: Mapping[str, Iterable[Mapping[str, Any]]], field: str) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for kind, rows in kinds.items():
        for row in rows:
            counts.setdefault(row[field], Counter())[kind] += 1
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1].total(), pair[0]))
    return {name: {kind: count[kind] for kind in kinds} for name, count in ordered}


def _reasons(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    one, other = (Counter(f"{row['stage']}: {row['reason']}" for row in rejects) for rejects in (a, b))
    differ = {reason: [one[reason], other[reason]] for reason in {*one, *other} if one[reason] != other[reason]}
    return dict(sorted(differ.items(), key=lambda pair: (-abs(pair[1][1] - pair[1][0]), pair[0])))


def told(found: Difference, *, most: int | None = SHOWN) -> str:
    """For people: counts first, then what matters most, at most `most` of each kind."""
    a, b = f"{found.a} (generation {found.generations[0]})", f"{found.b} (generation {found.generations[1]})"
    lines = [f"{a} -> {b}", *found.notes]
    if found.same:
        return "\n".join([*lines, "nothing differs"])
    if found.configurations[0] != found.configurations[1]:
        lines.append("the configuration differs")
    clips = {"added": len(found.added), "removed": len(found.removed), "renamed": len(found.renamed)}
    clips |= {"changed": len(found.changed)}
    lines.append("clips    " + ", ".join(f"{n} {kind}" for kind, n in clips.items()))
    shards = ", ".join(f"{n} {kind}" for kind, n in found.shards.items())
    lines.append(f"shards   {shards}; {counted(found.moved, 'clip')} moved")
    for name, (before, after) in found.counts.items():
        if before != after:
            lines.append(f"{name:<8} {before} -> {after} ({after - before:+d})")
    lines += [f"verdict  {change}: {n}" for change, n in sorted(found.verdicts.items())]
    lines += [f"split    {name}: {_counts(counts)}" for name, counts in found.by_split.items()]
    lines += _some([f"source   {name}: {_counts(counts)}" for name, counts in found.by_source.items()], most)
    lines += _some([f"+ {row['key']}  {row['verdict']}, {row['split']}" for row in found.added], most)
    lines += _some([f"- {row['key']}  {row['verdict']}, {row['split']}" for row in found.removed], most)
    lines += _some([f"= {before}  now {after}" for before, after in found.renamed], most)
    lines += _some([f"~ {change.key}  {_what(change)}" for change in found.changed], most)
    return "\n".join(lines + _some([f"rejects  {n} -> {m}  {why}" for why, (n, m) in found.reasons.items()], most))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)


def _some(lines: list[str], most: int | None) -> list[str]:
    if most is None or len(lines) <= most:
        return lines
    return [*lines[:most], f"  and {len(lines) - most} more (--all)"]


def _what(change: Change) -> str:
    fields = [f"{name}: {_text(a)} -> {_text(b)}" for name, (a, b) in change.fields.items()]
    scores = sorted(change.scores.items(), key=lambda pair: -_size(pair[1]))
    return "; ".join([*fields, *(f"{name} {_text(a)} -> {_text(b)}" for name, (a, b) in scores)])


def _size(pair: Sequence[float | None]) -> float:
    a, b = pair
    return math.inf if a is None or b is None else abs(b - a)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _Parser(
        prog="python -m datasets.diff",
        description="What was added, removed and changed between two datasets, or two versions of one.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("a", metavar="A", help="a dataset's folder OUT, or OUT@N for its version N")
    parser.add_argument("b", metavar="B", nargs="?", help="what to compare with; left out: the last two versions of A")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, metavar="X", help=f"of scores ({TOLERANCE})")
    parser.add_argument("--all", action="store_true", help=f"every clip, not the first {SHOWN} of each kind")
    parser.add_argument("--json", action="store_true", help="print one object with every clip")
    arguments = parser.parse_args(argv)
    if not arguments.tolerance >= 0:
        parser.error(f"--tolerance: want 0 or more, got {arguments.tolerance}")
    try:
        for place in (arguments.a, arguments.b):
            if place and is_address(place):
                check_address(split_address(place)[0], "A or B")
        addresses = (arguments.a, arguments.b) if arguments.b else last_two(arguments.a)
        a, b = map(read_version, addresses)
        found = compare(a, b, tolerance=arguments.tolerance)
        found.notes.extend(_taken_down(a, b))
    except (VersionError, AddressError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return TROUBLE
    print(_as_json(found) if arguments.json else told(found, most=None if arguments.all else SHOWN))
    return SAME if found.same else DIFFERENT


def _taken_down(a: Version, b: Version) -> list[str]:
    """What kept versions lost to takedowns after they were committed: they are not what they were."""
    lines = []
    for one in (a, b):
        out, _ = split_address(one.address)
        for note in notes(open_folder(out), one.info.generation):
            what = f"{counted(note['clips'], 'clip')} taken out of it later (takedown {note['takedown']})"
            lines.append(f"{one.address}: {what}")
    return lines


def _as_json(found: Difference) -> str:
    """One object; what is not a number is null, as JSON has no word for it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain({"same": found.same, **asdict(found)}), ensure_ascii=False)


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are one line and exit code 2, like all other usage errors here."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        self.exit(TROUBLE, f"error: {message}; {self.prog} --help has examples\n")


if __name__ == "__main__":
    sys.exit(main())

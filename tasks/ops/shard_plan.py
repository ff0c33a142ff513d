"""Samples, committed shards -> shards: which sample goes where, as a pure function, so that every run of it agrees.

A shard never changes under its name: one whose samples changed is replaced by one with a new number, and the old is
removed after the new dataset is committed, so that there is a whole dataset at any moment.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from datasets.shards import shard_digest

Split = Literal["train", "val", "test"]
FOLDERS = {"accepted": "shards", "review": "review"}
SHARD_PATH = re.compile(r"(shards|review)/(train|val|test)-([0-9]{6,9})\.tar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One sample as the plan sees it."""

    key: str
    digest: str  # of all that its bytes are made from
    bytes: int  # about, for balance
    verdict: str  # accepted or review
    split: Split

    @property
    def place(self) -> tuple[str, str]:
        """Folder and split: a shard holds samples of one such pair only."""
        return FOLDERS[self.verdict], self.split


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One shard to be: its path under the dataset and its samples' keys, in order."""

    path: str
    keys: tuple[str, ...]
    made_from: str


def split_groups(parts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Key -> group, for each sample's parts (digests of the footage or the motions that it shows).

    Samples that share a part, directly or through others, are one group: a duet of motions A and B ties every scene
    with A to every scene with B. The group is named after its smallest part.

    >>> split_groups({"x": ["b", "c"], "y": ["c", "a"], "z": ["d"]})
    {'x': 'a', 'y': 'a', 'z': 'd'}
    """
    parent: dict[str, str] = {}

    def root(part: str) -> str:
        while parent.setdefault(part, part) != part:
            parent[part] = parent[parent[part]]
            part = parent[part]
        return part

    for key, shas in parts.items():
        if not shas:
            raise ValueError(f"{key}: want at least one part to tell what it is made of, got none")
        for one, other in itertools.pairwise(shas):
            low, high = sorted((root(one), root(other)))
            parent[high] = low
        root(shas[0])
    return {key: root(shas[0]) for key, shas in parts.items()}


def split_of(group: str, seed: int, val_fraction: float, test_fraction: float) -> Split:
    """The split of a group: a hash of it and the seed, so that it never depends on what else is there.

    >>> split_of("a", 0, 1.0, 0.0)
    'val'
    """
    if val_fraction < 0 or test_fraction < 0 or val_fraction + test_fraction > 1:
        raise ValueError(f"split fractions: want 0 or more, 1 at most together, got {val_fraction} and {test_fraction}")
    share = int(hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()[:13], 16) / 16**13
    if share < val_fraction:
        return "val"
    return "test" if share < val_fraction + test_fraction else "train"


def plan(
    entries: Iterable[Entry],
    committed: Mapping[str, Sequence[tuple[str, str]]],
    *,
    target_bytes: int,
    reshard: bool = False,
) -> tuple[Planned, ...]:
    """The shards of a dataset of exactly these samples, sorted by path.

    `committed` maps each committed shard's path to its samples' (key, digest), in order; none for one that was
    damaged, whose samples are new again and whose number stays taken. A shard whose samples are all still wanted as
    they are stays. One that lost or changed a sample is replaced by one of those it keeps. New samples, sorted by key,
    fill further shards, balanced by bytes to at most about `target_bytes` each. With `reshard`, all samples are spread
    anew. Raises ValueError for two samples of one key, and for a target below 1.
    """
    if target_bytes < 1:
        raise ValueError(f"shard.target_bytes: want 1 or more, got {target_bytes}")
    ordered = sorted(entries, key=lambda entry: entry.key)
    wanted = {entry.key: entry for entry in ordered}
    if len(wanted) != len(ordered):
        raise ValueError("samples: want one for each key, got some twice")
    kept: dict[str, list[Entry]] = {}
    touched: list[tuple[tuple[str, str], list[Entry]]] = []
    placed: set[str] = set()
    for path in () if reshard else sorted(committed):
        (place, _), samples = parse_path(path), committed[path]
        if not samples:
            continue
        stay = [wanted[key] for key, _ in samples if key in wanted and wanted[key].place == place and key not in placed]
        placed.update(entry.key for entry in stay)
        if [(entry.key, entry.digest) for entry in stay] == list(samples):
            kept[path] = stay
        elif stay:
            touched.append((place, stay))
    fresh = [entry for entry in ordered if entry.key not in placed]
    for place in sorted({entry.place for entry in fresh}):
        here = [entry for entry in fresh if entry.place == place]
        touched.extend((place, piece) for piece in balance(here, target_bytes))
    return _name(kept, touched, committed)


def balance(entries: Sequence[Entry], target_bytes: int) -> list[list[Entry]]:
    """Entries in order, cut into the fewest runs of about equal bytes that keep to the target.

    >>> one = [Entry(key=k, digest="", bytes=4, verdict="accepted", split="train") for k in "abcde"]
    >>> [len(run) for run in balance(one, 8)]
    [2, 1, 2]
    """
    total = sum(entry.bytes for entry in entries)
    shards = max(1, -(-total // target_bytes))
    runs: dict[int, list[Entry]] = {}
    before = 0
    for entry in entries:
        # Where its middle falls on the line of all bytes says which shard it is in.
        at = min(shards - 1, (2 * before + entry.bytes) * shards // (2 * total)) if total else 0
        runs.setdefault(at, []).append(entry)
        before += entry.bytes
    return list(runs.values())


def parse_path(path: str) -> tuple[tuple[str, str], int]:
    """A shard's place (folder, split) and number. Raises ValueError for a path that no plan gives.

    >>> parse_path("shards/train-000007.tar")
    (('shards', 'train'), 7)
    """
    match = SHARD_PATH.fullmatch(path)
    if not match:
        raise ValueError(f"shard path: want shards/SPLIT-NUMBER.tar or review/SPLIT-NUMBER.tar, got {path!r}")
    return (match[1], match[2]), int(match[3])


def _name(
    kept: Mapping[str, Sequence[Entry]],
    touched: Sequence[tuple[tuple[str, str], Sequence[Entry]]],
    committed: Mapping[str, Sequence[tuple[str, str]]],
) -> tuple[Planned, ...]:
    """Give each new shard the next number of its place; numbers of committed shards are not used again."""
    number: dict[tuple[str, str], int] = {}
    same: dict[tuple[tuple[str, str], str], str] = {}
    for path, samples in committed.items():
        place, at = parse_path(path)
        number[place] = max(number.get(place, 0), at + 1)
        same[place, shard_digest(samples)] = path
    planned = {path: _planned(path, entries) for path, entries in kept.items()}
    for place, entries in touched:
        made_from = shard_digest((entry.key, entry.digest) for entry in entries)
        path = same.get((place, made_from), "")
        if not path:
            path = f"{place[0]}/{place[1]}-{number.get(place, 0):06d}.tar"
            number[place] = number.get(place, 0) + 1
        planned[path] = _planned(path, entries)
    return tuple(planned[path] for path in sorted(planned))


def _planned(path: str, entries: Sequence[Entry]) -> Planned:
    made_from = shard_digest((entry.key, entry.digest) for entry in entries)
    return Planned(path=path, keys=tuple(entry.key for entry in entries), made_from=made_from)

"""OUT -> what the last build left there that this one is not to change without need, and what it must not take in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datasets import index, recover, takedowns, versions
from datasets.folder import Folder, open_folder
from datasets.members import ShardError
from flows.errors import UsageError
from flows.run import Run
from flows.settings import digest

BESIDE = " + "  # between the sources of a sample that has several


@dataclass(frozen=True, kw_only=True)
class Committed:
    """What stands in OUT before a build; nothing of it where there is no dataset yet."""

    sources: frozenset[str] = frozenset()  # names that samples carry, each part of `a + b` too
    duets: tuple[str, ...] = ()  # `a + b` of duets composed under this very configuration
    taken_down: Mapping[str, takedowns.Takedown] = field(default_factory=dict)  # by sha256


def committed(run: Run) -> Committed:
    """What stands in the run's OUT.

    Raises UsageError where takedowns cannot be read: whoever cannot tell what was taken down must not build.
    """
    folder = open_folder(run.out)
    try:
        taken_down = takedowns.standing(folder)
    except takedowns.TakedownError as error:
        raise UsageError(str(error)) from error
    info, rows = _tables(folder)
    names = {row["source"] for row in rows}
    # Who changed a setting asked for other duets: then they are drawn as if for the first time.
    same = info is not None and info.configuration == digest(run.config)
    return Committed(
        sources=frozenset({*names, *(part for name in names for part in name.split(BESIDE))}),
        duets=tuple(sorted({row["source"] for row in rows if row["num_people"] == 2})) if same else (),
        taken_down=taken_down,
    )


def _tables(folder: Folder) -> tuple[index.DatasetInfo | None, list[dict[str, Any]]]:
    """dataset.json and the rows of the index, of the kept version where they are damaged; nothing where all is."""
    try:
        info = recover.committed(folder)
        return info, versions.tables(folder, info)[0] if info else []
    except ShardError:
        return None, []  # the build itself says so, or makes it anew

"""What is checked before the expensive work: folders, disk, weights."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import corrections, takedowns
from datasets.index import CARD, DATASET, INDEX, REJECTS
from datasets.versions import VERSIONS
from flows.errors import UsageError
from flows.sources import SourceFile
from tasks.backends import weights
from tasks.batch import Env

# What a finished or unfinished dataset of ours holds.
OURS = {"shards", "review", "report", VERSIONS, takedowns.FILE, INDEX, REJECTS, DATASET, CARD, corrections.FILE}
# Clips of a video in the store and in the shards, masks, poses and the report's previews, by the video's own size.
FOOTAGE_FACTOR = 3.0
# One rendered clip with depth, masks, preview, and its copy in a shard: about what the demo's takes.
RENDERED_BYTES = 40e6
SPARE_BYTES = 500e6


@dataclass(frozen=True, kw_only=True)
class WeightState:
    """One file of weights that a run wants."""

    name: str
    file: str
    path: str | None  # where it is; None: not here
    address: str | None


def check_fraction(fraction: float) -> None:
    """Raise UsageError unless it is a share."""
    if not math.isfinite(fraction) or not 0 <= fraction <= 1:
        raise UsageError(f"--max-failed-fraction {fraction}: want 0 to 1, got {fraction}")


def check_folders(out: str, store: str, ours: Collection[str] = frozenset(OURS), what: str = "a dataset") -> None:
    """Raise UsageError unless OUT and STORE can be written and OUT holds nothing but `what`, whose files are `ours`."""
    for option, folder in (("--out", out), ("--store", store)):
        if "://" in folder:
            raise UsageError(
                f"{option} {folder}: want a folder of this machine, got an address; "
                "mount it, or copy OUT there afterwards"
            )
        _check_writable(option, Path(folder))
    if Path(out).absolute() == Path(store).absolute():
        raise UsageError(f"--out {out}: want another folder than --store, got the same")
    if Path(out).is_dir():
        others = sorted(e.name for e in os.scandir(out) if not e.name.startswith(".") and e.name not in ours)
        if others and not (Path(out) / DATASET).is_file():
            raise UsageError(
                f"--out {out}: want a new or empty folder, or {what} to go on with, got a folder with other files "
                f"({', '.join(others[:3])}{', ...' if len(others) > 3 else ''}); name another --out"
            )


def _check_writable(option: str, folder: Path) -> None:
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(f"{option} {folder}: want a folder, got a file: {existing}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {folder}: want a folder that can be written, got no permission in {existing}")


def wanted_weights(
    stages: Iterable[tuple[Any, Any]], env: Env, carried: Collection[Collection[str]] = ((),)
) -> list[WeightState]:
    """The weights that stages with their configurations use, each once, and where they are. Downloads nothing.

    `carried` names, for each kind of source that there is, the artifacts that a person brought.
    """
    names = dict.fromkeys(name for stage, config in stages for has in carried for name in stage.used(config, has))
    out = []
    for name in names:
        entry, path = weights.weight(name), weights.found(name, env.weights)
        out.append(WeightState(name=name, file=entry.file, path=str(path) if path else None, address=entry.address))
    return out


def fetch_weights(wanted: Sequence[WeightState], env: Env) -> None:
    """Have every file here and verified. Raises UsageError that names each missing file, its address and its folder."""
    missing = []
    for one in wanted:
        try:
            weights.locate(one.name, env.weights, download=env.download)
        except weights.WeightsError as error:
            missing.append(str(error))
    if missing:
        raise UsageError("\n".join(missing))


def bytes_needed(sources: Sequence[SourceFile]) -> int:
    """About what a run will write, store and OUT together, as if nothing were there yet."""
    footage = sum(os.path.getsize(s.path) for s in sources if s.kind == "video" and os.path.isfile(s.path))
    rendered = sum(s.kind != "video" for s in sources)
    return int(FOOTAGE_FACTOR * footage + RENDERED_BYTES * rendered)


def bytes_free(folder: str) -> int:
    """Free bytes where a folder is or will be."""
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def check_disk(folder: str, needed: int) -> None:
    """Raise UsageError when the disk cannot hold what a run will write."""
    free = bytes_free(folder)
    if free < needed + SPARE_BYTES:
        raise UsageError(
            f"{folder}: want about {(needed + SPARE_BYTES) / 1e9:.1f} GB free, got {free / 1e9:.1f} GB; "
            "free some, name another --store and --out, or build fewer sources with --limit"
        )

"""What is checked before the expensive work: folders, disk, weights."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import corrections, remote, takedowns
from datasets.index import CARD, DATASET, INDEX, REJECTS
from datasets.remote_lease import silence_s
from datasets.remote_scratch import bound, scratch
from datasets.versions import VERSIONS
from flows.errors import UsageError
from flows.sources import SourceFile
from tasks.backends import weights
from tasks.backends.onnx_session import device_index, providers
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


def check_device(device: str, wanted: Sequence[WeightState] = ()) -> None:
    """Raise UsageError for what is no device, or, where weights are wanted, one that their networks cannot run on here:
    else every clip would fail, one by one."""
    try:
        device_index(device)
        if any(one.file.endswith(".onnx") for one in wanted):
            providers(device)
    except ValueError as error:
        raise UsageError(f"--{error}") from error


def check_folders(out: str, store: str, ours: Collection[str] = frozenset(OURS), what: str = "a dataset") -> None:
    """Raise UsageError unless OUT and STORE can be written and OUT holds nothing but `what`, whose files are `ours`."""
    for option, folder in (("--out", out), ("--store", store)):
        if remote.is_address(folder):
            _check_address(option, folder)
        else:
            _check_writable(option, Path(folder))
    if remote.place_of(out) == remote.place_of(store):
        raise UsageError(f"--out {out}: want another folder than --store, got the same")
    there = _names_in(out)
    others = sorted(name for name in there if not name.startswith(".") and name not in ours)
    if others and DATASET not in there:
        raise UsageError(
            f"--out {out}: want a new or empty folder, or {what} to go on with, got a folder with other files "
            f"({', '.join(others[:3])}{', ...' if len(others) > 3 else ''}); name another --out"
        )


def _names_in(folder: str) -> set[str]:
    """What lies directly in a folder; nothing where there is none."""
    if remote.is_address(folder):
        return remote.top_names(remote.place_of(folder))
    return {entry.name for entry in os.scandir(folder)} if Path(folder).is_dir() else set()


def _check_address(option: str, address: str) -> None:
    """Raise UsageError unless it is an address of a bucket that answers."""
    try:
        remote.check_address(address, option)
        bound()
        silence_s()
        remote.top_names(remote.place_of(address))
    except FileNotFoundError as error:
        raise UsageError(f"{option} {address}: want a bucket that is there, got {error.strerror}; make it") from error
    except OSError as error:
        raise UsageError(
            f"{option} {address}: want a bucket that can be read, got {error.strerror or error}; "
            "see docs/object-storage.md for credentials and endpoints"
        ) from error
    except ValueError as error:
        raise UsageError(str(error)) from error


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
    videos = [source for source in sources if source.kind == "video"]
    footage = sum(s.bytes or (os.path.getsize(s.path) if os.path.isfile(s.path) else 0) for s in videos)
    rendered = sum(s.kind != "video" for s in sources)
    return int(FOOTAGE_FACTOR * footage + RENDERED_BYTES * rendered)


def bytes_free(folder: str) -> int:
    """Free bytes where a folder is or will be; of an address, where this machine's copies are."""
    folder = str(scratch()) if remote.is_address(folder) else folder
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def check_disk(folder: str, needed: int) -> None:
    """Raise UsageError when the disk cannot hold what a run will write: to an address, its copies on this machine."""
    if remote.is_address(folder):
        folder, needed = str(scratch()), min(needed, bound())
    free = bytes_free(folder)
    if free < needed + SPARE_BYTES:
        raise UsageError(
            f"{folder}: want about {(needed + SPARE_BYTES) / 1e9:.1f} GB free, got {free / 1e9:.1f} GB; "
            "free some, name another --store and --out, or build fewer sources with --limit"
        )

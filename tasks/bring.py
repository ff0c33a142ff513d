"""Source, files beside it -> Boxes, Keypoints, MaskTracks: what a person brought, checked against the video.

A source without such files passes. Of one with them, each kind becomes an artifact of its own, so that a changed file
makes new only what hangs on it; the stages that it stands in for find it among the item's artifacts (tasks/brought.py).
The files are a stranger's: they are read behind the fence (tasks/bring_file.py), here only listed and summed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.disk import disk_error
from datasets.perception import PerceptionError
from datasets.perception_beside import Beside, all_files, beside
from datasets.perception_masks import files_of
from datasets.records import Artifact
from datasets.store import Store, content_key
from datasets.video import VideoError
from tasks.backends.sandbox import Limits
from tasks.batch import Batch, Cost, Env, Item, Reject
from tasks.bring_file import FIELDS, bring_into, roles_in
from tasks.brought import FILE, role_artifact
from tasks.fence import Crashed, Fence, FenceError, check_limits, limit
from tasks.probe import note_name, sha256_of, source_of
from tasks.source_files import beside_here, video_here

VERSION = 2
# What a bad file, or one that cannot be read, raises: the fault of its source.
BAD = (PerceptionError, VideoError, OSError, Crashed)
# Which stages' work each kind is in place of.
INSTEAD = {
    "boxes": ("detect",),
    "tracks": ("detect", "track"),
    "keypoints": ("pose",),
    "some_keypoints": ("pose",),
    "masks": ("segment",),
    "some_masks": ("segment",),
}
# Ten times what one slow core takes, text and a picture of 4K.
_S_PER_MB, _S_PER_FILE = 5.0, 0.5

_State = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Whether files beside a video are taken, and how far they are carried on."""

    use: bool = True  # false: all is computed, whatever stands beside the video
    fill_s: float = 0.25  # boxes drawn round masks or poses are carried over so long a time between annotated frames
    budget_s: float = limit(120.0)  # for reading what is there; 5 s more for each MB, 0.5 s a file; then it is given up
    memory_mb: int = limit(8192)  # for reading it

    def __post_init__(self) -> None:
        if self.fill_s < 0:
            raise ValueError(f"bring.fill_s: want 0 or more seconds, got {self.fill_s}")
        check_limits("bring", self.budget_s, self.memory_mb)


@dataclass(frozen=True, kw_only=True)
class Role:
    """One kind of what was brought: what it stands for, and the file it is from."""

    name: str  # boxes or tracks (boxes with ids); keypoints or masks, `some_` when not of every frame with boxes
    origin: Path

    @property
    def held(self) -> str:
        """Which record it is: boxes, keypoints or masks."""
        return "boxes" if self.name == "tracks" else self.name.removeprefix("some_")

    @property
    def artifact(self) -> str:
        """The name under which an item carries it."""
        return role_artifact(self.name)


def roles_of(video: str | Path, config: Config) -> tuple[Role, ...]:
    """What stands beside a video, by the files alone. Raises BAD for a file that is not what it should be.

    Read once for as long as the files do not change.
    """
    there = beside_here(str(video)) if config.use else None
    files = beside(there) if there else None
    if not files:
        return ()
    state = _state(all_files(files))
    return _roles(files, state, _limits(config, state))


def artifacts_brought(video: str | Path, config: Config) -> frozenset[str]:
    """The names of the artifacts that a source's items will carry; of one whose files are bad, all: it goes no
    further, and needs no weights."""
    try:
        return frozenset(role.artifact for role in roles_of(video, config))
    except BAD:
        return frozenset(map(role_artifact, INSTEAD))


def artifacts_of(item: Item, config: Config, env: Env) -> dict[str, Artifact]:
    """Role -> the artifact that is or will be made for a probed item. Raises BAD."""
    out = {}
    for role in roles_of(item.path, config):
        key = content_key(role.artifact, VERSION, config, [*_inputs(item, role, env.store), item.part], {})
        out[role.artifact] = Artifact(key=key, path=env.store.place(role.artifact, key))
    return out


def bring_item(item: Item, config: Config, env: Env) -> tuple[Item, int, int]:
    """A probed item with what was brought, and how many of its artifacts were made and reused.

    Raises BAD for a file that does not fit the video, or cannot be read.
    """
    made = reused = 0
    artifacts = dict(item.artifacts)
    named, roles = artifacts_of(item, config, env), roles_of(item.path, config)
    missing = [role.held for role in roles if env.store.find(role.artifact, named[role.artifact].key) is None]
    with env.store.aside("bring") if missing else nullcontext(Path()) as aside:
        if missing:
            _read(item, config, missing, aside)
        for role in roles:
            about = {"item": item.key, "config": config, "version": VERSION, "weights": {}, "part": item.part}
            about |= {"inputs": [item.artifacts["probe"].key]}
            said = f"given: {role.origin.name} {digest_of(role.origin, env.store)}"
            about |= {"brought": {f"perception.{stage}": said for stage in INSTEAD[role.name]}}
            write = partial(_move, aside / f"{role.held}.npz")
            artifact, there = env.store.make(role.artifact, named[role.artifact].key, write, about=about)
            artifacts[role.artifact] = artifact
            made, reused = made + (not there), reused + there
    return replace(item, artifacts=artifacts), made, reused


def _move(made: Path, out: Path) -> None:
    # Both lie where the store makes its artifacts.
    os.rename(made, out / FILE)


def _read(item: Item, config: Config, wanted: Collection[str], out: Path) -> None:
    """Write what stands beside a probed item's video, held to that video, into a folder. Raises BAD."""
    video = video_here(item.path)
    files = beside(video)
    limits = _limits(config, _state(all_files(files)))
    fence = Fence(stage="bring", name=_name(files), limits=limits, reads=(video, *_opened(files)), writes=(str(out),))
    _fenced(fence, bring_into, out, files, video, source_of(item), wanted=wanted, fill_s=config.fill_s)


def digest_of(path: Path, store: Store) -> str:
    """sha256 of a file, or over names and bytes of a folder's pictures; remembered until one of them changes."""
    if path.is_file():
        return sha256_of(path, store)
    files = files_of(path)
    seen = [list(one) for one in _state(files)]
    note = note_name(str(path.absolute()))
    noted = store.noted(note)
    if isinstance(noted, dict) and noted.get("seen") == seen and isinstance(noted.get("sha256"), str):
        return noted["sha256"]
    digest = hashlib.sha256()
    for one in files:
        digest.update(f"{one.relative_to(path).as_posix()}\0{one.stat().st_size}\0".encode(errors="surrogateescape"))
        digest.update(one.read_bytes())
    store.note(note, {"seen": seen, "sha256": digest.hexdigest()})
    return digest.hexdigest()


@lru_cache(maxsize=1024)
def _roles(files: Beside, state: _State, limits: Limits) -> tuple[Role, ...]:
    """The roles of files in this state: they are read again when one changed, or more may be spent on them."""
    fence = Fence(stage="bring", name=_name(files), limits=limits, reads=_opened(files))
    there = {field: path for field in FIELDS if (path := getattr(files, field)) is not None}
    told = _fenced(fence, roles_in, files)
    try:
        found = {str(name): there[field] for name, field in told}
    except (TypeError, ValueError, KeyError) as error:
        raise Crashed(f"{fence.name}: want what is in it from its reader, got something else; leave it out") from error
    return tuple(Role(name=name, origin=origin) for name, origin in found.items() if name in INSTEAD)


def _fenced(fence: Fence, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """What a function gives behind the fence. Raises BAD, and FenceError where the fence does not stand."""
    try:
        return fence.call(function, *args, **named)
    except (*BAD, FenceError):
        raise
    except Exception as error:  # of whatever kind: the file brought the reader to it
        raise PerceptionError(f"{fence.name}: cannot be read ({type(error).__name__}: {error})") from error


def _limits(config: Config, state: _State) -> Limits:
    megabytes = sum(size for _, size, _ in state) / 1e6
    budget_s = config.budget_s + _S_PER_MB * megabytes + _S_PER_FILE * len(state)
    return Limits(budget_s=budget_s, memory_mb=config.memory_mb)


def _opened(files: Beside) -> tuple[str, ...]:
    """What is opened to read these files: they, and whatever in a folder is a link and so leads out of it."""
    links: dict[Path, bool] = {}
    for top in files:
        for one in files_of(top) if top.is_dir() else []:
            for place in (one, *one.parents[: len(one.relative_to(top).parts) - 1]):
                if place not in links:
                    links[place] = place.is_symlink()
    return (*map(str, files), *(str(place) for place, link in links.items() if link))


def _name(files: Beside) -> str:
    return ", ".join(path.name for path in files)


def _state(files: list[Path]) -> _State:
    return tuple((str(one), (stat := one.stat()).st_size, stat.st_mtime_ns) for one in files)


def _inputs(item: Item, role: Role, store: Store) -> list[str]:
    return [f"probe={item.artifacts['probe'].key}", f"{role.origin.name}={digest_of(role.origin, store)}"]


@task(name="bring", cache_policy=NO_CACHE, persist_result=False)
def bring(batch: Batch, config: Config, env: Env) -> Batch:
    """Every source of the batch with what stands beside it; a file that is off rejects its source."""
    started, ran, reused = time.monotonic(), 0, 0
    items, rejects = [], list(batch.rejects)
    for item in batch.items:
        try:
            one, made, there = bring_item(item, config, env)
        except (*BAD, FenceError) as error:
            full = disk_error(error, env.store.root)
            if full:
                raise full from error
            rejects.append(_reject(item, error))
            continue
        items.append(one)
        ran, reused = ran + made, reused + there
    cost = Cost(stage="bring", ran=ran, reused=reused, seconds=time.monotonic() - started)
    return Batch(items=tuple(items), rejects=tuple(rejects), costs=(*batch.costs, cost))


def _reject(item: Item, error: Exception) -> Reject:
    """The reason names no folder of this machine."""
    reason = str(error)
    if isinstance(error, OSError) and error.filename:
        reason = f"{Path(str(error.filename)).name}: cannot be read: {error.strerror}"
    return Reject(source=item.source, clip="", stage="bring", reason=" ".join(reason.split()), fault=True)

"""Source, files beside it -> Boxes, Keypoints, MaskTracks: what a person brought, checked against the video.

A source without such files passes. Of one with them, each kind becomes an artifact of its own, so that a changed file
makes new only what hangs on it; the stages that it stands in for find it among the item's artifacts (tasks/brought.py).
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.disk import disk_error
from datasets.perception import Boxes, Keypoints, MaskTracks, PerceptionError
from datasets.perception_beside import Brought, all_files, beside, read_beside
from datasets.perception_masks import files_of
from datasets.records import Artifact, Source, save_record
from datasets.store import Store, content_key
from datasets.video import VideoError
from tasks.batch import Batch, Cost, Env, Item, Reject
from tasks.brought import FILE, frame_of, role_artifact
from tasks.ops.given import rows_between
from tasks.ops.placing import place
from tasks.probe import note_name, sha256_of, source_of
from tasks.source_files import beside_here, video_here

VERSION = 1
# What a bad file, or one that cannot be read, raises: the fault of its source.
BAD = (PerceptionError, VideoError, OSError)
# Which stages' work each kind is in place of.
INSTEAD = {
    "boxes": ("detect",),
    "tracks": ("detect", "track"),
    "keypoints": ("pose",),
    "some_keypoints": ("pose",),
    "masks": ("segment",),
    "some_masks": ("segment",),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Whether files beside a video are taken, and how far they are carried on."""

    use: bool = True  # false: all is computed, whatever stands beside the video
    fill_s: float = 0.25  # boxes drawn round masks or poses are carried over so long a time between annotated frames

    def __post_init__(self) -> None:
        if self.fill_s < 0:
            raise ValueError(f"bring.fill_s: want 0 or more seconds, got {self.fill_s}")


@dataclass(frozen=True, kw_only=True)
class Role:
    """One kind of what was brought: what it stands for, and the file it is from."""

    name: str  # boxes or tracks (boxes with ids); keypoints or masks, `some_` when not of every frame with boxes
    origin: Path

    @property
    def held(self) -> str:
        """The field of Brought."""
        return "boxes" if self.name == "tracks" else self.name.removeprefix("some_")


def roles_of(video: str | Path, config: Config) -> tuple[Role, ...]:
    """What stands beside a video, by the files alone. Raises PerceptionError for a file that is not what it should be.

    Read once for as long as the files do not change.
    """
    there = beside_here(str(video)) if config.use else None
    files = beside(there) if there else None
    if not files:
        return ()
    return _roles(str(there), _state(all_files(files)))


def artifacts_brought(video: str | Path, config: Config) -> frozenset[str]:
    """The names of the artifacts that a source's items will carry; of one whose files are bad, all: it goes no
    further, and needs no weights."""
    try:
        return frozenset(role_artifact(role.name) for role in roles_of(video, config))
    except BAD:
        return frozenset(map(role_artifact, INSTEAD))


def artifacts_of(item: Item, config: Config, env: Env) -> dict[str, Artifact]:
    """Role -> the artifact that is or will be made for a probed item. Raises PerceptionError."""
    out = {}
    for role in roles_of(item.path, config):
        name = role_artifact(role.name)
        key = content_key(name, VERSION, config, [*_inputs(item, role, env.store), item.part], {})
        out[name] = Artifact(key=key, path=env.store.place(name, key))
    return out


def bring_item(item: Item, config: Config, env: Env) -> tuple[Item, int, int]:
    """A probed item with what was brought, and how many of its artifacts were made and reused.

    Raises PerceptionError for a file that does not fit the video.
    """
    made = reused = 0
    artifacts = dict(item.artifacts)
    named = artifacts_of(item, config, env)
    whole: Brought | None = None
    for role in roles_of(item.path, config):
        name = role_artifact(role.name)
        if env.store.find(name, named[name].key) is None and whole is None:
            whole = checked(item, config)
        about = {"item": item.key, "config": config, "version": VERSION, "weights": {}, "part": item.part}
        about |= {"inputs": [item.artifacts["probe"].key]}
        said = f"given: {role.origin.name} {digest_of(role.origin, env.store)}"
        about |= {"brought": {f"perception.{stage}": said for stage in INSTEAD[role.name]}}
        record = getattr(whole, role.held) if whole else None
        artifacts[name], there = env.store.make(name, named[name].key, partial(_save, record), about=about)
        made, reused = made + (not there), reused + there
    return replace(item, artifacts=artifacts), made, reused


def _save(record: object, out: Path) -> None:
    save_record(record, out / FILE)


def checked(item: Item, config: Config) -> Brought:
    """What stands beside a probed item's video, held to that video. Raises PerceptionError."""
    item = replace(item, path=video_here(item.path))
    brought, source = read_beside(beside(item.path)), source_of(item)
    for kind in ("boxes", "keypoints", "masks"):
        record = getattr(brought, kind)
        if record is not None:
            _fits(record, source, item.path, brought.origin[kind].name)
    if brought.masks is not None and not len(brought.masks.frame):
        raise PerceptionError(f"{brought.origin['masks'].name}: want somebody in at least one mask, got all empty")
    if brought.boxes is None or not brought.derived:
        return brought
    spoken = (brought.masks or brought.keypoints).annotated  # type: ignore[union-attr]
    return replace(brought, boxes=carried_on(brought.boxes, spoken, round(config.fill_s * float(source.fps))))


def carried_on(boxes: Boxes, annotated: np.ndarray, most: int) -> Boxes:
    """Boxes with those of the frames between that the file does not speak of, along straight lines."""
    between = rows_between(boxes.frame, boxes.id, annotated, most)
    if not between:
        return boxes
    t, a, b = np.array(between).T
    share = ((t - boxes.frame[a]) / (boxes.frame[b] - boxes.frame[a]))[:, None]
    box = (boxes.box[a] * (1 - share) + boxes.box[b] * share).astype(np.float32)
    frame, ids = np.concatenate([boxes.frame, t.astype(np.int32)]), np.concatenate([boxes.id, boxes.id[a]])
    order = np.lexsort((ids, frame))
    weakest = np.minimum(boxes.score[a], boxes.score[b])
    return Boxes(
        frame=frame[order],
        id=ids[order],
        box=np.concatenate([boxes.box, box])[order],
        score=np.concatenate([boxes.score, weakest])[order],
        visible=np.concatenate([boxes.visible, np.minimum(boxes.visible[a], boxes.visible[b])])[order],
        size=boxes.size,
    )


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
def _roles(video: str, state: tuple[tuple[str, int, int], ...]) -> tuple[Role, ...]:
    brought = read_beside(beside(video), pixels=False)
    found: list[tuple[str, Any]] = []
    if brought.boxes is not None:
        found.append(("tracks" if brought.boxes.has_ids else "boxes", brought.origin["boxes"]))
    for kind in ("keypoints", "masks"):
        record: Keypoints | MaskTracks | None = getattr(brought, kind)
        if record is not None:
            name = kind if _covers(record, brought) else f"some_{kind}"
            found.append((name, brought.origin[kind]))
    return tuple(Role(name=name, origin=origin) for name, origin in found)


def _covers(record: Keypoints | MaskTracks, brought: Brought) -> bool:
    """Whether the file speaks of every frame that will have boxes."""
    if brought.boxes is None:
        return True
    frames = np.unique(brought.boxes.frame)
    if brought.derived and len(frames):
        # Boxes are carried on over short gaps: only a file without gaps covers all that may get one.
        frames = np.arange(frames[0], frames[-1] + 1)
    return bool(np.isin(frames, record.annotated).all())


def _state(files: list[Path]) -> tuple[tuple[str, int, int], ...]:
    return tuple((str(one), (stat := one.stat()).st_size, stat.st_mtime_ns) for one in files)


def _inputs(item: Item, role: Role, store: Store) -> list[str]:
    return [f"probe={item.artifacts['probe'].key}", f"{role.origin.name}={digest_of(role.origin, store)}"]


def _fits(record: Boxes | Keypoints | MaskTracks, source: Source, video: str, file: str) -> None:
    """Hold frames and pixels to the video."""
    last = int(max(record.frame.max(initial=0), getattr(record, "annotated", record.frame).max(initial=0)))
    if last >= source.decoded:
        raise PerceptionError(
            f"{file}: want frames of the video, 0 to {source.decoded - 1}, got {last}; frames count from 0 (in "
            "MOTChallenge text from 1), every frame of the file that the decoder gives"
        )
    frame = frame_of(video, source)
    if place(record.size, frame, frame.upright) is None:
        raise PerceptionError(
            f"{file}: want a picture of {source.width}x{source.height} as the video's, or one of its shape, got "
            f"{record.size[1]}x{record.size[0]}; is it of this video?"  # type: ignore[index]
        )


@task(name="bring", cache_policy=NO_CACHE, persist_result=False)
def bring(batch: Batch, config: Config, env: Env) -> Batch:
    """Every source of the batch with what stands beside it; a file that is off rejects its source."""
    started, ran, reused = time.monotonic(), 0, 0
    items, rejects = [], list(batch.rejects)
    for item in batch.items:
        try:
            one, made, there = bring_item(item, config, env)
        except BAD as error:
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
    if isinstance(error, OSError):
        reason = f"{Path(str(error.filename)).name}: cannot be read: {error.strerror}"
    return Reject(source=item.source, clip="", stage="bring", reason=" ".join(reason.split()), fault=True)

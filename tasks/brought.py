"""Item, Clip -> what was brought beside its source, in the clip's own frames and pixels; None where nothing was."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from datasets.perception import Boxes, Keypoints, MaskTracks
from datasets.records import Clip, Source, load_record
from tasks.backends.sandbox import Limits
from tasks.batch import Item
from tasks.bring_file import frame_from, geometry_in
from tasks.fence import Fence
from tasks.ops.placing import Frame, Placing, place
from tasks.probe import source_of
from tasks.source_files import video_here

R = TypeVar("R")
FILE = "brought.npz"
# Boxes whose person is less to be seen than this are no sight of anybody; metrics leave such frames out too.
LEAST_VISIBLE = 0.1
# For a video's first picture: `probe` decoded all of it within its own limits.
_LOOK = Limits(budget_s=600, memory_mb=16384)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Brought boxes of one clip, ascending by frame, then id."""

    frame: np.ndarray  # (N,)   int32
    box: np.ndarray  # (N, 4) float32 clipped to the frame
    score: np.ndarray  # (N,)   float32
    id: np.ndarray  # (N,)   int64; -1: none


def role_artifact(role: str) -> str:
    """The name under which an item carries one kind of what was brought.

    >>> role_artifact("tracks")
    'brought_tracks'
    """
    return f"brought_{role}"


# For the stages that read them.
BOXES = (role_artifact("boxes"), role_artifact("tracks"))
TRACKS = (role_artifact("tracks"),)
KEYPOINTS = (role_artifact("keypoints"), role_artifact("some_keypoints"))
MASKS = (role_artifact("masks"), role_artifact("some_masks"))
WHOLE_KEYPOINTS, WHOLE_MASKS = KEYPOINTS[:1], MASKS[:1]


def has(carried: Collection[str], names: Collection[str]) -> bool:
    """Whether an item that carries these artifacts has one of these."""
    return any(name in carried for name in names)


def frame_of(video: str, source: Source) -> Frame:
    """How a source's pictures are stored, and how they are upright. Raises VideoError, OSError, Crashed."""
    state = os.stat(video)
    return frame_from(_geometry(video, state.st_size, state.st_mtime_ns), source)


@lru_cache(maxsize=64)
def _geometry(video: str, size: int, mtime_ns: int) -> dict[str, Any]:
    """Of the file in this state, behind the fence; held for a source's clips and for all that they have of it."""
    return dict(Fence(stage="bring", name=Path(video).name, limits=_LOOK, reads=(video,)).call(geometry_in, video))


def boxes_in(item: Item, clip: Clip) -> Rows | None:
    """The clip's boxes: those that somebody is to be seen in, and that lie in the picture."""
    boxes = _record(item, BOXES, Boxes)
    if boxes is None:
        return None
    row, t = _in_clip(item, clip, boxes.frame)
    box = _placing(item, clip, boxes.size).boxes(boxes.box[row])
    box = np.clip(box, 0, np.tile(np.array(clip.size[::-1], np.float32), 2))
    seen = (boxes.score[row] > 0) & (boxes.visible[row] >= LEAST_VISIBLE)
    keep = seen & ((box[:, 2:] - box[:, :2]) >= 1).all(axis=1)
    row = row[keep]
    return Rows(frame=t[keep], box=box[keep], score=boxes.score[row], id=boxes.id[row])


def boxes_stand(item: Item) -> bool:
    """Whether boxes with ids were brought as such: not put round masks or keypoints."""
    given = _record(item, TRACKS, Boxes)
    return given is not None and not given.derived


def keypoints_in(item: Item, clip: Clip) -> Keypoints | None:
    """The clip's poses."""
    given = _record(item, KEYPOINTS, Keypoints)
    if given is None:
        return None
    row, t = _in_clip(item, clip, given.frame)
    return Keypoints(
        frame=t,
        id=given.id[row],
        keypoint=_placing(item, clip, given.size).points(given.keypoint[row]),
        score=given.score[row],
        flag=given.flag[row],
        skeleton=given.skeleton,
        annotated=_in_clip(item, clip, given.annotated)[1],
        size=clip.size,
    )


def masks_in(item: Item, clip: Clip) -> MaskTracks | None:
    """The clip's masks, without those that are empty in it."""
    given = _record(item, MASKS, MaskTracks)
    if given is None:
        return None
    row, t = _in_clip(item, clip, given.frame)
    mask = _placing(item, clip, given.size).masks(given.mask.select(row))
    kept = np.flatnonzero(np.diff(mask.offset) > 0)
    return MaskTracks(
        frame=t[kept],
        id=given.id[row[kept]],
        mask=mask.select(kept),
        names=given.names,
        annotated=_in_clip(item, clip, given.annotated)[1],
    )


def poses_have_ids(item: Item) -> bool:
    """Whether poses were brought, and each says whose it is."""
    given = _record(item, KEYPOINTS, Keypoints)
    return given is not None and given.has_ids


def ids_in(item: Item, clip: Clip, rows: int) -> np.ndarray:
    """The brought id of each of the clip's `rows` detections, (N,) int64; -1 where none was brought."""
    given = boxes_in(item, clip) if has(item.artifacts, TRACKS) else None
    return given.id if given is not None and len(given.id) == rows else np.full(rows, -1, np.int64)


def _record(item: Item, names: tuple[str, ...], kind: type[R]) -> R | None:
    for name in names:
        if name in item.artifacts:
            return cast("R", _load(kind.__name__, str(item.folder(name) / FILE)))
    return None


@lru_cache(maxsize=6)
def _load(kind: str, path: str) -> object:
    """Held for the clips of a source, which come one after another. An artifact's path names its content."""
    return load_record({"Boxes": Boxes, "Keypoints": Keypoints, "MaskTracks": MaskTracks}[kind], path)


def _in_clip(item: Item, clip: Clip, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows shown in the clip and the clip's frames they are shown in, (N,) each; a frame shown twice gives two."""
    shown = source_of(item).frame_map[clip.start : clip.start + clip.frames]
    low, high = np.searchsorted(frame, shown, "left"), np.searchsorted(frame, shown, "right")
    count = high - low
    first = np.repeat(low - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
    return first + np.arange(count.sum()), np.repeat(np.arange(clip.frames, dtype=np.int32), count)


def _placing(item: Item, clip: Clip, size: tuple[int, int] | None) -> Placing:
    placing = place(size, frame_of(video_here(item.path), source_of(item)), clip.size)
    if placing is None:
        raise ValueError(f"{item.source}: want a file of the video's shape beside it, got {size}; has it changed?")
    return placing

"""What `bring` does behind the fence: files beside a video read, held to that video, each kind written as a record."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets.perception import Boxes, Keypoints, MaskTracks, PerceptionError
from datasets.perception_beside import Beside, Brought, read_beside
from datasets.records import Source, save_record
from datasets.video import stored_geometry
from tasks.ops.given import rows_between
from tasks.ops.placing import Frame, place

KINDS = ("boxes", "keypoints", "masks")
FIELDS = ("boxes", "keypoints", "masks", "coco")
# Pillow loads its plugins with the first picture, which here would be in every process that reads one.
Image.preinit()


def roles_in(files: Beside) -> list[tuple[str, str]]:
    """(role, which field of `files` it is from) of all that is there. Of PNG only the names are looked at.

    A role is boxes or tracks (boxes with ids); keypoints or masks, `some_` when not of every frame that has boxes.
    Raises PerceptionError.
    """
    brought = read_beside(files, pixels=False)
    found: list[tuple[str, str]] = []
    if brought.boxes is not None:
        found.append(("tracks" if brought.boxes.has_ids else "boxes", "boxes"))
    for kind in ("keypoints", "masks"):
        record: Keypoints | MaskTracks | None = getattr(brought, kind)
        if record is not None:
            found.append((kind if _covers(record, brought) else f"some_{kind}", kind))
    from_file = {path: name for name in FIELDS if (path := getattr(files, name)) is not None}
    return [(role, from_file[brought.origin[kind]]) for role, kind in found]


def bring_into(out: Path, files: Beside, video: str, source: Source, *, wanted: Collection[str], fill_s: float) -> None:
    """Read all that is there, hold it to its video, and write OUT/KIND.npz for each wanted one of KINDS.

    Raises PerceptionError for a file that does not fit the video, VideoError for a video that shows nothing.
    """
    brought = _checked(files, video, source, fill_s)
    for kind in wanted:
        save_record(getattr(brought, kind), out / f"{kind}.npz")


def geometry_in(video: str) -> dict[str, Any]:
    """How a video's pictures are stored, as JSON can hold it; see datasets.video.Geometry. Raises VideoError."""
    geometry = stored_geometry(video)
    return {
        "coded": list(geometry.coded),
        "square": list(geometry.square),
        "quarter_turns": geometry.quarter_turns,
        "mirrored": geometry.mirrored,
    }


def frame_from(geometry: dict[str, Any], source: Source) -> Frame:
    """How a source's pictures are stored, as `geometry_in` has it, and how they are upright."""
    (h, w), (sh, sw) = geometry["coded"], geometry["square"]
    return Frame(
        coded=(int(h), int(w)),
        square=(int(sh), int(sw)),
        quarter_turns=int(geometry["quarter_turns"]),
        mirrored=bool(geometry["mirrored"]),
        upright=(source.height, source.width),
    )


def _checked(files: Beside, video: str, source: Source, fill_s: float) -> Brought:
    """What stands beside a video, held to that video. Raises PerceptionError."""
    brought = read_beside(files)
    frame = frame_from(geometry_in(video), source)
    for kind in KINDS:
        record = getattr(brought, kind)
        if record is not None:
            _fits(record, source, frame, brought.origin[kind].name)
    if brought.masks is not None and not len(brought.masks.frame):
        raise PerceptionError(f"{brought.origin['masks'].name}: want somebody in at least one mask, got all empty")
    if brought.boxes is None or not brought.derived:
        return brought
    spoken = (brought.masks or brought.keypoints).annotated  # type: ignore[union-attr]
    return replace(brought, boxes=_carried_on(brought.boxes, spoken, round(fill_s * float(source.fps))))


def _carried_on(boxes: Boxes, annotated: np.ndarray, most: int) -> Boxes:
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
        derived=boxes.derived,
    )


def _covers(record: Keypoints | MaskTracks, brought: Brought) -> bool:
    """Whether the file speaks of every frame that will have boxes."""
    if brought.boxes is None:
        return True
    frames = np.unique(brought.boxes.frame)
    if brought.derived and len(frames):
        # Boxes are carried on over short gaps: only a file without gaps covers all that may get one.
        frames = np.arange(frames[0], frames[-1] + 1)
    return bool(np.isin(frames, record.annotated).all())


def _fits(record: Boxes | Keypoints | MaskTracks, source: Source, frame: Frame, file: str) -> None:
    """Hold frames and pixels to the video."""
    last = int(max(record.frame.max(initial=0), getattr(record, "annotated", record.frame).max(initial=0)))
    if last >= source.decoded:
        base = 1 if file.lower().endswith(".mot.txt") else 0  # as its writer counts
        raise PerceptionError(
            f"{file}: want frames of the video, {base} to {source.decoded - 1 + base}, got {last + base}; here frames "
            f"count from {base}, every frame of the file that the decoder gives"
        )
    if place(record.size, frame, frame.upright) is None:
        raise PerceptionError(
            f"{file}: want a picture of {source.width}x{source.height} as the video's, or one of its shape, got "
            f"{record.size[1]}x{record.size[0]}; is it of this video?"  # type: ignore[index]
        )

"""A video's path -> the files brought beside it, by name, and what they hold together.

Beside NAME.mp4 may stand
  NAME.mot.txt         boxes, MOTChallenge text
  NAME.keypoints.json  keypoints, COCO JSON
  NAME.masks/          masks, a folder a person with a PNG a frame; or NAME.masks.json, COCO RLE or SA-V JSON
  NAME.coco.json       any of bbox, keypoints and RLE, COCO JSON
and SA-V's own NAME_manual.json or NAME_auto.json. A file of one kind goes before NAME.coco.json.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from datasets.masks import Masks
from datasets.perception import Boxes, Keypoints, MaskTracks, PerceptionError, read_json
from datasets.perception_coco import read_coco
from datasets.perception_masks import annotated_frames, files_of, ids_of, list_masks, read_masks
from datasets.perception_mot import read_mot
from datasets.perception_sav import is_sav, read_sav

Kind = Literal["boxes", "keypoints", "masks", "coco"]
# In the order in which one goes before another of its kind.
ENDINGS: tuple[tuple[str, Kind], ...] = (
    (".mot.txt", "boxes"),
    (".keypoints.json", "keypoints"),
    (".masks", "masks"),
    (".masks.json", "masks"),
    (".coco.json", "coco"),
)
# SA-V's own names: other tools use these endings too, so such a file counts only when it holds masklets.
SAV_ENDINGS = ("_manual.json", "_auto.json")
_SAV_SIGN = b'"masklet"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The files brought beside one video."""

    boxes: Path | None = None
    keypoints: Path | None = None
    masks: Path | None = None
    coco: Path | None = None

    def __iter__(self) -> Iterator[Path]:
        return (path for path in (self.boxes, self.keypoints, self.masks, self.coco) if path is not None)

    def __bool__(self) -> bool:
        return any(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Brought:
    """What stands beside a video, and which file each kind is from."""

    boxes: Boxes | None
    keypoints: Keypoints | None
    masks: MaskTracks | None
    origin: dict[str, Path]  # boxes, keypoints, masks -> the file or folder; boxes may be from masks or keypoints

    @property
    def derived(self) -> bool:
        """Whether the boxes were put round masks or keypoints, for nobody brought any."""
        return self.boxes is not None and self.boxes.derived


def beside(video: str | Path) -> Beside:
    """The files beside a video. Raises PerceptionError when two of one kind are there, or one that is no plain file.

    A name too long for the ending to be put to it has no such file (os.path says so, where pathlib raises).
    """
    video = Path(video)
    stem = video.with_suffix("")
    found: dict[str, list[Path]] = {}
    for ending, kind in ENDINGS:
        path = stem.with_name(stem.name + ending)
        if os.path.isdir(path) if ending == ".masks" else os.path.isfile(path):
            found.setdefault(kind, []).append(path)
        elif os.path.lexists(path) and not (os.path.isdir(path) or os.path.isfile(path)):
            raise PerceptionError(
                f"{path.name}: want a plain file, got a pipe, a device or a broken link; move it away"
            )
    if "masks" not in found:
        sav = (stem.with_name(stem.name + ending) for ending in SAV_ENDINGS)
        found["masks"] = [path for path in sav if os.path.isfile(path) and _holds_masklets(path)][:1]
    for what, paths in found.items():
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise PerceptionError(f"{video.name}: want {what} in one form, got {names}; move one away")
    return Beside(**{kind: paths[0] for kind, paths in found.items() if paths})


def _holds_masklets(path: Path) -> bool:
    """Whether a file has SA-V's word early on: its facts of the video come first, and they are few."""
    with path.open("rb") as file:
        return _SAV_SIGN in file.read(1 << 16)


def all_files(files: Beside) -> list[Path]:
    """Every single file of what is beside a video, in an order that does not change."""
    return [one for path in files for one in (files_of(path) if path.is_dir() else [path])]


def read_beside(files: Beside, *, pixels: bool = True) -> Brought:
    """Read all that is there. With `pixels` off the PNG of a masks folder are only listed: their masks come out empty.

    Boxes are those of the first of these that has ids, else of the first that has any: the MOTChallenge file, the
    bbox of COCO files, masks, keypoints. Raises PerceptionError.
    """
    coco = read_coco(read_json(files.coco), files.coco) if files.coco else None
    poses = read_coco(read_json(files.keypoints), files.keypoints) if files.keypoints else None
    if poses and files.keypoints and poses.keypoints is None:
        raise PerceptionError(f"{files.keypoints.name}: want annotations with keypoints, got none")
    if coco and files.coco and not (coco.boxes or coco.keypoints or coco.masks):
        raise PerceptionError(f"{files.coco.name}: want annotations with bbox, keypoints or RLE, got none")
    masks, mask_boxes = _masks(files.masks, pixels) if files.masks else (None, None)
    origin: dict[str, Path | None] = {
        "keypoints": files.keypoints if poses else files.coco,
        "masks": files.masks or files.coco,
    }
    keypoints = poses.keypoints if poses else coco.keypoints if coco else None
    masks = masks or (coco.masks if coco else None)
    choices: tuple[tuple[Boxes | None, Path | None, bool], ...] = (
        (read_mot(files.boxes) if files.boxes else None, files.boxes, False),
        (coco.boxes if coco else None, files.coco, False),
        (poses.boxes if poses else None, files.keypoints, False),
        (mask_boxes, files.masks, False),
        (boxes_of_masks(masks) if masks else None, origin["masks"], True),
        (boxes_of_keypoints(keypoints) if keypoints else None, origin["keypoints"], True),
    )
    some = [choice for choice in choices if choice[0] is not None]
    best = next((choice for choice in some if choice[0] and choice[0].has_ids), (*some, (None, None, False))[0])
    origin = {"boxes": best[1], **origin}
    boxes = replace(best[0], derived=best[2]) if best[0] is not None else None
    held = {"boxes": boxes, "keypoints": keypoints, "masks": masks}
    named = {kind: path for kind, path in origin.items() if path is not None and held[kind] is not None}
    return Brought(boxes=boxes, keypoints=keypoints, masks=masks, origin=named)


def boxes_of_masks(masks: MaskTracks) -> Boxes:
    """Tight boxes round masks."""
    return Boxes(
        frame=masks.frame,
        id=masks.id,
        box=masks.mask.boxes().astype(np.float32),
        score=np.ones(len(masks.frame), np.float32),
        visible=np.ones(len(masks.frame), np.float32),
        size=masks.size,
    )


def boxes_of_keypoints(keypoints: Keypoints, margin: float = 0.1) -> Boxes:
    """Boxes round the joints that are there, wider by `margin` of their larger side all round.

    COCO's joints lie inside the body: the box of a person's joints is smaller than the person's by about so much at
    head, feet and shoulders. Poses with fewer than two joints give none.
    """
    there = keypoints.score > 0
    rows = np.flatnonzero(there.sum(axis=1) >= 2)
    x = np.where(there[rows, :, None], keypoints.keypoint[rows], np.nan)
    low, high = np.nanmin(x, axis=1), np.nanmax(x, axis=1)
    wider = np.maximum(margin * (high - low).max(axis=1, keepdims=True), 1.0)
    seen = np.where(there[rows], keypoints.score[rows], np.nan)
    return Boxes(
        frame=keypoints.frame[rows],
        id=keypoints.id[rows],
        box=np.concatenate([low - wider, high + wider], axis=1).astype(np.float32),
        score=np.nanmean(seen, axis=1).astype(np.float32),
        visible=np.ones(len(rows), np.float32),
        size=keypoints.size,
    )


def _masks(path: Path, pixels: bool) -> tuple[MaskTracks, Boxes | None]:
    """Masks, and the boxes that a COCO file has beside them."""
    if path.is_dir():
        return (read_masks(path) if pixels else _listed(path)), None
    plain = read_json(path)
    if is_sav(plain):
        return read_sav(plain, path), None
    coco = read_coco(plain, path)
    if coco.masks is None:
        raise PerceptionError(f"{path.name}: want annotations with RLE, or SA-V's masklet, got none")
    return coco.masks, coco.boxes


def _listed(folder: Path) -> MaskTracks:
    """What the names in a folder say."""
    people = list_masks(folder)
    ids = ids_of(list(people))
    rows = sorted((frame, ids[name]) for name, frames in people.items() for frame in frames)
    return MaskTracks(
        frame=np.array([frame for frame, _ in rows], np.int32),
        id=np.array([who for _, who in rows], np.int64),
        mask=Masks.from_counts([b""] * len(rows), size=(1, 1)),
        names={str(number): name for name, number in ids.items()},
        annotated=annotated_frames(people),
    )

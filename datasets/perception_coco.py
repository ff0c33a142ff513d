"""COCO JSON -> Boxes, Keypoints, MaskTracks: whatever of bbox, keypoints and RLE its annotations hold.

The whole form is an object with `images` and `annotations` (cocodataset.org, format); the short one, as detectors print
it, a list of results with image_id. An image is a frame: its `frame_id` or `frame_index`, else the digits at the end of
its file's name, counted from `info.first_frame` (0). In the short form image_id is the frame. `track_id` says who.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datasets.masks import Masks
from datasets.perception import (
    MAX_COORDINATE,
    MAX_FRAME,
    MAX_ROWS,
    NO_ID,
    Boxes,
    Keypoints,
    MaskTracks,
    PerceptionError,
    Place,
    box_of_xywh,
    check_crowd,
    in_order,
    number,
    picture_size,
)
from datasets.perception import whole as whole_number
from datasets.perception_rle import checked_counts, size_of
from datasets.skeleton import SKELETONS

LAYOUTS = {len(one.joints): one.name for one in SKELETONS.values()}
# COCO-WholeBody keeps the parts beside the 17 body joints, in this order (Jin et al., ECCV 2020, data_format.md).
PARTS = (("foot_kpts", 6), ("face_kpts", 68), ("lefthand_kpts", 21), ("righthand_kpts", 21))
# What a joint that is there but hidden is worth: the annotator's word on its place, no sight of it.
HIDDEN_SCORE = 0.5
_LAST_DIGITS = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coco:
    """What a COCO file holds."""

    boxes: Boxes | None  # of the annotations with a bbox
    keypoints: Keypoints | None
    masks: MaskTracks | None  # when there is RLE; every annotation then has a track_id


@dataclass(slots=True)
class _Found:
    """Rows of a file as they are read."""

    frame: list[int] = field(default_factory=list)
    id: list[int] = field(default_factory=list)
    box: list[tuple[float, float, float, float] | None] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    pose: list[tuple[np.ndarray, np.ndarray, np.ndarray] | None] = field(default_factory=list)  # xy, score, flag
    mask: list[bytes | None] = field(default_factory=list)


def read_coco(plain: Any, path: Path) -> Coco:
    """What a COCO file that was read as JSON holds. Raises PerceptionError with file and field."""
    place = Place(path.name)
    if isinstance(plain, list):
        frames, size, rows, where = None, None, plain, place
    elif isinstance(plain, dict) and isinstance(plain.get("annotations"), list):
        frames, size = _images(plain, place)
        rows, where = plain["annotations"], place / "annotations"
    else:
        raise place.wrong('COCO JSON, {"images": [...], "annotations": [...]} or a list of results', plain)
    if len(rows) > MAX_ROWS:
        raise where.wrong(f"at most {MAX_ROWS} annotations", len(rows))
    mask_size = _mask_size(rows, size, where)
    found = _Found()
    for i, row in enumerate(rows):
        _take(row, where / f"[{i}]", frames, mask_size, found)
    return _gather(found, frames, size, mask_size, path.name)


def _images(plain: Mapping[str, Any], place: Place) -> tuple[dict[Any, int], tuple[int, int] | None]:
    """Image id -> frame, and the one size of all images; None when none is said."""
    images = plain.get("images")
    if not isinstance(images, list) or len(images) > MAX_ROWS:
        raise (place / "images").wrong("a list with an image for each frame", images)
    info = plain.get("info")
    first = info.get("first_frame", 0) if isinstance(info, dict) else 0
    base = whole_number(first, place / "info.first_frame", "the number of the first frame", 0, MAX_FRAME)
    frames: dict[Any, int] = {}
    sizes = set()
    for i, image in enumerate(images):
        here = place / f"images[{i}]"
        if not isinstance(image, dict) or isinstance(image.get("id"), bool | float | list | dict | None):
            raise here.wrong("an object with an id", image)
        if image["id"] in frames:
            raise (here / "id").wrong("each image id once", image["id"])
        frames[image["id"]] = _frame_of(image, base, here)
        if "height" in image or "width" in image:
            sizes.add(picture_size(image.get("height"), image.get("width"), here / "height, width"))
    if len(set(frames.values())) != len(frames):
        raise (place / "images").wrong(
            "one image for each frame", f"{len(frames)} images of {len(set(frames.values()))} frames",
            "a file beside a video holds that video's frames only",
        )  # fmt: skip
    if len(sizes) > 1:
        raise (place / "images").wrong("images of one size", sorted(sizes))
    return frames, sizes.pop() if sizes else None


def _frame_of(image: Mapping[str, Any], base: int, place: Place) -> int:
    for name in ("frame_id", "frame_index"):
        if name in image:
            got = whole_number(image[name], place / name, "a frame", 0, MAX_FRAME)
            break
    else:
        name = "file_name"
        digits = _LAST_DIGITS.search(str(image.get("file_name", "")).rpartition(".")[0])
        if digits is None or len(digits[1]) > 9:
            raise (place / "file_name").wrong(
                "a frame_id, or a file name that ends in its frame", image.get("file_name")
            )
        got = int(digits[1])
    if got < base:
        raise (place / name).wrong(f"a frame of info.first_frame = {base} or more", got)
    return got - base


def _mask_size(rows: list[Any], size: tuple[int, int] | None, place: Place) -> tuple[int, int] | None:
    """The size of all masks: the images', or that of the first mask."""
    for i, row in enumerate(rows):
        if isinstance(row, dict) and row.get("segmentation"):
            return size or size_of(row["segmentation"], place / f"[{i}].segmentation")
    return None


def _take(row: Any, place: Place, frames: dict[Any, int] | None, size: tuple[int, int] | None, found: _Found) -> None:
    """One annotation's row."""
    if not isinstance(row, dict):
        raise place.wrong("an object", row)
    image = row.get("image_id")
    if frames is None:
        frame = whole_number(image, place / "image_id", "the frame (a list of results has no images)", 0, MAX_FRAME)
    elif isinstance(image, list | dict) or image not in frames:
        raise (place / "image_id").wrong("the id of one of the images", image)
    else:
        frame = frames[image]
    who = row.get("track_id", NO_ID)
    found.frame.append(frame)
    found.id.append(whole_number(who, place / "track_id", "an id of 0 or more", NO_ID, 1 << 53))
    found.box.append(None if row.get("bbox") is None else box_of_xywh(row["bbox"], place / "bbox"))
    found.score.append(number(row.get("score", 1.0), place / "score", "a score of 0 to 1", 0, 1))
    found.visible.append(number(row.get("visible", 1.0), place / "visible", "a share of 0 to 1", 0, 1))
    found.pose.append(_pose(row, place) if row.get("keypoints") else None)
    rle = row.get("segmentation")
    if rle and size is None:
        raise (place / "segmentation").wrong("RLE with a size", rle)
    found.mask.append(checked_counts(rle, size, place / "segmentation") if rle and size else None)


def _pose(row: Mapping[str, Any], place: Place) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """xy (J, 2), score (J,), flag (J,) of an annotation."""
    flat = row["keypoints"]
    if isinstance(flat, list) and len(flat) == 3 * 17 and any(name in row for name, _ in PARTS):
        flat = list(flat)
        for name, joints in PARTS:
            part = row.get(name)
            if not isinstance(part, list) or len(part) != 3 * joints:
                raise (place / name).wrong(f"{joints} joints of x, y, v", part)
            flat += part
    if not isinstance(flat, list) or len(flat) % 3 or len(flat) // 3 not in LAYOUTS:
        got = len(flat) if isinstance(flat, list) else flat
        wanted = " or ".join(f"{3 * joints} numbers ({joints} joints)" for joints in LAYOUTS)
        raise (place / "keypoints").wrong(f"{wanted} of x, y, v", got)
    want = f"a number within +-{MAX_COORDINATE:.0f}"
    checked = [number(v, place / f"keypoints[{k}]", want, -MAX_COORDINATE, MAX_COORDINATE) for k, v in enumerate(flat)]
    table = np.array(checked, np.float64).reshape(-1, 3)
    third = table[:, 2]
    if not ((third >= 0) & (third <= 2)).all():
        raise (place / "keypoints").wrong("v of 0, 1 or 2, or a score of 0 to 1", float(third.min()))
    return table[:, :2], third, _scores(row, len(table), place)


def _scores(row: Mapping[str, Any], joints: int, place: Place) -> np.ndarray:
    """A score a joint where the file gives them beside the flags; NaN where it does not."""
    said = row.get("keypoint_scores")
    if said is None:
        return np.full(joints, np.nan)
    here = place / "keypoint_scores"
    if not isinstance(said, list) or len(said) != joints:
        raise here.wrong(f"{joints} scores", said)
    return np.array([number(v, here / f"[{k}]", "a score of 0 to 1", 0, 1) for k, v in enumerate(said)])


def _gather(
    found: _Found, frames: dict[Any, int] | None, size: tuple[int, int] | None, mask_size: Any, file: str
) -> Coco:
    order = in_order(np.array(found.frame, np.int64), np.array(found.id, np.int64))
    frame, who = np.array(found.frame, np.int32)[order], np.array(found.id, np.int64)[order]
    if (who >= 0).any() and not (who >= 0).all():
        raise PerceptionError(
            f"{file}: want a track_id in all annotations or in none, got it in {int((who >= 0).sum())} of {len(who)}"
        )
    check_crowd(frame, who, file)
    annotated = np.unique(frame) if frames is None else np.unique(np.array(list(frames.values()), np.int32))
    annotated = annotated.astype(np.int32)
    return Coco(
        boxes=_boxes(found, order, size),
        keypoints=_keypoints(found, order, annotated, size, file),
        masks=_masks(found, order, annotated, mask_size, file),
    )


def _boxes(found: _Found, order: np.ndarray, size: tuple[int, int] | None) -> Boxes | None:
    rows = [int(i) for i in order if found.box[i] is not None]
    if not rows:
        return None
    return Boxes(
        frame=np.array(found.frame, np.int32)[rows],
        id=np.array(found.id, np.int64)[rows],
        box=np.array([found.box[i] for i in rows], np.float32),
        score=np.array(found.score, np.float32)[rows],
        visible=np.array(found.visible, np.float32)[rows],
        size=size,
    )


def _keypoints(
    found: _Found, order: np.ndarray, annotated: np.ndarray, size: tuple[int, int] | None, file: str
) -> Keypoints | None:
    rows = [int(i) for i in order if found.pose[i] is not None]
    if not rows:
        return None
    poses = [one for i in rows if (one := found.pose[i]) is not None]
    joints = {len(pose[0]) for pose in poses}
    if len(joints) > 1:
        raise PerceptionError(f"{file}, keypoints: want one number of joints in all, got {sorted(joints)}")
    third = np.stack([pose[1] for pose in poses])
    said = np.stack([pose[2] for pose in poses])
    # Detectors write a score in the place of v. No flag lies between 0 and 1, and no score above.
    scores = bool(((third > 0) & (third < 1)).any()) or (third.max() <= 1 and bool(np.isnan(said).all()))
    if scores and third.max() > 1:
        raise PerceptionError(f"{file}, keypoints: want flags 0, 1, 2 or scores of 0 to 1 as v, got both")
    flag = np.where(third > 0, 2, 0) if scores else third
    score = third if scores else np.choose(third.astype(int), [0.0, HIDDEN_SCORE, 1.0])
    return Keypoints(
        frame=np.array([found.frame[i] for i in rows], np.int32),
        id=np.array([found.id[i] for i in rows], np.int64),
        keypoint=np.stack([pose[0] for pose in poses]).astype(np.float32),
        score=np.where(np.isnan(said), score, said).astype(np.float32),
        flag=flag.astype(np.uint8),
        skeleton=LAYOUTS[joints.pop()],
        annotated=annotated,
        size=size,
    )


def _masks(found: _Found, order: np.ndarray, annotated: np.ndarray, size: Any, file: str) -> MaskTracks | None:
    rows = [int(i) for i in order if found.mask[i] is not None]
    if not rows:
        return None
    if any(found.id[i] < 0 for i in rows):
        raise PerceptionError(f"{file}: want a track_id with every mask, got none; masks are brought a person")
    rows = [i for i in rows if found.mask[i]]
    names = sorted({found.id[i] for i in rows})
    return MaskTracks(
        frame=np.array([found.frame[i] for i in rows], np.int32),
        id=np.array([found.id[i] for i in rows], np.int64),
        mask=Masks.from_counts([found.mask[i] or b"" for i in rows], size=size),
        names={str(one): str(one) for one in names},
        annotated=annotated,
    )

"""Bundles -> COCO JSON: keypoints, run lengths, boxes and who is who (cocodataset.org, format; COCO-WholeBody).

KEY.mp4 and KEY.coco.json stand side by side, so that the folder is itself a source of such clips. annotations.json
holds all of them for COCO's own tools. Beside COCO's fields each annotation has track_id (1 for the first person),
visible, confidence, keypoint_scores, identity and kind.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from datasets.export_parts import frames_of, run_lengths, write_png
from datasets.members import Bundle
from datasets.perception_coco import PARTS
from datasets.skeleton import skeleton

CATEGORY = {"human": 1, "robot": 2}


class CocoWriter:
    """Writes clips into a folder, one after another; memory holds one."""

    def __init__(self, folder: Path, *, frames: bool) -> None:
        self._folder, self._frames = folder, frames
        self._images, self._annotations = (folder / f".{name}.part" for name in ("images", "annotations"))
        self._next_image = self._next_annotation = 1
        self._skeleton = "coco17"

    def add(self, bundle: Bundle) -> None:
        """One clip."""
        key = bundle.clip.key
        plain = _clip(bundle)
        (self._folder / f"{key}.coco.json").write_text(json.dumps(plain, sort_keys=True, allow_nan=False))
        (self._folder / f"{key}.mp4").write_bytes(bundle.video)
        if self._frames:
            (self._folder / "images" / key).mkdir(parents=True)
            for image, picture in zip(plain["images"], frames_of(bundle), strict=True):
                write_png(self._folder / image["file_name"], picture)
        if len(skeleton(bundle.people.skeleton).joints) > len(skeleton(self._skeleton).joints):
            self._skeleton = bundle.people.skeleton
        self._append(plain)

    def close(self) -> None:
        """annotations.json, of all clips."""
        with (self._folder / "annotations.json").open("w", encoding="ascii") as out:
            head = {"categories": _categories(self._skeleton), "info": _INFO}
            out.write(json.dumps(head, sort_keys=True)[:-1])
            for name, part in (("images", self._images), ("annotations", self._annotations)):
                out.write(f', "{name}": [\n')
                _copy(part, out)
                out.write("]")
                part.unlink(missing_ok=True)
            out.write("}\n")

    def _append(self, plain: dict[str, Any]) -> None:
        """The clip's rows, numbered on over all clips."""
        for path, rows in ((self._images, plain["images"]), (self._annotations, plain["annotations"])):
            with path.open("a", encoding="ascii") as out:
                for row in rows:
                    numbered = {**row, "id": row["id"] + self._next_image - 1}
                    if "image_id" in row:
                        numbered["id"] = row["id"] + self._next_annotation - 1
                        numbered["image_id"] = row["image_id"] + self._next_image - 1
                    out.write(json.dumps(numbered, sort_keys=True, allow_nan=False) + ",\n")
        self._next_image += len(plain["images"])
        self._next_annotation += len(plain["annotations"])


_INFO = {"description": "exported by Duetflow (datasets.export)", "first_frame": 0}


def _clip(bundle: Bundle) -> dict[str, Any]:
    """One clip as COCO JSON; frames without anybody are images without annotations."""
    clip, people = bundle.clip, bundle.people
    height, width = clip.size
    images = [
        {
            "id": t + 1,
            "file_name": f"images/{clip.key}/{t:06d}.png",
            "frame_id": t,
            "height": height,
            "width": width,
            "video": clip.key,
        }
        for t in range(clip.frames)
    ]
    present = [(t, p) for t in range(clip.frames) for p in range(people.num_people) if people.present[p, t]]
    annotations = [{"id": i, **_annotation(bundle, p, t)} for i, (t, p) in enumerate(present, 1)]
    return {
        "info": {**_INFO, "fps": f"{clip.fps.numerator}/{clip.fps.denominator}"},
        "categories": _categories(people.skeleton),
        "images": images,
        "annotations": annotations,
    }


def _annotation(bundle: Bundle, p: int, t: int) -> dict[str, Any]:
    people, cast = bundle.people, bundle.cast
    i = p * people.num_frames + t
    x0, y0, x1, y1 = (float(v) for v in people.box[p, t])
    flag = people.flag[p, t]
    # COCO's own tools take v = 0 for "not labelled" and its place for 0, 0; ours is kept, for it is an estimate.
    joints = np.concatenate([people.keypoint[p, t].astype(float), flag[:, None].astype(float)], axis=1)
    out: dict[str, Any] = {
        "image_id": t + 1,
        "category_id": CATEGORY[cast.kind[p]],
        "track_id": p + 1,
        "identity": cast.identity[p],
        "kind": cast.kind[p],
        "segmentation": {"size": list(people.mask.size), "counts": run_lengths(people.mask, i)},
        "area": int(people.mask.select([i]).areas()[0]),
        "iscrowd": 0,
        "num_keypoints": int((flag > 0).sum()),
        "keypoint_scores": [float(v) for v in people.score[p, t]],
        "visible": float(people.visible[p, t]),
        "confidence": float(people.confidence[p, t]),
        "keypoints": _flat(joints[:17]),
    }
    if x1 > x0 and y1 > y0:
        out["bbox"] = [x0, y0, x1 - x0, y1 - y0]
    start = 17
    for name, count in PARTS if len(joints) > 17 else ():
        out[name] = _flat(joints[start : start + count])
        start += count
    return out


def _flat(joints: np.ndarray) -> list[float | int]:
    return [value for x, y, v in joints.tolist() for value in (x, y, int(v))]


def _categories(name: str) -> list[dict[str, Any]]:
    body = skeleton(name)
    # COCO counts joints from 1 in the limbs of a category.
    limbs = [[a + 1, b + 1] for a, b in body.limbs]
    shared = {"supercategory": "person", "keypoints": list(body.joints), "skeleton": limbs}
    return [{"id": 1, "name": "person", **shared}, {"id": 2, "name": "robot", **shared}]


def _copy(part: Path, out: TextIO) -> None:
    """Rows, one a line, without the comma behind the last."""
    if not part.exists():
        return
    with part.open(encoding="ascii") as rows:
        last = ""
        for row in rows:
            out.write(last)
            last = row
        out.write(last.removesuffix(",\n") + "\n")

"""Bundle -> what every form of export writes alike: frames as PNG, run lengths, face masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco

from datasets.masks import Masks
from datasets.members import Bundle
from datasets.video import read_frames

# Joints of the head: nose, eyes and ears of COCO's 17; iBUG's 68 points of the face in COCO-WholeBody's 133.
_HEAD, _FACE = slice(0, 5), slice(23, 91)
_SEEN = 0.3  # as datasets/condition.py draws joints
# Ears lie a head's width apart, and chin and brow about as far below and above the eyes' line as the ears are off it.
_HEAD_MARGIN, _FACE_MARGIN = 0.9, 0.15


def frames_of(bundle: Bundle) -> Iterator[np.ndarray]:
    """The clip's pictures in order, (h, w, 3) uint8 RGB each."""
    return read_frames(bundle.video)


def write_png(path: Path, picture: np.ndarray) -> None:
    """A grey (h, w) or RGB (h, w, 3) uint8 picture; equal pixels give equal bytes."""
    way = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    ordered = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    good, data = cv2.imencode(".png", ordered, way)
    if not good:
        raise ValueError(f"{path.name}: cv2 could not encode a picture of {picture.shape} {picture.dtype}")
    path.write_bytes(data.tobytes())


def run_lengths(masks: Masks, i: int) -> str:
    """COCO's compressed counts of mask i as text; of an empty one those of a picture of background."""
    counts = masks.counts(i) or coco.encode(np.zeros(masks.size, np.uint8, order="F"))["counts"]
    return counts.decode("ascii")


def face_mask(keypoint: np.ndarray, score: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where one person's face is, (h, w) bool: the hull of its joints, widened, within the person's mask.

    With the 68 points of a face it is their hull; else a disc about the nose, eyes and ears that are seen, as large as
    these are apart. Empty where no two of them are seen.
    """
    whole = len(score) > _FACE.stop and int((score[_FACE] >= _SEEN).sum()) >= 3
    part, margin = (_FACE, _FACE_MARGIN) if whole else (_HEAD, _HEAD_MARGIN)
    points = keypoint[part][score[part] >= _SEEN]
    out = np.zeros(mask.shape, np.uint8)
    if len(points) < 2 or not np.isfinite(points).all():
        return out.view(bool)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = float(np.hypot(*(points - centre).T).max())
    if whole:
        wider = centre + (points - centre) * (1 + _FACE_MARGIN)
        hull = cv2.convexHull(np.clip(np.round(wider), -32768, 32767).astype(np.int32))
        cv2.fillConvexPoly(out, hull, 1)
    else:
        at = np.clip(np.round(centre), -32768, 32767).astype(int)
        cv2.circle(out, (int(at[0]), int(at[1])), max(round(reach * (1 + margin)), 1), 1, -1)
    return out.view(bool) & mask

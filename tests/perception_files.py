"""Small files of boxes, keypoints and masks, as they may stand beside a video."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from hypothesis import HealthCheck, settings
from pycocotools import mask as coco

QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def disc(size: tuple[int, int] = (12, 16), at: tuple[int, int] = (6, 5), radius: int = 3) -> np.ndarray:
    picture = np.zeros(size, np.uint8)
    cv2.circle(picture, at, radius, 1, -1)
    return picture.astype(bool)


def rle(mask: np.ndarray) -> dict[str, Any]:
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    return {"size": list(mask.shape), "counts": counts}


def image(t: int, **more: Any) -> dict[str, Any]:
    return {"id": t + 10, "frame_id": t, "height": 12, "width": 16, **more}


def joints(v: float = 2, **at: tuple[float, float]) -> list[float]:
    return [value for j in range(17) for value in (*at.get(f"j{j}", (j, 2 * j)), v)]


def note(t: int, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": t + 10, "category_id": 1, **more}


def whole(*annotations: dict[str, Any], images: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "images": [image(0), image(1), image(2)] if images is None else images,
        "annotations": [*annotations],
        **more,
    }


def sav(frames: int = 3, count: Any = 12, **more: Any) -> dict[str, Any]:
    moving = [[rle(disc(at=(4 + t, 5))), rle(disc() & (t != 1))] for t in range(frames)]
    return {
        "video_id": "sav_000001", "video_frame_count": count, "video_height": 12.0, "video_width": 16.0,
        "masklet": moving, "masklet_id": [3, 0], "masklet_num": 2, **more,
    }  # fmt: skip

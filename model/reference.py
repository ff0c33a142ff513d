"""A picture from anywhere in the place of an example's reference image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets.view import Fit, view_of


def read_picture(path: str | Path, size: tuple[int, int], fit: Fit = "crop") -> np.ndarray:
    """A picture file at `size` (h, w), brought there as clips are: (h, w, 3) uint8 RGB.

    Raises ValueError for a file that is not there or is no picture.
    """
    try:
        with Image.open(path) as picture:
            whole = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: want a picture, got {type(error).__name__}: {error}") from None
    view = view_of((whole.height, whole.width), size, fit)
    return view.cut(np.asarray(whole.resize(view.scaled[::-1], Image.Resampling.BILINEAR)))


def with_picture(example: Mapping[str, Any], picture: np.ndarray) -> dict[str, Any]:
    """The example with another reference image (H, W, 3) uint8, in which people stand where they stood in its own.

    Masks in the reference image stay; whose faces the picture shows is not known, so nobody has an embedding. Raises
    ValueError for a picture of another size.
    """
    height, width = np.shape(example["reference"])[1:]
    if picture.shape != (height, width, 3) or picture.dtype != np.uint8:
        raise ValueError(f"reference: want ({height}, {width}, 3) uint8, got {picture.shape} {picture.dtype}")
    return {
        **example,
        "reference": np.ascontiguousarray(np.moveaxis(picture, -1, 0)),
        "embedding": np.zeros_like(example["embedding"]),
    }

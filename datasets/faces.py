"""Faces <-> face.npz: the optional member that says where faces are and whose they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from datasets.members import PIXEL_STEP, SHARE_STEP, ShardError, arrays_of, decode_masks, npz_bytes, on_grid
from datasets.records import Faces

FACE = "face.npz"


def encode_faces(faces: Faces) -> bytes:
    """face.npz: `box`, `score` and `embedding` as in Faces, float32; `rle`, `offset`, `size` as in mask.npz.

    Coordinates and scores are rounded as those of pose.npz are; embeddings are kept whole.
    """
    return npz_bytes(
        {
            "box": on_grid(faces.box, PIXEL_STEP),
            "score": on_grid(faces.score, SHARE_STEP),
            "embedding": faces.embedding,
            "rle": faces.mask.rle,
            "offset": faces.mask.offset,
            "size": np.array(faces.mask.size, np.int32),
        }
    )


def decode_faces(members: Mapping[str, bytes]) -> Faces:
    """The inverse of encode_faces. Raises ShardError when the member is missing, damaged, or not of the format."""
    arrays, mask = arrays_of(members, FACE, ("box", "score", "embedding")), decode_masks(members, FACE)
    try:
        return Faces(**arrays, mask=mask)
    except ValueError as error:
        raise ShardError(f"{FACE}: {error}") from error

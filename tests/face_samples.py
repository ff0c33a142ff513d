"""Faces for drawn samples: the top of each person's mask, and an identity vector of their own."""

from __future__ import annotations

import numpy as np

from datasets.faces import encode_faces
from datasets.masks import Masks
from datasets.members import Bundle
from datasets.records import FACE_WIDTH, Faces, People
from tests.build_samples import bundle


def faces_of(people: People, *, faceless: tuple[int, ...] = (), seed: int = 0) -> Faces:
    """A face in the top sixth of every visible body; none at all for the people in `faceless`."""
    count, frames = people.present.shape
    box, score = np.zeros((count, frames, 4), np.float32), np.zeros((count, frames), np.float32)
    masks = []
    for p, t in np.ndindex(count, frames):
        body = people.mask_at(p, t)
        face = np.zeros_like(body)
        if body.any() and p not in faceless:
            rows = np.flatnonzero(body.any(axis=1))
            cut = int(rows[0] + (rows[-1] - rows[0]) / 6) + 1
            face[:cut] = body[:cut]
            columns = np.flatnonzero(face.any(axis=0))
            box[p, t], score[p, t] = (columns[0], rows[0], columns[-1] + 1, cut), 0.75
        masks.append(face)
    vector = np.random.default_rng(seed).normal(size=(count, FACE_WIDTH))
    vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    vector[list(faceless)] = 0
    mask = Masks.encode(masks, size=people.mask.size)
    return Faces(box=box, score=score, mask=mask, embedding=vector.astype(np.float32))


def with_faces(*, faceless: tuple[int, ...] = (), **arguments: object) -> Bundle:
    """`bundle`, with a face.npz."""
    one = bundle(**arguments)  # type: ignore[arg-type]
    faces = encode_faces(faces_of(one.people, faceless=faceless))
    return bundle(**{**arguments, "extra": {"face.npz": faces}})  # type: ignore[arg-type]

"""One sample -> what is wrong with it: members decoded, and held to each other and to the clip's own frames."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

from datasets.faces import FACE, decode_faces
from datasets.masks import Masks
from datasets.members import OPTIONAL, Bundle, ShardError, decode_masks, decode_sample
from datasets.npz import read_npz
from datasets.records import Faces
from datasets.video import clip_facts, read_depth, read_frames
from datasets.window_masks import decode_runs

# How far a stored unit vector may be from length 1: float32 of 512 numbers is a thousand times closer.
_UNIT = 1e-3
# Frames whose masks are held to each other at a time: bounds the memory of a long clip.
_STEP = 256


def check_sample(members: Mapping[str, bytes]) -> tuple[Bundle | None, list[tuple[str, str]]]:
    """The decoded sample, when it can be, and what is wrong as (member, what)."""
    try:
        bundle = decode_sample(members)
    except ShardError as error:
        return None, [("", str(error))]
    problems: list[tuple[str, str]] = []
    for member, check in (
        ("mp4", _video),
        ("pose.npz", _pose),
        ("mask.npz", _masks),
        ("ref.png", _reference),
        *((name, _extra(name)) for name in OPTIONAL if name in members),
    ):
        try:
            problems.extend((member, what) for what in check(bundle))
        except Exception as error:  # damaged bytes come out of the libraries as any kind of error; each is a finding
            problems.append((member, f"want a member that can be decoded, got {type(error).__name__}: {error}"))
    return bundle, problems


def _video(bundle: Bundle) -> Iterator[str]:
    clip, facts = bundle.clip, clip_facts(bundle.video)
    for what, want, got in (
        ("size", clip.size, facts.size),
        ("fps", clip.fps, facts.fps),
        ("sound", clip.audio, facts.audio),
        # A tiny picture: the scaler is the dearer half of decoding.
        ("frames", clip.frames, sum(1 for _ in read_frames(bundle.video, size=(16, 16)))),
    ):
        if want != got:
            yield f"want {what} {want} as in json, got {got}"


def _pose(bundle: Bundle) -> Iterator[str]:
    people = bundle.people
    for name in ("keypoint", "box", "score", "visible", "confidence"):
        if not np.isfinite(getattr(people, name)).all():
            yield f"{name}: want finite numbers, got NaN or infinity"
    for name, high in (("visible", 1.0), ("confidence", 1.0), ("score", np.inf), ("flag", 2)):
        array = getattr(people, name)
        if array.size and not (array.min() >= 0 and array.max() <= high):
            yield f"{name}: want 0 to {high}, got {array.min()} to {array.max()}"


def _masks(bundle: Bundle) -> Iterator[str]:
    people = bundle.people
    for start in range(0, people.num_frames, _STEP):
        frames = np.arange(start, min(start + _STEP, people.num_frames))
        # Frame by frame, and everyone of a frame side by side.
        index = (frames[:, None] + np.arange(people.num_people) * people.num_frames).ravel()
        runs = decode_runs(people.mask, index)
        frame, person = np.divmod(runs.mask, people.num_people)
        order = np.lexsort((runs.start, frame))
        clash = (frame[order][1:] == frame[order][:-1]) & (runs.start[order][1:] < runs.stop[order][:-1])
        for at in np.unique(frame[order][1:][clash]):
            here = np.unique(np.concatenate([person[order][1:][clash], person[order][:-1][clash]]))
            yield f"frame {start + at}: want masks that exclude each other, got overlap among people {here.tolist()}"


def _reference(bundle: Bundle) -> Iterator[str]:
    with Image.open(io.BytesIO(bundle.reference), formats=("PNG",)) as picture:
        picture.load()
        if picture.mode != "RGB":
            yield f"want an RGB picture, got {picture.mode}"


def _extra(name: str):
    def check(bundle: Bundle) -> Iterator[str]:
        data, clip = bundle.extra[name], bundle.clip
        if name == "amodal.npz":
            yield from _amodal(bundle, decode_masks({name: data}, name))
        elif name == FACE:
            yield from _faces(bundle, decode_faces({name: data}))
        elif name == "depth.mkv":
            shapes = [frame.shape for frame in read_depth(data)]
            if len(shapes) != clip.frames or set(shapes) != {clip.size}:
                yield f"want {clip.frames} depth maps of {clip.size}, got {len(shapes)} of {sorted(set(shapes))}"
        else:
            read_npz(io.BytesIO(data))

    return check


def _faces(bundle: Bundle, faces: Faces) -> Iterator[str]:
    people = bundle.people
    if faces.score.shape != people.present.shape or faces.mask.size != people.mask.size:
        yield (
            f"want faces of {people.present.shape} people and frames in {people.mask.size}, "
            f"got {faces.score.shape} in {faces.mask.size}"
        )
        return
    if not all(np.isfinite(array).all() for array in (faces.box, faces.score, faces.embedding)):
        yield "want finite numbers, got NaN or infinity"
        return
    if faces.score.size and not (faces.score.min() >= 0 and faces.score.max() <= 1):
        yield f"score: want 0 to 1, got {faces.score.min()} to {faces.score.max()}"
    length = np.linalg.norm(faces.embedding, axis=1)
    off = np.flatnonzero((length > 0) & (np.abs(length - 1) > _UNIT))
    if len(off):
        yield f"embedding: want rows of length 1 or 0, got {length[off[0]]:.4f} for person {off[0]}"
    decode_runs(faces.mask, np.arange(len(faces.mask)))
    found = (faces.score > 0).ravel()
    for what, wrong in (
        ("nothing where the score is 0", ~found & (faces.box.reshape(-1, 4).any(axis=1) | (faces.mask.areas() > 0))),
        ("face masks inside the person's own mask", ~faces.mask.inside(people.mask)),
    ):
        if wrong.any():
            person, frame = np.divmod(np.flatnonzero(wrong)[0], people.num_frames)
            yield f"want {what}, got another at person {person}, frame {frame}"


def _amodal(bundle: Bundle, amodal: Masks) -> Iterator[str]:
    people = bundle.people
    if len(amodal) != len(people.mask) or amodal.size != people.mask.size:
        yield f"want {len(people.mask)} masks of {people.mask.size}, got {len(amodal)} of {amodal.size}"
        return
    decode_runs(amodal, np.arange(len(amodal)))
    less = np.flatnonzero(amodal.areas() < people.mask.areas())
    if len(less):
        yield f"want amodal masks no smaller than modal ones, got smaller at {np.divmod(less[0], people.num_frames)}"

"""A sample's members -> the wanted frames of it, at training size: what a stream gives."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from datasets.faces import FACE, decode_faces
from datasets.members import ShardError, decode_about, decode_json, decode_masks, decode_pose
from datasets.records import FACE_WIDTH
from datasets.video import VideoError, read_window
from datasets.view import Fit, View, view_of
from datasets.window_masks import sample_masks

# Frames of a clip, or what says which: visible shares (P, T) float32, 0 for who is not there -> frames (n,).
Frames = Sequence[int] | np.ndarray | Callable[[np.ndarray], np.ndarray]


def wanted_members(*, reference: bool, faces: bool) -> tuple[str, ...]:
    """The members that `decode_window` reads."""
    return ("json", "mp4", "pose.npz", "mask.npz", *(["ref.png"] if reference else []), *([FACE] if faces else []))


def decode_window(
    members: Mapping[str, bytes],
    wanted: Frames,
    *,
    size: tuple[int, int] | None,
    fit: Fit,
    reference: bool,
    faces: bool,
) -> dict[str, Any]:
    """The wanted frames of a sample at a size (h, w), with the names and shapes of ShardStream's table.

    Decodes no other frames. Raises ShardError that names the member which is missing, damaged or at odds with others.
    """
    about = decode_json(members)
    clip, cast, *_ = decode_about(about)
    pose, masks = decode_pose(members), decode_masks(members)
    people = len(cast.kind)
    if any(array.shape[:2] != (people, clip.frames) for array in pose.values()):
        raise ShardError(f"pose.npz: want ({people}, {clip.frames}, ...), got other shapes")
    if len(masks) != people * clip.frames or masks.size != clip.size:
        raise ShardError(
            f"mask.npz: want {people} * {clip.frames} masks of {clip.size}, got {len(masks)} of {masks.size}"
        )
    chosen = wanted(np.where(pose["present"], pose["visible"], np.float32(0))) if callable(wanted) else wanted
    frames = np.asarray(chosen, np.int64)
    view = view_of(clip.size, size, fit)
    at = (np.arange(people)[:, None] * clip.frames + frames).ravel()
    keypoint = view.points(pose["keypoint"][:, frames])
    out = {
        "key": clip.key,
        "video": view.cut(_video(members, frames, view)),
        "mask": _masks(masks, at, view).reshape(people, len(frames), *view.size),
        "keypoint": keypoint,
        "score": pose["score"][:, frames],
        "flag": np.where(view.inside(keypoint), pose["flag"][:, frames], np.uint8(0)),
        "box": view.boxes(pose["box"][:, frames]),
        **{name: pose[name][:, frames] for name in ("present", "visible", "confidence")},
        "frame": frames,
        "fps": np.float32(clip.fps),
        "kind": np.array(cast.kind, dtype="U8"),
        "skeleton": str(about["skeleton"]),
    }
    if reference:
        out["reference"] = _picture(members, view)
    if faces:
        out |= _faces(members, (people, clip.frames, clip.size), at, view)
    return out


def _video(members: Mapping[str, bytes], frames: np.ndarray, view: View) -> np.ndarray:
    if "mp4" not in members:
        raise ShardError("mp4: want this member, got none")
    try:
        return read_window(members["mp4"], frames, size=None if view.scaled == view.source else view.scaled)
    except (VideoError, ValueError) as error:
        raise ShardError(f"mp4: {error}") from error


def _masks(masks: Any, at: np.ndarray, view: View, member: str = "mask.npz") -> np.ndarray:
    try:
        return sample_masks(masks, at, view.grid())
    except ValueError as error:
        raise ShardError(f"{member}: {error}") from error


def _faces(
    members: Mapping[str, bytes], want: tuple[int, int, tuple[int, int]], at: np.ndarray, view: View
) -> dict[str, np.ndarray]:
    """face_mask and face_embedding; `want` is the people, frames and size of the sample, `at` the masks shown."""
    people = want[0]
    shape = (people, len(at) // max(people, 1), *view.size)
    if FACE not in members:
        return {"face_mask": np.zeros(shape, bool), "face_embedding": np.zeros((people, FACE_WIDTH), np.float32)}
    faces = decode_faces(members)
    if (*faces.score.shape, faces.mask.size) != want:
        raise ShardError(f"{FACE}: want people, frames and size {want}, got {(*faces.score.shape, faces.mask.size)}")
    return {"face_mask": _masks(faces.mask, at, view, FACE).reshape(shape), "face_embedding": faces.embedding}


def _picture(members: Mapping[str, bytes], view: View) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(members["ref.png"]), formats=("PNG",)) as picture:
            scaled = picture.convert("RGB").resize(view.scaled[::-1], Image.Resampling.BILINEAR)
    except (KeyError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ShardError(f"ref.png: want a PNG, got {type(error).__name__}: {error}") from error
    return view.cut(np.asarray(scaled))

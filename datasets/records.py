"""The whole vocabulary: what passes from stage to stage.

Conventions, written once: RGB; (T, H, W, C); boxes xyxy, half-open, pixels; seconds end in `_s`; fps is a Fraction;
frame indices are 0-based; the person axis P stands before the time axis T. Records are frozen; arrays are checked once
and read-only.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from datasets.masks import Masks
from datasets.npz import read_npz, write_npz
from datasets.plain import from_plain, to_plain
from datasets.skeleton import skeleton

Verdict = Literal["accepted", "review", "rejected"]
Kind = Literal["human", "robot"]
# COCO's keypoint flags.
UNKNOWN, HIDDEN, VISIBLE = 0, 1, 2
# Numbers of an ArcFace identity vector.
FACE_WIDTH = 512


def check_field(record: object, name: str, shape: tuple[object, ...], dtype: type) -> None:
    """Hold one field to its shape (numbers are exact, letters bind to the first size seen) and dtype, and lock it."""
    array = np.asarray(getattr(record, name))
    bound: dict[str, int] = {}
    where = f"{type(record).__name__.lower()}.{name}"
    if array.dtype != np.dtype(dtype) or len(array.shape) != len(shape):
        raise ValueError(f"{where}: want {shape} {np.dtype(dtype)}, got {array.shape} {array.dtype}")
    for want, got in zip(shape, array.shape, strict=True):
        if isinstance(want, str):
            want = bound.setdefault(want, got)
        if want != got:
            raise ValueError(f"{where}: want {shape} {np.dtype(dtype)}, got {array.shape} {array.dtype}")
    array = array.view()
    array.setflags(write=False)
    object.__setattr__(record, name, array)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """The sound track that a source carries."""

    codec: str
    rate: int  # samples a second
    channels: int
    start_s: float  # time of the first sample on the video's clock
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """One video as it is after decoding all of it: headers lie, these do not."""

    path: str  # as given, relative to the root it was found under
    sha256: str
    container: str
    codec: str
    width: int  # upright, after rotation, square pixels
    height: int
    rotation: int  # degrees clockwise that the container asks for: 0, 90, 180 or 270
    fps: Fraction  # constant rate that the frames are brought to
    frames: int  # constant-rate frames
    decoded: int  # frames that the decoder gave
    variable: bool  # true when the file's own frames are not evenly spaced
    frame_map: np.ndarray  # (frames,) int32  constant-rate frame -> decoded frame shown then
    audio: Audio | None
    licence: str

    def __post_init__(self) -> None:
        check_field(self, "frame_map", (self.frames,), np.int32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """A shot, or a piece of one: a reference to frames, never pixels."""

    key: str  # the sample key: [a-z0-9_-], slug of the source, 8 digits of its sha256, start frame
    source: str  # as given, relative to its root
    sha256: str  # of the source file
    file: str  # the clip's own H.264, a file inside the artifact that made it
    start: int  # first frame, in the source's constant-rate frames
    frames: int
    fps: Fraction
    size: tuple[int, int]  # (h, w)
    audio: bool
    licence: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.frames / self.fps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """Person boxes of one clip, ascending by frame. No row in a frame means that nobody was found there."""

    frame: np.ndarray  # (N,)   int32
    box: np.ndarray  # (N, 4) float32  xyxy, half-open, pixels, clipped to the frame
    score: np.ndarray  # (N,)   float32 0..1

    def __post_init__(self) -> None:
        n = len(self.frame)
        check_field(self, "frame", (n,), np.int32)
        check_field(self, "box", (n, 4), np.float32)
        check_field(self, "score", (n,), np.float32)
        _ascending(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracklets:
    """The rows of Detections, each with the short and cautious track it belongs to."""

    frame: np.ndarray  # (N,)   int32
    box: np.ndarray  # (N, 4) float32
    score: np.ndarray  # (N,)   float32
    tracklet: np.ndarray  # (N,)   int32   -1: belongs to none
    embedding: np.ndarray  # (N, E) float32 unit appearance vectors; a row of zeros where none was taken

    def __post_init__(self) -> None:
        n = len(self.frame)
        check_field(self, "frame", (n,), np.int32)
        check_field(self, "box", (n, 4), np.float32)
        check_field(self, "score", (n,), np.float32)
        check_field(self, "tracklet", (n,), np.int32)
        check_field(self, "embedding", (n, "E"), np.float32)
        _ascending(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraMotion:
    """How the camera of one clip moved, by its background."""

    step: np.ndarray  # (T, 2, 3) float32  a point (x, y, 1) of frame t -> where that background lay in frame t - 1

    def __post_init__(self) -> None:
        check_field(self, "step", (len(self.step), 2, 3), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Poses:
    """2-D poses of one clip's detections. Row i of every array is the same person in the same frame as row i there."""

    frame: np.ndarray  # (N,)      int32
    keypoint: np.ndarray  # (N, J, 2) float32  x, y in clip pixels
    score: np.ndarray  # (N, J)    float32  0..1; 0 is "not seen"
    skeleton: str

    def __post_init__(self) -> None:
        n, joints = len(self.frame), len(skeleton(self.skeleton).joints)
        check_field(self, "frame", (n,), np.int32)
        check_field(self, "keypoint", (n, joints, 2), np.float32)
        check_field(self, "score", (n, joints), np.float32)
        _ascending(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segments:
    """One mask a tracklet and frame, not yet exclusive; a segmenter that propagates may give rows without a box."""

    frame: np.ndarray  # (N,)   int32
    tracklet: np.ndarray  # (N,)   int32
    score: np.ndarray  # (N,)   float32  0..1, the segmenter's own doubt
    mask: Masks  # N masks
    embedding: np.ndarray  # (N, E) float32  unit appearance of the masked-out crop; zeros where none was taken

    def __post_init__(self) -> None:
        n = len(self.frame)
        check_field(self, "frame", (n,), np.int32)
        check_field(self, "tracklet", (n,), np.int32)
        check_field(self, "score", (n,), np.float32)
        check_field(self, "embedding", (n, "E"), np.float32)
        if len(self.mask) != n:
            raise ValueError(f"segments.mask: want {n} masks, got {len(self.mask)}")
        _ascending(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to who is who: where a person should look."""

    kind: Literal["crossing", "occlusion", "gap", "entry", "exit", "repair", "doubt"]
    start: int  # first frame
    stop: int  # one past the last frame
    people: tuple[int, ...]  # indices on the person axis
    note: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class People:
    """P identities over all T frames of a clip: who (mask) bound to how (pose).

    `present` is true when the person is in the shot, seen or hidden behind someone. `visible` is the visible share of
    the body. `mask` is modal, exclusive, empty when hidden. `box` is tight around the visible parts, interpolated when
    visible is 0. `keypoint` is always the best estimate; its `flag` is COCO's; its `score` is 0 without support.
    """

    box: np.ndarray  # (P, T, 4)    float32
    keypoint: np.ndarray  # (P, T, J, 2) float32
    score: np.ndarray  # (P, T, J)    float32
    flag: np.ndarray  # (P, T, J)    uint8    0 unknown or outside, 1 there but hidden, 2 visible
    mask: Masks  # P * T masks, person by person
    present: np.ndarray  # (P, T)       bool
    visible: np.ndarray  # (P, T)       float32  0..1
    confidence: np.ndarray  # (P, T)       float32  0..1, how sure the identity is
    skeleton: str
    events: tuple[Event, ...]

    def __post_init__(self) -> None:
        if np.ndim(self.present) != 2:
            raise ValueError(f"people.present: want (P, T) bool, got {np.shape(self.present)}")
        people, frames = np.shape(self.present)
        joints = len(skeleton(self.skeleton).joints)
        check_field(self, "box", (people, frames, 4), np.float32)
        check_field(self, "keypoint", (people, frames, joints, 2), np.float32)
        check_field(self, "score", (people, frames, joints), np.float32)
        check_field(self, "flag", (people, frames, joints), np.uint8)
        check_field(self, "present", (people, frames), np.bool_)
        check_field(self, "visible", (people, frames), np.float32)
        check_field(self, "confidence", (people, frames), np.float32)
        if len(self.mask) != people * frames:
            raise ValueError(f"people.mask: want {people} * {frames} masks, got {len(self.mask)}")

    @property
    def num_people(self) -> int:
        """P."""
        return self.present.shape[0]

    @property
    def num_frames(self) -> int:
        """T."""
        return self.present.shape[1]

    def mask_at(self, person: int, frame: int) -> np.ndarray:
        """The modal mask of one person in one frame, (h, w) bool."""
        return self.mask.decode(person * self.num_frames + frame)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Faces:
    """The faces of a clip's P people over all T frames: where each was found, and whose it is.

    Where no face was found `score` and `box` are 0 and the mask is empty; whose face was never clear enough to tell has
    an `embedding` of zeros.
    """

    box: np.ndarray  # (P, T, 4) float32  xyxy, half-open, pixels
    score: np.ndarray  # (P, T)    float32  0..1
    mask: Masks  # P * T masks, person by person: what is seen of the face, inside the person's own mask
    embedding: np.ndarray  # (P, 512)  float32  unit identity vector, ArcFace's

    def __post_init__(self) -> None:
        if np.ndim(self.score) != 2:
            raise ValueError(f"faces.score: want (P, T) float32, got {np.shape(self.score)}")
        people, frames = np.shape(self.score)
        check_field(self, "box", (people, frames, 4), np.float32)
        check_field(self, "score", (people, frames), np.float32)
        check_field(self, "embedding", (people, FACE_WIDTH), np.float32)
        if len(self.mask) != people * frames:
            raise ValueError(f"faces.mask: want {people} * {frames} masks, got {len(self.mask)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cast:
    """What each of a clip's P people is, and who they are over all clips of the source."""

    kind: tuple[Kind, ...]  # P
    kind_confidence: np.ndarray  # (P,) float32 0..1
    kind_reason: tuple[str, ...]  # P, the evidence in a few words
    identity: tuple[str, ...]  # P names, equal for the same person in other clips of the source
    identity_confidence: np.ndarray  # (P,) float32 0..1

    def __post_init__(self) -> None:
        n = len(self.kind)
        check_field(self, "kind_confidence", (n,), np.float32)
        check_field(self, "identity_confidence", (n,), np.float32)
        if len(self.identity) != n or len(self.kind_reason) != n:
            raise ValueError(f"cast: want {n} names and reasons, got {len(self.identity)} and {len(self.kind_reason)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """A judged clip: what a shard's json says beyond Clip, People and Cast."""

    key: str
    verdict: Verdict
    reasons: tuple[str, ...]  # empty when accepted
    scores: dict[str, float]
    reference_frame: int  # the frame in which everyone is best seen
    coverage: tuple[float, ...]  # P shares of the clip's frames in which the person is visible
    provenance: dict[str, str]  # stage -> artifact key, weights name -> sha256, "config" -> digest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motion:
    """Body parameters of P people over T frames, Y-up, metres, facing as the file has it, at the file's own rate."""

    source: str
    sha256: str
    layout: str  # amass, aistpp, gdance, interhuman, interx, dd100, hi4d
    fps: Fraction
    model: Literal["smpl", "smplh", "smplx"]
    pose: np.ndarray  # (P, T, J, 3) float32 axis-angle; J = 24, 52 or 55 in the model's own joint order
    trans: np.ndarray  # (P, T, 3)    float32 metres
    betas: np.ndarray  # (P, B)       float32
    gender: tuple[str, ...]  # P of neutral, female, male

    def __post_init__(self) -> None:
        if np.ndim(self.pose) != 4:
            raise ValueError(f"motion.pose: want (P, T, J, 3) float32, got {np.shape(self.pose)}")
        people, frames = np.shape(self.pose)[:2]
        joints = {"smpl": 24, "smplh": 52, "smplx": 55}[self.model]
        check_field(self, "pose", (people, frames, joints, 3), np.float32)
        check_field(self, "trans", (people, frames, 3), np.float32)
        check_field(self, "betas", (people, "B"), np.float32)
        if len(self.gender) != people:
            raise ValueError(f"motion.gender: want {people} names, got {len(self.gender)}")
        for name in ("pose", "trans", "betas"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{self.source}: motion.{name}: want finite numbers, got NaN or infinity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A finished thing in the store: all that passes between tasks."""

    key: str
    path: str


def _ascending(record: Any) -> None:
    if np.any(np.diff(record.frame) < 0):
        raise ValueError(f"{type(record).__name__.lower()}.frame: want ascending frames, got some out of order")


R = TypeVar("R")


def save_record(record: object, path: str | Path) -> None:
    """Write a record as one npz: its arrays, its masks, and the rest as sorted JSON."""
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(record):  # type: ignore[arg-type]
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif isinstance(value, Masks):
            arrays[f"{field.name}.rle"], arrays[f"{field.name}.offset"] = value.rle, value.offset
            plain[field.name] = list(value.size)
        else:
            plain[field.name] = to_plain(value)
    text = json.dumps({"record": type(record).__name__, **plain}, sort_keys=True, ensure_ascii=False)
    write_npz(path, {**arrays, "json": np.frombuffer(text.encode(), np.uint8)})


def load_record(kind: type[R], path: str | Path) -> R:
    """Read a record of this class. Raises ValueError when the file holds another or a field is off."""
    arrays = read_npz(path)
    plain = json.loads(arrays.pop("json").tobytes())
    if plain.pop("record", None) != kind.__name__:
        raise ValueError(f"{path}: want a {kind.__name__} record, got something else")
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if hints[field.name] is Masks:
            rle, offset = arrays[f"{field.name}.rle"], arrays[f"{field.name}.offset"]
            values[field.name] = Masks(rle=rle, offset=offset, size=tuple(plain[field.name]))
        elif hints[field.name] is np.ndarray:
            values[field.name] = arrays[field.name]
        else:
            values[field.name] = from_plain(hints[field.name], plain[field.name])
    return kind(**values)

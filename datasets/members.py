"""Bundle <-> members: what one sample of shard format version 1 holds, as bytes by name. No pickle anywhere."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from datasets.masks import Masks
from datasets.npz import read_npz, write_npz
from datasets.plain import from_plain, to_plain
from datasets.records import Cast, Clip, Event, Kind, People, Sample, Verdict

FORMAT = 1
# In the order they stand in a shard: what is wanted first comes first.
REQUIRED = ("json", "mp4", "pose.npz", "mask.npz", "ref.png")
OPTIONAL = ("smpl.npz", "scene.npz", "amodal.npz", "face.npz", "depth.mkv")
MEMBERS = REQUIRED + OPTIONAL
# webdataset cuts a key at its first dot; a tar name has 100 bytes, of which the longest member takes 11.
KEY = re.compile(r"[a-z0-9_-]{1,88}")
POSE = ("keypoint", "score", "flag", "box", "present", "visible", "confidence")
# One step of stored coordinates, in pixels: see `encode_pose`.
PIXEL_STEP = 1 / 64
# One step of stored shares and scores, all within 0..1.
SHARE_STEP = 1 / 4096
_MAX_NPZ = 2 << 30
_PNG = b"\x89PNG\r\n\x1a\n"


class ShardError(ValueError):
    """A sample or shard that is not what the format says; the message names the member."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bundle:
    """All that one sample ships."""

    clip: Clip
    people: People
    cast: Cast
    sample: Sample
    video: bytes  # the clip's mp4
    reference: bytes  # PNG that holds everyone
    extra: Mapping[str, bytes] = field(default_factory=dict)  # optional member -> bytes


def encode_sample(bundle: Bundle) -> dict[str, bytes]:
    """The members of a sample, in shard order. Raises ShardError when its parts do not fit together."""
    _check(bundle)
    members = {
        "json": _encode_json(bundle),
        "mp4": bundle.video,
        "pose.npz": encode_pose(bundle.people),
        "mask.npz": encode_masks(bundle.people.mask),
        "ref.png": bundle.reference,
    }
    return {**members, **{name: bundle.extra[name] for name in OPTIONAL if name in bundle.extra}}


def decode_sample(members: Mapping[str, bytes]) -> Bundle:
    """The inverse of encode_sample; `clip.file` becomes the name of the mp4 in the shard.

    Raises ShardError, naming the member, for one that is missing, cannot be read, or does not agree with the others.
    """
    about = decode_json(members)
    clip, cast, sample, events = decode_about(about)
    pose, mask = decode_pose(members), decode_masks(members)
    try:
        people = People(**pose, mask=mask, skeleton=str(about.get("skeleton")), events=events)
    except (TypeError, ValueError) as error:
        raise ShardError(f"pose.npz, mask.npz: {error}") from error
    bundle = Bundle(
        clip=clip,
        people=people,
        cast=cast,
        sample=sample,
        video=_member(members, "mp4"),
        reference=_member(members, "ref.png"),
        extra={name: members[name] for name in OPTIONAL if name in members},
    )
    _check(bundle)
    return bundle


def encode_pose(people: People) -> bytes:
    """pose.npz: keypoint, score, box, visible, confidence float32, flag uint8, present bool; shapes as in People.

    Coordinates are rounded to 1/64 pixel and shares to 1/4096: far below what any of them is sure of. The zeroed tail
    of each float deflates (a quarter less for coordinates, 40 % for scores), and plain numpy still reads plain
    float32.
    """
    step = {"keypoint": PIXEL_STEP, "box": PIXEL_STEP} | dict.fromkeys(("score", "visible", "confidence"), SHARE_STEP)
    arrays = {name: getattr(people, name) for name in POSE}
    return npz_bytes({name: on_grid(array, step[name]) if name in step else array for name, array in arrays.items()})


def on_grid(array: np.ndarray, step: float) -> np.ndarray:
    """The nearest multiples of a step that is a power of two, float32.

    >>> on_grid(np.array([0.3], np.float32), 0.25)
    array([0.25], dtype=float32)
    """
    # Adding zero turns -0.0 into 0.0, so that equal values have equal bytes.
    return (np.rint(array / np.float32(step)) * np.float32(step) + np.float32(0)).astype(np.float32)


def decode_pose(members: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    """The arrays of pose.npz by name. Raises ShardError."""
    return arrays_of(members, "pose.npz", POSE)


def encode_masks(masks: Masks) -> bytes:
    """mask.npz: `rle` (B,) uint8, `offset` (P*T+1,) int64, `size` (h, w) int32; person p in frame t is p * T + t."""
    return npz_bytes({"rle": masks.rle, "offset": masks.offset, "size": np.array(masks.size, np.int32)})


def decode_masks(members: Mapping[str, bytes], name: str = "mask.npz") -> Masks:
    """The masks of a mask.npz, amodal.npz or face.npz member. Raises ShardError."""
    arrays = arrays_of(members, name, ("rle", "offset", "size"))
    try:
        height, width = arrays["size"].tolist()
        return Masks(rle=arrays["rle"], offset=arrays["offset"], size=(height, width))
    except (TypeError, ValueError) as error:
        raise ShardError(f"{name}: {error}") from error


def decode_json(members: Mapping[str, bytes]) -> dict[str, Any]:
    """The json member. Raises ShardError when it is not JSON or of another format version."""
    try:
        about = json.loads(_member(members, "json"))
    except (ValueError, RecursionError) as error:
        raise ShardError(f"json: want UTF-8 JSON, got something else ({error})") from error
    version = about.get("format") if isinstance(about, dict) else None
    if version != FORMAT:
        raise ShardError(f"json: want format version {FORMAT}, got {version!r}; read it with the release that wrote it")
    return about


def decode_about(about: Mapping[str, Any]) -> tuple[Clip, Cast, Sample, tuple[Event, ...]]:
    """The records that the json member holds. Raises ShardError."""
    try:
        source, people = about["source"], about["people"]
        if [one["index"] for one in people] != list(range(len(people))):
            raise ValueError("people: want index 0, 1, ... in order")
        height, width = about["size"]
        clip = Clip(
            key=str(about["key"]),
            source=str(source["name"]),
            sha256=str(source["sha256"]),
            file=f"{about['key']}.mp4",
            start=int(source["start"]),
            frames=int(about["frames"]),
            fps=Fraction(about["fps"]),
            size=(int(height), int(width)),
            audio=bool(about["audio"]),
            licence=str(source["licence"]),
        )
        cast = Cast(
            kind=from_plain(tuple[Kind, ...], [one["kind"] for one in people]),
            kind_confidence=np.array([one["kind_confidence"] for one in people], np.float32),
            kind_reason=tuple(str(one["kind_reason"]) for one in people),
            identity=tuple(str(one["identity"]) for one in people),
            identity_confidence=np.array([one["identity_confidence"] for one in people], np.float32),
        )
        sample = Sample(
            key=str(about["key"]),
            verdict=from_plain(Verdict, about["verdict"]),
            reasons=tuple(str(reason) for reason in about["reasons"]),
            scores={name: math.nan if score is None else float(score) for name, score in about["scores"].items()},
            reference_frame=int(about["reference_frame"]),
            coverage=tuple(float(one["coverage"]) for one in people),
            provenance={str(name): str(value) for name, value in about["provenance"].items()},
        )
        return clip, cast, sample, from_plain(tuple[Event, ...], about["events"])
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ShardError(f"json: want the fields of format {FORMAT}, got {type(error).__name__}: {error}") from error


def legal_key(key: str) -> str:
    """The key itself. Raises ShardError when it is not 1 to 88 of [a-z0-9_-]."""
    if not KEY.fullmatch(key):
        raise ShardError(f"key: want 1 to 88 of [a-z0-9_-], got {key!r}")
    return key


def _encode_json(bundle: Bundle) -> bytes:
    clip, cast, sample = bundle.clip, bundle.cast, bundle.sample
    people = [
        {
            "index": index,
            "kind": cast.kind[index],
            "kind_confidence": float(cast.kind_confidence[index]),
            "kind_reason": cast.kind_reason[index],
            "identity": cast.identity[index],
            "identity_confidence": float(cast.identity_confidence[index]),
            "reference_frame": sample.reference_frame,
            "coverage": float(sample.coverage[index]),
        }
        for index in range(len(cast.kind))
    ]
    about = {
        "format": FORMAT,
        "key": clip.key,
        "fps": clip.fps,
        "frames": clip.frames,
        "size": clip.size,
        "audio": clip.audio,
        "skeleton": bundle.people.skeleton,
        "people": people,
        "reference_frame": sample.reference_frame,
        "source": {"name": clip.source, "sha256": clip.sha256, "start": clip.start, "licence": clip.licence},
        "events": bundle.people.events,
        # JSON has no NaN; a score that could not be taken is null.
        "scores": {name: float(score) if math.isfinite(score) else None for name, score in sample.scores.items()},
        "verdict": sample.verdict,
        "reasons": sample.reasons,
        "provenance": sample.provenance,
    }
    try:
        return json.dumps(to_plain(about), sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise ShardError(f"json: want finite confidences and coverage, got {error}") from error


def _check(bundle: Bundle) -> None:
    """Hold the parts of a sample to each other."""
    clip, people, cast, sample = bundle.clip, bundle.people, bundle.cast, bundle.sample
    legal_key(clip.key)
    for member, what, want, got in (
        ("json", "the clip's key", clip.key, sample.key),
        ("pose.npz", "one frame for each of the clip's", clip.frames, people.num_frames),
        ("mask.npz", "masks of the clip's size", tuple(clip.size), people.mask.size),
        ("json", "one cast entry a person", people.num_people, len(cast.kind)),
        ("json", "one coverage a person", people.num_people, len(sample.coverage)),
        ("json", "a verdict that ships", True, sample.verdict in ("accepted", "review")),
        ("json", "a reference frame in the clip", True, 0 <= sample.reference_frame < clip.frames),
        ("json", "an fps above 0", True, clip.fps > 0),
        ("json", "events inside the clip", True, all(0 <= e.start <= e.stop <= clip.frames for e in people.events)),
        ("mp4", "the bytes of a video", True, bundle.video[4:8] == b"ftyp"),
        ("ref.png", "a PNG", True, bundle.reference.startswith(_PNG)),
        (", ".join(bundle.extra), f"only {', '.join(OPTIONAL)}", True, set(bundle.extra) <= set(OPTIONAL)),
    ):
        if want != got:
            raise ShardError(f"{clip.key}: {member}: want {what} ({want}), got {got}")


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as the bytes of an npz member."""
    buffer = io.BytesIO()
    write_npz(buffer, arrays)
    return buffer.getvalue()


def arrays_of(members: Mapping[str, bytes], name: str, wanted: Iterable[str]) -> dict[str, np.ndarray]:
    """The wanted arrays of an npz member. Raises ShardError that names the member."""
    data = _member(members, name)
    try:
        arrays = read_npz(io.BytesIO(data), max_bytes=_MAX_NPZ)
        return {array: arrays[array] for array in wanted}
    except KeyError as error:
        raise ShardError(f"{name}: want the array {error}, got none of that name") from error
    except Exception as error:  # damaged bytes come out of zipfile, zlib and numpy as a dozen kinds of error
        raise ShardError(f"{name}: want an npz of plain arrays, got {type(error).__name__}: {error}") from error


def _member(members: Mapping[str, bytes], name: str) -> bytes:
    if name not in members:
        raise ShardError(f"{name}: want this member, got only {', '.join(sorted(members))}")
    return members[name]

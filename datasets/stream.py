"""Shards -> training windows: an iterable without torch, split by rank and worker, resumable to the exact sample."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import fsspec
import numpy as np
from PIL import Image

from datasets.faces import FACE, decode_faces
from datasets.members import ShardError, decode_about, decode_json, decode_masks, decode_pose
from datasets.records import FACE_WIDTH
from datasets.sample_list import Ref, list_samples, padded_order, share_of, visit_order
from datasets.shards import read_sample
from datasets.video import VideoError, read_window
from datasets.view import Fit, View, view_of
from datasets.window_masks import sample_masks

log = logging.getLogger("duetflow")
_WANTED = ("json", "mp4", "pose.npz", "mask.npz")


class Draw(Protocol):
    """Which frames of a clip to show, where a window of evenly spaced ones from anywhere will not do."""

    @property
    def span(self) -> int:
        """The fewest frames that a clip must have."""
        ...

    def __call__(self, visible: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Visible shares (P, T) float32, 0 for who is not there -> frames of the clip (n,) int64, in any order."""
        ...


class ShardStream:
    """Windows of clips, one a sample and epoch, as a dict of numpy arrays.

    | name | shape | what |
    |---|---|---|
    | video | (n, h, w, 3) uint8 | RGB |
    | mask | (P, n, h, w) bool | modal, exclusive |
    | keypoint | (P, n, J, 2) float32 | pixels of this window's picture |
    | score, flag | (P, n, J) float32, uint8 | as in `People`; flag is 0 outside the picture |
    | box | (P, n, 4) float32 | clipped to the picture |
    | present, visible, confidence | (P, n) bool, float32, float32 | |
    | frame | (n,) int64 | frames of the clip |
    | fps | () float32 | of the clip; the window's own is fps / stride |
    | kind | (P,) str | human or robot |
    | reference | (h, w, 3) uint8 | the reference image, when asked for |
    | face_mask | (P, n, h, w) bool | when `faces` are asked for; empty where the sample has none |
    | face_embedding | (P, 512) float32 | unit identity vector; zeros where the sample has none |
    | padding | () bool | with even="pad": it stands in this epoch already, and again only to fill up |
    | key, skeleton | str | |

    `source` is a dataset folder or shards, local or any address that fsspec opens. `split` None takes all; `size` is
    (h, w), None the clip's own; `fit` says what becomes of another shape. With `draw`, that says which frames are shown
    instead of `window` and `stride`. Clips too short for these are left out and counted in `too_short`. A damaged
    sample raises ShardError, or with on_error="skip" is logged and counted in `skipped`. The order is a function of
    seed, epoch, rank and worker; `shuffle_buffer` 0 keeps the listed order. `even` gives every rank
    equally many samples: True leaves out those over, "pad" shows some a second time. Raises ShardError where there is
    nothing to read and ValueError for an argument out of range.
    """

    def __init__(
        self,
        source: str | Path | Sequence[str | Path],
        *,
        split: str | None = "train",
        include_review: bool = False,
        window: int = 16,
        stride: int = 1,
        size: tuple[int, int] | None = None,
        fit: Fit = "crop",
        reference: bool = False,
        faces: bool = False,
        draw: Draw | None = None,
        seed: int = 0,
        shuffle_buffer: int = 4096,
        rank: int = 0,
        world_size: int = 1,
        worker: int = 0,
        num_workers: int = 1,
        even: bool | Literal["pad"] = False,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> None:
        for name, value, low in (("window", window, 1), ("stride", stride, 1), ("shuffle_buffer", shuffle_buffer, 0)):
            if value < low:
                raise ValueError(f"{name}: want {low} or more, got {value}")
        for name, value, total in (("rank", rank, world_size), ("worker", worker, num_workers)):
            if not 0 <= value < total:
                raise ValueError(f"{name}: want 0 to {total - 1}, got {value}")
        if even not in (False, True, "pad"):
            raise ValueError(f"even: want True, False or pad, got {even!r}")
        if fit not in ("crop", "stretch") or on_error not in ("raise", "skip"):
            raise ValueError(f"want fit crop or stretch and on_error raise or skip, got {fit!r} and {on_error!r}")
        self.window, self.stride, self.size, self.fit = window, stride, size, fit
        self.reference, self.seed, self.shuffle_buffer, self.on_error = reference, seed, shuffle_buffer, on_error
        self.faces, self.draw = faces, draw
        self.rank, self.world_size, self.worker, self.num_workers = rank, world_size, worker, num_workers
        self.even = even
        address = str(source) if isinstance(source, str | Path) else [str(one) for one in source]
        listed = list_samples(address, split=split, include_review=include_review)
        self.refs = tuple(ref for ref in listed if ref.frames >= self.span)
        self.too_short = len(listed) - len(self.refs)
        self.skipped = 0
        self.epoch = 0
        self._position = self._resume = 0
        if not self.refs:
            raise ShardError(f"{address}: want clips of {self.span} frames or more, got {len(listed)} shorter ones")

    @property
    def span(self) -> int:
        """The fewest frames that a clip must have: those that a window reaches over."""
        return self.draw.span if self.draw else (self.window - 1) * self.stride + 1

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch with the next iteration: other order, other windows."""
        self.epoch, self._position, self._resume = epoch, 0, 0

    def share(self, worker: int | None = None, num_workers: int | None = None) -> list[Ref]:
        """The samples that a worker (this one unless told) visits in this epoch, in order."""
        return [ref for ref, _ in self._visits(worker, num_workers)]

    def _visits(self, worker: int | None = None, num_workers: int | None = None) -> list[tuple[Ref, bool]]:
        """`share`, each sample with whether it is padding."""
        order = visit_order(
            [ref.shard for ref in self.refs], seed=self.seed, epoch=self.epoch, buffer=self.shuffle_buffer
        )
        if self.even == "pad":
            order = padded_order(order, self.world_size)
        mine = share_of(
            np.arange(len(order)),
            rank=self.rank,
            world_size=self.world_size,
            worker=self.worker if worker is None else worker,
            num_workers=num_workers or self.num_workers,
            even=self.even is True,
        )
        return [(self.refs[order[at]], bool(at >= len(self.refs))) for at in mine]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The windows of this epoch, from where load_state_dict left off or from the start."""
        self._position, self._resume = self._resume, 0
        for ref, padding in self._visits()[self._position :]:
            self._position += 1
            try:
                draw = self.draw and partial(self.draw, rng=self.rng(ref.key))
                sample = self.read(ref, draw or self.random_window(ref))
            except ShardError as error:
                if self.on_error == "raise":
                    raise
                self.skipped += 1
                log.warning("skipped a damaged sample: %s", error)
                continue
            yield {**sample, "padding": np.bool_(padding)} if self.even == "pad" else sample

    def random_window(self, ref: Ref) -> np.ndarray:
        """The frames of a sample that this epoch shows: a function of seed, epoch and key."""
        return self.rng(ref.key).integers(ref.frames - self.span + 1) + np.arange(self.window) * self.stride

    def rng(self, key: str, *purpose: int) -> np.random.Generator:
        """The randomness of a sample in this epoch: a function of seed, epoch and key; another for each purpose."""
        return np.random.default_rng((self.seed, self.epoch, zlib.crc32(key.encode()), *purpose))

    def find(self, key: str) -> Ref:
        """Where the sample of this key lies. Raises KeyError."""
        for ref in self.refs:
            if ref.key == key:
                return ref
        raise KeyError(f"{key}: want the key of a sample in this stream, got none of that name")

    def read(self, ref: Ref, frames: Sequence[int] | np.ndarray | Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
        """Any frames of a sample, without decoding the rest, or those that a function of `visible` names (see Draw).

        Raises ShardError that names shard and member.
        """
        wanted = (*_WANTED, *(["ref.png"] if self.reference else []), *([FACE] if self.faces else []))
        try:
            with fsspec.open(ref.shard, "rb") as file:
                members = read_sample(file, ref.key, ref.offset, ref.size, wanted)
            return self._decode(members, frames)
        except (ShardError, OSError) as error:
            raise ShardError(f"{ref.shard}: {ref.key}: {error}") from error

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands: after so many samples of an epoch."""
        position = self._resume or self._position
        return {"epoch": self.epoch, "position": position, "fingerprint": self.fingerprint()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on where a stream of the same samples and arguments stood. Raises ValueError."""
        if state["fingerprint"] != self.fingerprint():
            raise ValueError(
                "state: want the state of a stream over the same samples with the same arguments, got another"
            )
        self.epoch, self._position = int(state["epoch"]), 0
        self._resume = int(state["position"])

    def fingerprint(self) -> str:
        """A digest of all that order and windows hang on, but the epoch."""
        numbers = [
            self.seed,
            self.shuffle_buffer,
            self.window,
            self.stride,
            2 if self.even == "pad" else int(self.even),
        ]
        numbers += [self.rank, self.world_size, self.worker, self.num_workers]
        keys = [(ref.key, Path(ref.shard).name, ref.frames) for ref in self.refs]
        drawn = [] if self.draw is None else [repr(self.draw)]
        return hashlib.sha256(json.dumps([numbers, keys, *drawn]).encode()).hexdigest()[:32]

    def _decode(self, members: Mapping[str, bytes], wanted: Any) -> dict[str, Any]:
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
        view = view_of(clip.size, self.size, self.fit)
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
        if self.reference:
            out["reference"] = _picture(members, view)
        if self.faces:
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

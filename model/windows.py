"""Shards -> training examples: a random window, its people in random order, perhaps mirrored, a reference beside it.

T frames, P people, J joints, H x W pixels. Pictures stay bytes until `as_floats`, which may run on the accelerator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.condition import pose_maps
from datasets.skeleton import skeleton
from datasets.view import Fit
from model.stream import PER_PERSON, TorchShardStream

# The reference shows whoever is at least so visible in it.
SEEN = 0.5
# Along which axis of an example its people lie, and what stands for those who are not there.
_PEOPLE_AXIS = {"pose": 1, "body": 1, "face": 1, "there": 1, "embedding": 0, "reference_body": 0, "person": 0}
_PADDING = {"person": -1}
# What `as_floats` takes to -1..1, and what to 0..1.
_SIGNED, _SHARES = ("video", "reference", "pose"), ("body", "face", "reference_body")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowConfig:
    """What an example shows of a clip."""

    frames: int = 16  # T
    size: tuple[int, int] = (64, 64)  # (H, W)
    stride: tuple[int, int] = (1, 4)  # frames of a window lie so many apart: least and most
    mirror: bool = True  # half of the examples are mirrored
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        if self.frames < 1 or not 1 <= self.stride[0] <= self.stride[1]:
            raise ValueError(
                f"windows: want 1 frame or more and 1 <= least stride <= most, got {self.frames}, {self.stride}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowAndReference:
    """Frames of a random window at a random stride, and last a reference frame from outside it (datasets.stream.Draw).

    The stride is any within the bounds that the clip is long enough for, the reference any frame before or after the
    window that shows most of the people whom the window shows.
    """

    frames: int
    stride: tuple[int, int]

    @property
    def span(self) -> int:
        """A window at the least stride, and one frame more."""
        return (self.frames - 1) * self.stride[0] + 2

    def __call__(self, visible: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Visible shares (P, clip's frames) -> (T + 1,) int64."""
        length, steps = visible.shape[1], self.frames - 1
        most = min(self.stride[1], (length - 2) // steps) if steps else self.stride[0]
        stride = int(rng.integers(self.stride[0], most + 1))
        start = int(rng.integers(length - steps * stride))
        window = start + np.arange(self.frames) * stride
        outside = np.delete(np.arange(length), np.s_[start : window[-1] + 1])
        shown = visible[:, window].max(axis=1) > 0
        count = (visible[shown][:, outside] >= SEEN).sum(axis=0)
        return np.append(window, rng.choice(outside[count == count.max()]))


def example_stream(
    source: str | Path | Sequence[str | Path], config: WindowConfig, **arguments: Any
) -> TorchShardStream:
    """The training examples of a dataset, one window of each sample an epoch.

    `arguments` are a TorchShardStream's: split, seed, rank, on_error and so on. Wrap it in a ShardLoader with
    `collate_examples`; that resumes to the exact example, for all that is random in one comes from seed, epoch and key.
    """
    return TorchShardStream(
        source,
        draw=WindowAndReference(frames=config.frames, stride=config.stride),
        size=config.size,
        fit=config.fit,
        faces=True,
        transform=partial(random_example, mirror=config.mirror),
        **arguments,
    )


def random_example(sample: Mapping[str, Any], rng: np.random.Generator, *, mirror: bool) -> dict[str, Any]:
    """A sample of T frames and a reference frame -> an example, people in random order, mirrored half of the time."""
    order = rng.permutation(len(sample["present"]))
    flip = mirror and bool(rng.random() < 0.5)
    return example(mirrored(sample) if flip else sample, order=order, flipped=flip)


def example(sample: Mapping[str, Any], *, order: np.ndarray | None = None, flipped: bool = False) -> dict[str, Any]:
    """A stream's sample with faces, whose last frame is the reference, as a network takes it.

    | name | shape | what |
    |---|---|---|
    | video | (T, 3, H, W) uint8 | RGB |
    | pose | (T, P, 3, H, W) uint8 | each person's pose map on black |
    | body, face | (T, P, 1, H, W) uint8 | masks, 0 or 1 |
    | there | (T, P) bool | in the shot, with a mask or a pose in the picture |
    | embedding | (P, 512) float32 | of the face; zeros where none is known |
    | reference, reference_body | (3, H, W), (P, 1, H, W) uint8 | the reference frame and everyone's mask in it |
    | person | (P,) int64 | who it is in the sample |
    | frame, reference_frame | (T,), () int64 | frames of the clip |
    | fps | () float32 | of this window |
    | mirrored | () bool | |
    | key | str | |
    | padding | () bool | as in the stream, where that says it |
    """
    people = len(sample["present"])
    order = np.arange(people) if order is None else np.asarray(order)
    of = {name: sample[name][order] for name in PER_PERSON}
    video, frame = sample["video"], sample["frame"]
    window = {name: of[name][:, :-1] for name in ("keypoint", "score", "flag", "mask", "face_mask", "present")}
    pose = _poses(window, sample["skeleton"], video.shape[1:3])
    body = window["mask"]
    there = window["present"] & (body.any(axis=(2, 3)) | pose.any(axis=(2, 3, 4)))
    pose[~there] = 0
    return {
        "video": _channels_first(video[:-1]),
        "pose": _channels_first(pose.swapaxes(0, 1)),
        "body": _frames_first(body),
        "face": _frames_first(window["face_mask"]),
        "there": np.ascontiguousarray(there.T),
        "embedding": of["face_embedding"],
        "reference": _channels_first(video[-1]),
        "reference_body": of["mask"][:, -1, None].astype(np.uint8),
        "person": order.astype(np.int64),
        "frame": frame[:-1],
        "reference_frame": frame[-1],
        "fps": np.float32(sample["fps"] / (frame[1] - frame[0] if len(frame) > 2 else 1)),
        "mirrored": np.bool_(flipped),
        "key": sample["key"],
        **({"padding": sample["padding"]} if "padding" in sample else {}),
    }


def mirrored(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The sample as a mirror shows it: pictures, masks, boxes, and everyone's left joints for their right ones."""
    swap, width = list(skeleton(sample["skeleton"]).mirror), sample["video"].shape[2]
    out = dict(sample)
    out["video"] = sample["video"][:, :, ::-1]
    for name in ("mask", "face_mask"):
        out[name] = sample[name][..., ::-1]
    for name in ("score", "flag"):
        out[name] = sample[name][..., swap]
    # Coordinates count from the picture's edge, not from the middle of its first pixel.
    out["keypoint"] = sample["keypoint"][..., swap, :].copy()
    out["keypoint"][..., 0] = width - out["keypoint"][..., 0]
    x0, y0, x1, y1 = np.moveaxis(sample["box"], -1, 0)
    out["box"] = np.stack([width - x1, y0, width - x0, y1], axis=-1)
    return out


def collate_examples(examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch: arrays stacked as tensors, people padded to the most in the batch, keys as a list.

    Those who were added are nowhere `there`, and their `person` is -1.
    """
    most = max(one["there"].shape[1] for one in examples)
    batch: dict[str, Any] = {"key": [one["key"] for one in examples]}
    for name in examples[0].keys() - batch.keys():
        column = [np.asarray(one[name]) for one in examples]
        if name in _PEOPLE_AXIS:
            column = [_padded(array, _PEOPLE_AXIS[name], most, _PADDING.get(name, 0)) for array in column]
        batch[name] = torch.from_numpy(np.stack(column))
    return batch


def as_floats(batch: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """The batch with colours as floats in -1..1 and masks in 0..1, on whatever device they are."""
    floats: dict[str, Tensor] = {name: batch[name].to(dtype) / 127.5 - 1 for name in _SIGNED}
    return {**batch, **floats, **{name: batch[name].to(dtype) for name in _SHARES}}


def _poses(of: Mapping[str, np.ndarray], layout: str, size: tuple[int, int]) -> np.ndarray:
    """Pose maps (P, T, H, W, 3) uint8."""
    # cv2 draws from the middle of the first pixel: half a pixel less.
    height, width = size
    window = (0.5, 0.5, width + 0.5, height + 0.5)
    return pose_maps(of["keypoint"], of["score"], of["flag"], layout, window=window, size=(height, width))


def _channels_first(pictures: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(pictures, -1, -3))


def _frames_first(masks: np.ndarray) -> np.ndarray:
    """(P, T, H, W) bool -> (T, P, 1, H, W) uint8."""
    return np.ascontiguousarray(masks.swapaxes(0, 1)[:, :, None]).view(np.uint8)


def _padded(array: np.ndarray, axis: int, most: int, value: int) -> np.ndarray:
    widths = [(0, most - array.shape[axis] if at == axis else 0) for at in range(array.ndim)]
    return np.pad(array, widths, constant_values=value)

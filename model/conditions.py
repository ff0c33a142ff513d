"""What a video is generated from: the reference image, and everyone's poses, masks and faces. One record, checked once.

B clips, T frames, P people, H x W pixels, h x w latent cells, C latent channels, K image tokens of width D.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from model.config import NetworkConfig
from model.image_encoder import ClipImageEncoder
from model.latents import Codec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conditions:
    """Conditions of B clips. The order of people is free, but the same in every field."""

    pose: Tensor  # (B, T, P, 3, H, W) float, -1..1: each person's pose map on black (-1)
    body: Tensor  # (B, T, P, 1, H, W) float, 0..1: modal body masks
    face: Tensor  # (B, T, P, 1, H, W) float, 0..1: face masks; zeros where none is known
    there: Tensor  # (B, T, P) bool: the person is in the shot in this frame; False for padding
    embedding: Tensor  # (B, P, E) float: face embeddings; zeros where no face is seen
    reference_latent: Tensor  # (B, C, h, w) float: Codec.encode_reference of the reference image
    reference_body: Tensor  # (B, P, 1, H, W) float, 0..1: body masks in the reference image; zeros where unknown
    time_ids: Tensor  # (B, 3) float: fps - 1, motion bucket, noise augmentation
    image: Tensor | None = None  # (B, 3, H, W) float, -1..1: the reference image, for an encoder that learns along
    tokens: Tensor | None = None  # (B, K, D) float: its tokens, where they are known already
    keep_image: Tensor | None = None  # (B,) bool: False hides the reference image; None keeps all
    keep_people: Tensor | None = None  # (B,) bool: False hides poses, masks and faces; None keeps all

    def check(self, config: NetworkConfig) -> None:
        """Raises ValueError, naming the field, when a shape or a type does not fit the network or the other fields."""
        if self.there.ndim != 3 or self.there.dtype != torch.bool:
            raise ValueError(f"conditions.there: want (B, T, P) bool, got {_seen(self.there)}")
        batch, frames, people = self.there.shape
        height, width = config.size
        want = {
            "pose": (batch, frames, people, 3, height, width),
            "body": (batch, frames, people, 1, height, width),
            "face": (batch, frames, people, 1, height, width),
            "embedding": (batch, people, config.face_shape.embedding),
            "reference_latent": (batch, config.codec.latent_channels, *config.latent_size),
            "reference_body": (batch, people, 1, height, width),
            "time_ids": (batch, 3),
            "image": (batch, 3, height, width),
            "tokens": (batch, config.image.tokens, config.unet.cross_dim),
            "keep_image": (batch,),
            "keep_people": (batch,),
        }
        for name, shape in want.items():
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != shape:
                raise ValueError(f"conditions.{name}: want {shape}, got {_seen(value)}")
        if self.tokens is None and self.image is None:
            raise ValueError("conditions: want the reference image or its tokens, got neither")
        if self.tokens is None and config.image.kind == "clip":
            raise ValueError("conditions.tokens: want those of ClipImageEncoder, got none; CLIP is not in the network")

    def hidden(self) -> Conditions:
        """The same with what `keep_image` and `keep_people` hide set to what "not known" looks like."""
        out = self
        if self.keep_image is not None:
            keep = self.keep_image
            out = replace(
                out,
                reference_latent=_where(keep, out.reference_latent),
                reference_body=_where(keep, out.reference_body),
            )
        if self.keep_people is not None:
            keep = self.keep_people
            out = replace(
                out, there=out.there & keep[:, None, None], embedding=_where(keep, out.embedding),
                reference_body=_where(keep, out.reference_body),
            )  # fmt: skip
        return out

    def changed(self, change: Callable[[Tensor], Tensor]) -> Conditions:
        """Every tensor passed through a function, such as `lambda x: x.to("cuda")`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Conditions(**{name: None if value is None else change(value) for name, value in values.items()})


def from_examples(
    batch: Mapping[str, Any],
    codec: Codec,
    clip: ClipImageEncoder | None = None,
    *,
    noise_aug: float = 0.0,
    generator: torch.Generator | None = None,
) -> Conditions:
    """The conditions of a batch of examples (model/windows.py, after `as_floats`).

    The reference image's latents are those of the image with noise of strength `noise_aug` over its pixels, as SVD was
    trained; a generator on the CPU gives the same noise whatever the image is on. Tokens come from the clean image, by
    `clip` where the network has no image encoder of its own.
    """
    image = batch["reference"]
    shown = image
    if noise_aug:
        noise = randn_tensor(tuple(image.shape), generator=generator, device=image.device, dtype=image.dtype)
        shown = image + noise_aug * noise
    return Conditions(
        **{name: batch[name] for name in ("pose", "body", "face", "there", "embedding", "reference_body")},
        reference_latent=codec.encode_reference(shown),
        time_ids=time_ids(batch["fps"], noise_aug=noise_aug),
        image=image if clip is None else None,
        tokens=None if clip is None else clip(image),
    )


def time_ids(fps: Tensor, motion_bucket: float = 127.0, noise_aug: float = 0.02) -> Tensor:
    """SVD's added time ids (B, 3) for clips of `fps` (B,): fps - 1, motion bucket, noise augmentation.

    127 and 0.02 are StableAnimator's [V]; fps - 1 is SVD's (diffusers, StableVideoDiffusionPipeline).
    """
    same = torch.ones_like(fps)
    return torch.stack([fps - 1, same * motion_bucket, same * noise_aug], dim=1).float()


def _where(keep: Tensor, value: Tensor) -> Tensor:
    return value * keep.reshape(-1, *[1] * (value.ndim - 1)).to(value.dtype)


def _seen(value: Tensor) -> str:
    return f"{tuple(value.shape)} {value.dtype}"

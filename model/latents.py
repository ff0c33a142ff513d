"""Video <-> latents: folded pixels, or Stable Video Diffusion's autoencoder."""

from __future__ import annotations

from typing import Protocol

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import CodecConfig

# Frames that the autoencoder takes at once: what SVD's own decoder was trained on, and bounded memory at any length.
_CHUNK = 14


class Codec(Protocol):
    """What turns pixels -1..1 into latents near unit variance and back. B clips, T frames, C channels."""

    def encode(self, video: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, T, 3, H, W) -> (B, T, C, h, w), scaled. With a generator a sample, without it the mode."""

    def encode_reference(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w): what is laid beside the noisy latents."""

    def decode(self, latent: Tensor) -> Tensor:
        """(B, T, C, h, w) -> (B, T, 3, H, W), not clipped."""


class UnshuffleCodec(nn.Module):
    """factor x factor pixels become the channels of one cell: exact, nothing to learn; factor 1 is pixel space.

    >>> codec = UnshuffleCodec(factor=2, scale=2.0)
    >>> video = torch.rand(1, 2, 3, 4, 4)
    >>> codec.encode(video).shape, torch.equal(codec.decode(codec.encode(video)), video)
    (torch.Size([1, 2, 12, 2, 2]), True)
    """

    def __init__(self, factor: int, scale: float) -> None:
        super().__init__()
        self.factor, self.scale = factor, scale

    def encode(self, video: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, T, 3, H, W) -> (B, T, 3 factor^2, h, w)."""
        return F.pixel_unshuffle(video, self.factor) * self.scale

    def encode_reference(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3 factor^2, h, w)."""
        return F.pixel_unshuffle(image, self.factor) * self.scale

    def decode(self, latent: Tensor) -> Tensor:
        """(B, T, 3 factor^2, h, w) -> (B, T, 3, H, W)."""
        return F.pixel_shuffle(latent / self.scale, self.factor)


class KlCodec(nn.Module):
    """Stable Video Diffusion's autoencoder, frozen; a few frames at a time."""

    def __init__(self, vae: AutoencoderKLTemporalDecoder) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False).eval()
        self.scale = float(vae.config["scaling_factor"])

    @torch.no_grad()
    def encode(self, video: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, T, 3, H, W) -> (B, T, C, h, w)."""
        parts = []
        for chunk in video.flatten(0, 1).split(_CHUNK):
            found = self.vae.encode(chunk.to(self.vae.dtype)).latent_dist
            parts.append(found.mode() if generator is None else found.sample(generator))
        return torch.cat(parts).unflatten(0, video.shape[:2]) * self.scale

    @torch.no_grad()
    def encode_reference(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w): the mode and not scaled, as SVD was trained (diffusers `_encode_vae_image`)."""
        return self.vae.encode(image.to(self.vae.dtype)).latent_dist.mode()

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """(B, T, C, h, w) -> (B, T, 3, H, W). Frames of one clip are decoded together, at most 14 at a time."""
        clips = []
        for clip in (latent / self.scale).to(self.vae.dtype):
            parts = [self.vae.decode(chunk, num_frames=len(chunk)).sample for chunk in clip.split(_CHUNK)]
            clips.append(torch.cat(parts))
        return torch.stack(clips)


def build_vae(config: CodecConfig) -> AutoencoderKLTemporalDecoder:
    """SVD's autoencoder in the shape of the config, at random. Raises ValueError if its factor differs."""
    factor = 2 ** (len(config.widths) - 1)
    if config.factor != factor:
        raise ValueError(f"codec.factor: want {factor} with {len(config.widths)} levels, got {config.factor}")
    return AutoencoderKLTemporalDecoder(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(config.widths),
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        latent_channels=config.channels,
        sample_size=768,
        scaling_factor=config.scale,
        force_upcast=True,
    )


def build_codec(config: CodecConfig, base: str = "") -> UnshuffleCodec | KlCodec:
    """The codec of a config; for `kl`, weights from `base` (a hub name or a folder of diffusers' layout) when given."""
    if config.kind == "unshuffle":
        return UnshuffleCodec(config.factor, config.scale)
    if base:
        return KlCodec(AutoencoderKLTemporalDecoder.from_pretrained(base, subfolder="vae"))
    return KlCodec(build_vae(config))

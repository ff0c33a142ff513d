"""Reference image -> tokens for cross-attention: a small network that learns along, or frozen CLIP vision.

Both take pixels (B, 3, H, W) in -1..1 and give (B, K, D); K is `ImageConfig.tokens`, D the width of cross-attention.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from model.config import ImageConfig


class ConvImageEncoder(nn.Module):
    """Convolutions down to a grid x grid picture; each cell, with its place, is a token. Trained with the network."""

    def __init__(self, shape: ImageConfig, width: int) -> None:
        super().__init__()
        self.grid = shape.grid
        half = shape.width // 2
        self.layers = nn.Sequential(
            nn.Conv2d(3, half, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(half, half, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(half, shape.width, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(shape.width, shape.width, 3, padding=1),
        )
        self.project = nn.Linear(shape.width, width)
        self.place = nn.Parameter(0.02 * torch.randn(shape.tokens, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, grid^2, D)."""
        cells = F.adaptive_avg_pool2d(self.layers(image), self.grid).flatten(2).transpose(1, 2)
        return self.norm(self.project(cells) + self.place)


class ClipImageEncoder(nn.Module):
    """The image embedding of CLIP vision as one token, as Stable Video Diffusion is conditioned. Frozen."""

    def __init__(self, clip: CLIPVisionModelWithProjection) -> None:
        super().__init__()
        self.clip = clip.requires_grad_(False).eval()
        self.size = clip.config.image_size
        self.register_buffer("mean", torch.tensor(OPENAI_CLIP_MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(OPENAI_CLIP_STD).reshape(3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1, D). Stretched to CLIP's square, as diffusers' SVD pipeline does."""
        square = F.interpolate(image.float(), (self.size, self.size), mode="bicubic", antialias=True)
        pixels = ((square + 1) / 2 - self.mean) / self.std
        return self.clip(pixels.to(self.clip.dtype)).image_embeds[:, None]


def build_clip(shape: ImageConfig, width: int) -> CLIPVisionModelWithProjection:
    """CLIP vision in the shape of the config with a projection to `width`, randomly initialised."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=shape.clip_width,
            intermediate_size=shape.clip_inner,
            num_hidden_layers=shape.clip_layers,
            num_attention_heads=shape.clip_heads,
            image_size=shape.clip_size,
            patch_size=shape.clip_patch,
            projection_dim=width,
            hidden_act="gelu",
        )
    )


def build_image_encoder(shape: ImageConfig, width: int, base: str = "") -> ConvImageEncoder | ClipImageEncoder:
    """The image encoder of a config; for `clip`, weights from `base` (a hub name or a folder) when given."""
    if shape.kind == "conv":
        return ConvImageEncoder(shape, width)
    if base:
        return ClipImageEncoder(CLIPVisionModelWithProjection.from_pretrained(base, subfolder="image_encoder"))
    return ClipImageEncoder(build_clip(shape, width))

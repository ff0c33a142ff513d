"""Pose map -> features, masks -> features, look in the reference -> a code: the parts that every person shares.

N pictures (clips x frames x people), C channels of the U-Net's first layer, H x W pixels, h x w latent cells. Features
have their channels last: all that follows is a linear layer at each cell, which is fastest so.
"""

from __future__ import annotations

from itertools import pairwise
from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Cells of a person's box in the reference image, rows and columns: a standing body is about twice as tall as wide.
_LOOK = (8, 4)


class PoseNet(nn.Module):
    """Pose maps (N, 3, H, W) in -1..1 -> f_pose (N, h, w, C).

    StableAnimator's PoseNet [V, section 2 of our notes]: conv 3->3 k3, 3->16 k4 s2, 16->16 k3, 16->32 k4 s2, 32->32 k3,
    32->64 k4 s2, 64->64 k3, 64->128 k3, SiLU between, 1x1 to C, learned scale. Two things differ. The strides follow
    the codec's factor: the first log2(factor) widenings halve, the others are k3. The 1x1 is not zero: the chain's one
    zero layer comes last of all (model/adapter.py), so that gradients flow.
    """

    def __init__(self, channels: int, factor: int, widths: tuple[int, ...], last: int) -> None:
        super().__init__()
        halvings = log2(factor)
        if halvings != int(halvings) or halvings > len(widths):
            most = 2 ** len(widths)
            raise ValueError(f"codec.factor: want a power of 2 up to {most} for pose_widths {widths}, got {factor}")
        layers: list[nn.Module] = [nn.Conv2d(3, 3, 3, padding=1), nn.SiLU()]
        for i, (before, after) in enumerate(pairwise((3, *widths))):
            widen = nn.Conv2d(before, after, 4, 2, 1) if i < halvings else nn.Conv2d(before, after, 3, padding=1)
            layers += [widen, nn.SiLU(), nn.Conv2d(after, after, 3, padding=1), nn.SiLU()]
        layers += [nn.Conv2d(widths[-1], last, 3, padding=1), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.project = nn.Linear(last, channels)
        self.scale = nn.Parameter(torch.ones(1))
        keep_variance(self)

    def forward(self, pose: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, h, w, C)."""
        return self.project(self.layers(_channels_last(pose)).movedim(1, -1) * self.scale)


class MaskNet(nn.Module):
    """Body and face masks (N, 2, H, W) in 0..1 -> f_mask (N, h, w, C): DanceTogether's "light mask encoder" [N].

    The notes give no layers; ours folds the pixels of a cell into channels, so that no pixel of a thin limb is lost
    and all convolutions run at h x w.
    """

    def __init__(self, channels: int, factor: int, width: int) -> None:
        super().__init__()
        self.factor = factor
        self.layers = nn.Sequential(
            nn.Conv2d(2 * factor**2, width, 1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
        )
        self.project = nn.Linear(width, channels)
        keep_variance(self)

    def forward(self, masks: Tensor) -> Tensor:
        """(N, 2, H, W) -> (N, h, w, C)."""
        folded = _channels_last(F.pixel_unshuffle(masks, self.factor))
        return self.project(self.layers(folded).movedim(1, -1))


class LookNet(nn.Module):
    """Reference latents and each person's mask there -> one code a person, (B, P, C).

    Ours, not the paper's [I]: with shared branches and no order, nothing else tells which person of the reference image
    a mask of a frame belongs to. The latents under the mask are sampled on an 8 x 4 grid over the mask's box and pass
    two layers. A person with an empty mask has a code of zeros.
    """

    def __init__(self, latent_channels: int, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(_LOOK[0] * _LOOK[1] * (latent_channels + 1), 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, channels),
        )
        keep_variance(self)

    def forward(self, latent: Tensor, mask: Tensor) -> Tensor:
        """`latent` (B, C', h, w), `mask` (B, P, 1, H, W) in 0..1 -> (B, P, C)."""
        people = mask.shape[1]
        cover = F.adaptive_avg_pool2d(mask.flatten(0, 1), latent.shape[-2:])
        shown = latent.repeat_interleave(people, dim=0)
        grid = F.affine_grid(_box_windows(cover), [len(cover), 1, *_LOOK], align_corners=False)
        # Premultiplied, so that what lies around the person does not bleed in.
        both = torch.cat([shown * cover, cover], dim=1)
        both = F.grid_sample(both, grid.to(both.dtype), align_corners=False)
        known = cover.flatten(1).amax(dim=1, keepdim=True) > 0
        return (self.layers(both.flatten(1)) * known).unflatten(0, mask.shape[:2])


def keep_variance(module: nn.Module) -> None:
    """He initialisation of all layers: a chain of eight convolutions otherwise ends in little more than its biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _channels_last(pictures: Tensor) -> Tensor:
    # In memory, too: a quarter less time on a CPU, and what tensor cores want.
    return pictures.contiguous(memory_format=torch.channels_last)


def _box_windows(cover: Tensor) -> Tensor:
    """Where each mask (N, 1, h, w) lies, as affine_grid's (N, 2, 3) in -1..1; an empty one: the whole picture."""
    rows, columns = cover.amax(dim=(1, 3)) > 0, cover.amax(dim=(1, 2)) > 0
    (top, bottom), (left, right) = _ends(rows), _ends(columns)
    zero = torch.zeros_like(top)
    across = torch.stack([(right - left) / 2, zero, (right + left) / 2 - 1], dim=1)
    down = torch.stack([zero, (bottom - top) / 2, (bottom + top) / 2 - 1], dim=1)
    return torch.stack([across, down], dim=1)


def _ends(filled: Tensor) -> tuple[Tensor, Tensor]:
    """Begin and end of the filled cells (N, n) bool, in 0..2 over the whole side; none filled: 0 and 2."""
    count = filled.shape[1]
    at = torch.arange(count, device=filled.device, dtype=torch.float32)
    empty = ~filled
    begin = at.expand_as(filled).masked_fill(empty, count).amin(dim=1)
    end = (at + 1).expand_as(filled).masked_fill(empty, 0).amax(dim=1)
    none = end == 0
    return begin.masked_fill(none, 0) * 2 / count, end.masked_fill(none, count) * 2 / count

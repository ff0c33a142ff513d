"""A batch of examples -> the error of each clip: noise, hidden conditions, denoising, the weighted loss.

All that is random in it comes from one generator, and that is a function of seed, step, part of the step and rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model import edm
from model.conditions import from_examples
from model.config import RunConfig
from model.image_encoder import ClipImageEncoder
from model.latents import Codec
from model.windows import as_floats


def generator_of(seed: int, step: int, part: int, rank: int, device: torch.device) -> torch.Generator:
    """The randomness of one batch: of `part` of `step` on `rank`."""
    mixed = int(np.random.SeedSequence((seed, step, part, rank)).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(mixed >> 1)


def clip_errors(
    network: Callable[..., Tensor],
    batch: Mapping[str, Any],
    config: RunConfig,
    codec: Codec,
    clip: ClipImageEncoder | None,
    generator: torch.Generator,
) -> Tensor:
    """The error of each clip of a batch (model/windows.py, on the network's device), (B,) float32.

    A share `dropout` of clips has its reference image hidden, and as many their people (StableAnimator hides conditions
    at 0.1 [V]); half of each have both hidden, which is what guidance needs (InstructPix2Pix, arXiv 2211.09800).
    """
    train, noise = config.train, config.network.noise
    shown = as_floats(batch)
    clean = codec.encode(shown["video"], generator)
    count = clean.shape[0]
    given = from_examples(shown, codec, clip, noise_aug=train.noise_aug, generator=generator)
    drawn, half = torch.rand(count, generator=generator, device=clean.device), train.dropout / 2
    hide_both, hide_people = drawn < half, (drawn >= 2 * half) & (drawn < 3 * half)
    given = replace(given, keep_image=drawn >= 2 * half, keep_people=~(hide_both | hide_people))
    sigma = edm.draw_sigma(count, noise, generator)
    fresh = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=torch.float32)
    noisy = clean + fresh * sigma.reshape(-1, 1, 1, 1, 1)
    weight = edm.cell_weight(given.body, given.face, config.network.latent_size)
    return edm.loss(edm.denoise(network, noisy, sigma, given, noise), clean, sigma, noise, weight)

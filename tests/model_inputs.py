"""Small random conditions and networks for the tests of model/: every number from a seed."""

from __future__ import annotations

from dataclasses import replace

import torch

from model.conditions import Conditions, time_ids
from model.config import FaceConfig, NetworkConfig, UNetConfig
from model.presets import tiny


def nano(**changes: object) -> NetworkConfig:
    """`tiny`, yet smaller: 16 px, 2 frames, both levels with attention."""
    unet = UNetConfig(widths=(32, 32), heads=(2, 2), attention=(True, True), layers=1, cross_dim=32, time_dim=32)
    face = FaceConfig(embedding=12, depth=2)
    return replace(tiny().network, **{"size": (16, 16), "frames": 2, "unet": unet, "face_shape": face, **changes})


def conditions(config: NetworkConfig, *, batch: int = 2, people: int = 2, seed: int = 0) -> Conditions:
    """Everybody there, with a face; masks are random blocks, different for each person."""
    rng = torch.Generator().manual_seed(seed)
    (height, width), frames = config.size, config.frames

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=rng)

    return Conditions(
        pose=rand(batch, frames, people, 3, height, width) * 2 - 1,
        body=(rand(batch, frames, people, 1, height, width) > 0.5).float(),
        face=(rand(batch, frames, people, 1, height, width) > 0.8).float(),
        there=torch.ones(batch, frames, people, dtype=torch.bool),
        embedding=torch.nn.functional.normalize(torch.randn(batch, people, 12, generator=rng), dim=-1),
        reference_latent=rand(batch, config.codec.latent_channels, *config.latent_size) * 2 - 1,
        reference_body=(rand(batch, people, 1, height, width) > 0.5).float(),
        time_ids=time_ids(torch.full((batch,), 8.0)),
        image=rand(batch, 3, height, width) * 2 - 1,
    )


def noisy(config: NetworkConfig, *, batch: int = 2, seed: int = 1) -> torch.Tensor:
    """Random latents (B, T, C, h, w)."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(batch, config.frames, config.codec.latent_channels, *config.latent_size, generator=rng)


# Which axis of each field holds people.
PEOPLE_AXIS = {"pose": 2, "body": 2, "face": 2, "there": 2, "embedding": 1, "reference_body": 1}


def permuted(given: Conditions, order: list[int]) -> Conditions:
    """The same people in another order, or some of them."""
    at = torch.tensor(order)
    return replace(given, **{name: getattr(given, name).index_select(axis, at) for name, axis in PEOPLE_AXIS.items()})


def with_stranger(given: Conditions) -> Conditions:
    """One more person who is nowhere, first in the row, with rubbish where nothing should look."""
    out = {}
    for name, axis in PEOPLE_AXIS.items():
        value = getattr(given, name)
        one = value.narrow(axis, 0, 1)
        one = torch.zeros_like(one) if name in ("there", "embedding") else torch.full_like(one, 0.7)
        out[name] = torch.cat([one, value], dim=axis)
    return replace(given, **out)


def awake(module: torch.nn.Module, seed: int = 5) -> torch.nn.Module:
    """The module with its zero layers filled, as after some training; the others keep their weights."""
    rng = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if parameter.ndim > 1 and not parameter.any():
            parameter.data.normal_(std=0.1, generator=rng)
    return module

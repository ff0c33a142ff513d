"""EDM as Stable Video Diffusion uses it: noise levels, preconditioning, the weighted loss, the sampler's steps.

Karras et al. 2022 (arXiv 2206.00364) with SVD's v-prediction factors (arXiv 2311.15127, appendix D; the same as
diffusers' EulerDiscreteScheduler with `prediction_type="v_prediction"`):

    c_skip = 1 / (s^2 + 1)    c_out = -s / sqrt(s^2 + 1)    c_in = 1 / sqrt(s^2 + 1)    c_noise = ln(s) / 4
    D(x; s) = c_skip x + c_out F(c_in x; c_noise)           x = x0 + s n, n ~ N(0, 1)

With `predict` "clean" the network says x0 itself: c_skip = 0, c_out = 1. v holds all of the noise, and a network whose
first layer is narrower than a cell of folded pixels cannot hand that on; pictures it can (arXiv 2511.13720 finds the
same).

Latents are taken to have unit variance. s is sigma, the noise's standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from model.config import NoiseConfig


@dataclass(frozen=True, slots=True)
class Factors:
    """The four factors for sigmas (B,): `skip`, `out`, `into` are (B, 1, 1, 1, 1), `noise` is (B,)."""

    skip: Tensor
    out: Tensor
    into: Tensor
    noise: Tensor


def factors(sigma: Tensor, predict: str = "v") -> Factors:
    """The preconditioning at noise levels `sigma` (B,), all above 0, in float32.

    >>> one = factors(torch.ones(1))
    >>> one.skip.item(), one.noise.item()
    (0.5, 0.0)
    """
    sigma = sigma.float()
    wide = sigma.reshape(-1, 1, 1, 1, 1)
    root = (wide**2 + 1).sqrt()
    skip, out = (1 / (wide**2 + 1), -wide / root) if predict == "v" else (0 * wide, 0 * wide + 1)
    return Factors(skip, out, 1 / root, sigma.log() / 4)


def denoise(
    network: Callable[..., Tensor], noisy: Tensor, sigma: Tensor, conditions: Any, noise: NoiseConfig
) -> Tensor:
    """D(x; s): latents `noisy` (B, T, C, h, w) at noise levels `sigma` (B,) -> clean ones, float32.

    `network(c_in x, c_noise, conditions)` is F: a DuetUNet, as it is or wrapped for several GPUs.
    """
    by = factors(sigma, noise.predict)
    found = network(by.into * noisy, by.noise, conditions)
    return by.skip * noisy.float() + by.out * found.float()


def draw_sigma(count: int, noise: NoiseConfig, generator: torch.Generator) -> Tensor:
    """`count` noise levels, ln(s) ~ N(mean, std^2), kept within low..high. (count,) float32 on the generator's device.

    Log-normal: Karras et al., table 1. The limits are StableAnimator's [V]; mean 0.7 and std 1.6 of the full-size
    preset are what we take SVD's finetuning to have used [I].
    """
    normal = torch.randn(count, generator=generator, device=generator.device)
    return (normal * noise.std + noise.mean).exp().clamp(noise.low, noise.high)


def cell_weight(body: Tensor, face: Tensor, size: tuple[int, int]) -> Tensor:
    """What an error in a latent cell counts: 1 + M_body + 2 M_face (DanceTogether, section 2 of our notes [N]).

    `body` and `face` (B, T, P, 1, H, W) are masks 0..1 of each person; M is the union of people, as the covered share
    of each cell. Returns (B, T, 1, h, w).
    """
    return 1 + _covered(body, size) + 2 * _covered(face, size)


def loss(denoised: Tensor, clean: Tensor, sigma: Tensor, noise: NoiseConfig, weight: Tensor | None = None) -> Tensor:
    """The error of each clip, (B,): mean over cells of weight (1 + s^2) / s^2 (D - x0)^2, in float32.

    (1 + s^2) / s^2 = 1 / c_out^2, so every noise level weighs the same at the network's own output (Karras et al., eq.
    8). Predicting clean latents, a level weighs min(1 / s^2, 5) + 1 instead: the same but for low noise, whose weight
    is cut as in Min-SNR-5 (arXiv 2303.09556). `denoised` and `clean` are (B, T, C, h, w), `sigma` (B,), `weight` (B,
    T, 1, h, w) from `cell_weight`.
    """
    snr = sigma.float() ** -2
    level = snr + 1 if noise.predict == "v" else snr.clamp(max=5) + 1
    error = (denoised.float() - clean.float()) ** 2
    return level * (error if weight is None else error * weight).flatten(1).mean(dim=1)


def karras_sigmas(steps: int, noise: NoiseConfig) -> Tensor:
    """Noise levels of a sampler from high to low, and a last 0: (steps + 1,) float32. Karras et al., eq. 5.

    >>> karras_sigmas(3, NoiseConfig(low=1.0, high=4.0, rho=1.0)).tolist()
    [4.0, 2.5, 1.0, 0.0]
    """
    if steps < 1:
        raise ValueError(f"steps: want at least 1, got {steps}")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    most, least = noise.high ** (1 / noise.rho), noise.low ** (1 / noise.rho)
    sigma = (most + ramp * (least - most)) ** noise.rho
    return torch.cat([sigma, sigma.new_zeros(1)]).float()


def euler_step(noisy: Tensor, denoised: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
    """From noise level `sigma` to the `following` one along dx/ds = (x - D) / s. Karras et al., algorithm 1, line 8.

    x + (x - D) / s (s' - s), written so that the last step, to s' = 0, gives D to the last bit.
    """
    return denoised + (noisy - denoised) * (following / sigma)


def extrapolated(denoised: Tensor, before: Tensor, sigma: Tensor, following: Tensor, previous: Tensor) -> Tensor:
    """What to step with instead of D, so that the step is right to second order without asking the network again.

    DPM-Solver++(2M), Lu et al. 2022 (arXiv 2211.01095), algorithm 2, at noise levels `previous` > `sigma` > `following`
    > 0: D + (D - D_before) h / (2 h_before), h = ln(sigma / following), h_before = ln(previous / sigma).
    """
    ratio = (sigma / following).log() / (previous / sigma).log()
    return denoised + (denoised - before) * ratio / 2


def _covered(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """People's masks (B, T, P, 1, H, W) as the share of each cell that anyone covers, (B, T, 1, h, w)."""
    batch, frames = mask.shape[:2]
    anyone = mask.float().amax(dim=2)
    return F.adaptive_avg_pool2d(anyone.flatten(0, 1), size).reshape(batch, frames, 1, *size)

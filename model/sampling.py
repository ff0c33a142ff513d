"""Network, conditions -> clean latents of any length: steps of EDM over overlapping windows, with guidance.

Every step denoises all windows and takes their weighted mean where they overlap, as MultiDiffusion does with parts of
a picture (arXiv 2302.08113) and MimicMotion with frames (arXiv 2406.19680, progressive latent fusion), so that no seam
is decided by one side alone. One window passes the network at a time: memory grows with the length by latents alone.
Steps are of second order (edm.extrapolated): of latents that are N(0, 1), 25 of Euler's keep nine tenths of the
spread, which pales every colour, and 25 of these keep 1.02 of it (tests).

B clips, T frames, P people, C latent channels, h x w latent cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from model import edm
from model.conditions import Conditions
from model.config import NetworkConfig
from model.network import DuetUNet

# Which fields of Conditions have a row a frame.
_PER_FRAME = ("pose", "body", "face", "there")


@torch.no_grad()
def sample(
    network: DuetUNet,
    conditions: Conditions,
    config: NetworkConfig,
    *,
    steps: int,
    guidance: float = 1.0,
    generator: torch.Generator | None = None,
    overlap: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Clean latents (B, T, C, h, w) float32 on the network's device; T is that of the conditions, any from 1 on.

    Windows have `config.frames` frames, and neighbours share at least `overlap` of them (a quarter of a window unless
    told). `guidance` G other than 1 is classifier-free (arXiv 2207.12598): D = D_hidden + G (D_given - D_hidden), where
    D_hidden knows neither the reference image nor the people, as training's dropout hides them. All that is random
    comes from `generator`; one on the CPU gives the same noise whatever the network is on. `progress` is called with
    windows done and windows in all.

    The conditions may lie elsewhere than the network: each window is brought over as its turn comes. Their pose maps
    and masks may be bytes (0..255; 0, 1), a quarter of the memory. Raises ValueError for arguments out of range, and
    what `Conditions.check` raises.
    """
    batch, frames = conditions.there.shape[:2]
    windows = windows_of(frames, config.frames, overlap)
    sigmas = edm.karras_sigmas(steps, config.noise).to(network.device)
    shape = (batch, frames, config.codec.latent_channels, *config.latent_size)
    noisy = randn_tensor(shape, generator=generator, device=network.device, dtype=torch.float32) * sigmas[0]
    if conditions.tokens is None and network.image is not None and conditions.image is not None:
        image = conditions.image.to(network.device, network.dtype)
        conditions = replace(conditions, tokens=network.image(image), image=None)
    one_more = _counted(progress, steps * len(windows))
    before: Tensor | None = None
    for step in range(steps):
        sigma, following = sigmas[step], sigmas[step + 1]
        total, weight = torch.zeros_like(noisy), noisy.new_zeros(frames)
        for start, stop in windows:
            given = _window(conditions, start, stop, network.device)
            share = _blend_weight(stop - start, windows).to(noisy.device)
            found = _guided(network, noisy[:, start:stop], sigma, given, config, guidance)
            total[:, start:stop] += share.reshape(1, -1, 1, 1, 1) * found
            weight[start:stop] += share
            one_more()
        toward = clean = total / weight.reshape(1, -1, 1, 1, 1)
        if before is not None and following > 0:
            toward = edm.extrapolated(clean, before, sigma, following, sigmas[step - 1])
        noisy, before = edm.euler_step(noisy, toward, sigma, following), clean
    return noisy


def windows_of(frames: int, size: int, overlap: int | None = None) -> list[tuple[int, int]]:
    """Windows [start, stop) of `size` frames over all frames, neighbours sharing `overlap` or, at the end, more.

    Fewer frames than a window are one shorter window. Raises ValueError for an overlap that is not below the size.

    >>> windows_of(20, 8, 2)
    [(0, 8), (6, 14), (12, 20)]
    >>> windows_of(5, 8), windows_of(9, 8, 2)
    ([(0, 5)], [(0, 8), (1, 9)])
    """
    overlap = size // 4 if overlap is None else overlap
    if not 0 <= overlap < size:
        raise ValueError(f"overlap: want 0 or more and fewer than a window's {size} frames, got {overlap}")
    if frames <= size:
        return [(0, frames)]
    starts = [*range(0, frames - size, size - overlap), frames - size]
    return [(start, start + size) for start in starts]


def _counted(progress: Callable[[int, int], None] | None, total: int) -> Callable[[], None]:
    """What to call after each window."""
    done = count(1)

    def one_more() -> None:
        if progress:
            progress(next(done), total)

    return one_more


def _blend_weight(size: int, windows: list[tuple[int, int]]) -> Tensor:
    """What each frame of a window counts where windows overlap, (size,): up to 1 over the overlap, and down again.

    Two ramps that meet in an overlap add up to 1.
    """
    overlap = windows[0][1] - windows[1][0] if len(windows) > 1 else 0
    at = torch.arange(size, dtype=torch.float32)
    return torch.minimum(at + 1, size - at).clamp(max=overlap + 1) / (overlap + 1)


def _window(conditions: Conditions, start: int, stop: int, device: torch.device) -> Conditions:
    """The conditions of a window, as floats on the network's device."""
    cut = {name: getattr(conditions, name)[:, start:stop] for name in _PER_FRAME}
    whole = replace(conditions, **cut).changed(lambda x: x.to(device))
    return replace(
        whole,
        pose=whole.pose if whole.pose.is_floating_point() else whole.pose.float() / 127.5 - 1,
        **{name: getattr(whole, name).float() for name in ("body", "face", "reference_body")},
    )


def _guided(
    network: DuetUNet, noisy: Tensor, sigma: Tensor, given: Conditions, config: NetworkConfig, guidance: float
) -> Tensor:
    """D of one window at noise level `sigma` (), guided."""
    level = sigma.expand(len(noisy))
    found = edm.denoise(network, noisy, level, given, config.noise)
    if guidance == 1:
        return found
    nothing = torch.zeros(len(noisy), dtype=torch.bool, device=noisy.device)
    hidden = replace(given, keep_image=nothing, keep_people=nothing)
    unguided = edm.denoise(network, noisy, level, hidden, config.noise)
    return unguided + guidance * (found - unguided)

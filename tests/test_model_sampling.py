"""model/sampling.py: windows over any length, their seams, guidance, seeds, the order of people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from model import edm, sampling  # noqa: E402
from model.conditions import Conditions  # noqa: E402
from model.config import NetworkConfig  # noqa: E402
from model.network import DuetUNet  # noqa: E402
from model.sampling import sample, windows_of  # noqa: E402
from tests.model_inputs import awake, conditions, nano, permuted  # noqa: E402

torch.set_num_threads(1)
CONFIG = nano()
FOUR = nano(frames=4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def given(frames: int, config: NetworkConfig = CONFIG, **arguments: int) -> Conditions:
    return conditions(replace(config, frames=frames), **arguments)


def trained(config: NetworkConfig = CONFIG) -> DuetUNet:
    torch.manual_seed(0)
    return awake(DuetUNet.of(config))


class Drawn(nn.Module):
    """In a network's place: what a function says the clean latents of a window are. Keeps what it was asked."""

    image = None
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, clean: Callable[[Tensor, Conditions], Tensor]) -> None:
        super().__init__()
        self.clean = clean
        self.asked: list[Conditions] = []

    def forward(self, noisy: Tensor, noise: Tensor, conditions: Conditions) -> Tensor:
        self.asked.append(conditions)
        return self.clean(noisy, conditions)


def by_mask(noisy: Tensor, conditions: Conditions) -> Tensor:
    """Each frame by itself: its own noise, and how much of it people cover."""
    return 0.3 * noisy + conditions.body.mean(dim=(2, 3, 4, 5)).reshape(*noisy.shape[:2], 1, 1, 1)


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 9, 40])
@pytest.mark.parametrize("overlap", [0, 1, 3])
def test_windows_cover_every_frame_and_share_enough(frames: int, overlap: int) -> None:
    windows = windows_of(frames, 4, overlap)
    assert windows[0][0] == 0
    assert windows[-1][1] == frames
    assert {stop - start for start, stop in windows} == {min(4, frames)}
    for (_, stop), (start, _) in pairwise(windows):
        assert stop - start >= overlap
    # No window in vain: without its last, the clip is not covered.
    assert len(windows) == 1 or windows[-2][1] < frames


@pytest.mark.parametrize("overlap", [0, 1, 2, 3])
def test_windows_of_a_network_that_sees_frames_alone_are_one_long_window(overlap: int) -> None:
    long = given(11, FOUR)
    cut = sample(Drawn(by_mask), long, FOUR, steps=3, generator=seeded(), overlap=overlap)
    whole = sample(Drawn(by_mask), long, replace(FOUR, frames=11), steps=3, generator=seeded())
    assert cut.shape == (2, 11, 48, 4, 4)
    assert torch.allclose(cut, whole, atol=1e-5)


def test_three_windows_without_overlap_are_three_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    network, long = trained(), given(6)
    noise = torch.randn(2, 6, 48, 4, 4, generator=seeded())
    monkeypatch.setattr(sampling, "randn_tensor", lambda shape, **_: noise.clone())
    together = sample(network, long, CONFIG, steps=3, overlap=0)
    for start in (0, 2, 4):
        part = slice(start, start + 2)
        alone = replace(long, **{name: getattr(long, name)[:, part] for name in ("pose", "body", "face", "there")})
        monkeypatch.setattr(sampling, "randn_tensor", lambda shape, part=part, **_: noise[:, part].clone())
        assert torch.allclose(together[:, part], sample(network, alone, CONFIG, steps=3), atol=1e-5)


def test_a_seam_passes_from_one_window_to_the_next() -> None:
    count = iter(range(2))
    network = Drawn(lambda noisy, _: torch.full_like(noisy, float(next(count))))
    found = sample(network, given(6, FOUR), FOUR, steps=1, overlap=2)
    want = torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1])
    assert torch.allclose(found, want.reshape(1, 6, 1, 1, 1).expand_as(found), atol=1e-6)


def test_windows_agree_where_they_overlap_more_than_where_they_do_not() -> None:
    """With the same noise and conditions, two frames on either side of a seam come nearer when windows share frames."""
    network, long = trained(FOUR), given(8, FOUR, batch=1)
    whole = sample(network, long, replace(FOUR, frames=8), steps=4, generator=seeded())
    apart = sample(network, long, FOUR, steps=4, generator=seeded(), overlap=0)
    shared = sample(network, long, FOUR, steps=4, generator=seeded(), overlap=3)
    assert (shared - whole).abs().mean() < (apart - whole).abs().mean()


def test_memory_does_not_grow_with_the_length() -> None:
    network = Drawn(by_mask)
    told: list[tuple[int, int]] = []
    sample(network, given(23, FOUR), FOUR, steps=2, overlap=1, progress=lambda *at: told.append(at))
    windows = len(windows_of(23, 4, 1))
    assert [one.there.shape[:2] for one in network.asked] == [(2, 4)] * windows * 2
    assert told == [(at + 1, 2 * windows) for at in range(2 * windows)]


def test_the_image_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network, long, seen = trained(), given(6), []
    network.image.register_forward_hook(lambda *_: seen.append(1))
    found = sample(network, long, CONFIG, steps=2, guidance=2.0, generator=seeded())
    assert len(seen) == 1
    tokens = network.image(long.image).detach()
    known = replace(long, tokens=tokens, image=None)
    assert torch.equal(found, sample(network, known, CONFIG, steps=2, guidance=2.0, generator=seeded()))


def test_a_seed_is_repeatable_and_another_is_another_video() -> None:
    network, long = trained(), given(5)
    first, again, other = (sample(network, long, CONFIG, steps=2, generator=seeded(s)) for s in (7, 7, 8))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-2


def test_one_step_is_the_denoised_noise() -> None:
    network, short = trained(), given(2)
    found = sample(network, short, CONFIG, steps=1, generator=seeded())
    sigma = edm.karras_sigmas(1, CONFIG.noise)[0]
    noise = torch.randn(2, 2, 48, 4, 4, generator=seeded())
    with torch.no_grad():
        want = edm.denoise(network, noise * sigma, sigma.expand(2), short, CONFIG.noise)
    assert torch.allclose(found, want, atol=1e-5)


class Gaussian(Drawn):
    """The best denoiser there is for latents that are N(mean, spread^2): (spread^2 x + s^2 mean) / (spread^2 + s^2)."""

    mean, spread = 0.7, 0.4

    def __init__(self) -> None:
        super().__init__(by_mask)

    def forward(self, noisy: Tensor, noise: Tensor, conditions: Conditions) -> Tensor:
        sigma2 = (8 * noise).exp().reshape(-1, 1, 1, 1, 1)
        x = noisy * (sigma2 + 1).sqrt()
        return (self.spread**2 * x + sigma2 * self.mean) / (self.spread**2 + sigma2)


@pytest.mark.parametrize(("steps", "off"), [(25, 0.05), (100, 0.01)])
def test_a_perfect_denoiser_gives_the_distribution_that_it_knows(steps: int, off: float) -> None:
    found = sample(Gaussian(), given(9, FOUR), FOUR, steps=steps, generator=seeded(), overlap=2)
    assert found.mean().item() == pytest.approx(0.7, abs=0.02)
    assert found.std().item() == pytest.approx(0.4, rel=off)
    # No frame is blurred by being in two windows.
    assert found.std(dim=(0, 2, 3, 4)).min() > 0.95 * found.std()


@pytest.mark.parametrize("strength", [0.0, 1.0, 3.0])
def test_guidance_leads_away_from_what_hides_image_and_people(strength: float) -> None:
    def clean(noisy: Tensor, conditions: Conditions) -> Tensor:
        seen = conditions.hidden()
        return torch.full_like(noisy, float(seen.there.any()) + 10 * float(seen.reference_latent.any()) + 1)

    network = Drawn(clean)
    found = sample(network, given(2), CONFIG, steps=2, guidance=strength)
    assert torch.allclose(found, torch.tensor(1 + 11 * strength), atol=1e-4)
    assert len(network.asked) == (2 if strength == 1 else 4)


def test_guidance_changes_what_a_network_draws() -> None:
    network, short = trained(), given(2)
    plain, guided = (sample(network, short, CONFIG, steps=2, guidance=g, generator=seeded()) for g in (1.0, 3.0))
    assert (plain - guided).abs().max() > 1e-2


def test_the_order_of_people_does_not_matter() -> None:
    network, long = trained(), given(5, people=3)
    # Rounding differs with the order, and guidance multiplies it; one grey of 255 is 8e-3.
    for guidance, most in ((1.0, 1e-5), (2.0, 1e-4)):
        found = sample(network, long, CONFIG, steps=2, guidance=guidance, generator=seeded())
        turned = sample(network, permuted(long, [2, 0, 1]), CONFIG, steps=2, guidance=guidance, generator=seeded())
        assert (found - turned).abs().max() <= most
    other = replace(long, reference_body=long.reference_body.roll(1, dims=1))
    swapped = sample(network, other, CONFIG, steps=2, guidance=2.0, generator=seeded())
    assert (found - swapped).abs().max() > 1e-3


def test_bytes_are_the_same_as_floats() -> None:
    network, long = trained(), given(5)
    pose = ((long.pose + 1) * 127.5).round().byte()
    masks = {name: getattr(long, name).byte() for name in ("body", "face", "reference_body")}
    floats = replace(long, pose=pose.float() / 127.5 - 1)
    bytes_ = replace(long, pose=pose, **masks)
    first, second = (sample(network, one, CONFIG, steps=2, generator=seeded()) for one in (floats, bytes_))
    assert torch.equal(first, second)


def test_fewer_frames_than_a_window_are_generated_too() -> None:
    assert sample(trained(), given(1), CONFIG, steps=1, generator=seeded()).shape == (2, 1, 48, 4, 4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"steps": 0}, "steps: want at least 1, got 0"),
        ({"steps": 1, "overlap": 2}, "overlap: want 0 or more and fewer than a window's 2 frames, got 2"),
        ({"steps": 1, "overlap": -1}, "overlap: want"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_said(arguments: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sample(Drawn(by_mask), given(6), CONFIG, **arguments)

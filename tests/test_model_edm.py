"""model/edm.py against diffusers' own scheduler and the formulas by hand; model/latents.py there and back."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from diffusers import EulerDiscreteScheduler  # noqa: E402

from model import edm  # noqa: E402
from model.config import CodecConfig, NoiseConfig  # noqa: E402
from model.latents import KlCodec, UnshuffleCodec, build_codec, build_vae  # noqa: E402

torch.set_num_threads(1)
V, CLEAN = NoiseConfig(), NoiseConfig(predict="clean")


def test_a_sampler_step_is_that_of_diffusers_svd_scheduler():
    scheduler = EulerDiscreteScheduler(
        prediction_type="v_prediction", use_karras_sigmas=True, sigma_min=0.002, sigma_max=700.0,
        timestep_type="continuous", timestep_spacing="leading", beta_schedule="scaled_linear",
        beta_start=0.00085, beta_end=0.012, interpolation_type="linear", num_train_timesteps=1000, steps_offset=1,
    )  # fmt: skip
    scheduler.set_timesteps(6)
    sigmas = edm.karras_sigmas(6, NoiseConfig(low=0.002, high=700.0))
    assert torch.allclose(sigmas, scheduler.sigmas, rtol=1e-4)
    torch.manual_seed(0)
    noisy = torch.randn(1, 2, 4, 4, 4) * sigmas[2]
    found = torch.randn(1, 2, 4, 4, 4)
    scheduler._init_step_index(scheduler.timesteps[2])
    by = edm.factors(sigmas[2:3])
    assert torch.allclose(scheduler.scale_model_input(noisy, scheduler.timesteps[2]), by.into * noisy, rtol=1e-4)
    assert float(by.noise) == pytest.approx(float(scheduler.timesteps[2]), rel=1e-4)
    ours = edm.euler_step(noisy, by.skip * noisy + by.out * found, sigmas[2], sigmas[3])
    assert torch.allclose(ours, scheduler.step(found, scheduler.timesteps[2], noisy).prev_sample, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sigma", [0.002, 0.5, 3.0, 700.0])
def test_the_network_has_unit_targets_at_every_noise_level(sigma):
    """The F that gives x0 exactly has variance 1 for unit-variance latents, and so has its input."""
    rng = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 1, 4, 8, 64, 64, generator=rng, dtype=torch.float64)
    level = torch.tensor([sigma])
    noisy = clean + sigma * noise
    by = edm.factors(level)
    wanted = (clean - by.skip * noisy) / by.out
    assert float(wanted.var()) == pytest.approx(1, abs=0.02)
    assert float((by.into * noisy).var()) == pytest.approx(1, abs=0.02)


def test_the_loss_weighs_a_wrong_network_the_same_at_every_noise_level():
    rng = torch.Generator().manual_seed(0)
    clean, error = torch.randn(2, 3, 2, 4, 4, 4, generator=rng)
    sigma = torch.tensor([0.1, 1.0, 50.0])
    error[1:] = error[0]
    denoised = clean + edm.factors(sigma).out * error
    losses = edm.loss(denoised, clean, sigma, V)
    assert losses.tolist() == pytest.approx([float((error[0] ** 2).mean())] * 3, rel=1e-3)


def test_a_network_may_say_the_clean_latents_themselves():
    clean = torch.randn(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.1, 100.0])
    seen = {}

    def network(noisy, noise, conditions):
        seen.update(noisy=noisy, noise=noise, conditions=conditions)
        return clean + 0.5

    noisy = 3 * clean
    found = edm.denoise(network, noisy, sigma, "those", CLEAN)
    assert torch.equal(found, clean + 0.5)
    by = edm.factors(sigma)
    assert torch.equal(seen["noisy"], by.into * noisy)
    assert torch.equal(seen["noise"], by.noise)
    assert seen["conditions"] == "those"
    assert edm.loss(found, clean, sigma, CLEAN).tolist() == pytest.approx([6 * 0.25, 1.0001 * 0.25], rel=1e-4)


def test_an_error_counts_by_where_it_lies():
    body, face = torch.zeros(1, 1, 2, 1, 4, 4), torch.zeros(1, 1, 2, 1, 4, 4)
    body[0, 0, 0, 0, :, :2] = 1
    body[0, 0, 1, 0, :2, :2] = 1
    face[0, 0, 1, 0, 0, 0] = 1
    weight = edm.cell_weight(body, face, (2, 2))
    assert weight.tolist() == [[[[[2.5, 1.0], [2.0, 1.0]]]]]
    clean, denoised = torch.zeros(1, 1, 1, 2, 2), torch.zeros(1, 1, 1, 2, 2)
    denoised[0, 0, 0, 0, 0] = 1
    sigma = torch.ones(1)
    assert float(edm.loss(denoised, clean, sigma, V, weight)) == pytest.approx(2.5 * 2 / 4)
    assert float(edm.loss(denoised, clean, sigma, V)) == pytest.approx(2 / 4)


def test_noise_levels_are_log_normal_within_limits_and_repeat():
    noise = NoiseConfig(mean=0.7, std=1.6, low=0.01, high=20.0)
    draw = edm.draw_sigma(20_000, noise, torch.Generator().manual_seed(3))
    assert torch.equal(draw, edm.draw_sigma(20_000, noise, torch.Generator().manual_seed(3)))
    assert draw.min() >= 0.01
    assert draw.max() == 20.0
    assert float(draw.median()) == pytest.approx(math.exp(0.7), rel=0.05)


def test_a_sampler_needs_steps():
    with pytest.raises(ValueError, match="steps: want at least 1, got 0"):
        edm.karras_sigmas(0, NoiseConfig())


def test_exact_denoising_walks_back_to_the_clean_latents():
    clean = torch.randn(1, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    sigmas = edm.karras_sigmas(5, NoiseConfig(high=80.0))
    x = torch.randn(1, 2, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * sigmas[0]
    for now, following in pairwise(sigmas):
        x = edm.euler_step(x, clean, now, following)
    assert torch.allclose(x, clean, atol=1e-5)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_folded_pixels_come_back_exactly(factor):
    codec = build_codec(CodecConfig(kind="unshuffle", factor=factor, scale=2.0))
    assert isinstance(codec, UnshuffleCodec)
    video = torch.rand(2, 3, 3, 8, 8)
    latent = codec.encode(video)
    assert latent.shape == (2, 3, CodecConfig(factor=factor).latent_channels, 8 // factor, 8 // factor)
    assert torch.equal(codec.decode(latent), video)
    assert torch.equal(codec.encode_reference(video[:, 0]), latent[:, 0])


@pytest.fixture(scope="module")
def kl():
    torch.manual_seed(0)
    return build_codec(CodecConfig(kind="kl", factor=8, scale=0.5, widths=(32, 32, 32, 32), layers=1))


def test_the_autoencoder_scales_latents_and_not_the_reference(kl):
    assert isinstance(kl, KlCodec)
    video = torch.rand(1, 2, 3, 16, 16) * 2 - 1
    latent = kl.encode(video)
    assert latent.shape == (1, 2, 4, 2, 2)
    assert torch.allclose(latent[:, 0], kl.encode_reference(video[:, 0]) * 0.5, atol=1e-5)
    drawn = kl.encode(video, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, kl.encode(video, torch.Generator().manual_seed(1)))
    assert not torch.equal(drawn, latent)
    assert not any(p.requires_grad for p in kl.parameters())


def test_long_clips_pass_the_autoencoder_in_parts(kl):
    latent = torch.randn(1, 17, 4, 2, 2)
    video = kl.decode(latent)
    assert video.shape == (1, 17, 3, 16, 16)
    # The decoder looks along time: the last three frames were decoded together, without the rest.
    assert torch.allclose(video[:, 14:], kl.decode(latent[:, 14:]), atol=1e-5)


def test_an_autoencoder_of_another_factor_is_refused():
    with pytest.raises(ValueError, match=r"codec.factor: want 4 with 3 levels, got 8"):
        build_vae(CodecConfig(kind="kl", factor=8, widths=(32, 32, 32)))

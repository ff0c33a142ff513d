"""model/presets.py and config.py: SVD-XT's published shapes, a training step of each size, JSON and FIELD=VALUE."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from diffusers import UNetSpatioTemporalConditionModel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from model import edm  # noqa: E402
from model.conditions import Conditions, time_ids  # noqa: E402
from model.config import NetworkConfig, RunConfig, UNetConfig, changed, from_json, to_json  # noqa: E402
from model.image_encoder import build_clip, build_image_encoder  # noqa: E402
from model.latents import build_codec, build_vae  # noqa: E402
from model.network import DuetUNet, build_unet, choose_trained  # noqa: E402
from model.presets import PRESETS, preset, svd  # noqa: E402

torch.set_num_threads(1)

# unet/config.json of stabilityai/stable-video-diffusion-img2vid-xt, as published.
SVD_XT = {
    "in_channels": 8,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 1024,
    "num_attention_heads": (5, 10, 20, 20),
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 768,
    "layers_per_block": 2,
    "transformer_layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal",) * 3 + ("DownBlockSpatioTemporal",),
    "up_block_types": ("UpBlockSpatioTemporal",) + ("CrossAttnUpBlockSpatioTemporal",) * 3,
}


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Every tensor's name and shape."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def count(module: torch.nn.Module) -> int:
    """How many parameters it has."""
    return sum(p.numel() for p in module.parameters())


def test_svd_at_full_size_is_the_published_unet_with_ours_beside_it():
    config = svd().network
    with torch.device("meta"):
        network, base = DuetUNet.of(config), build_unet(config)
        published = UNetSpatioTemporalConditionModel(**SVD_XT, num_frames=25)
    assert {name: base.config[name] for name in SVD_XT} == SVD_XT
    assert shapes(base) == shapes(published)
    assert count(base) == 1_524_623_082
    own = shapes(network.unet)
    assert {name: shape for name, shape in own.items() if ".processor." not in name} == shapes(published)
    assert network.image is None
    # What the paper adds is small beside the base: no more than a tenth.
    assert count(network) < 1.1 * count(base)


def test_svd_at_full_size_has_the_published_autoencoder_and_clip():
    config = svd().network
    with torch.device("meta"):
        vae, clip = build_vae(config.codec), build_clip(config.image, config.unet.cross_dim)
    assert (vae.config.latent_channels, vae.config.scaling_factor) == (4, 0.18215)
    assert tuple(vae.config.block_out_channels) == (128, 256, 512, 512)
    assert shapes(vae)["encoder.conv_in.weight"] == (128, 3, 3, 3)
    assert shapes(vae)["decoder.conv_in.weight"] == (512, 4, 3, 3)
    # CLIP ViT-H/14 with its projection to 1024: 632,076,800 parameters.
    assert shapes(clip)["visual_projection.weight"] == (1024, 1280)
    assert count(clip) == 632_076_800
    assert (config.size, config.latent_size) == ((512, 512), (64, 64))


def given(run: RunConfig, people: int = 2) -> tuple[torch.Tensor, Conditions]:
    """A random clip of one preset's size, and its conditions as training makes them."""
    config, rng = run.network, torch.Generator().manual_seed(0)
    (height, width), frames = config.size, config.frames
    video = torch.rand(1, frames, 3, height, width, generator=rng) * 2 - 1
    image = video[:, 0]
    codec = build_codec(config.codec)
    encoder = build_image_encoder(config.image, config.unet.cross_dim)
    body = (torch.rand(1, frames, people, 1, height, width, generator=rng) > 0.5).float()
    conditions = Conditions(
        pose=torch.rand(1, frames, people, 3, height, width, generator=rng) * 2 - 1,
        body=body,
        face=body * 0,
        there=torch.ones(1, frames, people, dtype=torch.bool),
        embedding=torch.randn(1, people, config.face_shape.embedding, generator=rng),
        reference_latent=codec.encode_reference(image),
        reference_body=body[:, 0],
        time_ids=time_ids(torch.tensor([7.0])),
        image=image if config.image.kind == "conv" else None,
        tokens=encoder(image) if config.image.kind == "clip" else None,
    )
    return codec.encode(video), conditions


@pytest.mark.parametrize("name", ["tiny", "svd_reduced"])
def test_a_preset_learns_one_batch(name):
    run = preset(name)
    torch.manual_seed(0)
    clean, conditions = given(run)
    network = DuetUNet.of(run.network)
    learns = choose_trained(network, run.train.trained)
    if run.train.checkpointing:
        network.enable_gradient_checkpointing()
    optimizer = torch.optim.AdamW(learns, lr=3e-3)
    rng = torch.Generator().manual_seed(1)
    sigma = torch.tensor([1.0])
    noisy = clean + torch.randn(clean.shape, generator=rng) * sigma
    noise = run.network.noise
    weight = edm.cell_weight(conditions.body, conditions.face, run.network.latent_size)
    losses = []
    for _ in range(4):
        loss = edm.loss(edm.denoise(network, noisy, sigma, conditions, noise), clean, sigma, noise, weight).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learns)


def operations(config: NetworkConfig, people: int) -> int:
    """Floating-point operations of one training step on one clip, counted on the meta device."""
    (height, width), frames = config.size, config.frames
    with torch.device("meta"):
        # diffusers' mixing factors are made on the CPU whatever the device.
        network = DuetUNet.of(config).to("meta")
        masks = torch.zeros(1, frames, people, 1, height, width)
        conditions = Conditions(
            pose=masks.expand(-1, -1, -1, 3, -1, -1),
            body=masks,
            face=masks,
            there=torch.ones(1, frames, people, dtype=torch.bool),
            embedding=torch.zeros(1, people, config.face_shape.embedding),
            reference_latent=torch.zeros(1, config.codec.latent_channels, *config.latent_size),
            reference_body=masks[:, 0],
            time_ids=torch.zeros(1, 3),
            image=torch.zeros(1, 3, height, width),
        )
        noisy = torch.zeros(1, frames, config.codec.latent_channels, *config.latent_size)
        with FlopCounterMode(display=False) as counter:
            edm.denoise(network, noisy, torch.ones(1), conditions, config.noise).sum().backward()
    return counter.get_total_flops()


def test_the_adapter_costs_at_most_a_tenth_of_a_step_at_two_people():
    config = replace(preset("tiny").network, faces=False)
    base = operations(replace(config, masks=False, poses=False), 2)
    assert base < operations(config, 2) <= 1.1 * base


def test_the_whole_costs_linearly_in_people():
    config = replace(preset("tiny").network, frames=2)
    two, four, eight = (operations(config, people) for people in (2, 4, 8))
    assert eight - four == 2 * (four - two)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_passes_json_whole(name):
    run = preset(name)
    assert from_json(RunConfig, to_json(run)) == run
    with torch.device("meta"):
        network = DuetUNet.of(run.network)
    assert network.shape == run.network


def test_an_unknown_preset_is_named():
    with pytest.raises(ValueError, match=r"--preset: want one of \['small', 'svd', 'svd_reduced', 'tiny'\], got 'big'"):
        preset("big")


def test_settings_change_inner_fields():
    run = changed(
        preset("tiny"),
        ["network.masks=false", "network.fusion=sum", "train.lr=1", "train.stride=[2, 3]", "network.noise.mean=-1.5"],
    )
    assert (run.network.masks, run.network.fusion, run.train.stride) == (False, "sum", (2, 3))
    assert isinstance(run.train.lr, float)
    assert run.network.noise.mean == -1.5
    assert changed(run, ["network.masks=True"]).network.masks


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        pytest.param("network.mask=false", "want FIELD=VALUE with a field of .*'masks'.*, got 'mask'", id="no field"),
        pytest.param("net.masks=false", "no group of fields 'net'", id="no group"),
        pytest.param("network.masks", "want FIELD=VALUE", id="no value"),
        pytest.param("network.masks=1", "network.masks: want bool, got 1", id="type"),
        pytest.param("network.fusion=mean", "network.fusion: want .*sum.*, got 'mean'", id="choice"),
        pytest.param("network.size=[64]", r"network.size: want tuple.*, got \[64\]", id="length"),
        pytest.param("network.size=[60, 64]", r"network.size: want multiples of 8 .*\(60, 64\)", id="does not halve"),
        pytest.param("network.unet.heads=[1]", "unet.heads: want one a level", id="levels"),
        pytest.param("network.unet.widths=[32, 48]", "unet.widths: want multiples of 32", id="norm groups"),
        pytest.param("network.adapter_shape.lam=2", "lam and blend within 0..1", id="share"),
        pytest.param("network.codec=3", "want FIELD=VALUE with a field of", id="group as field"),
    ],
)
def test_wrong_settings_are_named(setting, problem):
    with pytest.raises(ValueError, match=problem):
        changed(preset("tiny"), [setting])


def test_unknown_fields_of_a_file_are_named():
    with pytest.raises(ValueError, match=r"want fields of .* got \['people'\]"):
        from_json(NetworkConfig, '{"people": 2}')


def test_a_network_of_one_level_is_possible():
    config = replace(preset("tiny").network, unet=UNetConfig(widths=(32,), heads=(1,), attention=(True,), time_dim=32))
    with torch.device("meta"):
        assert count(DuetUNet.of(config)) > 0

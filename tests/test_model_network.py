"""model/network.py, conditions.py, image_encoder.py: zero start, order, absence, hiding, ablations, saving."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from diffusers import UNetSpatioTemporalConditionModel  # noqa: E402

from model import edm  # noqa: E402
from model.conditions import from_examples  # noqa: E402
from model.config import CodecConfig, FaceConfig, ImageConfig, NoiseConfig  # noqa: E402
from model.image_encoder import ClipImageEncoder, ConvImageEncoder, build_image_encoder  # noqa: E402
from model.latents import build_codec  # noqa: E402
from model.network import DuetUNet, build_unet, choose_trained, load_base  # noqa: E402
from tests.model_inputs import awake, conditions, nano, noisy, permuted, with_stranger  # noqa: E402

torch.set_num_threads(1)
NOISE = torch.tensor([0.1, -0.3])


def made(seed: int = 0, **changes: object) -> DuetUNet:
    torch.manual_seed(seed)
    return DuetUNet.of(nano(**changes))


def base_output(network: DuetUNet, given, x=None) -> torch.Tensor:
    """What diffusers' own U-Net gives with the same weights, image tokens and reference: no people at all."""
    base = build_unet(network.shape)
    base.load_state_dict({k: v for k, v in network.unet.state_dict().items() if ".processor." not in k})
    x = noisy(network.shape) if x is None else x
    both = torch.cat([x, given.reference_latent[:, None].expand(-1, x.shape[1], -1, -1, -1)], dim=2)
    return base(both, NOISE, network.image(given.image), given.time_ids).sample


ABLATIONS = [
    {}, {"masks": False}, {"poses": False}, {"fusion": "sum"}, {"adapter": False}, {"faces": False},
    {"masks": False, "poses": False, "faces": False},
]  # fmt: skip


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
@torch.no_grad()
def test_at_step_0_it_is_exactly_the_base(changes):
    network, given = made(**changes), conditions(nano())
    assert torch.equal(network(noisy(nano()), NOISE, given), base_output(network, given))


@torch.no_grad()
def test_awake_it_is_not_the_base():
    network, given = awake(made()), conditions(nano())
    assert (network(noisy(nano()), NOISE, given) - base_output(network, given)).abs().max() > 1e-3


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_every_tensor_of_adapter_and_faces_after_one_step(checkpointing):
    network, given, x = made(), conditions(nano()), noisy(nano())
    if checkpointing:
        network.enable_gradient_checkpointing()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        ((network(x, NOISE, given) - x) ** 2).mean().backward()
        optimizer.step()
    parts = ("adapter.", "faces.", "image.")
    ours = {n: p for n, p in network.named_parameters() if n.startswith(parts) or ".processor." in n}
    assert len(ours) > 60
    assert not [name for name, p in ours.items() if p.grad is None or not p.grad.any()]
    # Nothing lies beside the graph: DDP would wait for it.
    assert not [name for name, p in network.named_parameters() if p.grad is None]


def test_checkpointing_gives_the_same_gradients_even_after_another_forward_pass():
    x, given = noisy(nano()), conditions(nano())
    plain = awake(made())
    saving = copy.deepcopy(plain)
    saving.enable_gradient_checkpointing()
    (plain(x, NOISE, given) ** 2).mean().backward()
    loss = (saving(x, NOISE, given) ** 2).mean()
    saving(x, NOISE, conditions(nano(), people=3, seed=4))
    loss.backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        if a.grad is not None:
            assert torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-7), name


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
@torch.no_grad()
def test_the_order_of_people_changes_at_most_1e_5(changes):
    network, given = awake(made(**changes)), conditions(nano(), people=3)
    one = network(noisy(nano()), NOISE, given)
    other = network(noisy(nano()), NOISE, permuted(given, [1, 2, 0]))
    assert (one - other).abs().max() <= 1e-5


@torch.no_grad()
def test_padding_a_person_changes_nothing():
    network, given = awake(made()), conditions(nano())
    one = network(noisy(nano()), NOISE, given)
    assert (network(noisy(nano()), NOISE, with_stranger(given)) - one).abs().max() <= 1e-5


@torch.no_grad()
def test_hidden_people_and_a_hidden_image_are_not_seen():
    network, given, x = awake(made()), conditions(nano()), noisy(nano())
    other = conditions(nano(), seed=8)
    people = {name: getattr(other, name) for name in ("pose", "body", "face", "embedding", "reference_body")}
    image = {name: getattr(other, name) for name in ("image", "reference_latent")}
    nobody, one = torch.tensor([False, False]), torch.tensor([False, True])
    hidden = network(x, NOISE, replace(given, keep_people=nobody))
    assert torch.equal(hidden, network(x, NOISE, replace(given, keep_people=nobody, **people)))
    hidden = network(x, NOISE, replace(given, keep_image=one))
    changed = network(x, NOISE, replace(given, keep_image=one, **image))
    assert torch.equal(hidden[0], changed[0])
    assert not torch.allclose(hidden[1], changed[1])
    assert torch.allclose(hidden[1], network(x, NOISE, given)[1], atol=1e-5)


@torch.no_grad()
def test_tokens_may_be_computed_once():
    network, given, x = awake(made()), conditions(nano()), noisy(nano())
    ready = replace(given, tokens=network.image_tokens(given), image=None)
    assert torch.equal(network(x, NOISE, ready), network(x, NOISE, given))


@torch.no_grad()
def test_denoising_is_the_preconditioned_network():
    network, given, x = awake(made()), conditions(nano()), noisy(nano())
    sigma = torch.tensor([0.5, 2.0])
    s = sigma.reshape(2, 1, 1, 1, 1)
    found = network(x / (s**2 + 1).sqrt(), sigma.log() / 4, given)
    want = x / (s**2 + 1) - s / (s**2 + 1).sqrt() * found
    assert torch.allclose(edm.denoise(network, x, sigma, given, NoiseConfig()), want, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(
            {"pose": torch.zeros(2, 2, 2, 3, 8, 8)}, r"conditions.pose: want \(2, 2, 2, 3, 16, 16\)", id="size"
        ),
        pytest.param({"embedding": torch.zeros(2, 3, 12)}, r"conditions.embedding: want \(2, 2, 12\)", id="people"),
        pytest.param({"there": torch.ones(2, 2, 2)}, "conditions.there: want .* bool, got .* torch.float32", id="type"),
        pytest.param({"image": None}, "want the reference image or its tokens, got neither", id="no image"),
    ],
)
def test_wrong_conditions_are_named(changes, problem):
    with pytest.raises(ValueError, match=problem):
        made()(noisy(nano()), NOISE, replace(conditions(nano()), **changes))


def test_a_batch_of_examples_becomes_conditions():
    config, rng = nano(face_shape=FaceConfig()), torch.Generator().manual_seed(0)
    given = conditions(nano())
    codec = build_codec(config.codec)
    batch = {name: getattr(given, name) for name in ("pose", "body", "face", "there", "reference_body")}
    batch |= {"embedding": torch.zeros(2, 2, 512), "reference": given.image, "fps": torch.tensor([8.0, 15.0])}
    clean = from_examples(batch, codec)
    clean.check(config)
    assert torch.equal(clean.reference_latent, codec.encode_reference(given.image))
    assert clean.time_ids.tolist() == [[7.0, 127.0, 0.0], [14.0, 127.0, 0.0]]
    noised = from_examples(batch, codec, noise_aug=0.02, generator=rng)
    spread = (codec.decode(noised.reference_latent) - given.image).std()
    assert float(spread) == pytest.approx(0.02, rel=0.1)
    assert torch.equal(noised.image, given.image)
    assert noised.time_ids[0, 2] == pytest.approx(0.02)
    clip = build_image_encoder(ImageConfig(kind="clip", clip_width=16, clip_inner=32, clip_layers=1, clip_heads=2), 24)
    with_clip = from_examples(batch, codec, clip)
    assert with_clip.image is None
    assert torch.equal(with_clip.tokens, clip(given.image))


def test_latents_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"noisy: want clips and frames \(2, 2\), got \(2, 1"):
        made()(noisy(nano())[:, :1], NOISE, conditions(nano()))


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        pytest.param({"faces": False}, ("faces.", ".processor."), id="no MultiFace"),
        pytest.param({"poses": False}, ("adapter.pose_net.",), id="no pose"),
        pytest.param({"masks": False}, ("adapter.mask_net.", "adapter.look_net."), id="no mask"),
        pytest.param({"fusion": "sum"}, ("adapter.fusion.",), id="sum fusion"),
        pytest.param({"adapter": False}, ("adapter.gates.", "adapter.fusion.", "adapter.merge."), id="no adapter"),
    ],
)
def test_an_ablation_takes_its_parts_out_of_the_network(changes, gone):
    full, less = ({name for name, _ in made(**c).named_parameters()} for c in ({}, changes))
    for part in gone:
        assert any(part in name for name in full)
        assert not any(part in name for name in less)


@pytest.mark.parametrize("whole", [False, True], ids=["autocast", "all weights"])
def test_it_runs_in_bfloat16(whole):
    network, given, x, sigma = awake(made()), conditions(nano()), noisy(nano()), torch.tensor([0.5, 2.0])
    want = edm.denoise(network, x, sigma, given, NoiseConfig())
    if whole:
        network.to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not whole):
        found = edm.denoise(network, x, sigma, given, NoiseConfig())
    assert found.dtype == torch.float32
    # bfloat16 has 8 bits: 0.4 % a number, some of them in a row.
    assert 0 < (found - want).abs().max() < 0.2
    edm.loss(found, x, sigma, NoiseConfig()).mean().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@torch.no_grad()
def test_it_saves_and_loads_whole(tmp_path):
    network, given, x = awake(made(fusion="sum")), conditions(nano()), noisy(nano())
    network.save_pretrained(tmp_path)
    again = DuetUNet.from_pretrained(tmp_path)
    assert again.shape == network.shape
    assert torch.equal(again(x, NOISE, given), network.eval()(x, NOISE, given))


@torch.no_grad()
def test_a_copy_reads_its_own_faces():
    """As a moving average is made: the copy must not look into the context of the original."""
    network, given, x = awake(made()), conditions(nano()), noisy(nano())
    twin = copy.deepcopy(network)
    assert twin.context is not network.context
    assert torch.equal(twin(x, NOISE, given), network(x, NOISE, given))


@torch.no_grad()
def test_pretrained_weights_of_diffusers_layout_go_in_exactly(tmp_path):
    torch.manual_seed(7)
    base = build_unet(nano())
    base.save_pretrained(tmp_path / "unet")
    network, given = made(), conditions(nano())
    load_base(network, str(tmp_path))
    both = torch.cat([noisy(nano()), given.reference_latent[:, None].expand(-1, 2, -1, -1, -1)], dim=2)
    want = base(both, NOISE, network.image(given.image), given.time_ids).sample
    assert torch.equal(network(noisy(nano()), NOISE, given), want)


def test_pretrained_weights_of_another_shape_are_refused(tmp_path):
    other = replace(nano(), codec=CodecConfig(factor=2))
    build_unet(other).save_pretrained(tmp_path / "unet")
    with pytest.raises(ValueError, match=r"want the U-Net of the preset .* got another at \['conv_in.weight'"):
        load_base(made(), str(tmp_path))


def test_the_paper_trains_adapter_faces_and_attention():
    network = made()
    learns = choose_trained(network, "paper")
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert len(learns) + len(frozen) == len(list(network.parameters()))
    assert {"unet.conv_in.weight", "unet.conv_out.weight"} <= frozen
    assert not [n for n in frozen if ".attentions." in n or not n.startswith("unet.")]
    assert len(choose_trained(network, "all")) == len(list(network.parameters()))


def test_image_encoders_have_one_interface():
    image = torch.rand(2, 3, 20, 28) * 2 - 1
    conv = build_image_encoder(ImageConfig(kind="conv", width=16, grid=3), 24)
    clip = build_image_encoder(
        ImageConfig(kind="clip", clip_width=16, clip_inner=32, clip_layers=1, clip_heads=2, clip_size=28), 24
    )
    assert isinstance(conv, ConvImageEncoder)
    assert isinstance(clip, ClipImageEncoder)
    for encoder, config in ((conv, ImageConfig(grid=3)), (clip, ImageConfig(kind="clip"))):
        assert encoder(image).shape == (2, config.tokens, 24)
        assert not torch.allclose(encoder(image)[0], encoder(image)[1])
    assert not any(p.requires_grad for p in clip.parameters())


def test_the_base_is_diffusers_own():
    assert type(made().unet) is UNetSpatioTemporalConditionModel

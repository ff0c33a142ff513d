"""model/adapter.py and model/guides.py: the equations, zero start, order, absence, memory, ablations."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from model.adapter import JointGuide, MaskPoseAdapter, PeopleFusion, build_adapter  # noqa: E402
from model.config import AdapterConfig  # noqa: E402
from model.guides import LookNet, PoseNet  # noqa: E402
from tests.model_inputs import awake, conditions, nano, permuted, with_stranger  # noqa: E402

torch.set_num_threads(1)


def run(adapter, given):
    return adapter(given.pose, given.body, given.face, given.there, given.reference_latent, given.reference_body)


def made(seed: int = 0, **changes: object):
    torch.manual_seed(seed)
    return build_adapter(nano(**changes))


@pytest.mark.parametrize("adapter", [True, False])
def test_it_begins_at_exactly_zero(adapter):
    out = run(made(adapter=adapter), conditions(nano()))
    assert out.shape == (4, 32, 4, 4)
    assert not out.any()


ABLATIONS = [
    {}, {"masks": False}, {"poses": False}, {"fusion": "sum"}, {"adapter": False}, {"adapter": False, "masks": False},
]  # fmt: skip


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
def test_gradients_reach_every_layer_after_one_step(changes):
    adapter = made(**changes)
    given, target = conditions(nano()), torch.randn(4, 32, 4, 4)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        ((run(adapter, given) - target) ** 2).mean().backward()
        optimizer.step()
    dead = [name for name, p in adapter.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
def test_order_does_not_matter(changes):
    adapter = awake(made(**changes))
    given = conditions(nano(), people=3)
    assert (run(adapter, permuted(given, [2, 0, 1])) - run(adapter, given)).abs().max() <= 1e-5


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
def test_one_more_person_who_is_not_there_changes_nothing(changes):
    adapter = awake(made(**changes))
    given = conditions(nano())
    assert (run(adapter, with_stranger(given)) - run(adapter, given)).abs().max() <= 1e-5


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
def test_a_frame_with_nobody_is_exactly_zero_and_the_others_are_not(changes):
    adapter = awake(made(**changes))
    given = conditions(nano(), batch=1)
    there = given.there.clone()
    there[0, 1] = False
    out = run(adapter, replace(given, there=there))
    assert not out[1].any()
    assert out[0].abs().max() > 1e-3


def test_the_fusion_is_the_equation():
    adapter = awake(made())
    given = conditions(nano(), batch=1, people=3)
    there = given.there.clone()
    there[0, 0, 1] = False
    given = replace(given, there=there)
    frames = []
    code = adapter.look_net(given.reference_latent, given.reference_body)[0]
    for t in range(2):
        f = adapter.person_features(given.pose[0, t], given.body[0, t], given.face[0, t], code)
        f = f[there[0, t]]
        logits = torch.stack([adapter.fusion.phi(adapter.fusion.norm(one)) for one in f])
        alpha = torch.softmax(logits / adapter.fusion.log_tau.exp(), dim=0)
        fused = 0.95 * adapter.merge((alpha * f).sum(0)) + 0.05 * f.mean(0)
        frames.append(adapter.last(fused).permute(2, 0, 1))
    assert torch.allclose(run(adapter, given), torch.stack(frames), atol=1e-5)


def test_a_persons_features_are_the_equation():
    adapter = made(adapter_shape=AdapterConfig(lam=0.7, appearance=False))
    given = conditions(nano(), batch=1)
    pose, body, face = given.pose[0, 0], given.body[0, 0], given.face[0, 0]
    f_p, f_m = adapter.pose_net(pose), adapter.mask_net(torch.cat([body, face], dim=1))
    both = torch.cat([layer.weight for layer in adapter.gates], dim=1)
    w = torch.sigmoid(torch.cat([f_p, f_m], dim=-1) @ both.T + adapter.gates[0].bias)
    want = 0.7 * w[..., :1] * f_p + (1 - 0.7) * w[..., 1:] * f_m + adapter.residual(f_p + f_m)
    assert torch.allclose(adapter.person_features(pose, body, face), want, atol=1e-6)


def test_alpha_is_a_share_of_those_who_are_there_and_tau_sharpens_it():
    torch.manual_seed(0)
    fusion = PeopleFusion(32)
    feature, here = torch.randn(1, 3, 2, 2, 32), torch.tensor([[True, False, True]])
    alpha = fusion.weights(feature, here)
    assert torch.allclose(alpha.sum(dim=1), torch.ones(1, 2, 2, 1))
    assert not alpha[:, 1].any()
    fusion.log_tau.data.fill_(-9.0)
    assert fusion.weights(feature, here).amax(dim=1).min() > 0.99


def test_sum_fusion_adds_people_up():
    adapter = awake(made(fusion="sum", adapter_shape=AdapterConfig(blend=1.0)))
    assert adapter.fusion is None
    one = conditions(nano(), people=1)
    assert torch.allclose(run(adapter, permuted(one, [0, 0])), 2 * run(adapter, one), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "kind", "parts"),
    [
        pytest.param({}, MaskPoseAdapter, {"pose_net", "mask_net", "look_net", "fusion"}, id="full"),
        pytest.param({"masks": False}, MaskPoseAdapter, {"pose_net", "fusion"}, id="no mask"),
        pytest.param({"poses": False}, MaskPoseAdapter, {"mask_net", "look_net", "fusion"}, id="no pose"),
        pytest.param({"fusion": "sum"}, MaskPoseAdapter, {"pose_net", "mask_net", "look_net"}, id="sum fusion"),
        pytest.param({"adapter": False}, JointGuide, {"pose_net", "mask_net"}, id="no adapter"),
    ],
)
def test_an_ablation_leaves_parts_out(changes, kind, parts):
    adapter = made(**changes)
    assert type(adapter) is kind
    optional = ("pose_net", "mask_net", "look_net", "fusion")
    assert {name for name in optional if getattr(adapter, name, None) is not None} == parts


def test_without_poses_and_masks_there_is_no_adapter():
    assert made(masks=False, poses=False) is None


def test_no_mask_does_not_see_masks_and_no_pose_does_not_see_poses():
    given = conditions(nano())
    other = conditions(nano(), seed=9)
    masks = replace(given, body=other.body, face=other.face, reference_body=other.reference_body)
    poses = replace(given, pose=other.pose)
    blind, deaf, full = awake(made(masks=False)), awake(made(poses=False)), awake(made())
    assert torch.equal(run(blind, masks), run(blind, given))
    assert torch.equal(run(deaf, poses), run(deaf, given))
    assert not torch.allclose(run(full, masks), run(full, given))
    assert not torch.allclose(run(full, poses), run(full, given))


def test_what_is_kept_for_the_backward_pass_is_linear_in_people():
    adapter = made()
    held = [_held(adapter, conditions(nano(), people=people)) for people in (2, 4, 8)]
    # Each person costs the same, and a fixed part does not grow: 2 -> 4 adds half of what 4 -> 8 adds.
    assert held[2] - held[1] <= 2.01 * (held[1] - held[0])
    assert held[2] <= 4 * held[0]


def _held(adapter, given) -> int:
    seen: dict[int, int] = {}

    def note(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = run(adapter, given)
    assert out.requires_grad
    return sum(seen.values())


@pytest.mark.parametrize(("factor", "cells"), [(1, 32), (2, 16), (4, 8), (8, 4)])
def test_pose_net_ends_at_the_latent_size(factor, cells):
    net = PoseNet(32, factor, (16, 32, 64), 128)
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, cells, cells, 32)


def test_pose_net_of_the_paper_has_its_layers():
    net = PoseNet(320, 8, (16, 32, 64), 128)
    convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convs] == [
        (3, 3, 3, 1), (3, 16, 4, 2), (16, 16, 3, 1), (16, 32, 4, 2), (32, 32, 3, 1), (32, 64, 4, 2), (64, 64, 3, 1),
        (64, 128, 3, 1),
    ]  # fmt: skip
    assert (net.project.in_features, net.project.out_features) == (128, 320)


def test_pose_net_says_which_factors_it_can():
    with pytest.raises(ValueError, match="power of 2 up to 4"):
        PoseNet(32, 8, (16, 32), 64)


def test_a_look_is_that_of_the_masked_pixels_wherever_they_stand():
    torch.manual_seed(0)
    net = LookNet(3, 16, 8)
    body = torch.rand(3, 4, 2)
    codes = []
    for top, left in [(0, 0), (3, 5)]:
        latent, mask = torch.rand(1, 3, 8, 8), torch.zeros(1, 1, 1, 8, 8)
        latent[0, :, top : top + 4, left : left + 2] = body
        mask[0, 0, 0, top : top + 4, left : left + 2] = 1
        codes.append(net(latent, mask)[0, 0])
    assert torch.allclose(codes[0], codes[1], atol=1e-5)
    other = net(torch.rand(1, 3, 8, 8), mask)[0, 0]
    assert not torch.allclose(codes[0], other, atol=1e-2)


def test_a_person_who_is_not_in_the_reference_has_no_look():
    net = LookNet(3, 16, 8)
    net.layers[-1].bias.data.fill_(1.0)
    mask = torch.zeros(1, 2, 1, 8, 8)
    mask[0, 1] = 1
    code = net(torch.rand(1, 3, 8, 8), mask)
    assert not code[0, 0].any()
    assert code[0, 1].any()


def test_the_look_binds_a_mask_to_its_person():
    """Two people change looks: the picture changes, although poses, masks and the reference image do not."""
    adapter, given = awake(made()), conditions(nano())
    swapped = replace(given, reference_body=given.reference_body.flip(1))
    assert (run(adapter, swapped) - run(adapter, given)).abs().max() > 1e-3

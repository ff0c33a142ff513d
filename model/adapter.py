"""Everyone's poses and masks -> what is added to the U-Net after its first layer: the MaskPoseAdapter.

DanceTogether (arXiv 2505.18078), as section 2 of our notes has it [N; the blend confirmed R]. For person i, at every
cell:

    f_i = lam w_p . f_p + (1 - lam) w_m . f_m + residual         w_p, w_m = sigmoid(gates([f_p, f_m])), lam = 0.8
    alpha = softmax_i(phi(LN(f_i)) / tau)                        over the people who are there; tau learned
    F = 0.95 Conv1x1(sum_i alpha_i . f_i) + 0.05 mean_i f_i

Where the notes are silent or fix the number of people, ours: one phi shared by all people (written over the
concatenation it fixes N and the order); the residual is a 1x1 convolution of f_p + f_m; the gates are one number a
cell each; people who are not there take part neither in the softmax nor in the mean. F passes one last 1x1 layer
without bias that begins at zero: the only zero in the chain, so that the network begins as its base and yet every
layer learns from the second step on.

B clips, T frames, P people, C channels, H x W pixels, h x w latent cells. P only ever multiplies: memory is linear in
it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import NetworkConfig
from model.guides import LookNet, MaskNet, PoseNet, keep_variance


class MaskPoseAdapter(nn.Module):
    """One branch a person, all with the same weights, fused over whoever is there."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        shape, channels = config.adapter_shape, config.unet.widths[0]
        self.lam, self.blend = shape.lam, shape.blend
        self.pose_net, self.mask_net = _nets(config)
        self.look_net = None
        if config.masks and shape.appearance:
            self.look_net = LookNet(config.codec.latent_channels, channels, shape.mask_width)
        kinds = config.poses + config.masks
        # One linear layer over [f_p, f_m], in its two halves, so that nothing is copied together.
        self.gates = nn.ModuleList(nn.Linear(channels, kinds, bias=k == 0) for k in range(kinds))
        self.residual = nn.Linear(channels, channels)
        self.fusion = PeopleFusion(channels) if config.fusion == "softmax" else None
        self.merge = nn.Linear(channels, channels, bias=False)
        for part in (self.gates, self.residual, self.merge):
            keep_variance(part)
        self.last = _zero_layer(channels)

    def forward(
        self,
        pose: Tensor,
        body: Tensor,
        face: Tensor,
        there: Tensor,
        reference: Tensor | None = None,
        reference_body: Tensor | None = None,
    ) -> Tensor:
        """(B*T, C, h, w), exactly zero in frames where nobody is there.

        `pose` (B, T, P, 3, H, W) in -1..1; `body`, `face` (B, T, P, 1, H, W) in 0..1; `there` (B, T, P) bool;
        `reference` (B, C', h, w) are the reference image's latents and `reference_body` (B, P, 1, H, W) the masks of
        the same people in it, zeros where unknown: both are needed with `appearance` only.
        """
        frames, people = there.shape[1:]
        code = None
        if self.look_net is not None:
            if reference is None or reference_body is None:
                raise ValueError("adapter: want reference latents and reference masks (zeros if unknown), got none")
            code = self.look_net(reference, reference_body)[:, None].expand(-1, frames, -1, -1).flatten(0, 2)
        feature = self.person_features(pose.flatten(0, 2), body.flatten(0, 2), face.flatten(0, 2), code)
        feature = feature.unflatten(0, (-1, people))
        here = there.reshape(-1, people)
        total = torch.einsum("np,nphwc->nhwc", here.to(feature.dtype), feature)
        mean = total / here.sum(dim=1).clamp(min=1).reshape(-1, 1, 1, 1)
        fused = total if self.fusion is None else self.fusion(feature, here)
        return self.last(self.blend * self.merge(fused) + (1 - self.blend) * mean).movedim(-1, 1)

    def person_features(self, pose: Tensor, body: Tensor, face: Tensor, code: Tensor | None = None) -> Tensor:
        """f_i of N = B*T*P pictures, (N, h, w, C); `code` (N, C) is each person's look, if it is used."""
        shares, features = [], []
        if self.pose_net is not None:
            shares.append(self.lam)
            features.append(self.pose_net(pose))
        if self.mask_net is not None:
            of_mask = self.mask_net(torch.cat([body, face], dim=1))
            if code is not None:
                of_mask = of_mask + code[:, None, None] * F.adaptive_avg_pool2d(body, of_mask.shape[1:3]).movedim(1, -1)
            shares.append(1 - self.lam)
            features.append(of_mask)
        gate = torch.sigmoid(_total([layer(f) for layer, f in zip(self.gates, features, strict=True)]))
        out = self.residual(_total(features))
        for share, weight, f in zip(shares, gate.split(1, dim=-1), features, strict=True):
            out = out + share * weight * f
        return out


class PeopleFusion(nn.Module):
    """sum_i alpha_i . f_i with alpha = softmax_i(phi(LN(f_i)) / tau) at every cell, over the people who are there."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        # No bias at the end: a softmax does not see what is added to all of its inputs.
        self.phi = nn.Sequential(nn.Linear(channels, channels // 4), nn.SiLU(), nn.Linear(channels // 4, 1, bias=False))
        # tau = exp(log_tau) stays above zero.
        self.log_tau = nn.Parameter(torch.zeros(1))

    def forward(self, feature: Tensor, here: Tensor) -> Tensor:
        """`feature` (N, P, h, w, C), `here` (N, P) bool -> (N, h, w, C)."""
        return (self.weights(feature, here) * feature).sum(dim=1)

    def weights(self, feature: Tensor, here: Tensor) -> Tensor:
        """alpha, (N, P, h, w, 1): sums to 1 over whoever is there, 0 for the others and where nobody is."""
        logit = self.phi(self.norm(feature)) / self.log_tau.exp()
        here = here[..., None, None, None]
        # The least finite number, not -inf: where nobody is there a softmax of -inf alone is not a number.
        logit = logit.masked_fill(~here, torch.finfo(logit.dtype).min)
        return logit.softmax(dim=1) * here


class JointGuide(nn.Module):
    """The paper's "no adapter": all people on one pose map and one mask, as StableAnimator conditions, no branches.

    Our reading [I]: the notes name the ablation and not what stands in the adapter's place.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.pose_net, self.mask_net = _nets(config)
        self.last = _zero_layer(config.unet.widths[0])

    def forward(
        self,
        pose: Tensor,
        body: Tensor,
        face: Tensor,
        there: Tensor,
        reference: Tensor | None = None,
        reference_body: Tensor | None = None,
    ) -> Tensor:
        """As MaskPoseAdapter's; the reference is not used."""
        here = there[..., None, None, None]
        parts = []
        if self.pose_net is not None:
            # Black (-1) is an empty pose map, so the brightest of all people shows them all.
            parts.append(self.pose_net(torch.where(here, pose, -1).amax(dim=2).flatten(0, 1)))
        if self.mask_net is not None:
            masks = torch.cat([body, face], dim=3)
            parts.append(self.mask_net((masks * here).amax(dim=2).flatten(0, 1)))
        anyone = there.any(dim=2).reshape(-1, 1, 1, 1)
        return self.last(_total(parts) * anyone).movedim(-1, 1)


def build_adapter(config: NetworkConfig) -> MaskPoseAdapter | JointGuide | None:
    """What the config's ablations leave of the adapter; None without poses and without masks."""
    if not config.poses and not config.masks:
        return None
    return MaskPoseAdapter(config) if config.adapter else JointGuide(config)


def _nets(config: NetworkConfig) -> tuple[PoseNet | None, MaskNet | None]:
    shape, channels, factor = config.adapter_shape, config.unet.widths[0], config.codec.factor
    pose = PoseNet(channels, factor, shape.pose_widths, shape.pose_last) if config.poses else None
    return pose, MaskNet(channels, factor, shape.mask_width) if config.masks else None


def _total(parts: list[Tensor]) -> Tensor:
    return sum(parts[1:], parts[0])


def _zero_layer(channels: int) -> nn.Linear:
    layer = nn.Linear(channels, channels, bias=False)
    nn.init.zeros_(layer.weight)
    return layer

"""Noisy latents + conditions -> clean latents: Stable Video Diffusion's U-Net with DanceTogether's adapter and faces.

diffusers' UNetSpatioTemporalConditionModel, three additions (arXiv 2505.18078, section 2 of our notes): the
MaskPoseAdapter's output is added right after `conv_in`; face tokens of all people reach every cross-attention layer;
the reference image's latents lie beside the noisy ones in every frame, and its tokens in cross-attention, as in Stable
Video Diffusion. At step 0 the conditioned network equals the base network exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin, UNetSpatioTemporalConditionModel
from diffusers.configuration_utils import register_to_config
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from model.adapter import build_adapter
from model.conditions import Conditions
from model.config import NetworkConfig, from_dict, to_dict
from model.faces import MultiFaceEncoder, add_face_attention
from model.image_encoder import ConvImageEncoder


class DuetUNet(ModelMixin, ConfigMixin):
    """The network of one NetworkConfig. The codec and CLIP are frozen and stay outside.

    `network` is the config as `to_dict` gives it, so that `save_pretrained` writes it; see `DuetUNet.of`.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(self, network: dict[str, Any]) -> None:
        super().__init__()
        self.shape = from_dict(NetworkConfig, network)
        width = self.shape.unet.cross_dim
        self.unet = build_unet(self.shape)
        self.adapter = build_adapter(self.shape)
        self.faces = MultiFaceEncoder(self.shape.face_shape, width) if self.shape.faces else None
        self.context = add_face_attention(self.unet, width) if self.shape.faces else None
        self.image = ConvImageEncoder(self.shape.image, width) if self.shape.image.kind == "conv" else None
        # What the adapter adds to the first layer of the forward pass that is running.
        self._guidance: Tensor | None = None
        self.unet.conv_in.register_forward_hook(self._add_guidance)
        self._saves_memory = False

    @classmethod
    def of(cls, config: NetworkConfig) -> DuetUNet:
        """The network of a config, randomly initialised."""
        return cls(to_dict(config))

    def forward(self, noisy: Tensor, noise: Tensor, conditions: Conditions) -> Tensor:
        """F of EDM: `noisy` (B, T, C, h, w), already times c_in, `noise` (B,) c_noise -> (B, T, C, h, w).

        `edm.denoise` makes clean latents of it.
        """
        conditions.check(self.shape)
        if noisy.shape[:2] != conditions.there.shape[:2]:
            raise ValueError(
                f"noisy: want clips and frames {tuple(conditions.there.shape[:2])}, got {tuple(noisy.shape)}"
            )
        # Asked once: it looks through all modules.
        dtype = self.dtype
        given = conditions.hidden().changed(lambda x: x.to(dtype) if x.is_floating_point() else x)
        tokens = self.image_tokens(given)
        faces = None if self.faces is None else self._checkpointed(self.faces, given.embedding, tokens)
        reference = given.reference_latent[:, None].expand(-1, noisy.shape[1], -1, -1, -1)
        both = torch.cat([noisy.to(dtype), reference], dim=2)
        self._guidance = self.guidance(given)
        try:
            if self.context is None:
                return self.unet(both, noise, tokens, given.time_ids, return_dict=False)[0]
            with self.context.showing(faces):
                return self.unet(both, noise, tokens, given.time_ids, return_dict=False)[0]
        finally:
            self._guidance = None

    def image_tokens(self, conditions: Conditions) -> Tensor:
        """The image tokens (B, K, D), zeros where `keep_image` is False. Once a video, then `conditions.tokens`."""
        tokens = (
            conditions.tokens if self.image is None or conditions.tokens is not None else self.image(conditions.image)
        )
        assert tokens is not None  # Conditions.check
        keep = conditions.keep_image
        return tokens if keep is None else tokens * keep[:, None, None].to(tokens.dtype)

    def guidance(self, given: Conditions) -> Tensor | None:
        """What the adapter adds after `conv_in`, (B*T, C, h, w); None without an adapter."""
        if self.adapter is None:
            return None
        people = (given.pose, given.body, given.face, given.there)
        return self._checkpointed(self.adapter, *people, given.reference_latent, given.reference_body)

    def enable_gradient_checkpointing(self, gradient_checkpointing_func: Callable[..., Any] | None = None) -> None:
        """Recompute blocks, adapter and face encoder in the backward pass instead of keeping what they computed."""
        self._saves_memory = True
        self.unet.enable_gradient_checkpointing(gradient_checkpointing_func or self._recompute)

    def disable_gradient_checkpointing(self) -> None:
        """Keep everything again."""
        self._saves_memory = False
        self.unet.disable_gradient_checkpointing()

    def _recompute(self, block: Callable[..., Any], *inputs: Any) -> Any:
        """A checkpointed block of the U-Net. Its second run, after the forward pass, must see the same faces."""
        faces = None if self.context is None else self.context.now

        def run(*values: Any) -> Any:
            if self.context is None:
                return block(*values)
            with self.context.showing(faces):
                return block(*values)

        return checkpoint(run, *inputs, use_reentrant=False)

    def _checkpointed(self, part: Callable[..., Any], *inputs: Any) -> Any:
        if self._saves_memory and torch.is_grad_enabled():
            return checkpoint(part, *inputs, use_reentrant=False)
        return part(*inputs)

    def _add_guidance(self, layer: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output if self._guidance is None else output + self._guidance.to(output.dtype)


def build_unet(config: NetworkConfig) -> UNetSpatioTemporalConditionModel:
    """diffusers' U-Net in the shape of the config, randomly initialised: noisy and reference latents in, one out."""
    shape, channels = config.unet, config.codec.latent_channels
    down = ["CrossAttnDownBlockSpatioTemporal" if has else "DownBlockSpatioTemporal" for has in shape.attention]
    up = ["CrossAttnUpBlockSpatioTemporal" if has else "UpBlockSpatioTemporal" for has in reversed(shape.attention)]
    return UNetSpatioTemporalConditionModel(
        sample_size=config.latent_size[0],
        in_channels=2 * channels,
        out_channels=channels,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        block_out_channels=shape.widths,
        addition_time_embed_dim=shape.time_dim,
        projection_class_embeddings_input_dim=3 * shape.time_dim,
        layers_per_block=shape.layers,
        cross_attention_dim=shape.cross_dim,
        transformer_layers_per_block=1,
        num_attention_heads=shape.heads,
        num_frames=config.frames,
    )


def load_base(network: DuetUNet, base: str) -> None:
    """Give the U-Net pretrained weights: `base` is a hub name or a folder with `unet/`, as diffusers saves it.

    Raises ValueError when its shape is another.
    """
    found = UNetSpatioTemporalConditionModel.from_pretrained(base, subfolder="unet").state_dict()
    own = network.unet.state_dict()
    added = {name for name in own if ".processor." in name}
    wrong = sorted(set(own) - added ^ set(found)) or sorted(n for n in found if found[n].shape != own[n].shape)
    if wrong:
        raise ValueError(f"{base}: want the U-Net of the preset ({network.shape.unet}), got another at {wrong[:3]}")
    network.unet.load_state_dict(found, strict=False)


def choose_trained(network: DuetUNet, trained: str) -> list[torch.nn.Parameter]:
    """Freeze what does not learn, and return what does.

    "all"; or "paper": adapter, face encoder and the U-Net's attention blocks, as StableAnimator trains them [V].
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(trained == "all" or not name.startswith("unet.") or ".attentions." in name)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]

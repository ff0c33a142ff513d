"""Reference image, everyone's poses and masks -> frames: DanceTogether as a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder, DiffusionPipeline
from diffusers.utils import BaseOutput
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from model.conditions import Conditions, from_examples
from model.image_encoder import ClipImageEncoder
from model.latents import Codec, KlCodec, build_codec
from model.network import DuetUNet
from model.sampling import sample
from model.windows import collate_examples

# Where training puts the pipeline inside a run's folder.
FOLDER = "pipeline"
# Frames that become pixels at once; a multiple of what the autoencoder decodes together.
_CHUNK = 28
# What from_pretrained takes for the pipeline holds for its network, too.
_SHARED = ("torch_dtype", "variant", "revision", "token", "cache_dir", "local_files_only", "force_download")
_ALIGNMENT = 64  # bytes at which PyTorch begins what it allocates on a CPU


@dataclass
class TogetherVideoOutput(BaseOutput):
    """`frames`: (B, T, H, W, 3) uint8 RGB, or with output_type "latent" clean latents (B, T, C, h, w) float32."""

    frames: np.ndarray | Tensor


class TogetherVideoPipeline(DiffusionPipeline):
    """A network with what it needs around it; `vae` and `image_encoder` are None where the network needs none.

    `save_pretrained(folder)` writes diffusers' layout with safetensors. `from_pretrained` reads it, also from the
    folder of a training run that has it in `pipeline/`.
    """

    _optional_components = ["vae", "image_encoder"]  # noqa: RUF012

    def __init__(
        self,
        network: DuetUNet,
        vae: AutoencoderKLTemporalDecoder | None = None,
        image_encoder: CLIPVisionModelWithProjection | None = None,
    ) -> None:
        """Raises ValueError when a part is missing that the network needs."""
        super().__init__()
        shape = network.shape
        if (shape.codec.kind == "kl") != (vae is not None):
            raise ValueError(f"pipeline.vae: want one exactly with codec.kind kl, got {type(vae)} with {shape.codec}")
        if (shape.image.kind == "clip") != (image_encoder is not None):
            got = f"{type(image_encoder)} with {shape.image}"
            raise ValueError(f"pipeline.image_encoder: want one exactly with image.kind clip, got {got}")
        self.register_modules(network=network, vae=vae, image_encoder=image_encoder)

    @classmethod
    def of(cls, network: DuetUNet, codec: Codec, clip: ClipImageEncoder | None = None) -> TogetherVideoPipeline:
        """The pipeline of a network, its codec and, where it has no image encoder of its own, CLIP."""
        vae = codec.vae if isinstance(codec, KlCodec) else None
        return cls(network, vae, None if clip is None else clip.clip)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **arguments: Any) -> TogetherVideoPipeline:
        """A saved pipeline: its folder, that of a run with one in it, or a hub name. Weights are safetensors, always.

        `arguments` are DiffusionPipeline.from_pretrained's. Raises ValueError for a folder without a pipeline.
        """
        place = Path(pretrained_model_name_or_path)
        if place.is_dir():
            found = [at for at in (place, place / FOLDER) if (at / cls.config_name).is_file()]
            if not found:
                raise ValueError(
                    f"{place}: want a run with {FOLDER}/ or a pipeline, got no {cls.config_name} in either"
                )
            place = found[0]
        network = arguments.pop("network", None)
        if network is None:
            shared = {name: arguments[name] for name in _SHARED if name in arguments}
            network = DuetUNet.from_pretrained(str(place), subfolder="network", use_safetensors=True, **shared)
        whole = cast(
            TogetherVideoPipeline,
            super().from_pretrained(str(place), network=network, use_safetensors=True, **arguments),
        )
        for part in (whole.network, whole.vae, whole.image_encoder):
            if part is not None:
                _align(part)
        return whole

    @torch.no_grad()
    def __call__(
        self,
        example: Mapping[str, Any],
        *,
        steps: int = 25,
        guidance: float = 1.0,
        generator: torch.Generator | None = None,
        overlap: int | None = None,
        noise_aug: float = 0.02,
        output_type: str = "np",
        progress: Callable[[int, int], None] | None = None,
    ) -> TogetherVideoOutput:
        """Frames for an example (model.clips.clip_example), or for a batch of them (model.windows.collate_examples).

        | name | shape | what |
        |---|---|---|
        | reference | (B, 3, H, W) uint8 | the reference image, RGB |
        | reference_body | (B, P, 1, H, W) uint8 | everyone's mask in it, 0 or 1; zeros where unknown |
        | pose | (B, T, P, 3, H, W) uint8 | each person's pose map on black |
        | body, face | (B, T, P, 1, H, W) uint8 | their masks; zeros where no face is known |
        | there | (B, T, P) bool | who is in the shot |
        | embedding | (B, P, 512) float32 | of their faces; zeros where none is known |
        | fps | (B,) float32 | of the video |

        An example has no B; its outcome has B = 1. What else it holds, such as the true video, is not looked at. T is
        any. `steps`, `guidance`, `generator`, `overlap` and `progress` are model.sampling.sample's; `noise_aug` is the
        strength of the noise on the reference image, that of training. Raises ValueError that names what does not fit.
        """
        if output_type not in ("np", "latent"):
            raise ValueError(f"output_type: want np or latent, got {output_type!r}")
        batch = _batch(example)
        codec = self.codec
        conditions = self._conditions(batch, codec, noise_aug, generator)
        conditions.check(self.network.shape)
        latent = sample(
            self.network, conditions, self.network.shape,
            steps=steps, guidance=guidance, generator=generator, overlap=overlap, progress=progress,
        )  # fmt: skip
        return TogetherVideoOutput(frames=latent if output_type == "latent" else decode_frames(codec, latent))

    @property
    def codec(self) -> Codec:
        """Between pixels and the network's latents."""
        return build_codec(self.network.shape.codec) if self.vae is None else KlCodec(self.vae)

    def _conditions(
        self, batch: Mapping[str, Any], codec: Codec, noise_aug: float, generator: torch.Generator | None
    ) -> Conditions:
        """Conditions with what is small on the device, and what grows with the length left as bytes where it is."""
        device = self._execution_device
        near = {name: batch[name].to(device) for name in ("embedding", "fps")}
        reference = batch["reference"].to(device).float() / 127.5 - 1
        clip = None if self.image_encoder is None else ClipImageEncoder(self.image_encoder).to(device)
        return from_examples(
            {**batch, **near, "reference": reference}, codec, clip, noise_aug=noise_aug, generator=generator
        )


def decode_frames(codec: Codec, latent: Tensor) -> np.ndarray:
    """Clean latents (B, T, C, h, w) -> frames (B, T, H, W, 3) uint8 RGB, a few at a time."""
    parts = []
    for chunk in latent.split(_CHUNK, dim=1):
        pixels = (codec.decode(chunk).float().clamp(-1, 1) + 1) * 127.5
        parts.append(pixels.round().to(torch.uint8).movedim(2, -1).cpu())
    return torch.cat(parts, dim=1).numpy()


def _batch(example: Mapping[str, Any]) -> Mapping[str, Any]:
    """The example as a batch of one, or the batch as it is. Raises ValueError that names what is missing."""
    wanted = ("reference", "reference_body", "pose", "body", "face", "there", "embedding", "fps")
    missing = [name for name in wanted if name not in example]
    if missing:
        raise ValueError(f"example: want {', '.join(wanted)}, got no {', '.join(missing)}")
    if np.ndim(example["there"]) == 3:
        return {name: torch.as_tensor(example[name]) for name in wanted}
    return collate_examples([{**{name: example[name] for name in wanted}, "key": ""}])


def _align(part: torch.nn.Module) -> None:
    """Weights that lie in a mapped file at any byte, moved to memory as PyTorch allocates it.

    MKL sums in another order where a matrix begins elsewhere, so that frames of a loaded pipeline would differ in their
    last bits from those of the pipeline that was saved.
    """
    for tensor in (*part.parameters(), *part.buffers()):
        if tensor.device.type == "cpu" and tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()

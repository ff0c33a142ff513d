"""What a network is and how it is trained, as frozen records: JSON out and in, and FIELD=VALUE changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Config = TypeVar("Config")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecConfig:
    """Between pixels and latents: `unshuffle` folds factor x factor pixels into channels, `kl` is SVD's autoencoder."""

    kind: Literal["unshuffle", "kl"] = "unshuffle"
    factor: int = 4
    # Latents are multiplied by this, to bring them near unit variance, which the EDM factors of SVD take for granted.
    scale: float = 2.0
    # The rest is the autoencoder's shape (kind "kl").
    channels: int = 4
    widths: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2

    @property
    def latent_channels(self) -> int:
        """Channels of one latent cell."""
        return 3 * self.factor**2 if self.kind == "unshuffle" else self.channels


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetConfig:
    """The shape of diffusers' UNetSpatioTemporalConditionModel; one entry a level, outermost first."""

    widths: tuple[int, ...] = (64, 128)
    heads: tuple[int, ...] = (2, 4)
    # Levels whose blocks have attention.
    attention: tuple[bool, ...] = (True, True)
    layers: int = 1
    cross_dim: int = 64
    # Width of the sinusoidal code of each of the three added time ids: fps - 1, motion bucket, noise augmentation.
    time_dim: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What turns the reference image into tokens: `conv` is trained with the network, `clip` is frozen CLIP vision."""

    kind: Literal["conv", "clip"] = "conv"
    # conv: width of its last layer, and its tokens are a grid x grid picture.
    width: int = 64
    grid: int = 4
    # clip: the shape of transformers' CLIPVisionModelWithProjection.
    clip_width: int = 1280
    clip_inner: int = 5120
    clip_layers: int = 32
    clip_heads: int = 16
    clip_size: int = 224
    clip_patch: int = 14

    @property
    def tokens(self) -> int:
        """How many tokens an image gives."""
        return self.grid**2 if self.kind == "conv" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """The shape of the MaskPoseAdapter and the constants of its equations."""

    pose_widths: tuple[int, ...] = (16, 32, 64)
    pose_last: int = 128
    mask_width: int = 64
    # Share of the pose in a person's features; the mask has the rest.
    lam: float = 0.8
    # Share of the fused people in the sum; the plain mean of people has the rest.
    blend: float = 0.95
    # Whether each person's look in the reference image is written into their mask (ours, not the paper's).
    appearance: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceConfig:
    """The shape of the MultiFace encoder."""

    embedding: int = 512
    tokens: int = 4
    depth: int = 4
    heads: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseConfig:
    """Noise levels: ln(sigma) ~ N(mean, std^2), kept within low..high, in training; Karras' steps when sampling."""

    mean: float = 0.7
    std: float = 1.6
    low: float = 0.002
    high: float = 700.0
    rho: float = 7.0
    # What the network says: SVD's v, or the clean latents (model/edm.py).
    predict: Literal["v", "clean"] = "v"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """One network. The five fields after `frames` are the ablations of DanceTogether, one each.

    masks: body and face masks condition the network (False: "no mask").
    poses: pose maps condition it (False: "no pose").
    adapter: everyone has their own branch, and branches are fused (False: "no adapter", all people on one picture).
    fusion: how branches are fused: softmax over people, or their plain sum ("sum fusion").
    faces: face tokens in cross-attention (False: "no MultiFace").
    """

    size: tuple[int, int] = (64, 64)
    frames: int = 8
    masks: bool = True
    poses: bool = True
    adapter: bool = True
    fusion: Literal["softmax", "sum"] = "softmax"
    faces: bool = True
    codec: CodecConfig = field(default_factory=CodecConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    adapter_shape: AdapterConfig = field(default_factory=AdapterConfig)
    face_shape: FaceConfig = field(default_factory=FaceConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)

    def __post_init__(self) -> None:
        step = self.codec.factor * 2 ** (len(self.unet.widths) - 1)
        if any(side % step for side in self.size):
            raise ValueError(f"network.size: want multiples of {step} (codec and levels halve it), got {self.size}")
        for name in ("heads", "attention"):
            if len(getattr(self.unet, name)) != len(self.unet.widths):
                raise ValueError(f"unet.{name}: want one a level ({len(self.unet.widths)}), got {self.unet}")
        for width, heads in zip(self.unet.widths, self.unet.heads, strict=True):
            if width % 32 or width % heads:
                raise ValueError(f"unet.widths: want multiples of 32 and of the heads, got {width} with {heads} heads")
        if not 0 <= self.adapter_shape.lam <= 1 or not 0 <= self.adapter_shape.blend <= 1:
            raise ValueError(f"adapter_shape: want lam and blend within 0..1, got {self.adapter_shape}")

    @property
    def latent_size(self) -> tuple[int, int]:
        """Latent cells (h, w) of one frame."""
        return self.size[0] // self.codec.factor, self.size[1] // self.codec.factor


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a network is trained. `batch` is per process; one step updates after `accumulate` batches."""

    steps: int = 2000
    batch: int = 2
    accumulate: int = 1
    lr: float = 3e-4
    warmup: int = 50
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema: float = 0.999
    precision: Literal["no", "fp16", "bf16"] = "no"
    checkpointing: bool = False
    # Which parameters learn: all, or what StableAnimator trains beside a pretrained base.
    trained: Literal["all", "paper"] = "all"
    # Frames of a window lie this many frames apart, least and most.
    stride: tuple[int, int] = (1, 4)
    # Share of clips trained without their reference image, and of those without their people; half of each is both.
    dropout: float = 0.1
    # Strength of the noise on the reference image's pixels (-1..1).
    noise_aug: float = 0.02
    mirror: bool = True
    workers: int = 1
    seed: int = 0
    # Several processes: each holds the whole network (ddp), or a share of it (fsdp).
    parallel: Literal["ddp", "fsdp"] = "ddp"
    log_every: int = 10
    save_every: int = 500
    # 0: no sample videos.
    sample_every: int = 500

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "log_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name}: want 1 or more, got {getattr(self, name)}")
        for name in ("lr", "warmup", "weight_decay", "noise_aug", "workers", "seed", "sample_every"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"train.{name}: want 0 or more, got {getattr(self, name)}")
        if not self.clip_norm > 0:
            raise ValueError(f"train.clip_norm: want more than 0, got {self.clip_norm}")
        for name, most in (("ema", 1.0), ("dropout", 2 / 3)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"train.{name}: want 0 to {most:.3g}, got {getattr(self, name)}")
        if self.parallel == "fsdp" and self.precision == "fp16":
            raise ValueError("train.precision: want bf16 or no with train.parallel=fsdp, got fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """A network and its training: what a preset returns and a checkpoint keeps."""

    preset: str
    network: NetworkConfig
    train: TrainConfig
    # Where pretrained modules come from: a hub name or a folder of diffusers' layout. Empty: from scratch.
    base: str = ""


def to_json(config: Any) -> str:
    """Any of these records as JSON text with sorted keys."""
    return json.dumps(to_dict(config), indent=2, sort_keys=True)


def to_dict(config: Any) -> dict[str, Any]:
    """The record as plain dicts, lists and numbers, as `from_dict` takes it.

    >>> from_dict(CodecConfig, to_dict(CodecConfig(widths=(1, 2)))).widths
    (1, 2)
    """
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_json(kind: type[Config], text: str) -> Config:
    """The record of `to_json`. Raises ValueError on unknown fields and wrong values."""
    return from_dict(kind, json.loads(text))


def from_dict(kind: type[Config], values: dict[str, Any], name: str = "") -> Config:
    """The record of `to_dict`; fields left out have their defaults. Raises ValueError on unknown or wrong ones."""
    hints = get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ValueError(f"{name or kind.__name__}: want fields of {sorted(hints)}, got {unknown}")
    return kind(**{key: _value(hints[key], value, f"{name}.{key}".lstrip(".")) for key, value in values.items()})


def changed(config: Config, settings: Sequence[str]) -> Config:
    """The record with FIELD=VALUE changes, inner fields as `network.codec.factor`; values are JSON, or bare words.

    Raises ValueError when a field does not exist or a value does not fit it.

    >>> changed(NetworkConfig(), ["fusion=sum", "masks=false", "codec.scale=1", "size=[32, 32]"]).codec.scale
    1.0
    """
    values = to_dict(config)
    for setting in settings:
        path, equals, text = setting.partition("=")
        *above, last = path.strip().split(".")
        place = values
        for step in above:
            inner = place.get(step)
            if not isinstance(inner, dict):
                raise ValueError(f"--set {setting}: want FIELD=VALUE, got no group of fields {step!r} in {list(place)}")
            place = inner
        if not equals or last not in place or isinstance(place[last], dict):
            known = [name for name, value in place.items() if not isinstance(value, dict)]
            raise ValueError(f"--set {setting}: want FIELD=VALUE with a field of {known}, got {last!r}")
        place[last] = _parsed(text.strip())
    return from_dict(type(config), values)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"True": True, "False": False}.get(text, text)


def _value(hint: Any, value: Any, name: str) -> Any:
    """A JSON value as the type of its field."""
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_dict(hint, value, name)  # type: ignore[arg-type]
    if origin is Literal and value in get_args(hint):
        return value
    if origin is tuple and isinstance(value, list | tuple):
        kinds = get_args(hint)
        if kinds[-1] is Ellipsis:
            return tuple(_value(kinds[0], one, name) for one in value)
        if len(kinds) == len(value):
            return tuple(_value(kind, one, name) for kind, one in zip(kinds, value, strict=True))
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    raise ValueError(f"{name}: want {hint if origin else getattr(hint, '__name__', hint)}, got {value!r}")

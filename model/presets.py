"""Named full configurations: functions that return a network and its training.

| preset | pixels | latents | runs on |
|---|---|---|---|
| tiny | 64, 8 frames | 4 x 4 pixels folded, 16 x 16 cells | CPU, minutes |
| small | 128, 16 frames | 4 x 4 pixels folded, 32 x 32 cells | one GPU, from scratch |
| svd | 512, 16 frames | SVD's autoencoder, 64 x 64 cells | several GPUs, from SVD-XT's weights |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from model.config import (
    AdapterConfig,
    CodecConfig,
    FaceConfig,
    ImageConfig,
    NetworkConfig,
    NoiseConfig,
    RunConfig,
    TrainConfig,
    UNetConfig,
)  # fmt: skip

# Folded pixels keep what neighbours share, which only much noise hides: levels between EDM's for pixels (-1.2, 1.2) and
# SVD's for latents.
_PIXEL_NOISE = NoiseConfig(mean=-0.2, std=1.4, low=0.002, high=80.0, predict="clean")


def tiny() -> RunConfig:
    """64 px, 8 frames, on a CPU: some thousand steps in ten minutes."""
    network = NetworkConfig(
        size=(64, 64),
        frames=8,
        codec=CodecConfig(kind="unshuffle", factor=4, scale=2.0),
        unet=UNetConfig(widths=(32, 64), heads=(1, 2), attention=(False, True), layers=1, cross_dim=64, time_dim=32),
        image=ImageConfig(kind="conv", width=32, grid=4),
        adapter_shape=AdapterConfig(pose_widths=(8, 16), pose_last=16, mask_width=16),
        face_shape=FaceConfig(depth=4, heads=2),
        noise=_PIXEL_NOISE,
    )
    return RunConfig(preset="tiny", network=network, train=TrainConfig(steps=2000, batch=2, lr=1e-3, workers=1))


def small() -> RunConfig:
    """128 px, 16 frames, from scratch on one GPU, in folded pixel space."""
    network = NetworkConfig(
        size=(128, 128),
        frames=16,
        codec=CodecConfig(kind="unshuffle", factor=4, scale=2.0),
        unet=UNetConfig(
            widths=(128, 256, 512), heads=(2, 4, 8), attention=(True, True, True), layers=2, cross_dim=256, time_dim=64
        ),
        image=ImageConfig(kind="conv", width=128, grid=8),
        adapter_shape=AdapterConfig(pose_widths=(16, 32, 64), pose_last=128, mask_width=64),
        face_shape=FaceConfig(depth=4, heads=4),
        noise=_PIXEL_NOISE,
    )
    train = TrainConfig(
        steps=50_000, batch=8, lr=2e-4, warmup=500, ema=0.9995, precision="bf16", workers=6, save_every=2000
    )
    return RunConfig(preset="small", network=network, train=replace(train, sample_every=2000))


def svd() -> RunConfig:
    """The paper's setting: 512 px on SVD-XT, 16 frames at stride 4, AdamW 1e-5 [V: StableAnimator]."""
    network = NetworkConfig(
        size=(512, 512),
        frames=16,
        codec=CodecConfig(kind="kl", factor=8, scale=0.18215, channels=4, widths=(128, 256, 512, 512), layers=2),
        unet=UNetConfig(
            widths=(320, 640, 1280, 1280),
            heads=(5, 10, 20, 20),
            attention=(True, True, True, False),
            layers=2,
            cross_dim=1024,
            time_dim=256,
        ),
        image=ImageConfig(kind="clip"),
        adapter_shape=AdapterConfig(),
        face_shape=FaceConfig(heads=16),
        noise=NoiseConfig(mean=0.7, std=1.6, low=0.002, high=700.0),
    )
    train = TrainConfig(
        steps=50_000,
        batch=1,
        lr=1e-5,
        warmup=500,
        ema=0.9999,
        precision="bf16",
        checkpointing=True,
        trained="paper",
        stride=(4, 4),
        workers=6,
        parallel="fsdp",
        save_every=2000,
        sample_every=2000,
    )
    base = "stabilityai/stable-video-diffusion-img2vid-xt"
    return RunConfig(preset="svd", network=network, train=train, base=base)


def svd_reduced() -> RunConfig:
    """`svd` with every module about a tenth as wide and random weights: the same parts and code, on any machine."""
    full = svd()
    network = replace(
        full.network,
        size=(64, 64),
        frames=4,
        codec=replace(full.network.codec, widths=(32, 32, 32, 32), layers=1),
        unet=replace(
            full.network.unet, widths=(32, 64, 64, 64), heads=(1, 2, 2, 2), layers=1, cross_dim=32, time_dim=32
        ),
        image=replace(full.network.image, clip_width=32, clip_inner=64, clip_layers=2, clip_heads=2, clip_size=28),
        adapter_shape=replace(full.network.adapter_shape, pose_widths=(4, 8, 16), pose_last=16, mask_width=16),
        face_shape=replace(full.network.face_shape, heads=2),
    )
    train = replace(full.train, precision="no", workers=1)
    return RunConfig(preset="svd_reduced", network=network, train=train)


PRESETS: dict[str, Callable[[], RunConfig]] = {"tiny": tiny, "small": small, "svd": svd, "svd_reduced": svd_reduced}


def preset(name: str) -> RunConfig:
    """The configuration of a preset. Raises ValueError for a name that is none."""
    if name not in PRESETS:
        raise ValueError(f"--preset: want one of {sorted(PRESETS)}, got {name!r}")
    return PRESETS[name]()

"""Configuration -> what trains: the loader, the network with optimizer and average, and the frozen parts around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from model.config import RunConfig
from model.ema import Ema
from model.image_encoder import ClipImageEncoder, build_image_encoder
from model.latents import Codec, build_codec
from model.network import DuetUNet, choose_trained, load_base
from model.parallel import Precision, Processes, spread
from model.run_folder import RunError
from model.stream import ShardLoader
from model.train_state import Learner
from model.windows import WindowConfig, collate_examples, example_stream


def make_loader(
    config: RunConfig,
    shards: str | Path,
    *,
    split: str | None,
    on_error: Literal["skip", "raise"],
    processes: Processes,
) -> ShardLoader:
    """The batches of a process. Raises ShardError where there is nothing to read, ValueError where a name is wrong."""
    network, train = config.network, config.train
    window = WindowConfig(frames=network.frames, size=network.size, stride=train.stride, mirror=train.mirror)
    # Ranks step together: each must have equally many samples in every epoch, come what may.
    stream = example_stream(
        shards, window, split=split, seed=train.seed, even="pad", on_error=on_error,
        rank=processes.rank, world_size=processes.world_size,
    )  # fmt: skip
    return ShardLoader(
        stream,
        batch_size=train.batch,
        num_workers=train.workers,
        collate_fn=collate_examples,
        persistent_workers=train.workers > 0,
        pin_memory=processes.device.type == "cuda",
    )


def make_learner(config: RunConfig, processes: Processes) -> tuple[Learner, nn.Module]:
    """A network at its start, its optimizer and average, and the network as it is called (model.parallel.spread).

    Weights are a function of `train.seed`, or `base`'s. Raises ValueError when `base` has another shape.
    """
    train = config.train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)
        network = DuetUNet.of(config.network)
    if config.base:
        with _found(config.base):
            load_base(network, config.base)
    if train.checkpointing:
        network.enable_gradient_checkpointing()
    choose_trained(network, train.trained)
    wrapped = spread(network.train(), train.parallel, processes, train.precision)
    trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    # Norms, biases and the temperature of fusion have no reason to be small.
    groups = [
        {"params": [p for p in trained.values() if p.ndim > 1], "weight_decay": train.weight_decay},
        {"params": [p for p in trained.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    learner = Learner(
        network=network,
        trained=trained,
        optimizer=torch.optim.AdamW(groups, lr=train.lr, fused=True),
        ema=Ema(trained, train.ema),
        precision=Precision(train.precision, processes.device),
    )
    return learner, wrapped


def make_frozen(config: RunConfig, processes: Processes) -> tuple[Codec, ClipImageEncoder | None]:
    """What does not learn: the codec, and CLIP where the network has no image encoder of its own.

    Without a `base` they are random, a function of `train.seed`: the same in every process, and when resumed.
    """
    network = config.network
    with _found(config.base), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        codec = build_codec(network.codec, config.base).to(processes.device)
        if network.image.kind == "conv":
            return codec, None
        clip = build_image_encoder(network.image, network.unet.cross_dim, config.base)
    assert isinstance(clip, ClipImageEncoder)
    return codec, clip.to(processes.device)


@contextmanager
def _found(base: str) -> Iterator[None]:
    """Raises RunError for pretrained modules that cannot be had."""
    try:
        yield
    except (OSError, ValueError) as error:
        if not base:
            raise
        raise RunError(
            f"base: want pretrained modules from {base}, got {error}. Download them first, and give the folder: "
            "--set base=FOLDER (--set base= begins from scratch)"
        ) from error

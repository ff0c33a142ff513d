"""What the MaskPoseAdapter costs of a training step, at two people and up to eight.

    python -m tests.bench.adapter [--quick]

A training step (forward, loss, backward, AdamW) of the whole network on random examples, beside the same network
without poses and masks, which has no adapter; the two take turns in one process with one thread, and CPU seconds count,
not wall seconds, for these machines are shared. Then the adapter's own seconds at four and eight people beside those at
two. `tiny`; of `small`, whose step takes a CPU half a minute, at half its frames, and without --quick only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from model.config import NetworkConfig, RunConfig, changed
from model.image_encoder import ClipImageEncoder
from model.latents import build_codec
from model.network import DuetUNet
from model.presets import preset
from model.step import clip_errors

NO_ADAPTER = ("network.poses=false", "network.masks=false")


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.adapter", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny only, three rounds")
    quick = parser.parse_args(argv).quick
    torch.set_num_threads(1)
    rows = rows_of(preset("tiny"), rounds=3 if quick else 9)
    if not quick:
        rows += rows_of(changed(preset("small"), ["network.frames=8", "train.batch=1"]), rounds=3)
    print(json.dumps({"bench": "adapter", "rows": rows}))
    return 0


def rows_of(config: RunConfig, rounds: int) -> list[dict[str, Any]]:
    """The step with and without the adapter at two people, then the adapter alone at more."""
    with_it, without = stepper(config, 2), stepper(changed(config, NO_ADAPTER), 2)
    pairs = in_turn([with_it, without], rounds)
    whole, base = (statistics.median(seconds) for seconds in pairs)
    network = config.network
    sizes = f"batch {config.train.batch}, {network.frames} frames of {network.size[0]} px, medians of {rounds}"
    rows: list[dict[str, Any]] = [
        {
            "what": f"training step of {config.preset}, two people: adapter's share, CPU s with and without it",
            "ours": round(whole, 4), "other": round(base, 4), "ratio": round(1 - base / whole, 4), "wanted": "<= 0.1",
            "sizes": sizes,
        }
    ]  # fmt: skip
    counts = (2, 4, 8)
    alone = [statistics.median(s) for s in in_turn([adapter_alone(config, people) for people in counts], rounds)]
    rows += [
        {
            "what": f"adapter of {config.preset} alone, forward and backward, {people} people beside 2, CPU s",
            "ours": round(seconds, 4), "other": round(alone[0], 4), "ratio": round(seconds / alone[0], 3),
            "wanted": f"<= {people / 2:g}", "sizes": sizes,
        }
        for people, seconds in zip(counts[1:], alone[1:], strict=True)
    ]  # fmt: skip
    return rows


def stepper(config: RunConfig, people: int) -> Callable[[], object]:
    """A training step on one random batch."""
    torch.manual_seed(0)
    network, codec = DuetUNet.of(config.network).train(), build_codec(config.network.codec)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    batch = random_batch(config.network, config.train.batch, people)
    clip: ClipImageEncoder | None = None

    def step() -> None:
        generator = torch.Generator().manual_seed(0)
        clip_errors(network, batch, config, codec, clip, generator).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def adapter_alone(config: RunConfig, people: int) -> Callable[[], object]:
    """The adapter's forward and backward pass."""
    torch.manual_seed(0)
    network = DuetUNet.of(config.network)
    adapter = network.adapter
    assert adapter is not None
    torch.nn.init.normal_(adapter.last.weight)  # zeros would end the backward pass at once
    batch = random_batch(config.network, config.train.batch, people)
    latent = torch.randn(config.train.batch, config.network.codec.latent_channels, *config.network.latent_size)
    given = (batch["pose"].float(), batch["body"].float(), batch["face"].float(), batch["there"])

    def step() -> None:
        adapter(*given, latent, batch["reference_body"].float()).square().mean().backward()

    return step


def random_batch(config: NetworkConfig, clips: int, people: int) -> dict[str, Any]:
    """A batch as model.windows.collate_examples gives it."""
    generator = torch.Generator().manual_seed(1)
    shape = (clips, config.frames, people)

    def drawn(*size: int, top: int = 256) -> torch.Tensor:
        return torch.randint(top, size, generator=generator, dtype=torch.uint8)

    return {
        "video": drawn(clips, config.frames, 3, *config.size),
        "pose": drawn(*shape, 3, *config.size),
        "body": drawn(*shape, 1, *config.size, top=2),
        "face": drawn(*shape, 1, *config.size, top=2),
        "there": torch.ones(shape, dtype=torch.bool),
        "embedding": torch.randn(clips, people, config.face_shape.embedding, generator=generator),
        "reference": drawn(clips, 3, *config.size),
        "reference_body": drawn(clips, people, 1, *config.size, top=2),
        "fps": torch.full((clips,), 7.5),
    }


def in_turn(steps: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """CPU seconds of each step in every round, the first round, which warms up, left out."""
    spent: list[list[float]] = [[] for _ in steps]
    for at in range(rounds + 1):
        for step, seconds in zip(steps, spent, strict=True):
            started = time.process_time()
            step()
            if at:
                seconds.append(time.process_time() - started)
    return spent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

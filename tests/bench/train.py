"""Training's own loop beside its bare network calls, and the data beside the steps that it feeds.

    python -m tests.bench.train [--quick]

`tiny, processor s a step`: model.training.run beside the same batches in memory, denoised, differentiated and applied
by AdamW with nothing around: what the loop, its loader's thread, checks, average and log cost. Processor seconds of
the process, so that other load falls on neither; loader workers are processes of their own and do not count.

`tiny, waiting` is the share of steps' wall time without data, with the preset's workers. `small, one example` is what
a data worker takes for one, processor seconds; `other` is what it may take: at the preset's batch and workers, while a
step of `step_s` seconds runs. Without a GPU that step cannot be had here; the row says down to which step time data
keeps up.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STEPS, QUICK_STEPS = 60, 12
EXAMPLES, QUICK_EXAMPLES = 24, 6
SAMPLES = 6


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.train", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_STEPS} steps")
    parser.add_argument("--shards", help="a dataset folder; six drawn clips of 512 x 512 when none is given")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        shards = arguments.shards or str(drawn_shards(Path(folder)))
        rows = loop_rows(shards, Path(folder), QUICK_STEPS if arguments.quick else STEPS)
        rows.append(data_row(shards, QUICK_EXAMPLES if arguments.quick else EXAMPLES))
    print(json.dumps({"bench": "train", "rows": rows}))
    return 0


def drawn_shards(folder: Path) -> Path:
    """A dataset of drawn duets in the size of the demo's clips."""
    from datasets.store import Store
    from tasks.shard import Config
    from tests.build_samples import bundle, judged
    from tests.test_shard_task import build

    clips = [bundle(source=f"s{at}.mp4", people=2, frames=96, size=(512, 512), seed=at) for at in range(SAMPLES)]
    build(judged(Store(root=str(folder / "store")), clips), folder / "out", Config(val_fraction=0, test_fraction=0))
    return folder / "out"


def loop_rows(shards: str, folder: Path, steps: int) -> list[dict[str, Any]]:
    """The loop's processor seconds beside bare steps', turn about, and its share of waiting."""
    from model import training
    from model.config import changed
    from model.presets import preset

    config = changed(preset("tiny"), [f"train.{name}={steps}" for name in ("steps", "save_every", "sample_every")])
    batches = some_batches(shards, config)
    bare_steps(config, batches, 3)  # warms up
    ours, bare, waits = [], [], []
    for turn in range(3):
        marks: list[float] = []

        def watch(line: Any, marks: list[float] = marks) -> None:
            marks.append(time.process_time())

        summary = training.run(
            changed(config, ["train.log_every=1"]),
            shards=shards, out=folder / f"run{turn}", progress=watch,
        )  # fmt: skip
        # The first line comes after the first step; saving comes after the last line.
        ours.append((marks[-1] - marks[0]) / (len(marks) - 1))
        bare.append(bare_steps(config, batches, steps))
        waits.append(summary.wait)
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    sizes = f"{steps} steps, batch {config.train.batch}, one thread"
    return [
        {
            "what": "tiny, processor s a step: the loop beside bare network calls",
            "ours": round(statistics.median(ours), 4), "other": round(statistics.median(bare), 4),
            "ratio": round(ratio, 3), "wanted": "<= 1.1", "sizes": sizes,
        },
        {
            "what": "tiny, share of steps waiting for data", "ours": round(statistics.median(waits), 4), "other": None,
            "ratio": None, "wanted": "<= 0.05", "sizes": f"{sizes}, {config.train.workers} data worker",
        },
    ]  # fmt: skip


def some_batches(shards: str, config: Any) -> list[dict[str, Any]]:
    """The batches of a few epochs, held in memory."""
    from model.building import make_loader
    from model.config import changed
    from model.parallel import Processes

    quiet = changed(config, ["train.workers=0"])
    loader = make_loader(quiet, shards, split="train", on_error="raise", processes=Processes.here())
    batches = []
    for epoch in range(4):
        loader.set_epoch(epoch)
        batches += list(loader)
    return batches


def bare_steps(config: Any, batches: list[dict[str, Any]], steps: int) -> float:
    """Processor seconds a step of nothing but the network, its gradients and AdamW."""
    import torch

    from model.latents import build_codec
    from model.network import DuetUNet
    from model.step import clip_errors, generator_of

    torch.manual_seed(config.train.seed)
    network, codec = DuetUNet.of(config.network), build_codec(config.network.codec)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.train.lr, fused=True)
    started = 0.0
    for step in range(steps + 1):
        if step == 1:
            started = time.process_time()
        drawn = generator_of(config.train.seed, step, 0, 0, torch.device("cpu"))
        clip_errors(network, batches[step % len(batches)], config, codec, None, drawn).mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.train.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return (time.process_time() - started) / steps


def data_row(shards: str, count: int) -> dict[str, Any]:
    """Processor seconds of one example of `small`, and the step time down to which its workers keep up."""
    from model.presets import preset
    from model.windows import WindowConfig, example_stream

    run = preset("small")
    window = WindowConfig(frames=run.network.frames, size=run.network.size, stride=run.train.stride)
    stream, taken = example_stream(shards, window, seed=0), []
    while len(taken) < count + 1:
        for _ in stream:
            taken.append(time.process_time())
        stream.set_epoch(stream.stream.epoch + 1)
    seconds = (taken[count] - taken[0]) / count
    step_s = seconds * run.train.batch / run.train.workers
    return {
        "what": "small, processor s for one example",
        "ours": round(seconds, 4), "other": None, "ratio": None,
        "wanted": f"a step of {step_s:.3f} s or more waits for nothing with {run.train.workers} workers on free cores",
        "sizes": f"{count} examples, {run.network.frames} frames of {run.network.size[0]} px, batch {run.train.batch}",
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

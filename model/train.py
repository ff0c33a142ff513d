"""python -m model.train --shards OUT --preset NAME --out RUN: train a network on shards."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from datasets.members import ShardError
from model import training
from model.command import FAILED, OK, USAGE, Parser, line_of, tell
from model.config import RunConfig, changed
from model.parallel import Processes
from model.presets import PRESETS, preset
from model.run_folder import RunError, RunFolder
from model.train_log import LogLine, Watch

EXAMPLES = """examples:
  python -m model.train --shards out/demo --preset tiny --out runs/tiny            on a CPU, minutes
  python -m model.train --shards out/demo --out runs/tiny --resume                 go on after a stop, or kill -9
  python -m model.train --shards out/demo --out runs/tiny --resume --set train.steps=4000
  python -m model.train --shards s3://films/duets --preset small --out runs/small --set train.batch=16
  accelerate launch --num_processes 8 -m model.train --shards out/duets --preset svd --out runs/svd

several processes: accelerate launch, or torchrun, on each host; RUN is a folder that all of them see.
exit code: 0; 1 when training stopped (a loss that is not finite, damaged data); 2 for a command that cannot be run.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        config = _config(arguments)
        with _watching(config.train.steps) as watch:
            summary = training.run(
                config,
                shards=arguments.shards,
                out=arguments.out,
                resume=arguments.resume,
                split=None if arguments.split == "all" else arguments.split,
                on_error="raise" if arguments.on_error == "stop" else "skip",
                progress=watch,
            )
    except (RunError, ShardError) as error:
        tell(f"error: {line_of(error)}")
        return USAGE if isinstance(error, RunError) else FAILED
    except training.DivergedError as error:
        tell(f"error: {line_of(error)}")
        return FAILED
    except KeyboardInterrupt:
        found = RunFolder(arguments.out).latest()
        tell(f"stopped; {f'--resume goes on after step {found[0]}' if found else 'no state was kept yet'}")
        return 130
    if Processes.here().main:
        print(json.dumps(asdict(summary)) if arguments.json else _told(summary, arguments.shards))
    return OK


def _config(arguments: argparse.Namespace) -> RunConfig:
    """The configuration that is asked for. Raises RunError when it is none, or none that can be found."""
    try:
        if arguments.preset:
            config = preset(arguments.preset)
        elif arguments.resume:
            config = RunFolder(arguments.out).config()
        else:
            raise RunError(f"--preset: want one of {sorted(PRESETS)}, or --resume of a run, got neither")
        return changed(config, arguments.settings)
    except ValueError as error:
        raise RunError(str(error)) from None


@contextmanager
def _watching(steps: int) -> Iterator[Watch]:
    """A bar on a terminal, else a line each time; both on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda line: tell(f"step {line.step} of {steps}: {_figures(line)}")
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("train", total=steps, told="the first batch")
        yield lambda line: bar.update(task, completed=line.step, told=_figures(line))


def _figures(line: LogLine) -> str:
    skipped = f", {line.skipped} damaged skipped" if line.skipped else ""
    return f"loss {line.loss:.4f}, {line.seconds:.2f} s a step, {line.wait:.1%} waiting for data{skipped}"


def _told(summary: training.Summary, shards: str) -> str:
    """What was made, and what to do with it."""
    key = summary.key or "KEY"
    began = f" (from {summary.began_at} on)" if summary.began_at else ""
    return (
        f"{summary.out}: {summary.steps} steps{began} in {summary.seconds:.0f} s, loss {summary.first_loss:.4f} -> "
        f"{summary.last_loss:.4f}\n"
        f"  a step {summary.step_s:.3f} s, {summary.wait:.1%} of it waiting for data; before the first step "
        f"{summary.start_s:.0f} s, saving {summary.save_s:.0f} s; {summary.skipped} damaged samples skipped\n"
        f"  generate: python -m model.generate --checkpoint {summary.out} --shards {shards} --key {key} "
        "--out video.mp4\n"
        f"  curves:   tensorboard --logdir {summary.out}/log"
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m model.train",
        description="Train a network on shards: streamed, resumed to the exact sample, on one process or many.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--shards", metavar="OUT", required=True, help="a dataset folder or a shard, local or s3://")
    parser.add_argument("--preset", metavar="NAME", help=f"one of {', '.join(sorted(PRESETS))}")
    parser.add_argument("--out", metavar="RUN", required=True, help="the run's folder")
    parser.add_argument(
        "--set", dest="settings", metavar="FIELD=VALUE", action="append", default=[],
        help="change a field, such as train.lr=1e-4 or network.masks=false; may be given again",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN after its last state")
    parser.add_argument("--split", default="train", help="the split to train on, or all (default: train)")
    parser.add_argument(
        "--on-error", choices=("skip", "stop"), default="skip", help="a damaged sample: skip and count it, or stop"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads that count (default: PyTorch's)")
    parser.add_argument("--json", action="store_true", help="print the summary as one object")
    return parser


if __name__ == "__main__":
    sys.exit(main())

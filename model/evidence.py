"""python -m model.evidence --shards OUT --out DIR: does it learn, and does binding matter?

The same network with and without parts of what binds who to how, trained with equal steps and seeds on one dataset's
training split, generates the crossings of clips that it never saw; whose colours fill each person's mask says who is
who. A table, a page with the videos side by side, and evidence.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch
from diffusers.utils.logging import disable_progress_bar

from datasets.members import ShardError
from datasets.store import write_atomic
from model.command import FAILED, OK, USAGE, Parser, line_of, tell
from model.config import RunConfig, changed
from model.evidence_clips import LeftOut, Trial, trials
from model.evidence_page import write_page
from model.evidence_runs import VARIANTS, Job, Outcome, jobs, kept, lpips_network, perform
from model.evidence_table import figures, table_text
from model.orphans import end_with_parent
from model.presets import PRESETS, preset
from model.run_folder import RunError
from model.training import DivergedError

EXAMPLES = """examples:
  python -m flows.choreograph scenes/ --count 120 --people 2 --scenario pass_behind --scenario swap_places --scenario turn_about --seed 1
  python -m flows.build_dataset scenes/ --out out/duets --set render.width=128 --set render.height=128 --set render.fps=12 \\
      --set shard.test_fraction=0.2 --set shard.val_fraction=0
  python -m model.evidence --shards out/duets --out out/evidence --set train.steps=1500 --seeds 0 1
  python -m model.evidence --shards out/duets --out out/gpu --preset small --variants full no_mask sum

Stopped, the same command goes on; runs that are done are not done again.
exit code: 0; 1 when a training stopped; 2 for a command that cannot be run.
"""  # noqa: E501


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    arguments = _parser().parse_args(argv)
    out = Path(arguments.out)
    started = time.perf_counter()
    try:
        config = changed(preset(arguments.preset), arguments.settings)
        if arguments.lpips:
            lpips_network()
        chosen, left_out = _trials(arguments, config)
        todo = jobs(
            config, variants=arguments.variants, seeds=arguments.seeds, shards=arguments.shards, out=str(out),
            clips=tuple(trial.key for trial in chosen), steps=arguments.steps, guidance=arguments.guidance,
            lpips=arguments.lpips,
        )  # fmt: skip
        outcomes = list(_performed(todo, arguments))
    except (RunError, ValueError, ShardError) as error:
        tell(f"error: {line_of(error)}")
        return FAILED if isinstance(error, ShardError) else USAGE
    except DivergedError as error:
        tell(f"error: {line_of(error)}")
        return FAILED
    except KeyboardInterrupt:
        tell("stopped; the same command goes on")
        return 130
    found = figures(outcomes, chosen, left_out) | {"hardware": _hardware(arguments), "config": arguments.settings}
    found["seconds"] = round(time.perf_counter() - started)
    write_atomic(out / "evidence.json", (json.dumps(found, indent=1) + "\n").encode())
    page = write_page(out, found, todo, outcomes, chosen)
    print(json.dumps(found) if arguments.json else f"{table_text(found)}\n{page}")
    return OK


def _trials(arguments: argparse.Namespace, config: RunConfig) -> tuple[list[Trial], list[LeftOut]]:
    """The clips to generate. Raises ValueError when none can tell anything."""
    network = config.network
    found = list(
        trials(
            arguments.shards, split=arguments.split, size=network.size, frames=network.frames, most=arguments.clips
        )
    )  # fmt: skip
    chosen = [one for one in found if isinstance(one, Trial)]
    left_out = [one for one in found if isinstance(one, LeftOut)]
    for one in left_out:
        tell(f"left out: {one.key}: {one.why}")
    if not chosen:
        raise ValueError(
            f"{arguments.shards}: want clips of two people or more in split {arguments.split!r} (shard.test_fraction "
            f"of flows.build_dataset makes one), got {len(found)}, none of use"
        )
    return chosen, left_out


def _performed(todo: Sequence[Job], arguments: argparse.Namespace) -> Iterator[Outcome]:
    """The outcome of every job: as kept, or computed, some at once."""
    before = {job.name: kept(job) for job in todo}
    missing = [job for job in todo if before[job.name] is None]
    tell(f"{len(todo)} runs, {len(todo) - len(missing)} of them done before; {len(todo[0].clips)} clips to generate")
    yield from (outcome for outcome in before.values() if outcome is not None)
    if not missing:
        return
    # Spawned: a fork of a process that counted with threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        arguments.jobs, mp_context=context, initializer=_begin, initargs=(arguments.threads,)
    ) as pool:
        waiting = [pool.submit(_perform, job) for job in missing]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    disable_progress_bar()
    end_with_parent()


def _perform(job: Job) -> Outcome:
    """In a process of its own."""
    network = job.config.network
    found = trials(job.shards, split=None, size=network.size, frames=network.frames, most=sys.maxsize, keys=job.clips)
    return perform(job, [one for one in found if isinstance(one, Trial)], tell)


def _hardware(arguments: argparse.Namespace) -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return f"{device}, {os.cpu_count()} cores, runs at once: {arguments.jobs}, threads of each: {arguments.threads}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m model.evidence",
        description="Train a network with and without what binds who to how, and show what unseen crossings become.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--shards", metavar="OUT", required=True, help="a dataset with people in clothes of their own, and a test split"
    )
    add("--out", metavar="DIR", required=True, help="runs, results and the page")
    add("--preset", default="tiny", choices=sorted(PRESETS), help="the network (default: tiny)")
    add("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS)[:5], help="default: all but no_look")
    add("--seeds", nargs="+", type=int, default=[0], metavar="N", help="of weights, data and noise (default: 0)")
    add(
        "--set",
        dest="settings",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="of all runs: train.steps=...",
    )
    add("--split", default="test", help="the split to generate (default: test)")
    add("--clips", type=int, default=24, metavar="N", help="how many clips of it, by name (default: 24)")
    add("--steps", type=int, default=20, metavar="S", help="of the sampler (default: 20)")
    add("--guidance", type=float, default=1.0, metavar="G", help="classifier-free guidance (default: 1, none)")
    add("--jobs", type=int, default=1, metavar="N", help="runs at once (default: 1)")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads of each (default: 1)")
    add("--lpips", action="store_true", help="LPIPS too; wants torchvision's AlexNet weights")
    add("--json", action="store_true", help="print evidence.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())

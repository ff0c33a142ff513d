"""Videos, motion or scenes -> a dataset: the command, and the flow that deployments run."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from prefect import flow
from prefect.logging.configuration import setup_logging
from prefect.settings import PREFECT_LOGGING_LEVEL, temporary_settings

from datasets.counted import counted
from datasets.lock import building
from flows.checks import bytes_needed, check_device, check_disk, fetch_weights
from flows.clusters import joined
from flows.command import OK, RED, Parser, carry_out, tell
from flows.errors import UsageError
from flows.footage import footage
from flows.motion import motion
from flows.plan import forecast, weights_of
from flows.presets import PRESETS
from flows.progress import reporting
from flows.run import Options, Run, prepare
from flows.runners import FORMS
from flows.server import prefect_api
from flows.summary import Summary, summarise

ROUTES = {"footage": footage, "motion": motion}
# A killed run's half-made artifacts; nothing takes a day to make.
STALE_S = 24 * 3600.0
QUIET = "CRITICAL"

EXAMPLES = """examples:
  python -m flows.build_dataset                                    the demo: two people from motion made here
  python -m flows.build_dataset footage/ --weights weights/        a folder of videos, preset light
  python -m flows.build_dataset amass/ duet.yaml --out out/duets   motion and scene files
  python -m flows.build_dataset footage/ --set shots.max_s=6 --dry-run
  python -m flows.build_dataset footage/ --preset pairfs-4k --runner processes:8 --json

exit code: 0; 1 when more than the allowed fraction failed or nothing was produced; 2 for a command that cannot be run.
A run that was stopped goes on where it was when the same command is given again.
"""


def make_ready(run: Run) -> None:
    """Have weights and room before the work begins. Raises UsageError where they cannot be had."""
    check_disk(run.env.store.root, bytes_needed(run.sources))
    wanted = weights_of(run)
    if not run.runner.remote:  # what a cluster's nodes have is asked of them
        check_device(run.env.device, wanted)
    fetch_weights(wanted, run.env)
    try:
        run.env.store.check()
    except OSError as error:
        raise UsageError(f"--store {run.env.store.root}: want a store that can be written, got {error}") from error
    run.env.store.sweep(older_than_s=STALE_S, now_s=time.time())


def build(run: Run) -> Summary:
    """Build the dataset of a run, through the flow of its route. One build at a time in OUT.

    Raises BusyError when another holds OUT, Interrupted when a worker is lost.
    """
    started = time.monotonic()
    with building(run.out), joined(run) as run:
        route = ROUTES[run.route].with_options(
            task_runner=run.runner.start(), flow_run_name=f"{run.preset}: {Path(run.out).name}"
        )
        shelf = route(run)
    seconds = time.monotonic() - started
    return summarise(shelf.left, shelf.rejects, shelf.costs, sources=len(run.sources), seconds=seconds)


@flow(name="build_dataset")
def build_dataset(
    sources: list[str] | None = None,
    preset: str | None = None,
    out: str | None = None,
    store: str | None = None,
    weights: str | None = None,
    runner: str = "processes",
    settings: list[str] | None = None,
    seed: int | None = None,
    limit: int | None = None,
    max_failed_fraction: float = 0.1,
    device: str = "cpu",
    corrections: str | None = None,
) -> dict[str, Any]:
    """Build a dataset from videos, motion files or scenes; the parameters are the command's options.

    `settings` are STAGE.FIELD=VALUE texts. Gives the summary; fails when too much failed or nothing was produced.
    """
    options = Options(
        sources=tuple(sources or ()),
        preset=preset,
        out=out,
        store=store,
        weights=weights,
        runner=runner,
        settings=tuple(settings or ()),
        seed=seed,
        limit=limit,
        max_failed_fraction=max_failed_fraction,
        corrections=corrections,
    )
    run = prepare(options, device=device)
    make_ready(run)
    summary = build(run)
    trouble = summary.trouble(run.max_failed_fraction)
    if trouble:
        raise RuntimeError(trouble)
    return summary.plain()


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    arguments = _parser().parse_args(argv)
    options = Options(
        sources=tuple(arguments.sources),
        preset=arguments.preset,
        out=arguments.out,
        store=arguments.store,
        weights=arguments.weights,
        runner=arguments.runner,
        settings=tuple(arguments.settings),
        seed=arguments.seed,
        limit=arguments.limit,
        max_failed_fraction=arguments.max_failed_fraction,
        corrections=arguments.corrections,
    )

    def command(stdout: TextIO) -> int:
        with _quiet(arguments.verbose):
            return _command(options, arguments, stdout)

    return carry_out(command, "the run")


@contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Prefect's own lines off, here and in the workers, unless they are asked for."""
    if verbose or "PREFECT_LOGGING_LEVEL" in os.environ:
        yield
        return
    os.environ["PREFECT_LOGGING_LEVEL"] = QUIET
    with temporary_settings({PREFECT_LOGGING_LEVEL: QUIET}):
        setup_logging()
        # It goes by a setting of its own, and tells of every event that a lost server did not take.
        logging.getLogger("prefect._internal").setLevel(QUIET)
        yield


def _command(options: Options, arguments: argparse.Namespace, stdout: TextIO) -> int:
    run = prepare(options, device=arguments.device)
    if arguments.dry_run:
        plan = forecast(run)
        print(json.dumps(plan.plain(), indent=1) if arguments.json else plan.text(), file=stdout)
        return OK
    with reporting() as reporter:
        sources = counted(len(run.sources), "source")
        reporter.say(f"{run.preset}: {sources} -> {run.out}, {run.runner.kind}:{run.runner.workers}")
        make_ready(run)
        with prefect_api(remote=run.runner.remote):
            summary = build(run)
    print(json.dumps(summary.plain()) if arguments.json else summary.text(), file=stdout)
    trouble = summary.trouble(run.max_failed_fraction)
    if trouble:
        tell(f"error: {trouble}")
    return RED if trouble else OK


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flows.build_dataset",
        description="Videos, SMPL motion or scenes in; shards with one identity, pose and mask track a person out.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "sources",
        metavar="SOURCE",
        nargs="*",
        help="a video, motion file, scene (YAML or JSON), folder, or .txt list of those",
    )
    add(
        "--preset",
        metavar="NAME",
        help=f"{', '.join(PRESETS)}; left out, it follows from the sources: light or motion, demo without any",
    )
    add("--out", metavar="DIR", help="the dataset (default: out/PRESET)")
    add("--store", metavar="DIR", help="artifacts that later runs reuse (default: out/.store)")
    add("--weights", metavar="DIR", help="where weights are looked for first; then the cache, then the network")
    add("--runner", default="processes", help=f"{FORMS} (default: processes, one a core)")
    add("--device", default="cpu", help="what networks run on: cpu, cuda, cuda:1 (default: cpu)")
    add(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="STAGE.FIELD=VALUE",
        help="change a setting of the preset",
    )
    add("--seed", type=int, metavar="N", help="of scenes, cameras and splits")
    add("--limit", type=int, metavar="N", help="the first N sources only")
    add(
        "--corrections",
        metavar="FILE",
        help="what flows.review was told of clips (default: OUT/corrections.jsonl, where there is one)",
    )
    add(
        "--max-failed-fraction",
        type=float,
        default=0.1,
        metavar="F",
        help="exit 1 when more than this share fails (default: 0.1)",
    )
    add("--json", action="store_true", help="print one JSON object on standard output, and nothing else there")
    add("--dry-run", action="store_true", help="print what a run would do, and do nothing")
    add("--verbose", action="store_true", help="show Prefect's own log lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The benchmark: who is who, beside other trackers and the truth; faults found and repaired; TrackEval itself."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from datasets.counted import counted
from datasets.store import Store
from flows import presets
from flows.bench_crossings import CLIPS, QUICK_CLIPS, STRESSED, Plan, jobs_in, jobs_of, run_takes, without_masks
from flows.bench_faults import fault_table, run_faults
from flows.bench_figures import Measured, figures, mask_figures
from flows.bench_page import CLIPS as CLIPS_FOLDER
from flows.bench_page import PAGE, write_page
from flows.bench_parquet import FILE, write_parquet
from flows.bench_tables import crossings_tables, target_table, text_of, tud_table
from flows.bench_take import AS_FILMED, replayed
from flows.bench_targets import targets
from flows.bench_tud import tud_figures
from flows.checks import check_disk, check_folders, fetch_weights, wanted_weights
from flows.command import OK, Parser, carry_out
from flows.errors import UsageError
from flows.progress import reporting
from flows.runners import MAX_WORKERS, cores
from flows.settings import override
from tasks import bind, detect, pose, refine, rivals, segment, track
from tasks.batch import Env
from tasks.score import OURS

SUITES = ("crossings", "faults", "tud")
OUT, STORE = "out/benchmark", "out/.store"
# One clip with its truth, everything made of it, and its stressed forms.
CLIP_BYTES = 30e6
# Five people and the audience behind them may be more than a clip of a dataset may show: here all trackers get them.
AUDIENCE = "detect.max_people=16"
WORST = 10  # clips of ours that the page shows

EXAMPLES = f"""examples:
  python -m flows.benchmark --weights weights/                  {CLIPS} crossings, {STRESSED} stressed: an hour, 2 cores
  python -m flows.benchmark --weights weights/ --quick --json   {QUICK_CLIPS} short ones, about a minute and a half
  python -m flows.benchmark --suite faults                      known faults put into exact people
  python -m flows.benchmark --suite tud --data tud/             TrackEval beside published figures
  python -m flows.benchmark --clips filmed/ --ids-only --set bind.touch=0.2   clips that were filmed before

exit code: 0; 1 when the run failed; 2 for a command that cannot be run.
Another seed gives other people, clothes, cameras and timings. Everything made is kept in STORE: the same command
again computes only what has changed since, and goes on where a stopped one was.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    arguments = _parser().parse_args(argv)
    return carry_out(lambda stdout: _command(arguments, stdout), "the benchmark")


def _command(arguments: argparse.Namespace, stdout: TextIO) -> int:
    _check(arguments)
    if arguments.suite == "tud":
        found: dict[str, Any] = tud_figures(arguments.data)
        text = text_of([tud_table(found)])
    elif arguments.suite == "faults":
        found, text = _faults(arguments)
    else:
        found, text = _crossings(arguments)
    print(json.dumps(found) if arguments.json else text, file=stdout)
    return OK


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options that cannot be, before anything is begun."""
    _check_suite(arguments)
    if arguments.seed < 0:
        raise UsageError(f"--seed {arguments.seed}: want 0 or more, got {arguments.seed}")
    if not 1 <= arguments.workers <= MAX_WORKERS:
        raise UsageError(f"--workers {arguments.workers}: want 1 to {MAX_WORKERS}, got {arguments.workers}")
    if arguments.stressed is not None and arguments.stressed < 0:
        raise UsageError(f"--stressed {arguments.stressed}: want 0 or more, got {arguments.stressed}")
    for option in ("data", "weights", "clips"):
        folder = getattr(arguments, option)
        if folder is not None and not Path(folder).is_dir():
            raise UsageError(f"--{option} {folder}: want a folder, got no such folder")


def _check_suite(arguments: argparse.Namespace) -> None:
    """Raise UsageError for an option that changes nothing in this suite: its figures would be taken for others."""
    for option, suite, given in (
        ("--data", "tud", arguments.data is not None),
        ("--stressed", "crossings", arguments.stressed is not None),
        ("--clips", "crossings", arguments.clips is not None),
        ("--ids-only", "crossings", arguments.ids_only),
        ("--set", "crossings", bool(arguments.settings)),
    ):
        if given and suite != arguments.suite:
            raise UsageError(
                f"{option}: want it with --suite {suite}, got it with --suite {arguments.suite}; leave it out"
            )


def _out(arguments: argparse.Namespace) -> Path:
    """The folder of the page and the table. Raises UsageError where it, or STORE, cannot be written or is another's."""
    check_folders(arguments.out, arguments.store, {FILE, PAGE, CLIPS_FOLDER}, "a benchmark")
    return Path(arguments.out)


def _faults(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    _out(arguments)
    store = str(Path(arguments.store).absolute())
    with reporting() as reporter:
        reporter.say(f"faults, seed {arguments.seed}, {counted(arguments.workers, 'worker')}")
        found = run_faults(arguments.seed, quick=arguments.quick, store=store, workers=arguments.workers)
    return found, text_of([fault_table(found)])


def _crossings(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    out = _out(arguments)
    config = override(presets.light(), (AUDIENCE, *arguments.settings))
    env = Env(
        store=Store(str(Path(arguments.store).absolute())),
        weights=arguments.weights and str(Path(arguments.weights).absolute()),
        threads=1,
    )
    if arguments.clips is not None:
        jobs = jobs_in(arguments.clips, stressed=arguments.stressed)
    else:
        jobs = jobs_of(arguments.seed, quick=arguments.quick, stressed=arguments.stressed)
    jobs = without_masks(jobs) if arguments.ids_only else jobs
    check_disk(env.store.root, int(CLIP_BYTES * len(jobs)))
    stages = [
        (stage.STAGE, getattr(config, stage.STAGE.name)) for stage in (detect, track, pose, segment, bind, refine)
    ]
    fetch_weights(wanted_weights([*stages, (rivals.LOOKS_STAGE, rivals.LooksConfig())], env), env)
    with reporting() as reporter:
        stressed = sum(len(job.stresses) for job in jobs)
        clips, workers = counted(len(jobs), "clip"), counted(arguments.workers, "worker")
        reporter.say(f"crossings, seed {arguments.seed}: {clips}, {stressed} stressed, {workers}")
        takes = run_takes(Plan(jobs=jobs, config=config, env=env, workers=arguments.workers))
    measured = [Measured(take) for take in takes]
    found = figures(measured, arguments.seed)
    return found, _show(found, measured, out, env)


def _show(found: dict[str, Any], measured: Sequence[Measured], out: Path, env: Env) -> str:
    """Write the table and the page; what a terminal shows."""
    filmed = [one for one in measured if one.take.stress == AS_FILMED]
    met = targets(found, mask_figures(filmed, "score_cut"))
    tables = [target_table(met), *crossings_tables(found, measured)]
    worst = sorted(filmed, key=lambda one: (float(one.tallies[OURS, "box"]["Identity/IDF1"]), one.take.key))[:WORST]
    replays = [(one, replayed(one.take, env)) for one in worst]
    write_parquet(out, measured)
    title = f"Crossings, seed {found['seed']}, {counted(found['clips'], 'clip')}"
    page = write_page(out, title, tables, replays)
    return f"{text_of([*tables[1:], tables[0]])}\n{page}\n{page.with_name(FILE)}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flows.benchmark",
        description="How well identities, masks and poses hold where people cross: by exact truth, beside others.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--suite", choices=SUITES, default="crossings", help="what is measured (default: crossings)")
    add("--quick", action="store_true", help="a short form: it shows that all works, its figures mean little")
    add("--seed", type=int, default=0, metavar="N", help="of people, clothes, cameras, timings, faults (default: 0)")
    add("--json", action="store_true", help="print one JSON object on standard output, and nothing else there")
    add(
        "--out",
        metavar="DIR",
        default=OUT,
        help=f"crossings: where benchmark.parquet and index.html go (default: {OUT})",
    )
    add("--data", metavar="DIR", help="tud: the folder with a folder for each sequence, gt.txt and test.txt in it")
    add("--weights", metavar="DIR", help="where weights are looked for first; then the cache, then the network")
    add("--store", metavar="DIR", default=STORE, help=f"artifacts that later runs reuse (default: {STORE})")
    add("--workers", type=int, default=cores(), metavar="N", help="worker processes (default: one a core)")
    add(
        "--stressed",
        type=int,
        metavar="N",
        help=f"crossings: clips with worse detections (default: {STRESSED}, with --quick 0)",
    )
    add("--clips", metavar="DIR", help="crossings: clips that were filmed before, a folder each, in place of new ones")
    add("--ids-only", action="store_true", help="crossings: leave out the figures of masks that take time")
    add(
        "--set", dest="settings", action="append", default=[], metavar="STAGE.FIELD=VALUE",
        help="crossings: change a setting of the preset light",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())

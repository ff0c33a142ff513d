"""TogetherVideoBench: generated videos beside the real ones that drove them; one table, one Parquet file, one page."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from datasets.counted import counted
from datasets.index import SPLITS
from datasets.store import Store
from flows import presets
from flows.bench_tables import text_of
from flows.checks import check_disk, check_folders, fetch_weights, wanted_weights
from flows.command import OK, Parser, carry_out
from flows.errors import UsageError
from flows.progress import reporting
from flows.runners import MAX_WORKERS, cores
from flows.settings import override
from flows.video_bench_figures import pieces
from flows.video_bench_page import CLIPS, PAGE, write_page
from flows.video_bench_run import Plan, Wanted, jobs_of, prepared, scored_of
from flows.video_bench_tables import FILE, by_subject, clip_table, main_table, write_scores
from flows.video_bench_take import CEILING, GENERATED, Scored, shown
from tasks import bind, detect, pose, refine, segment, track
from tasks.backends.video_features import NETWORKS, FeatureError, FeatureSource, feature_source
from tasks.batch import Env

OUT, STORE = "out/together", "out/.store"
CLIP_BYTES = 20e6  # of one video with all that is made of it
WORST = 12  # clips that the page shows
NOTES = 8  # ways in which videos differ from the real ones that are told one by one
STEADY_FVD = 256  # pieces from which FVD is steady

_NETWORKS = "\n".join(
    f"  {f'{metric}={name}:PATH':23}{origin}" for metric, some in NETWORKS.items() for name, origin in some.items()
)
EXAMPLES = f"""examples:
  python -m flows.together_video_bench --real out/duets --generated videos/ --weights weights/    videos/KEY.mp4
  python -m flows.together_video_bench --real out/duets --generated runs/small --ceiling          a training run
  python -m flows.together_video_bench --real out/duets --ceiling --limit 4                       how high it can get
  python -m flows.together_video_bench --real out/duets --generated videos/ --features fid=inception:w.pth --json

features, and whose weights they take:
{_NETWORKS}

exit code: 0; 1 when the run failed; 2 for a command that cannot be run, or videos that cannot be compared.
Everything made is kept in STORE: the same command again computes only what has changed since, and goes on where a
stopped one was.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    arguments = _parser().parse_args(argv)
    return carry_out(lambda stdout: _command(arguments, stdout), "the bench")


def _command(arguments: argparse.Namespace, stdout: TextIO) -> int:
    _check(arguments)
    check_folders(arguments.out, arguments.store, {FILE, PAGE, CLIPS}, "a bench")
    sources = _features(arguments.features)
    config = override(presets.light(), arguments.settings)
    env = Env(
        store=Store(str(Path(arguments.store).absolute())),
        weights=arguments.weights and str(Path(arguments.weights).absolute()),
        device=arguments.device or "cpu",
        threads=max(1, cores() // arguments.workers),
    )
    wanted = Wanted(
        real=arguments.real, generated=arguments.generated, keys=tuple(arguments.keys), split=arguments.split,
        limit=arguments.limit, frames=arguments.frames, steps=arguments.steps, guidance=arguments.guidance,
        seed=arguments.seed, device=arguments.device,
    )  # fmt: skip
    jobs, remarks = jobs_of(wanted, env)
    if arguments.settings:
        remarks.append(f"preset light with {', '.join(arguments.settings)}")
    subjects = [*([GENERATED] if arguments.generated else []), *([CEILING] if arguments.ceiling else [])]
    check_disk(env.store.root, int(CLIP_BYTES * len(jobs) * len(subjects)))
    route = (detect, track, pose, segment, bind, refine)
    stages = [(stage.STAGE, getattr(config, stage.STAGE.name)) for stage in route]
    fetch_weights(wanted_weights(stages, env), env)
    plan = Plan(config=config, env=env, workers=arguments.workers, sources=sources, subjects=tuple(subjects))
    with reporting() as reporter:
        clips, workers = counted(len(jobs), "clip"), counted(arguments.workers, "worker")
        reporter.say(f"{clips} of {arguments.real}: {' and '.join(subjects)}, {workers}")
        for remark in remarks:
            reporter.say(remark)
        scored = scored_of(prepared(jobs, plan), plan)
    found, text = _show(scored, remarks, sources, Path(arguments.out), env)
    print(json.dumps(found) if arguments.json else text, file=stdout)
    return OK


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options that cannot be, before anything is begun."""
    if arguments.generated is None and not arguments.ceiling:
        raise UsageError("want --generated DIR|RUN to score, or --ceiling for the real videos themselves, got neither")
    for option, least in (("workers", 1), ("limit", 1), ("frames", 2), ("steps", 1), ("seed", 0)):
        value = getattr(arguments, option)
        if value is not None and value < least:
            raise UsageError(f"--{option} {value}: want {least} or more, got {value}")
    if arguments.workers > MAX_WORKERS:
        raise UsageError(f"--workers {arguments.workers}: want {MAX_WORKERS} at most, got {arguments.workers}")
    for option in ("real", "generated", "weights"):
        folder = getattr(arguments, option)
        if folder is not None and not Path(folder).is_dir():
            raise UsageError(f"--{option} {folder}: want a folder, got no such folder")


def _features(texts: Sequence[str]) -> tuple[FeatureSource, ...]:
    try:
        sources = tuple(feature_source(text) for text in texts)
    except FeatureError as error:
        raise UsageError(str(error)) from error
    metrics = [source.metric for source in sources]
    for metric in metrics:
        if metrics.count(metric) > 1:
            raise UsageError(f"--features {metric}=...: want one network for each metric, got two for {metric}")
    return sources


def _show(
    scored: Sequence[Scored], remarks: Sequence[str], sources: Sequence[FeatureSource], out: Path, env: Env
) -> tuple[dict[str, Any], str]:
    """Write the table and the page; what --json prints, and what a terminal shows."""
    found = by_subject(scored)
    keys = list(dict.fromkeys(one.key for one in scored))
    remarks = [*remarks, *_remarks(scored, sources)]
    tables = [main_table(found, len(keys)), clip_table(scored)]
    first = [one for one in scored if one.subject == scored[0].subject]
    table = write_scores(out, scored, found)
    rows = {one.key: by_subject([one])[one.subject]["IDF1"] or 0.0 for one in first}
    worst = sorted(first, key=lambda one: (rows[one.key], one.key))[:WORST]
    title = f"TogetherVideoBench: {counted(len(keys), 'clip')}"
    page = write_page(out, title, tables, remarks, [(one, shown(one, env)) for one in worst])
    made = {
        "clips": len(keys), "subjects": found, "remarks": remarks,
        "notes": {one.key: list(one.notes) for one in first if one.notes},
    }  # fmt: skip
    said = "\n".join(f"* {remark}" for remark in remarks)
    return made, f"{text_of(tables[:1])}\n{said}\n{table}\n{page}"


def _remarks(scored: Sequence[Scored], sources: Sequence[FeatureSource]) -> list[str]:
    out = []
    notes: dict[str, list[str]] = {}
    for one in scored:
        for note in one.notes if one.subject == scored[0].subject else ():
            notes.setdefault(note, []).append(one.key)
    common = sorted(notes.items(), key=lambda item: -len(item[1]))
    out += [f"{note} ({_clips(keys)})" for note, keys in common[:NOTES]]
    if len(common) > NOTES:
        out.append(f"{len(common) - NOTES} more such differences: see the notes in {FILE}")
    for one in scored:
        if one.turned_away:
            out.append(f"{one.key}, {one.subject}: nobody found, so all who drive count as missed: {one.turned_away}")
    missing = [metric for metric in NETWORKS if metric not in {source.metric for source in sources}]
    if missing:
        out.append(
            f"{', '.join(name.upper() for name in missing)}: not measured, as no weights were given; "
            f"--features {missing[0]}={next(iter(NETWORKS[missing[0]]))}:PATH gives them"
        )
    count = pieces([one for one in scored if one.subject == scored[0].subject])
    if count is not None and count < STEADY_FVD:
        out.append(f"FVD is of {counted(count, 'piece')} of 16 frames: below some {STEADY_FVD} it is unstable")
    return out


def _clips(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{len(keys)} clips"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flows.together_video_bench",
        description="How well generated videos keep who is who, how they move together, and what they look like.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--real", metavar="OUT", required=True, help="the dataset whose accepted samples drive the videos")
    add("--generated", metavar="DIR|RUN", help="a folder of KEY.mp4, or a training run to generate them from")
    add("--ceiling", action="store_true", help="also score the real videos as if they had been generated")
    add("--key", dest="keys", action="append", default=[], metavar="KEY", help="only this sample, also one in review")
    add("--split", choices=SPLITS, help="only samples of this split (default: all)")
    add("--limit", type=int, metavar="N", help="the first N samples only")
    add(
        "--features", action="append", default=[], metavar="METRIC=NETWORK:PATH",
        help="weights of a network for LPIPS, FID or FVD; may be repeated",
    )  # fmt: skip
    add("--frames", type=int, metavar="N", help="RUN: frames to generate of each clip (default: all)")
    add("--steps", type=int, metavar="S", help="RUN: sampling steps (default: model.generate's)")
    add("--guidance", type=float, metavar="G", help="RUN: guidance (default: model.generate's)")
    add("--seed", type=int, default=0, metavar="N", help="RUN: seed of the noise (default: 0)")
    add("--json", action="store_true", help="print one JSON object on standard output, and nothing else there")
    add("--out", metavar="DIR", default=OUT, help=f"where {FILE} and {PAGE} go (default: {OUT})")
    add("--weights", metavar="DIR", help="where the detectors' weights are looked for first; then cache, then network")
    add("--store", metavar="DIR", default=STORE, help=f"artifacts that later runs reuse (default: {STORE})")
    add("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 (default: cpu to score, model.generate's to generate)")
    add("--workers", type=int, default=cores(), metavar="N", help="worker processes (default: one a core)")
    add(
        "--set", dest="settings", action="append", default=[], metavar="STAGE.FIELD=VALUE",
        help="change a setting of the preset light",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())

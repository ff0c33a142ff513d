"""How well `bind` knows what it does not know: clips of several seeds, as filmed and with worse detections, together.

    python -m tests.bench.bindings --seed 404 --seed 606 [--stressed 240] [--set bind.points=false] [--store DIR]

`flows.benchmark` measures one seed, after `refine`, with the other trackers and the judge's other reasons. This stops
after `bind`: it is quick enough to compare settings over several seeds, and there are more wrong ids to tell, for
refine mends those of a few frames in a contact. A row for each probability below which a clip may be doubted: the share
of the clips with a wrong id for half a second or more that are, beside the share of those without any.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DOUBTS = (0.5, 0.65, 0.75, 0.9)
LONG_S = 0.5
SEED, STRESSED, QUICK_STRESSED = 9001, 240, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One clip's binding: how long somebody has the same wrong id, and how sure its least sure step is."""

    frames: int  # with one wrong id, of whoever has one for longest
    long: int  # frames that are LONG_S
    sure: float


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bindings", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="six short clips and as many worse ones")
    parser.add_argument("--seed", type=int, action="append", help=f"again for each seed; {SEED} when none is given")
    parser.add_argument("--stressed", type=int, help=f"with worse detections, of each seed ({STRESSED})")
    parser.add_argument("--store", help="keeps what was made; a temporary folder when not given")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="STAGE.FIELD=VALUE")
    arguments = parser.parse_args(argv)
    shared = Path(os.environ.get("DUET_SHARED", "../shared")).absolute()
    out: dict[str, Any] = {"bench": "bindings", "rows": []}
    if (shared / "weights").is_dir():
        with tempfile.TemporaryDirectory() as folder:
            out["rows"] = rows(bindings(arguments, shared, arguments.store or folder))
    else:
        out["skipped"] = f"no {shared}; set DUET_SHARED"
    print(json.dumps(out))
    return 0


def bindings(arguments: argparse.Namespace, shared: Path, store: str) -> list[Bound]:
    """Every clip of the seeds, and their worse forms, on worker processes."""
    from datasets.store import Store
    from flows import presets
    from flows.bench_crossings import begin_bench_worker, jobs_of
    from flows.benchmark import AUDIENCE
    from flows.settings import override
    from tasks.batch import Env

    config = override(presets.light(), (AUDIENCE, *arguments.settings))
    env = Env(store=Store(str(Path(store).absolute())), weights=str(shared / "weights"), download=False, threads=1)
    stressed = arguments.stressed
    if stressed is None:
        stressed = QUICK_STRESSED if arguments.quick else STRESSED
    jobs = [
        job for seed in arguments.seed or [SEED] for job in jobs_of(seed, quick=arguments.quick, stressed=stressed)
    ]  # fmt: skip
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, context, begin_bench_worker, (1,)) as pool:
        return [one for done in pool.map(_bound, jobs, [config] * len(jobs), [env] * len(jobs)) for one in done]


def rows(found: list[Bound]) -> list[dict[str, Any]]:
    """A row for each threshold."""
    from tasks.ops.review_metrics import LEAST_FRAMES

    long = [one for one in found if one.frames >= max(one.long, LEAST_FRAMES)]
    brief = [one for one in found if LEAST_FRAMES <= one.frames < max(one.long, LEAST_FRAMES)]
    right = [one for one in found if one.frames < LEAST_FRAMES]
    return [
        {
            "what": f"wrong for {LONG_S} s or more, and doubted below {doubt}; beside right ones that are",
            "ours": _share(long, doubt),
            "other": _share(right, doubt),
            "ratio": None,
            "wanted": ">= 0.95, <= 0.10",
            "sizes": f"{len(long)} wrong, {len(right)} right, {len(brief)} wrong for less",
            "brief": _share(brief, doubt),
        }
        for doubt in DOUBTS
    ]


def _share(of: list[Bound], doubt: float) -> float | None:
    return round(sum(one.sure < doubt for one in of) / len(of), 3) if of else None


def _bound(job: Any, config: Any, env: Any) -> list[Bound]:
    """One clip and its worse forms."""
    from flows.bench_take import AS_FILMED, filmed_item, light_stages, through
    from tasks import detect, stress

    detected, _ = through(filmed_item(job.crossing, env), [(detect.STAGE, config.detect)], env)
    out = []
    for name in (AS_FILMED, *job.stresses):
        item = detected
        if name != AS_FILMED:
            item = stress.taken(through(detected, [(stress.STAGE, stress.named(name))], env)[0])
        stages = [pair for pair in light_stages(config, stress.blinds(name)) if pair[0].name != "refine"]
        try:
            item, _ = through(item, stages, env)
        except RuntimeError as error:
            print(f"bindings: {error}", file=sys.stderr)  # turned away: nobody has an id to be wrong
            continue
        out.append(_measured(item))
    return out


def _measured(item: Any) -> Bound:
    from datasets.records import People, load_record
    from tasks.clips import clip_record
    from tasks.ops.crossing_truth import found_rows
    from tasks.ops.review_metrics import holders
    from tasks.ops.track_rows import without_ignored
    from tasks.score import truth_at

    truth, people = truth_at(item), load_record(People, item.folder("bind") / "people.npz")
    found = without_ignored(found_rows(people), truth.counted, truth.ignored)
    held = holders(truth.counted, found, people.num_frames)
    taken = [held.holder[g][held.wrong[g]] for g in range(len(held.truth))]
    return Bound(
        frames=max((int(np.bincount(ids).max()) for ids in taken if len(ids)), default=0),
        long=round(LONG_S * float(clip_record(item).fps)),
        sure=float(people.confidence[people.present].min(initial=1.0)),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Seed -> how many known faults in exact people are found and repaired: the suite `faults`."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from datasets.counted import counted
from datasets.records import People, load_record
from datasets.store import Store
from flows.bench_crossings import begin_bench_worker
from flows.bench_tables import Table
from flows.errors import Interrupted
from flows.progress import current
from tasks import exact
from tasks.ops.crossings import Crossing, crossings
from tasks.ops.fault_trials import Numbers, trials
from tasks.ops.scene import Gender

CLIPS, QUICK_CLIPS, QUICK_SECONDS = 24, 4, 2.0
QUICK = exact.Config(width=192, height=192)
_WHAT = ("injected", "found", "repaired")
_KINDS = ("swaps_contact", "swaps_alike", "gaps", "ghosts", "bleed", "flips", "poses", "jitter")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One clip's work for a worker."""

    crossing: Crossing
    seed: tuple[int, ...]
    twins: bool
    numbers: Numbers
    config: exact.Config
    store: str


def run_faults(seed: int, *, quick: bool, store: str, workers: int = 1) -> dict[str, Any]:
    """The suite's figures: for each kind how many were injected, found and repaired; of swaps also the sums.

    Half of the clips are crossings as they are, with swaps of people in contact; in the other half everyone has the
    same body and clothes, and swaps are at any frame. Appearance is given to nobody. Exact people are made once and
    kept in the store.
    """
    made = crossings(seed, QUICK_CLIPS, seconds=QUICK_SECONDS) if quick else crossings(seed, CLIPS)
    jobs = [
        Trial(
            crossing=_twins(crossing) if i % 2 else crossing,
            seed=(seed, i),
            twins=bool(i % 2),
            numbers=Numbers(swaps=4, others=2) if quick else Numbers(),
            config=QUICK if quick else exact.Config(),
            store=store,
        )
        for i, crossing in enumerate(made)
    ]
    return figures(seed, _counts(jobs, workers))


def figures(seed: int, counts: list[Counter[str]]) -> dict[str, Any]:
    """All clips' counts as the suite prints them."""
    moved = [float(count.pop("clean_keypoint_px_max")) for count in counts]
    total: Counter[str] = sum(counts, Counter())
    out: dict[str, Any] = {"suite": "faults", "seed": seed, "clips": total["clips"]}
    for what in _WHAT:
        out[f"swaps_{what}"] = total[f"swaps_contact_{what}"] + total[f"swaps_alike_{what}"]
    for kind in ("swaps_contact", "swaps_alike"):
        out[kind] = {what: total[f"{kind}_{what}"] for what in _WHAT}
    for kind in _KINDS[2:]:
        out |= {f"{kind}_{what}": total[f"{kind}_{what}"] for what in _WHAT}
    for when in ("before", "after"):
        out[f"jitter_px_{when}"] = round(float(total[f"jitter_px_{when}"]) / max(total["jitter_injected"], 1), 3)
    out |= {"clean_clips": total["clean_clips"], "clean_changed": total["clean_changed"]}
    return {**out, "clean_keypoint_px_max": round(max(moved, default=0.0), 3)}


def fault_table(found: Mapping[str, Any]) -> Table:
    """The figures as a terminal shows them."""
    rows = []
    for kind in _KINDS:
        part = found[kind] if kind.startswith("swaps") else {w: found[f"{kind}_{w}"] for w in _WHAT}
        share = f"{part['repaired'] / part['injected']:.1%}" if part["injected"] else "-"
        rows.append([kind.replace("_", ", "), *(str(part[what]) for what in _WHAT), share])
    shaken = f"{found['jitter_px_before']:.2f} px before, {found['jitter_px_after']:.2f} px after"
    clean = f"{found['clean_changed']} of {found['clean_clips']} changed"
    moved = f"keypoints moved by {found['clean_keypoint_px_max']:.2f} px at most"
    title = (
        f"faults, seed {found['seed']}, {counted(found['clips'], 'clip')}; jitter: {shaken}; clean: {clean}, {moved}"
    )
    return Table(title=title, head=("fault", *_WHAT, "share repaired"), rows=rows)


def _counts(jobs: list[Trial], workers: int) -> list[Counter[str]]:
    reporter, out = current(), list[Counter[str]]()
    reporter.begin("clips", len(jobs))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), begin_bench_worker, (1,)) as pool:
        futures = [pool.submit(run_trial, job) for job in jobs]
        try:
            for future in futures:
                out.append(future.result())
                reporter.advance("clips", 1, [])
        except BrokenProcessPool as error:
            raise Interrupted("a worker process ended in the middle of its work: killed, or out of memory") from error
        finally:
            for future in futures:
                future.cancel()
    return out


def run_trial(job: Trial) -> Counter[str]:
    """One clip in a worker: its exact people, and all its faults."""
    made, _ = exact.exact(job.crossing, Store(job.store), job.config)
    people = load_record(People, Path(made.path) / exact.FILE)
    return trials(people, fps=job.config.fps, seed=job.seed, twins=job.twins, numbers=job.numbers)


def _twins(crossing: Crossing) -> Crossing:
    """A crossing of people of one body in the same clothes."""
    first = crossing.scene.performers[0]
    gender = cast("Gender", str(crossing.files[first.motion]["gender"]))
    alike = tuple(
        replace(one, shape_seed=first.shape_seed, clothes_seed=first.clothes_seed, gender=gender)
        for one in crossing.scene.performers
    )
    return replace(crossing, scene=replace(crossing.scene, performers=alike))

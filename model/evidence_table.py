"""Outcomes -> the figures of evidence.json, and the table that is printed and shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from model.evidence_clips import LeftOut, Trial
from model.evidence_runs import VARIANTS, Outcome
from model.evidence_scores import advantage, mean, spread
from model.who import worn

NAMES = {
    "full": "full", "no_mask": "no mask", "no_pose": "no pose", "sum": "sum fusion", "no_adapter": "no adapter",
    "no_look": "no look (the paper's adapter)",
}  # fmt: skip
# What is told of every variant: field of Score, title, digits.
COLUMNS = (
    ("own_near", "own colours in contact", 3), ("own_apart", "apart", 3), ("own", "all", 3),
    ("psnr", "PSNR dB", 2), ("psnr_people", "of people", 2), ("ssim", "SSIM", 3), ("lpips", "LPIPS", 3),
)  # fmt: skip


def figures(outcomes: Sequence[Outcome], trials: Sequence[Trial], left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """All that evidence.json holds, as JSON takes it: what is not finite is null."""
    by = {name: sorted((o for o in outcomes if o.variant == name), key=lambda o: o.seed) for name in VARIANTS}
    truth = [worn(trial.truth, trial.mask, trial.palette) for trial in trials]
    return _plain(
        {
            "clips": len(trials),
            "left_out": [{"key": one.key, "why": one.why} for one in left_out],
            "chance": mean([1 / len(trial.mask) for trial in trials]),
            "truth": {
                "own_near": mean([one.share(near=True) for one in truth]),
                "own_apart": mean([one.share(near=False) for one in truth]),
                "own": mean([one.share() for one in truth]),
                "switches": sum(one.switches() for one in truth) / len(truth),
            },
            "variants": {name: _of_variant(runs) for name, runs in by.items() if runs},
            "beside_full": {
                name: _beside(by["full"], runs) for name, runs in by.items() if runs and name != "full" and by["full"]
            },
        }
    )


def _of_variant(runs: Sequence[Outcome]) -> dict[str, Any]:
    """Means over clips: a figure a seed, their mean and spread; switches a clip; everyone's confusion."""
    out: dict[str, Any] = {"seeds": [run.seed for run in runs]}
    for field, _, _ in COLUMNS:
        each = [mean(list(run.shares(field).values())) for run in runs]
        out[field] = {"seeds": each, "mean": mean(each), "spread": spread(each)}
    each = [sum(one.switches for one in run.scores) / len(run.scores) for run in runs]
    out["switches"] = {"seeds": each, "mean": mean(each), "spread": spread(each)}
    people = max(len(one.confusion) for run in runs for one in run.scores)
    confusion = np.zeros((people, people), int)
    for run in runs:
        for one in run.scores:
            confusion[: len(one.confusion), : len(one.confusion)] += np.asarray(one.confusion)
    out["confusion"] = confusion.tolist()
    out["training"] = [
        {key: run.training[key] for key in ("steps", "first_loss", "last_loss", "seconds", "step_s", "wait", "skipped")}
        for run in runs
    ]
    return out


def _beside(full: Sequence[Outcome], runs: Sequence[Outcome]) -> dict[str, Any]:
    """By how much the full model has more own colours than a variant, clip by clip over equal seeds."""
    out: dict[str, Any] = {}
    for field in ("own_near", "own"):
        pairs = [
            (one.shares(field)[key], other.shares(field)[key])
            for one in full
            for other in runs
            if one.seed == other.seed
            for key in one.shares(field)
        ]
        difference, low, high = advantage([a for a, _ in pairs], [b for _, b in pairs])
        out[field] = {"more": difference, "low": low, "high": high}
    return out


def rows(found: dict[str, Any]) -> list[list[str]]:
    """The table's rows, the head first."""
    out = [["", *(title for _, title, _ in COLUMNS), "switches a clip", "full has more, in contact"]]
    for name, one in found["variants"].items():
        cells = [_with_spread(one[field], digits) for field, _, digits in COLUMNS]
        beside = found["beside_full"].get(name)
        out.append(
            [NAMES[name], *cells, _with_spread(one["switches"], 2), _interval(beside["own_near"]) if beside else ""]
        )
    truth = found["truth"]
    told = [_number(truth.get(field), digits) for field, _, digits in COLUMNS]
    out.append(["the true video", *told, _number(truth["switches"], 2), ""])
    out.append(["chance", *[_number(found["chance"], 3)] * 3, *[""] * (len(COLUMNS) - 1)])
    # A column that nobody has is no column: LPIPS without weights.
    keep = [i for i in range(len(out[0])) if i == 0 or any(row[i] for row in out[1:])]
    return [[row[i] for i in keep] for row in out]


def table_text(found: dict[str, Any]) -> str:
    """The table for a terminal, and what it is of."""
    table = rows(found)
    width = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, width, strict=True))
        )
        for row in table
    ]
    return "\n".join([*lines, *notes(found)])


def notes(found: dict[str, Any]) -> list[str]:
    """What the table is of, in sentences."""
    any_run = next(iter(found["variants"].values()))
    minutes = [run["seconds"] / 60 for one in found["variants"].values() for run in one["training"]]
    return [
        f"{found['clips']} unseen clips, {any_run['training'][0]['steps']} steps a run, seeds "
        f"{', '.join(map(str, any_run['seeds']))} (mean, and spread where there are two or more); {found['hardware']}; "
        f"{np.mean(minutes):.1f} minutes a training.",
        "Own colours: the share of person-frames whose pixels, inside the person's mask, are nearest to that person's "
        "own palette of the true video. In contact: frames in which masks touch.",
    ]


def _with_spread(figure: dict[str, Any], digits: int) -> str:
    if figure["mean"] is None:
        return ""
    told = _number(figure["mean"], digits)
    return told if figure["spread"] is None else f"{told} ±{_number(figure['spread'], digits)}"


def _interval(one: dict[str, Any]) -> str:
    if one["more"] is None:
        return ""
    return f"{one['more']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _plain(value: Any) -> Any:
    """JSON's values: null for what is not finite."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value

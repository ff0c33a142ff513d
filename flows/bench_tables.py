"""Figures -> tables for a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.bench_figures import COLUMNS, Measured, mask_figures, review_shares
from flows.bench_take import AS_FILMED, Take

WIDTH = 110
# What is known of the sequences in shared/reference/tud: TrackEval's own command, and py-motmetrics for the last two.
PUBLISHED = {
    "TUD-Campus": {"HOTA": 0.3914, "DetA": 0.4180, "AssA": 0.3691, "IDF1": 0.558, "MOTA": 0.526},
    "TUD-Stadtmitte": {"HOTA": 0.3978, "DetA": 0.3923, "AssA": 0.4088, "IDF1": 0.645, "MOTA": 0.564},
}


def crossings_tables(found: Mapping[str, Any], takes: Sequence[Take]) -> str:
    """All that the suite crossings has to show, as text."""
    tables = [_trackers(f"crossings, seed {found['seed']}, {found['clips']} clips", found["trackers"])]
    tables += [_trackers(name, trackers) for name, trackers in found["scenarios"].items()]
    tables.append(_rest(found, [Measured(take) for take in takes]))
    return _text(tables)


def tud_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Computed beside published."""
    table = Table(title="TrackEval on the reference files")
    columns = ("HOTA", "DetA", "AssA", "IDF1", "MOTA")
    for column in ("sequence", "", *columns):
        table.add_column(column)
    for name, row in found.items():
        table.add_row(name, "computed", *(_cell(row[column]) for column in columns))
        if name in PUBLISHED:
            table.add_row("", "published", *(_cell(PUBLISHED[name][column]) for column in columns))
    return _text([table])


def _trackers(title: str, trackers: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = Table(title=title)
    for column in ("tracker", *COLUMNS):
        table.add_column(column)
    for name, row in trackers.items():
        table.add_row(name, *(_cell(row[column]) for column in COLUMNS))
    return table


def _rest(found: Mapping[str, Any], measured: Sequence[Measured]) -> Table:
    table = Table(title="masks, poses, review flags")
    for column in ("what", "figure", "of"):
        table.add_column(column)
    filmed = [one for one in measured if one.take.stress == AS_FILMED]
    cut = mask_figures(filmed, "score_cut")
    for name, value in found["masks"].items():
        table.add_row(f"masks, {name}", _cell(value), f"GrabCut of single frames: {_cell(cut[name])}")
    for name, value in found["pose"].items():
        table.add_row(f"poses, {name}", _cell(value), "")
    for name, share in review_shares(measured).items():
        interval = f"{share.hits} of {share.of}; 95 % interval {share.low:.3f} to {share.high:.3f}"
        table.add_row(f"review, {name}", _cell(share.value), interval)
    return table


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _text(tables: Sequence[Table]) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=WIDTH)
    for table in tables:
        console.print(table)
    return stream.getvalue().rstrip("\n")

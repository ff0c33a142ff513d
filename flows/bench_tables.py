"""Figures -> tables, for a terminal and for the page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rich.table
from rich.console import Console

from flows.bench_figures import COLUMNS, Figures, Measured, by_tracker, mask_figures, pose_detail, review_shares
from flows.bench_take import AS_FILMED
from flows.bench_targets import Target, best, figure
from tasks.ops.review_metrics import Share
from tasks.score import ORACLE, OURS

WIDTH = 118
# What is known of the sequences in shared/reference/tud: TrackEval's own command, and py-motmetrics for the last two.
PUBLISHED = {
    "TUD-Campus": {"HOTA": 0.3914, "DetA": 0.4180, "AssA": 0.3691, "IDF1": 0.558, "MOTA": 0.526},
    "TUD-Stadtmitte": {"HOTA": 0.3978, "DetA": 0.3923, "AssA": 0.4088, "IDF1": 0.645, "MOTA": 0.564},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells under a head."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def crossings_tables(found: Mapping[str, Any], measured: Sequence[Measured]) -> list[Table]:
    """All that the suite crossings has to show."""
    filmed = [one for one in measured if one.take.stress == AS_FILMED]
    return [
        tracker_table("trackers, boxes", found["trackers"]),
        tracker_table("trackers, masks", by_tracker(filmed, "mask")),
        scenario_table(found["scenarios"], filmed),
        _masks(found["masks"], filmed),
        _poses(filmed),
        _review(measured),
        _spent(measured),
    ]


def tracker_table(title: str, trackers: Mapping[str, Figures]) -> Table:
    """A row a tracker."""
    head = ("tracker", *(name.replace("_per_minute", " a minute") for name in COLUMNS))
    return Table(
        title=title, head=head, rows=[[name, *(figure(row[c]) for c in COLUMNS)] for name, row in trackers.items()]
    )


def scenario_table(scenarios: Mapping[str, Mapping[str, Figures]], filmed: Sequence[Measured]) -> Table:
    """A row a scenario: the best of BoxMOT, the oracle, ours."""
    head = ("scenario", "clips", "IDF1 best", "oracle", OURS, "HOTA best", "oracle", OURS, "IDSW a minute best", OURS)
    rows = []
    for name, trackers in scenarios.items():
        clips = sum(one.take.scenario == name for one in filmed)
        row = [name, str(clips)]
        for column in ("IDF1", "HOTA"):
            row += [
                figure(best(trackers, column)),
                *(figure(trackers[t][column]) for t in (ORACLE, OURS) if t in trackers),
            ]
        row += [figure(best(trackers, "IDSW_per_minute", least=True)), figure(trackers[OURS]["IDSW_per_minute"])]
        rows.append(row)
    return Table(title="scenarios", head=head, rows=rows)


def target_table(met: Sequence[Target]) -> Table:
    """What was promised."""
    said = {True: "met", False: "missed", None: "-"}
    rows = [[one.what, one.wanted, one.got, said[one.met]] for one in met]
    return Table(title="what was promised", head=("what", "wanted", "got", ""), rows=rows)


def tud_table(found: Mapping[str, Mapping[str, float]]) -> Table:
    """Computed beside published."""
    columns, rows = ("HOTA", "DetA", "AssA", "IDF1", "MOTA"), []
    for name, row in found.items():
        rows.append([name, "computed", *(f"{row[column]:.4f}" for column in columns)])
        if name in PUBLISHED:
            rows.append(["", "published", *(f"{PUBLISHED[name][column]:g}" for column in columns)])
    return Table(title="TrackEval on the reference files", head=("sequence", "", *columns), rows=rows)


def plain_table(title: str, found: Mapping[str, Any]) -> Table:
    """Names and figures, one under the other."""
    return Table(title=title, head=("what", "figure"), rows=[[name, str(value)] for name, value in found.items()])


def text_of(tables: Sequence[Table]) -> str:
    """The tables for a terminal."""
    stream = io.StringIO()
    console = Console(file=stream, width=WIDTH)
    for table in tables:
        drawn = rich.table.Table(title=table.title, title_justify="left")
        for i, cell in enumerate(table.head):
            drawn.add_column(cell, justify="left" if i == 0 else "right", overflow="fold")
        for row in table.rows:
            drawn.add_row(*row, style="bold" if row[0] == OURS else None)
        console.print(drawn)
    return stream.getvalue().rstrip("\n")


def _masks(ours: Figures, filmed: Sequence[Measured]) -> Table:
    cut = mask_figures(filmed, "score_cut")
    rows = [[name, *(figure(row[c]) for c in ours)] for name, row in ((OURS, ours), ("GrabCut, single frames", cut))]
    return Table(title="masks", head=("", *ours), rows=rows)


def _poses(filmed: Sequence[Measured]) -> Table:
    found = pose_detail(filmed)
    return Table(title="poses", head=tuple(found), rows=[[figure(value) for value in found.values()]])


def _review(measured: Sequence[Measured]) -> Table:
    rows = []
    for stress in ("all", *dict.fromkeys(one.take.stress.partition("-")[0] for one in measured)):
        some = [one for one in measured if stress in ("all", one.take.stress.partition("-")[0])]
        shares = review_shares(some)
        wrong = sum(one.reviewed.bound and one.reviewed.wrong for one in some)
        rows.append([stress, str(len(some)), str(wrong), *(_share(share) for share in shares.values())])
    by_box = review_shares(measured, by_box=True)
    wrong = sum(one.reviewed.bound and one.flags["wrong_by_box"] for one in measured)
    rows.insert(1, ["all, by boxes alone", str(len(measured)), str(wrong), *map(_share, by_box.values())])
    head = ("clips", "of them", "with a wrong id", *(name.replace("_", " ") for name in review_shares(measured)))
    return Table(title="review flags, with 95 % intervals", head=head, rows=rows)


def _share(share: Share) -> str:
    return "-" if share.value is None else f"{share.value:.3f} ({share.low:.3f} .. {share.high:.3f})"


def _spent(measured: Sequence[Measured]) -> Table:
    spent: dict[str, list[float]] = {}
    for one in measured:
        for cost in one.take.costs:
            if cost.ran:
                row = spent.setdefault(cost.stage, [0.0, 0.0])
                row[0], row[1] = row[0] + cost.seconds, row[1] + cost.frames
    rows = [[name, f"{s:.1f}", f"{1000 * s / f:.1f}" if f else "-"] for name, (s, f) in spent.items()]
    return Table(title="time of what was not in the store", head=("stage", "seconds", "ms a frame"), rows=rows)

"""Scored videos -> tables for a terminal and the page, and scores.parquet: a row a clip and subject, and one of all."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datasets.store import write_atomic
from flows.bench_tables import Table
from flows.bench_targets import figure
from flows.video_bench_figures import FIGURES, NAMES, Figures, figures
from flows.video_bench_take import Scored

FILE = "scores.parquet"
# What a clip's row on the page shows; the rest is in the table of all clips and in the file.
SHOWN = ("HOTA", "IDF1", "MOTA", "OKS", "MPJPE2D", "near_PoseSSIM", "PSNR", "SSIM", "masked_PSNR", "masked_SSIM")
COLUMNS = pa.schema(
    [
        ("key", pa.string()),  # empty: all clips of the subject together
        ("subject", pa.string()),  # "generated", or "ceiling": the real video in its place
        ("clips", pa.int32()),
        ("frames", pa.int32()),  # compared
        ("fps", pa.float64()),
        ("width", pa.int32()),  # at which pictures are compared
        ("height", pa.int32()),
        ("notes", pa.list_(pa.string())),  # in what the generated video differs from the real one
        ("turned_away", pa.string()),  # the stage that found nobody, and why
        *((name, pa.float64()) for name in NAMES),
    ]
)


def by_subject(scored: Sequence[Scored]) -> dict[str, Figures]:
    """Subject -> its figures over all clips."""
    names = dict.fromkeys(one.subject for one in scored)
    return {name: figures([one for one in scored if one.subject == name]) for name in names}


def main_table(found: Mapping[str, Figures], clips: int) -> Table:
    """A row a figure, a column a subject."""
    arrow = {"more": "↑", "less": "↓"}
    rows, track = [], ""
    for one in FIGURES:
        rows.append(
            [
                "" if one.track == track else one.track,
                f"{one.name.replace('_', ' ')} {arrow[one.better]}",
                *(_cell(row[one.name], one.name) for row in found.values()),
                one.about,
            ]
        )
        track = one.track
    return Table(
        title=f"all {clips} clips together" if clips > 1 else "the one clip",
        head=("track", "figure", *found, "what it is"),
        rows=rows,
    )


def clip_table(scored: Sequence[Scored]) -> Table:
    """A row a clip and subject."""
    rows = []
    for one in scored:
        found = figures([one])
        rows.append([one.key, one.subject, *(_cell(found[name], name) for name in SHOWN)])
    return Table(title="clip by clip", head=("clip", "video", *(n.replace("_", " ") for n in SHOWN)), rows=rows)


def write_scores(out: Path, scored: Sequence[Scored], found: Mapping[str, Figures]) -> Path:
    """Write scores.parquet and return its path. Equal figures give equal bytes."""
    rows = [_row(one) for one in scored]
    for subject, whole in found.items():
        some = [one for one in scored if one.subject == subject]
        frames = sum(one.item.frames for one in some)
        rows.append({"key": "", "subject": subject, "clips": len(some), "frames": frames, **whole})
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=COLUMNS), buffer, compression="zstd")
    write_atomic(out / FILE, buffer.getvalue())
    return out / FILE


def _row(one: Scored) -> dict[str, Any]:
    height, width = one.compare.size
    return {
        "key": one.key, "subject": one.subject, "clips": 1, "frames": one.item.frames, "fps": one.fps,
        "width": width, "height": height, "notes": list(one.notes), "turned_away": one.turned_away, **figures([one]),
    }  # fmt: skip


def _cell(value: float | None, name: str) -> str:
    return "-" if value is None else f"{value:.0f}" if name == "IDSW" else figure(value)

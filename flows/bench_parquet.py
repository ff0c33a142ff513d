"""Takes -> benchmark.parquet: a row for each clip and tracker, with every figure."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datasets.store import write_atomic
from flows.bench_figures import Measured, mask_figures, pose_figures
from tasks.backends.trackeval import SCORES, scores
from tasks.score import OURS

FILE = "benchmark.parquet"
_OWN = ("J_apart", "J_contact", "F", "grabcut_J_apart", "grabcut_J_contact", "grabcut_F", "OKS", "PCK")
COLUMNS = pa.schema(
    [
        ("clip", pa.string()),
        ("scenario", pa.string()),
        ("stress", pa.string()),  # "as filmed", or how the detections were made worse
        ("tracker", pa.string()),
        ("frames", pa.int32()),
        ("seconds", pa.float64()),
        *((f"{kind}_{name}", pa.float64()) for kind in ("box", "mask") for name in SCORES),
        # Of ours alone; null for the others, and where it was not measured.
        *((name, pa.float64()) for name in _OWN),
        ("bound", pa.bool_()),
        ("wrong", pa.bool_()),  # by the truth, some id is on the wrong person: by boxes, settled by masks
        ("wrong_by_box", pa.bool_()),  # by boxes alone
        ("wrong_frames", pa.int32()),
        ("turned", pa.bool_()),  # in review or rejected
        ("doubted", pa.bool_()),  # because of who is who
        ("verdict", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("turned_away", pa.string()),  # the stage that gave no people, and why
    ]
)


def write_parquet(out: Path, measured: Sequence[Measured]) -> Path:
    """Write the table and return its path. Equal figures give equal bytes."""
    rows = [row for one in measured for row in _rows(one)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=COLUMNS), buffer, compression="zstd")
    write_atomic(out / FILE, buffer.getvalue())
    return out / FILE


def _rows(measured: Measured) -> list[dict[str, Any]]:
    take, out = measured.take, []
    for name in dict.fromkeys(name for name, _ in measured.tallies):
        row: dict[str, Any] = {
            "clip": take.name, "scenario": take.scenario, "stress": take.stress, "tracker": name,
            "frames": take.frames, "seconds": take.seconds,
        }  # fmt: skip
        for kind in ("box", "mask"):
            found = scores({take.key: measured.tallies[name, kind]})
            row |= {f"{kind}_{key}": value for key, value in found.items()}
        out.append(row | (_own(measured) if name == OURS else {}))
    return out


def _own(measured: Measured) -> dict[str, Any]:
    cut = {f"grabcut_{name}": value for name, value in mask_figures([measured], "score_cut").items()}
    return {
        **mask_figures([measured], "score_masks"), **cut, **pose_figures([measured]), **measured.flags,
        "turned_away": measured.take.turned_away,
    }  # fmt: skip

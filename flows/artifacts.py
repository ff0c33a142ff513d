"""A run's outcome -> Prefect artifacts: the funnel as a table, one preview as a picture."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from prefect.artifacts import create_image_artifact, create_table_artifact

from flows.outage import patiently
from flows.run import Run
from tasks.batch import Item, Reject
from tasks.report_page import funnel_of
from tasks.shard import Summary

# A picture lies in Prefect's database as text; a poster is about a tenth of this.
MAX_PICTURE_BYTES = 1_000_000


def show_funnel(run: Run, left: Summary, rejects: Sequence[Reject]) -> None:
    """How many came in, what was turned away where and why, how many are left."""
    verdicts = ["accepted"] * left.accepted + ["review"] * left.review
    rows = [
        {
            "step": step.name,
            "count": step.count,
            "lost": "; ".join(f"{loss.count} x {loss.reason}" for loss in step.losses),
        }
        for step in funnel_of(len(run.sources), verdicts, rejects)
    ]
    about = f"{run.preset}: {run.out}"
    patiently(create_table_artifact, rows, key=f"{run.route}-funnel", description=about)


def show_preview(run: Run, items: Sequence[Item]) -> None:
    """The poster of the first clip that has one small enough."""
    for item in items:
        data = item.file("report", "poster.jpg").read_bytes()
        if len(data) <= MAX_PICTURE_BYTES:
            address = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
            about = f"{item.key}: {item.source}"
            patiently(create_image_artifact, address, key=f"{run.route}-preview", description=about)
            return

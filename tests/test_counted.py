"""Counts in what people read: one is told as one."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from flows.progress import Bars, Lines
from flows.review_list import listing_text
from flows.summary import Summary
from flows.takedown import told_of
from flows.takedown_dataset import Removed

ONES = re.compile(r"\b1 (?:people|\w+s)\b")


def lines(items: int) -> str:
    said: list[str] = []
    progress = Lines(said.append, clock=lambda: 0.0)
    progress.begin("probe", batches=1)
    progress.advance("probe", items, rejects=())
    return "\n".join(said)


def bars(items: int) -> str:
    shown = io.StringIO()
    with Bars(Console(file=shown, force_terminal=True, width=100)) as progress:
        progress.begin("probe", batches=1)
        progress.advance("probe", items, rejects=())
    # The last drawing only: the first is of nothing done yet.
    return shown.getvalue().rsplit("probe", 1)[1]


def summary(count: int) -> str:
    counts = dict.fromkeys(("sources", "clips", "accepted", "samples", "shards"), count)
    return Summary(out="out", review=0, rejected=0, failed=0, seconds=2.0, stages={}, **counts).text()


def review(count: int) -> str:
    clip = {
        "key": "a", "source": "a.mp4", "start_s": 0.0, "seconds": 1.0, "reasons": [], "look": [], "commands": [],
        "pending": [],
    }  # fmt: skip
    return listing_text({"out": "out", "clips": [clip] * count, "waiting": [], "elsewhere": []})


def takedown(count: int) -> str:
    names = ("shards_rewritten", "bytes", "rejects", "words", "report", "artifacts", "artifact_bytes", "notes")
    return told_of("out", [], Removed(clips=["a"] * count, **dict.fromkeys(names, count)), dry=False)


@pytest.mark.parametrize(
    ("told", "one", "two"),
    [
        pytest.param(lines, "probe: 1 item", "probe: 2 items", id="lines of progress"),
        pytest.param(bars, " 1 item ", " 2 items ", id="bars of progress"),
        pytest.param(summary, "1 clip of 1 source in", "2 clips of 2 sources in", id="a run's summary"),
        pytest.param(review, "1 clip in review", "2 clips in review", id="the review listing"),
        pytest.param(takedown, "1 artifact, 1 byte; 1 note", "2 artifacts, 2 bytes; 2 notes", id="a takedown"),
    ],
)
def test_one_is_told_as_one(told, one: str, two: str) -> None:
    assert one in told(1)
    assert not ONES.findall(told(1))
    assert two in told(2)

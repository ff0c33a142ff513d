"""Outcomes -> DIR/index.html: the table, everyone's confusion, and each clip's videos beside the truth."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from datasets.npz import read_npz
from datasets.store import write_atomic
from model.clips import window_fps
from model.evidence_clips import Trial
from model.evidence_runs import Job, Outcome
from model.evidence_scores import identity_rows
from model.evidence_table import NAMES, notes, rows
from model.side_by_side import columns_of, write_side_by_side

PAGE, CLIPS = "index.html", "clips"
_FILE = Path(__file__).parent / "page" / "evidence.html"


def write_page(
    out: Path, found: dict[str, Any], jobs: Sequence[Job], outcomes: Sequence[Outcome], trials: Sequence[Trial]
) -> Path:
    """Write the page and its videos (of the first seed), and give its path."""
    first = min(job.seed for job in jobs)
    videos = {job.variant: read_npz(job.videos) for job in jobs if job.seed == first}
    shutil.rmtree(out / CLIPS, ignore_errors=True)
    cards = [_card(out, trial, {name: of[trial.key] for name, of in videos.items()}) for trial in trials]
    text = Template(_FILE.read_text()).substitute(
        table=_table(rows(found)),
        notes="\n".join(f"<p>{escape(line)}</p>" for line in notes(found)),
        confusion="\n".join(_confusion(NAMES[name], one["confusion"]) for name, one in found["variants"].items()),
        left_out=_left_out(found["left_out"]),
        clips="\n".join(cards),
        seed=str(first),
    )
    write_atomic(out / PAGE, text.encode())
    return out / PAGE


def _card(out: Path, trial: Trial, videos: Mapping[str, np.ndarray]) -> str:
    """A clip: its video, and frame by frame whose colours everyone has."""
    columns = columns_of(trial.example, trial.truth)
    shown = {title: columns[title] for title in ("reference", "pose and mask")}
    shown |= {NAMES[name]: video for name, video in videos.items()}
    write_side_by_side(out / CLIPS / f"{trial.key}.mp4", shown | {"truth": trial.truth}, window_fps(trial.fps))
    told = [
        f"<tr><td>{escape(NAMES[name])}</td><td><code>{escape(' '.join(identity_rows(trial, video)))}</code></td></tr>"
        for name, video in videos.items()
    ]
    return (
        f'<div class="clip"><h3>{escape(trial.key)}</h3>\n'
        f'<video src="{CLIPS}/{escape(trial.key)}.mp4" controls loop muted preload="metadata"></video>\n'
        f"<table>{''.join(told)}</table></div>"
    )


def _table(table: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table[0])
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table[1:])
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _confusion(name: str, counts: Sequence[Sequence[int]]) -> str:
    """Rows: people; columns: whose colours they have, in shares of the row."""
    people = range(1, len(counts) + 1)
    head = "".join(f"<th>colours of {i}</th>" for i in people)
    body = "".join(
        f"<tr><td>person {i}</td>" + "".join(f"<td>{n / max(1, sum(row)):.2f}</td>" for n in row) + "</tr>"
        for i, row in zip(people, counts, strict=True)
    )
    return f"<table><caption>{escape(name)}</caption><tr><th></th>{head}</tr>{body}</table>"


def _left_out(clips: Sequence[Mapping[str, str]]) -> str:
    if not clips:
        return ""
    rows_of = "".join(f"<li>{escape(one['key'])}: {escape(one['why'])}</li>" for one in clips)
    return f"<h2>Clips left out</h2><ul>{rows_of}</ul>"

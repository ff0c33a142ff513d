"""Tables, the worst clips -> OUT/index.html: figures, videos beside the truth, timelines. Opens from a file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np

import tasks
from datasets.counted import counted
from datasets.store import write_atomic
from flows.bench_figures import Measured
from flows.bench_tables import Table
from flows.bench_take import AS_FILMED
from tasks.ops.beside_truth import NOBODY, colors_of
from tasks.ops.review_metrics import Held
from tasks.replay import POSTER, VIDEO
from tasks.rivals import CHOSEN
from tasks.score import OURS

PAGE, CLIPS = "index.html", "clips"
_FILES = Path(tasks.__file__).parent / "page"
# The timelines' own units: the names at the left, the height of a person's row, the width of the clip.
_LEFT, _ROW, _WIDTH = 70, 16, 960


def write_page(out: Path, title: str, tables: Sequence[Table], worst: Sequence[tuple[Measured, Path]]) -> Path:
    """Write index.html with what it shows beside it, and return its path. `worst` are clips and their replays."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / CLIPS, ignore_errors=True)
    (out / CLIPS).mkdir()
    for measured, replay in worst:
        for file, end in ((VIDEO, "mp4"), (POSTER, "jpg")):
            shutil.copyfile(replay / file, out / CLIPS / f"{measured.take.key}.{end}")
    text = Template((_FILES / "bench.html").read_text()).substitute(
        title=escape(title),
        style=(_FILES / "bench.css").read_text(),
        script=(_FILES / "bench.js").read_text(),
        tables="\n".join(table_html(table) for table in tables),
        settings="\n".join(_settings()),
        clips="\n".join(
            [f"<h2>Our worst {counted(len(worst), 'clip')}</h2>", *(_card(measured) for measured, _ in worst)]
        ),
    )
    write_atomic(out / PAGE, text.encode())
    return out / PAGE


def table_html(table: Table) -> str:
    """A table under its title."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = "\n".join(_row(row) for row in table.rows)
    return f'<h2>{escape(table.title)}</h2>\n<div class="wide"><table>\n<tr>{head}</tr>\n{rows}\n</table></div>'


def _row(row: Sequence[str]) -> str:
    cells = "".join(f'<td class="{cell}">{cell}</td>' if cell in ("met", "missed") else _cell(cell) for cell in row)
    return f'<tr class="ours">{cells}</tr>' if row[0] == OURS else f"<tr>{cells}</tr>"


def _cell(text: str) -> str:
    return f"<td>{escape(text)}</td>"


def _settings() -> list[str]:
    rows = []
    for rival in CHOSEN:
        said = ", ".join(f"{name} {value}" for name, value in rival.settings) or "thresholds of our own track stage"
        words = f"lost tracks wait {rival.buffer_s:.2f} s; {said}"
        rows.append(f'<tr><td>{escape(rival.name)}</td><td class="words">{escape(words)}</td></tr>')
    return rows


def _card(measured: Measured) -> str:
    take, flags, ids = measured.take, measured.flags, measured.tallies[OURS, "box"]
    said = "; ".join([take.turned_away] if take.turned_away else flags["reasons"]) or "no reason to doubt"
    stressed = "" if take.stress == AS_FILMED else f", {take.stress}"
    facts = (
        f"IDF1 {float(ids['Identity/IDF1']):.3f}, {counted(int(ids['CLEAR/IDSW']), 'switch')}, "
        f"{counted(flags['wrong_frames'], 'time')} an id on the wrong person. Judge: {flags['verdict']}: {said}"
    )
    media = escape(f"{CLIPS}/{take.key}")
    return (
        f'<section class="clip">\n<h3>{escape(take.name + stressed)}</h3>\n<p>{escape(facts)}</p>\n'
        f'<video controls muted loop preload="none" poster="{media}.jpg" src="{media}.mp4"></video>\n'
        '<div class="sides"><span>the truth</span><span>ours, in the colours of whom each id stands for</span></div>\n'
        f"{timeline(measured.held, take.frames, take.seconds)}\n</section>"
    )


def timeline(held: Held, frames: int, seconds: float) -> str:
    """A row for each true person: in whose colour they were held, pale where nobody can be told to; red for wrong."""
    colors = colors_of(held, int(held.found.max(initial=-1)) + 1)
    scale, parts = _WIDTH / max(frames, 1), []
    for g, person in enumerate(held.truth.tolist()):
        y = g * _ROW
        parts.append(f'<text x="0" y="{y + 11}">person {person + 1}</text>')
        parts.append(
            f'<rect x="{_LEFT}" y="{y}" width="{_WIDTH}" height="{_ROW - 4}" fill="rgb{NOBODY}" opacity=".2"/>'
        )
        for value, start, stop in _spans(held.holder[g]):
            if value >= 0:
                parts.append(_bar(y, start, stop, scale, f"rgb{colors[int(held.found[value])]}", _ROW - 4))
        parts += [_bar(y + _ROW - 7, a, b, scale, "#f22", 3) for value, a, b in _spans(held.wrong[g]) if value]
    size = f"0 0 {_LEFT + _WIDTH} {max(len(held.truth), 1) * _ROW}"
    facts = f'data-left="{_LEFT}" data-width="{_WIDTH}" data-seconds="{seconds:.3f}"'
    label = f'role="img" aria-label="who held whom, {frames} frames"'
    return f'<svg class="line" viewBox="{size}" {facts} {label}>{"".join(parts)}</svg>'


def _bar(y: int, start: int, stop: int, scale: float, color: str, height: int) -> str:
    x, width = _LEFT + start * scale, (stop - start) * scale
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{color}"/>'


def _spans(values: np.ndarray) -> list[tuple[int, int, int]]:
    """(value, start, stop) of runs of equal values."""
    edges = np.flatnonzero(np.diff(values.astype(int))) + 1
    starts, stops = [0, *edges.tolist()], [*edges.tolist(), len(values)]
    return [(int(values[a]), a, b) for a, b in zip(starts, stops, strict=True) if b > a]

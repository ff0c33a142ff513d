"""Tables, scored videos -> OUT/index.html: the figures, how they are taken, each video beside the real one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

import tasks
from datasets.store import write_atomic
from flows.bench_page import table_html, timeline
from flows.bench_tables import Table
from flows.bench_targets import figure
from flows.video_bench_figures import figures
from flows.video_bench_take import GENERATED, Scored
from tasks.coherence import held_in
from tasks.replay import POSTER, VIDEO

PAGE, CLIPS = "index.html", "clips"
_FILES = Path(tasks.__file__).parent / "page"


def write_page(
    out: Path, title: str, tables: Sequence[Table], remarks: Sequence[str], videos: Sequence[tuple[Scored, Path]]
) -> Path:
    """Write index.html with the videos that it shows beside it, and return its path."""
    shutil.rmtree(out / CLIPS, ignore_errors=True)
    (out / CLIPS).mkdir(parents=True)
    for scored, folder in videos:
        for file, end in ((VIDEO, "mp4"), (POSTER, "jpg")):
            shutil.copyfile(folder / file, out / CLIPS / f"{scored.key}.{end}")
    whole, *others = tables
    text = Template((_FILES / "together.html").read_text()).substitute(
        title=escape(title),
        style=(_FILES / "bench.css").read_text(),
        script=(_FILES / "bench.js").read_text(),
        table=table_html(whole),
        remarks="\n".join(f"<li>{escape(remark)}</li>" for remark in remarks),
        tables="\n".join(table_html(table) for table in others),
        clips="\n".join(_card(scored) for scored, _ in videos),
        heading=f"The {len(videos)} clips with the least IDF1" if len(videos) > 1 else "The clip",
    )
    write_atomic(out / PAGE, text.encode())
    return out / PAGE


def _card(one: Scored) -> str:
    found = figures([one])
    said = ", ".join(f"{name} {figure(found[name])}" for name in ("HOTA", "IDF1", "OKS", "PSNR"))
    differs = f"; {'; '.join(one.notes)}" if one.notes else ""
    nobody = f" Nobody to score: {one.turned_away}." if one.turned_away else ""
    right = "generated" if one.subject == GENERATED else "the real one again"
    media = escape(f"{CLIPS}/{one.key}")
    drawn = timeline(held_in(one.item), one.item.frames, one.item.frames / one.fps)
    return (
        f'<section class="clip">\n<h3>{escape(one.key)}</h3>\n<p>{escape(said + differs + "." + nobody)}</p>\n'
        f'<video controls muted loop preload="none" poster="{media}.jpg" src="{media}.mp4"></video>\n'
        f'<div class="sides"><span>the real video, who drives</span><span>{right}, who was found</span></div>\n'
        f"{drawn}\n</section>"
    )

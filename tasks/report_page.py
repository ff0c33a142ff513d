"""Judged clips, rejects, costs -> OUT/report/: a page that opens from a file, with its media beside it and no network.

A page opened from a file may load scripts, pictures and videos, but read no other file: so all its data are scripts.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets import remote_scratch
from datasets.condition import person_color
from datasets.folder import Folder, LocalFolder, open_folder
from datasets.plain import to_plain
from datasets.records import Cast, Clip, Sample
from tasks.batch import Cost, Item, Reject
from tasks.clips import cast_of, clip_record
from tasks.judge import sample_of
from tasks.ops.corrections import phrase
from tasks.ops.funnel import Left, Step, funnel
from tasks.ops.scores import ABOUT

_PAGE = Path(__file__).with_name("page")
_FILES = ("index.html", "page.css", "charts.js", "say.js", "clip.js", "page.js")
_MEDIA = ("preview.mp4", "poster.jpg")
REPORT = "report"  # the stage whose artifacts are shown, and the page's folder in OUT


def write_report(
    out: str | Path,
    items: Sequence[Item],
    *,
    sources: int,
    rejects: Sequence[Reject] = (),
    costs: Sequence[Cost] = (),
    title: str = "Duetflow",
    corrections: str | None = None,
    facts: Mapping[str, str] | None = None,
) -> Path | str:
    """Write OUT/report/index.html with all it shows, and return its path or address.

    `items` are the accepted and review clips with the artifacts of `judge` and `report`; `sources` is how many were
    found. `corrections` is the file that a person's words go to, when that is not the one in OUT. `facts` are lines
    about the run (name -> text). The folder is filled aside and put in place whole; media are hard links into the
    store, or copies where that lies on another disk. At an address files are put one by one, index.html after what it
    shows, and media that are there stay. Only this folder of an output holds times, which differ from run
    to run.
    """

    def fill(folder: Path, media: Callable[[Item, str, Path], None]) -> None:
        (folder / "media").mkdir(parents=True)
        clips = [_add_clip(item, folder, media) for item in items]
        for name in _FILES:
            shutil.copyfile(_PAGE / name, folder / name)
        run = {
            "title": title,
            "corrections": corrections,
            "facts": list((facts or {}).items()),
            "funnel": [asdict(step) for step in _funnel(sources, clips, rejects)],
            "costs": _costs(costs),
            "scores": ABOUT,
            "colors": _colors(max((len(clip["people"]) for clip in clips), default=0)),
        }
        _script(folder / "run.js", "run", run)
        _script(folder / "clips.js", "clips", clips)
        _script(folder / "rejects.js", "rejects", [to_plain(reject) for reject in rejects])

    to = open_folder(out)
    if isinstance(to, LocalFolder):
        _in_place(fill, to.root)
        return to.root / REPORT / "index.html"
    _put(fill, to)
    return f"{to.address}/{REPORT}/index.html"


Fill = Callable[[Path, Callable[[Item, str, Path], None]], None]


def _in_place(fill: Fill, out: Path) -> None:
    """The page filled aside and put where the old one is."""
    final, aside = out / REPORT, out / f".{REPORT}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    # One build at a time is in OUT: what lies aside is what killed ones left.
    for left in out.glob(f".{REPORT}.*"):
        shutil.rmtree(left)
    try:
        fill(aside, lambda item, name, target: _link(item, target, final / name / target.name))
        _replace(aside, final)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _put(fill: Fill, to: Folder) -> None:
    """The page filled on this machine and put at an address; then what an older one left is removed."""
    there = to.sizes(REPORT)
    stay: set[str] = set()

    def media(item: Item, name: str, target: Path) -> None:
        # A clip's folder is named by the artifact that it shows: the same name holds the same bytes.
        at = f"{REPORT}/{name}/{target.name}"
        if there.get(at) == item.size(REPORT, target.name):
            stay.add(at)
        else:
            shutil.copyfile(item.file(REPORT, target.name), target)

    with remote_scratch.aside() as folder:
        fill(folder, media)
        made = {f"{REPORT}/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*") if path.is_file()}
        last = f"{REPORT}/index.html"
        for name in [*sorted(set(made) - {last}), last]:
            clip = name.startswith(f"{REPORT}/media/")
            if not (clip and there.get(name) == made[name].stat().st_size):
                to.put(name, made[name])
    for name in sorted(set(there) - set(made) - stay):
        to.remove(name)


def funnel_of(sources: int, verdicts: Sequence[str], rejects: Sequence[Reject]) -> tuple[Step, ...]:
    """The funnel of a run, as the page shows it: for a summary or a Prefect artifact."""
    left = [Left(stage=r.stage, reason=r.reason, whole_source=not r.clip) for r in rejects]
    count = {verdict: sum(one == verdict for one in verdicts) for verdict in ("accepted", "review")}
    return funnel(sources=sources, accepted=count["accepted"], review=count["review"], left=left)


def _funnel(sources: int, clips: Sequence[Mapping[str, Any]], rejects: Sequence[Reject]) -> tuple[Step, ...]:
    return funnel_of(sources, [clip["verdict"] for clip in clips], rejects)


def _add_clip(item: Item, aside: Path, media: Callable[[Item, str, Path], None]) -> dict[str, Any]:
    """Put a clip's media and its own script into the page's folder; what the page lists of it."""
    clip, sample, cast = clip_record(item), sample_of(item), cast_of(item)
    artifact = item.artifacts[REPORT]
    # The name says which preview it is, so that the folder of a run before can lend its copy.
    name = f"media/{item.key}-{artifact.key[:8]}"
    folder = aside / name
    folder.mkdir()
    for file in _MEDIA:
        media(item, name, folder / file)
    timeline = json.loads(item.file(REPORT, "timeline.json").read_bytes())
    detail = {"key": item.key, "timeline": timeline, "provenance": sample.provenance, "sha256": clip.sha256}
    _script(folder / "clip.js", None, detail)
    return _listed(clip, sample, cast) | {
        "folder": name, "size": timeline["size"], "panels": timeline["panels"], "best": timeline["best"],
        "places": timeline["places"], "exact": "render" in item.artifacts, "said": [phrase(w) for w in item.words],
    }  # fmt: skip


def _listed(clip: Clip, sample: Sample, cast: Cast) -> dict[str, Any]:
    return {
        "key": clip.key,
        "source": clip.source,
        "start": round(float(clip.start / clip.fps), 2),
        "seconds": round(clip.duration_s, 3),
        "frames": clip.frames,
        "fps": round(float(clip.fps), 3),
        "pixels": [clip.size[1], clip.size[0]],
        "licence": clip.licence,
        "verdict": sample.verdict,
        "reasons": list(sample.reasons),
        "scores": sample.scores,
        "people": [
            {
                "kind": cast.kind[p],
                "sure": round(float(cast.kind_confidence[p]), 2),
                "why": cast.kind_reason[p],
                "identity": cast.identity[p],
                "coverage": round(sample.coverage[p], 3),
            }
            for p in range(len(cast.kind))
        ],
    }


def _colors(count: int) -> list[str]:
    """The people's colours as the previews have them, for CSS."""
    return [f"rgb({red},{green},{blue})" for red, green, blue in map(person_color, range(count))]


def _costs(costs: Sequence[Cost]) -> list[dict[str, Any]]:
    """What each stage cost over all batches, in the order in which stages first ran."""
    total: dict[str, dict[str, Any]] = {}
    for cost in costs:
        row = total.setdefault(cost.stage, {"stage": cost.stage, "ran": 0, "reused": 0, "seconds": 0.0, "frames": 0})
        for name in ("ran", "reused", "seconds", "frames"):
            row[name] += getattr(cost, name)
    return list(total.values())


def _script(path: Path, name: str | None, value: Any) -> None:
    """A value as a script that a page opened from a file can load: `DUET.name = value`, or handed to `DUET.loaded`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    text = f"DUET.{name}={text};\n" if name else f"DUET.loaded({text});\n"
    path.write_text(("" if name is None else "window.DUET=window.DUET||{};") + text)


def _link(item: Item, target: Path, before: Path) -> None:
    """The clip's file at another place without its bytes a second time, where the file system can."""
    source = item.file(REPORT, target.name)
    for origin in (source, before):
        try:
            os.link(origin, target)
            return
        except OSError:
            continue
    shutil.copyfile(source, target)


def _replace(aside: Path, final: Path) -> None:
    """Put the finished folder where the old one is."""
    old = aside.with_name(aside.name + ".old")
    if final.exists():
        os.rename(final, old)
    os.rename(aside, final)
    shutil.rmtree(old, ignore_errors=True)

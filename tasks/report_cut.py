"""OUT/report without some clips: what the page lists and shows of them, gone; the rest as it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from datasets.folder import Folder, LocalFolder
from tasks.batch import Reject
from tasks.report_page import funnel_of

REPORT = "report"
_HEAD = "window.DUET=window.DUET||{};"


def cut_report(
    folder: Folder,
    clip_goes: Callable[[Mapping[str, Any]], bool],
    reject_goes: Callable[[Mapping[str, Any]], bool],
    refusals: Sequence[Reject],
    *,
    write: bool = True,
) -> int:
    """Take clips and rejects out of the page, and put the refusals in; how many clips went, or, unless `write`, would.

    Media of clips that the page does not list go too, so that a cut which was killed is finished by the next. A page
    that is damaged, or of another release, is removed whole: the next build writes it.
    """
    names = list(folder.names(REPORT))
    if not names:
        return 0
    try:
        run, clips, rejects = (_read(folder, name) for name in ("run", "clips", "rejects"))
        kept = [clip for clip in clips if not clip_goes(clip)]
        turned = [asdict(one) for one in refusals if asdict(one) not in rejects]
        turned += [one for one in rejects if not reject_goes(one)]
        sources = next((step["count"] for step in run["funnel"] if step["name"] == "sources found"), 0)
        steps = funnel_of(sources, [clip["verdict"] for clip in kept], [Reject(**one) for one in turned])
        run["funnel"] = [asdict(step) for step in steps]
        listed = {f"{REPORT}/{clip['folder']}" for clip in kept}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        for name in names if write else ():
            folder.remove(name)
        return 0
    if not write:
        return len(clips) - len(kept)
    for name, value in (("clips", kept), ("rejects", turned), ("run", run)):
        _write(folder, name, value)
    for name in names:
        if name.startswith(f"{REPORT}/media/") and name.rpartition("/")[0] not in listed:
            folder.remove(name)
    if isinstance(folder, LocalFolder):
        # The folders' names are those of the clips.
        for place in (folder.root / REPORT / "media").glob("*"):
            if f"{REPORT}/media/{place.name}" not in listed:
                place.rmdir()
    return len(clips) - len(kept)


def _read(folder: Folder, name: str) -> Any:
    text = folder.read(f"{REPORT}/{name}.js").decode()
    return json.loads(text.removeprefix(f"{_HEAD}DUET.{name}=").rstrip().removesuffix(";"))


def _write(folder: Folder, name: str, value: Any) -> None:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    data = f"{_HEAD}DUET.{name}={text};\n".encode()
    if folder.read(f"{REPORT}/{name}.js") != data:
        folder.write(f"{REPORT}/{name}.js", data)

"""Ground truth and a tracker's result as MOTChallenge text -> figures, to hold beside published ones."""

from __future__ import annotations

from pathlib import Path

from flows.errors import UsageError
from tasks.backends.trackeval import scores, tally
from tasks.ops.track_rows import TrackRows, box_overlaps, parse_mot

TRUTH, RESULT = "gt.txt", "test.txt"
COLUMNS = ("HOTA", "DetA", "AssA", "IDF1", "MOTA")


def tud_figures(data: str | None) -> dict[str, dict[str, float]]:
    """sequence -> COLUMNS, fractions, of every folder in DATA with gt.txt and test.txt. Raises UsageError for none."""
    if data is None:
        raise UsageError("--suite tud: want --data DIR, the folder with TUD-Campus and TUD-Stadtmitte, got none")
    folders = sorted(path.parent for path in Path(data).glob(f"*/{TRUTH}") if (path.parent / RESULT).is_file())
    if not folders:
        raise UsageError(f"--data {data}: want folders with {TRUTH} and {RESULT} in it, got none")
    return {folder.name: _figures(folder) for folder in folders}


def _figures(folder: Path) -> dict[str, float]:
    truth, found = _read(folder / TRUTH), _read(folder / RESULT)
    frames = 1 + max(int(rows.frame.max(initial=0)) for rows in (truth, found))
    made = scores({folder.name: tally(box_overlaps(truth, found, frames))})
    return {name: round(made[name], 6) for name in COLUMNS}


def _read(path: Path) -> TrackRows:
    where = f"{path.parent.name}/{path.name}"
    try:
        return parse_mot(path.read_text("utf-8"), where)
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: want MOTChallenge text, got bytes that are none ({error.reason})") from error
    except ValueError as error:
        raise UsageError(str(error)) from error

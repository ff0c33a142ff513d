"""Commands that ask for what there is not: each ends with exit code 2 and a line that says why."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.case import Case


def _nothing(path: Path) -> None:
    """A command needs no file of its own."""


def cases() -> list[Case]:
    """Every command of the corpus; `file` is its arguments after SOURCE."""
    said = {
        "--preset lihgt": "did you mean light",
        "--preset ../../etc/passwd": "want one of",
        "--set shots.min_z=1": "did you mean shots.min_s",
        "--set shots.min_s=nan": "want a number, got 'nan'",
        "--set shots.min_s=1e999": "want a number",
        "--set probe.max_pixels=-1": "max_pixels, max_expansion and max_hold_s above 0",
        "--set probe.budget_s=0": "probe: want budget_s above 0",
        "--set bring.budget_s=0": "bring: want budget_s above 0",
        "--set shots.memory_mb=1": "shots: want budget_s above 0 and memory_mb of 512",
        "--set __class__.x=1": "want one of the stages",
        "--set shots.__init__=1": "no field",
        "--set shots": "STAGE.FIELD=VALUE",
        "--set =": "STAGE.FIELD=VALUE",
        "--set shots.gop=0x10": "want a whole number",
        "--runner threads:0": "want threads:N",
        "--limit 0": "1 or more",
    }
    return [Case(f"the command {arguments}", arguments, _nothing, "usage", text) for arguments, text in said.items()]

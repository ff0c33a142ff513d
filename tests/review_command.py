"""`python -m flows.review` as tests give it, and what they read of the datasets that it speaks of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from datasets.corrections import FILE
from flows.review import main
from tests.tiny_runs import digests


@dataclass(frozen=True)
class Said:
    """What the command left."""

    code: int
    out: str
    err: str

    @property
    def plain(self) -> dict[str, Any]:
        return json.loads(self.out)


def reviewer(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command, its arguments given one by one."""

    def command(*arguments: object) -> Said:
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capfd.readouterr())

    return command


def verdicts(out: Path) -> dict[str, str]:
    return {row["key"]: row["verdict"] for row in pq.read_table(out / "index.parquet").to_pylist()}


def made(out: Path) -> dict[str, str]:
    """The digests of all that the build made."""
    return {name: digest for name, digest in digests(out).items() if name != FILE}

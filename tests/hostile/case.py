"""One bad input and what must become of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# accepted: samples in the dataset; rejected: a row of rejects.parquet; unseen: no source at all; usage: exit code 2;
# named: datasets.verify says what is off, and a reader of the shards raises a clear error.
Outcome = Literal["accepted", "rejected", "unseen", "usage", "named"]


@dataclass(frozen=True)
class Case:
    """`make` writes the input at a path; `text` is a regular expression that the reason must fit."""

    name: str  # what it is, in words
    file: str  # its name in the folder; for a usage error the arguments
    make: Callable[[Path], object]
    outcome: Outcome
    text: str = ""


@dataclass(frozen=True)
class Canary:
    """What no case may touch: a file beside the corpus, and an address that counts who asks."""

    file: Path
    address: str  # http://127.0.0.1:PORT

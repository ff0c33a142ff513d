"""One build at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.index import LOCK


class BusyError(RuntimeError):
    """Another run is writing this folder."""


@contextmanager
def building(out: str | Path) -> Iterator[None]:
    """Hold the folder for one build. The kernel lets go of it when the process ends, however it ends.

    Raises BusyError at once when another build holds it.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"{folder}: want one build at a time, got a second while another holds {LOCK}; "
                "wait for it, or give another --out"
            ) from None
        yield
    finally:
        os.close(handle)

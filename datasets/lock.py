"""One build at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.index import LOCK
from datasets.remote import is_address, join, place_of
from datasets.remote_lease import Lost, holding


class BusyError(RuntimeError):
    """Another run is writing this folder."""


@contextmanager
def building(out: str | Path) -> Iterator[None]:
    """Hold the folder for one build. The kernel lets go of it when the process ends, however it ends.

    Raises BusyError at once when another build holds it. At an address a lease is held, which outlives a killed process
    by a minute: then this waits that long, and raises BusyError as soon as the holder shows that it lives.
    """
    if is_address(str(out)):
        address = join(place_of(str(out)), LOCK)
        try:
            with holding(address) as other:
                if other is not None:
                    raise BusyError(
                        f"{out}: want one build at a time, got a second while {other} holds {LOCK}; "
                        "wait for it, or give another --out"
                    )
                yield
        except Lost as lost:
            raise BusyError(str(lost)) from lost
        return
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

"""Prefect's server, watched while a run is at work: a short outage is waited for, a long one ends the run and says so.

Prefect itself goes on asking for minutes at each of many calls, so that a run whose server is gone would neither end
nor say why. What a run makes does not need the server: all of it is kept, and the same command goes on from there.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import httpx

P = ParamSpec("P")
R = TypeVar("R")
EVERY_S = 3.0
ANSWER_S = 20.0  # a busy server on a busy machine is not a dead one
OUTAGE_S = 60.0
RED = 1


@contextlib.contextmanager
def watched(address: str, say: Callable[[str], None], *, revive: Callable[[], None] | None = None) -> Iterator[None]:
    """Within this, no answer from the API for OUTAGE_S ends this process with exit code 1 and a line of why.

    `revive` is called at each look without an answer, to start a server of our own again.
    """
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(address, say, revive, over), name="outage", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()


def patiently(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What a call to Prefect's API gives, asked again for OUTAGE_S while nobody answers. Raises its last error."""
    end = time.monotonic() + OUTAGE_S
    while True:
        try:
            return call(*args, **kwargs)
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
            time.sleep(EVERY_S)


def of_server(error: BaseException) -> bool:
    """Whether an error is, or comes of, Prefect's server not answering as it should."""
    one: BaseException | None = error
    for _ in range(20):
        if one is None:
            return False
        # The second is a RuntimeError by which Prefect says the same, with no cause.
        if isinstance(one, httpx.HTTPError) or str(one).startswith("Failed to reach API at"):
            return True
        one = one.__cause__ or one.__context__
    return False


def _watch(address: str, say: Callable[[str], None], revive: Callable[[], None] | None, over: threading.Event) -> None:
    last, told = time.monotonic(), False
    while not over.wait(EVERY_S):
        why = _silent(address)
        if why is None:
            if told:
                say("Prefect's server answers again")
            last, told = time.monotonic(), False
            continue
        if over.is_set():
            return
        if revive is not None:
            revive()
        if not told:
            say(f"Prefect's server does not answer at {address} ({why}): waiting up to {OUTAGE_S:.0f} s for it")
            told = True
        if time.monotonic() - last > OUTAGE_S:
            _end(address, say)


def _silent(address: str) -> str | None:
    """Why the API does not answer; None when it does."""
    try:
        httpx.get(f"{address}/health", timeout=ANSWER_S).raise_for_status()
    except httpx.HTTPError as error:
        return type(error).__name__
    return None


def _end(address: str, say: Callable[[str], None]) -> None:
    """What is complete is on the disk: nothing is lost by not unwinding, which would ask the server again."""
    logging.getLogger("prefect").setLevel(logging.CRITICAL + 1)
    say(
        f"error: Prefect's server: want it to answer at {address}, got no answer for {OUTAGE_S:.0f} s; "
        "what is complete stays: start it again, or unset PREFECT_API_URL, and the same command goes on from here"
    )
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(RED)

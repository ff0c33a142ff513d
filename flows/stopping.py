"""Ctrl-C and SIGTERM -> a stop within seconds, whatever the run is doing; what was complete stays."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

# What is left to say goodbye in: to Prefect, to the server. A batch may have minutes of work before it.
GRACE_S = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Somebody asked the run to stop. No Exception: nothing on the way up may take it for a fault of a clip."""


class Stop:
    """Whether a signal came, and which."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._came = threading.Event()

    def note(self, number: int) -> None:
        """A signal came."""
        self.signal = number
        self._came.set()

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal ended."""
        # The handler may be faster than the thread that takes note.
        self._came.wait(1)
        return 128 + (self.signal or signal.SIGINT)


@contextlib.contextmanager
def stoppable(say: Callable[[str], None]) -> Iterator[Stop]:
    """Within this, SIGINT and SIGTERM end the worker processes at once and this process in GRACE_S at the latest.

    Signals are taken from Python's wake-up socket by a thread of its own: Prefect puts its own SIGTERM handler in place
    for the length of a flow, and its process pool would first wait for all that the workers are at. Main thread only.
    """
    stop = Stop()
    ours, pythons = socket.socketpair()
    pythons.setblocking(False)
    before = {number: signal.signal(number, _raise) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(ours, stop, say), name="stop", daemon=True)
    watcher.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        pythons.close()
        watcher.join(1)
        ours.close()


def _raise(number: int, frame: FrameType | None) -> None:
    raise Stopped(signal.Signals(number).name)


def _watch(ours: socket.socket, stop: Stop, say: Callable[[str], None]) -> None:
    while received := ours.recv(64):
        for number in received:
            if number in SIGNALS and stop.signal is None:
                stop.note(number)
                logging.getLogger("prefect").setLevel(logging.CRITICAL + 1)
                timer = threading.Timer(GRACE_S, os._exit, (stop.exit_code,))
                timer.daemon = True
                timer.start()
                name = signal.Signals(number).name
                say(f"{name}: stopping. What is complete stays: the same command goes on from here")
                for worker in multiprocessing.active_children():
                    worker.kill()

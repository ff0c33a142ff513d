"""What a run tells while it runs: bars on a terminal, plain lines elsewhere, always on standard error or into a log."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from datasets.counted import counted

# A plain line for each finished batch would be thousands in a large run.
LINE_EVERY_S = 5.0


class Reporter(Protocol):
    """Where progress goes."""

    def begin(self, stage: str, batches: int) -> None:
        """A stage's batches have been handed out."""
        ...

    def advance(self, stage: str, items: int, rejects: Sequence[str]) -> None:
        """One batch of a stage is done; it let `items` through."""
        ...

    def say(self, text: str) -> None:
        """One line for people."""
        ...


class Lines:
    """Plain lines: one when a stage is done, and now and then how far the stages in work are."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._lock = threading.Lock()
        self._began = self._last = clock()
        self._of: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._items: dict[str, int] = {}

    def begin(self, stage: str, batches: int) -> None:
        """A stage's batches have been handed out; its counts start anew."""
        with self._lock:
            self._of[stage], self._done[stage], self._items[stage] = batches, 0, 0

    def advance(self, stage: str, items: int, rejects: Sequence[str]) -> None:
        """Count a batch; a line when it was the stage's last, or none came for a while. Each reject has its own."""
        with self._lock:
            self._done[stage] += 1
            self._items[stage] += items
            for reject in rejects:
                self._line(f"  {reject}")
            whole = self._done[stage] == self._of[stage]
            if whole or self._clock() - self._last >= LINE_EVERY_S:
                part = "" if whole else f" after {self._done[stage]} of {self._of[stage]} batches"
                self._line(f"{stage}: {counted(self._items[stage], 'item')}{part}")

    def say(self, text: str) -> None:
        """One line for people."""
        with self._lock:
            self._line(text)

    def _line(self, text: str) -> None:
        self._last = self._clock()
        self._write(f"[{self._last - self._began:7.1f} s] {text}")


class Bars:
    """A bar a stage, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[items]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._bars: dict[str, Any] = {}
        self._items: dict[str, int] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def begin(self, stage: str, batches: int) -> None:
        """A new bar."""
        self._items[stage] = 0
        self._bars[stage] = self._progress.add_task(stage, total=batches, items=counted(0, "item"))

    def advance(self, stage: str, items: int, rejects: Sequence[str]) -> None:
        """The bar one batch on; each reject is a line above the bars."""
        self._items[stage] += items
        self._progress.update(self._bars[stage], advance=1, items=counted(self._items[stage], "item"))
        for reject in rejects:
            self.say(reject)

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)


_CURRENT: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def current() -> Reporter:
    """The reporter in force; without one, lines go to the log, where a deployed run keeps them."""
    return _CURRENT.get() or Lines(logging.getLogger("duetflow").info)


@contextlib.contextmanager
def reporting(stream: TextIO | None = None) -> Iterator[Reporter]:
    """Report on a stream, standard error if none is given, for as long as this lasts."""
    stream = stream or sys.stderr
    with contextlib.ExitStack() as stack:
        reporter: Reporter
        if stream.isatty():
            reporter = stack.enter_context(Bars(Console(file=stream)))
        else:
            reporter = Lines(lambda text: print(text, file=stream, flush=True))
        token = _CURRENT.set(reporter)
        stack.callback(_CURRENT.reset, token)
        yield reporter

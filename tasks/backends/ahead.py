"""Iterator -> the same items, made by a thread of its own a few ahead of their reader."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Generator[T, None, None], most: int = 4) -> Generator[T, None, None]:
    """The items in order, up to `most` of them waiting. What making one raises is raised where it is read.

    Decoders and networks leave the interpreter to other threads while they work, so that the two sides overlap. Close
    the generator (contextlib.closing) when it is not read to its end: that ends the thread, and closes `items` in it.
    """
    ready: queue.Queue[tuple[T] | Exception | None] = queue.Queue(most)
    stop = threading.Event()

    def make() -> None:
        end: Exception | None = None
        try:
            with contextlib.closing(items):
                for item in items:
                    ready.put((item,))
                    if stop.is_set():
                        return
        except Exception as error:  # the reader's to raise
            end = error
        ready.put(end)

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item[0]
    finally:
        stop.set()
        while thread.is_alive():
            with contextlib.suppress(queue.Empty):
                ready.get_nowait()  # it may wait for room
            thread.join(0.001)

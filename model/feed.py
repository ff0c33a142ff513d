"""A loader -> batches without end, epoch after epoch, made ahead by a thread; says what was waited for them."""

from __future__ import annotations

import queue
import threading
import time
from types import TracebackType
from typing import Any

from datasets.members import ShardError
from model.stream import ShardLoader

# Batches that wait here, beyond those that workers hold: they bridge the start of an epoch.
_DEPTH = 4
# How soon the thread sees that nobody wants more.
_LOOK_S = 0.2


class Feed:
    """The batches of a ShardLoader, from where it stands on. Use it in a `with` block; one at a time on a loader.

    `state` is the loader's after the last batch that `take` gave, whatever the thread has made ahead of that: a loader
    with that state goes on with the batch that `take` would give next. `waited_s` adds up what `take` stood still.
    """

    def __init__(self, loader: ShardLoader) -> None:
        self.state = loader.state_dict()
        self.waited_s = 0.0
        self._loader = loader
        self._ready: queue.Queue[tuple[Any, dict[str, Any]] | BaseException] = queue.Queue(_DEPTH)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="feed", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def take(self) -> Any:
        """The next batch. Raises what reading it raised, such as ShardError."""
        started = time.perf_counter()
        item = self._ready.get()
        self.waited_s += time.perf_counter() - started
        if isinstance(item, BaseException):
            raise item
        batch, self.state = item
        return batch

    def _fill(self) -> None:
        try:
            self._epochs()
        except ShardError as error:
            self._put(ShardError(_said(error)))
        except BaseException as error:  # handed to whoever takes the next batch
            self._put(error)

    def _epochs(self) -> None:
        begun = self._loader.state_dict()
        whole = not any(begun["visited"])
        while not self._stop.is_set():
            count = 0
            for count, batch in enumerate(self._loader, start=1):  # noqa: B007
                if not self._put((batch, self._loader.state_dict())):
                    return
            if whole and not count:
                raise ShardError("the stream: want a batch an epoch or more, got an epoch of none")
            whole = True
            self._loader.set_epoch(self._loader.state_dict()["epoch"] + 1)

    def _put(self, item: tuple[Any, dict[str, Any]] | BaseException) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=_LOOK_S)
                return True
            except queue.Full:
                continue
        return False


def _said(error: ShardError) -> str:
    """What an error says, without the trace that PyTorch writes into those of its workers."""
    text = str(error)
    if "Original Traceback" not in text:
        return text
    return text.strip().splitlines()[-1].partition("ShardError: ")[2]

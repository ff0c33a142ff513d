"""Processes that end with whoever started them, also when that one was killed and could not tell them to."""

from __future__ import annotations

import os
import threading
import time

# How long an orphan may live on.
_EVERY_S = 1.0


def end_with_parent(*_: object) -> None:
    """From now on this process ends soon after its parent has; what it was doing is nobody's any more.

    Data workers watch their trainer themselves, but ones of a killed campaign were seen to stay for twenty minutes.
    Takes, and ignores, the worker's number: a DataLoader's `worker_init_fn`.
    """
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True, name="orphan-watch").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_EVERY_S)
    os._exit(1)

"""Behind the fence: `python -m tasks.fenced` waits for calls on its standard input and forks a process for each.

The waiting process loads libraries and watches; only the forked ones open files, and they end with their call. It takes
pickles from its parent, whom it trusts, and passes on JSON from its children, whom nobody does (tasks/fence.py).
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import pickle
import select
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from tasks.backends.sandbox import Limits, confine, end_with_parent
from tasks.fence import MAX_ANSWER, ROOT

_MAX_TRACE = 20_000
# The numbers of errors that mean "no memory" wherever they come from.
_NO_MEMORY = (errno.ENOMEM,)


def main() -> int:
    """Serve calls until the parent closes the pipe or ends."""
    parent = os.getppid()
    end_with_parent()
    if os.getppid() != parent:
        return 0
    # Who stops a run kills its workers, and this ends with its worker: a signal must not look like a file's fault.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # what a library prints must not look like an answer
    os.close(null)
    while (request := _receive(asked)) is not None:
        _send(answers, _serve(request))
    return 0


def _receive(file: BinaryIO) -> bytes | None:
    head = file.read(8)
    return file.read(struct.unpack("=Q", head)[0]) if len(head) == 8 else None


def _send(file: BinaryIO, answer: bytes) -> None:
    file.write(struct.pack("=Q", len(answer)) + answer)
    file.flush()


def _serve(request: bytes) -> bytes:
    try:
        function, args, named, limits, reads, writes = pickle.loads(request)
    except Exception:
        return _plain({"ended": "broken", "text": traceback.format_exc()[-_MAX_TRACE:]})
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _in_child(theirs, limits, reads, writes, lambda: function(*args, **named))
    os.close(theirs)
    try:
        data, late = _watch(child, ours, limits.budget_s)
    finally:
        os.close(ours)
    _, status = os.waitpid(child, 0)
    return _plain(_outcome(data, late, status))


def _watch(child: int, pipe: int, budget_s: float) -> tuple[bytes, bool]:
    """What the child wrote until it ended or was killed for being late or for saying too much; whether it was late."""
    data, until = b"", time.monotonic() + budget_s
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
        piece = os.read(pipe, 1 << 16) if ready else b""
        if not ready or len(data) + len(piece) > MAX_ANSWER:
            os.kill(child, signal.SIGKILL)
            return b"", not ready
        if not piece:
            # It closed its pipe; its end is to follow at once.
            if not _ends(child, max(1.0, until - time.monotonic())):
                os.kill(child, signal.SIGKILL)
                return data, True
            return data, False
        data += piece


def _ends(child: int, wait_s: float) -> bool:
    """Whether a child ends within so long; its status is left to be collected."""
    handle = os.pidfd_open(child)
    try:
        return bool(select.select([handle], [], [], wait_s)[0])
    finally:
        os.close(handle)


def _outcome(data: bytes, late: bool, status: int) -> dict[str, Any]:
    if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return {"ended": "late"}
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        why = " (short of memory, or somebody's kill)" if number == signal.SIGKILL else ""
        return {"ended": f"crashed ({signal.Signals(number).name}){why}"}
    try:
        answer = json.loads(data)
        if isinstance(answer, dict) and ({"value", "kind"} & set(answer) or answer.get("ended") == "memory"):
            return answer
    except (ValueError, RecursionError):
        pass  # said below: an answer that is none
    return {"ended": f"ended with code {os.waitstatus_to_exitcode(status)} and no answer"}


def _in_child(
    pipe: int, limits: Limits, reads: tuple[str, ...], writes: tuple[str, ...], call: Callable[[], Any]
) -> None:
    """Confine this process, make the call, say what came of it, and end. Never returns."""
    code = 1
    try:
        parent = os.getppid()
        end_with_parent()
        _close_all_but(pipe)
        answer = b""
        if os.getppid() == parent:
            answer = _plain(_called(limits, reads, writes, call))
            _write_all(pipe, answer)
            code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # No exit handlers, no destructors: they belong to the process that this is a copy of.
        os._exit(code)


def _close_all_but(pipe: int) -> None:
    """Only the answer's pipe stays open; output goes nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, 4096)


def _called(limits: Limits, reads: tuple[str, ...], writes: tuple[str, ...], call: Callable[[], Any]) -> dict[str, Any]:
    gc.freeze()  # else the first collection would copy all that is shared with the process it came from
    try:
        there = [path for path in reads if os.path.lexists(path) and os.path.exists(path)]
        confine(limits, reads=[*there, *_code()], writes=writes)
        return {"value": call()}
    except MemoryError:
        return {"ended": "memory"}
    except Exception as error:
        if getattr(error, "errno", None) in _NO_MEMORY:
            return {"ended": "memory"}
        said: dict[str, Any] = {"kind": type(error).__name__, "text": str(error)}
        if isinstance(error, OSError) and error.errno:
            said |= {"errno": error.errno, "text": error.strerror or "", "file": os.fsdecode(error.filename or "")}
        with contextlib.suppress(MemoryError):
            said["trace"] = traceback.format_exc()[-_MAX_TRACE:]
        return said


def _code() -> list[str]:
    """Where modules that are loaded late lie."""
    ours = [str(ROOT / name) for name in ("datasets", "tasks")]
    other = [path for path in (*sys.path, sys.prefix, sys.base_prefix) if path and path != str(ROOT)]
    return [path for path in (*ours, *other) if os.path.realpath(path) != "/" and os.path.exists(path)]


def _plain(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode()


def _write_all(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


if __name__ == "__main__":
    sys.exit(main())

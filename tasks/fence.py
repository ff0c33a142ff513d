"""A call -> its answer, computed where it can do no harm: a process of its own, limited, watched, without a network.

What a stranger wrote is read by C code that crashes, hangs and takes all memory when it is asked to, and may be made to
run what a file says. So readers of such files run behind this fence. Each call is a fresh process, forked from a warm
one that has the libraries loaded and never saw a file: nothing of one file is there when the next is read. What comes
back is JSON of bounded size and files that are plain files; never a pickle, which the other side could forge.

The child's half is tasks/fenced.py. What stands between both is in docs/security.md.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import logging
import os
import pickle
import select
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from datasets.perception import PerceptionError
from datasets.video import VideoError
from tasks.backends.sandbox import Limits
from tasks.batch import Refused

log = logging.getLogger("duetflow")

ROOT = Path(__file__).resolve().parent.parent
# What the process behind the fence has of this one's surroundings: no credentials, no addresses.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# What the warm process may take over a call's budget: its first imports, a machine that is busy.
_GRACE_S = 60.0
MAX_ANSWER = 16 << 20
_MAX_REASON = 2000
_MAX_FILES = 1_000_000


# Errors that are not builtin and come through as what they are.
_OURS: dict[str, type[Exception]] = {"Refused": Refused, "VideoError": VideoError, "PerceptionError": PerceptionError}


class Crashed(RuntimeError):
    """What reads a file crashed, hung past its budget or wanted more memory than it may have: the file's fault."""


class FenceError(RuntimeError):
    """The fence itself does not stand: not the file's fault."""


def limit(default: Any) -> Any:
    """A setting that says how much a file may cost: it changes no result, so no content key and no digest has it."""
    return field(default=default, metadata={"unkeyed": True})


def check_limits(stage: str, budget_s: float, memory_mb: int) -> None:
    """Raise ValueError for limits that nothing could be read within."""
    if budget_s <= 0 or memory_mb < 512:
        raise ValueError(
            f"{stage}: want budget_s above 0 and memory_mb of 512 or more, got {budget_s:g} and {memory_mb}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """One call's limits, what it may open, and how its reject is to speak of it."""

    stage: str  # whose settings hold the limits
    name: str  # of the file, without folders
    limits: Limits
    reads: tuple[str, ...]  # files and folders
    writes: tuple[str, ...] = ()  # folders

    def call(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """What `function` of a module gives, behind the fence: plain values that JSON can hold.

        Raises Refused as the function does, Crashed for a crash, a call past its budget or memory, and the function's
        own error where it is a builtin one (a RuntimeError that names it, where not).
        """
        request = pickle.dumps((function, args, named, self.limits, self.reads, self.writes))
        answer = _ask(request, self.limits.budget_s + _GRACE_S)
        if "value" in answer:
            self._check_files()
            return answer["value"]
        if answer.get("trace"):
            log.debug("%s: %s\n%s", self.stage, self.name, answer["trace"])
        raise self._error(answer)

    def _error(self, answer: dict[str, Any]) -> Exception:
        ended = answer.get("ended")
        if ended == "late":
            return Crashed(
                f"{self.name}: want its reading done within {self.limits.budget_s:.0f} s, got no end; "
                f"leave it out, or set {self.stage}.budget_s"
            )
        if ended == "memory":
            return Crashed(
                f"{self.name}: want at most {self.limits.memory_mb} MB of memory for reading it, got need of more; "
                f"leave it out, or set {self.stage}.memory_mb"
            )
        if ended:
            return Crashed(f"{self.name}: its reader {ended}; leave the file out, or write it anew with another tool")
        text, kind = _line(answer.get("text")), _line(answer.get("kind"))
        if kind in _OURS:
            return _OURS[kind](text)
        known = getattr(builtins, kind, None)
        if isinstance(known, type) and issubclass(known, OSError) and answer.get("errno"):
            return known(int(answer["errno"]), text, _line(answer.get("file")) or None)
        if isinstance(known, type) and issubclass(known, Exception) and not issubclass(known, UnicodeError):
            return known(text)
        return RuntimeError(f"{kind}: {text}")

    def _check_files(self) -> None:
        """Only plain files and folders came of it: a link could make the next stage read what it leads to."""
        count = 0
        for folder in self.writes:
            for at, folders, files in os.walk(folder):
                for name in (*folders, *files):
                    count += 1
                    mode = os.lstat(os.path.join(at, name)).st_mode
                    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or count > _MAX_FILES:
                        raise Crashed(f"{self.name}: want plain files from its reader, got {_line(name)}; leave it out")


def _line(text: Any) -> str:
    """A reason of the other side as one line of printable text of bounded length."""
    plain = "".join(c if c.isprintable() else " " for c in str(text or "")[: 2 * _MAX_REASON])
    return " ".join(plain.split())[:_MAX_REASON]


class _Warm:
    """One warm process and the pipes to it, used by one thread."""

    def __init__(self) -> None:
        given = (path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path)
        paths = dict.fromkeys([str(ROOT), *map(os.path.abspath, given)])
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment |= dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(paths), "HOME": "/nonexistent"}
        # -P: a folder that the run happens to stand in is no place for modules.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tasks.fenced"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd="/",
        )
        self.pid, self.owner = self._process.pid, os.getpid()

    @property
    def alive(self) -> bool:
        """Whether it waits for calls of this very process."""
        return self.owner == os.getpid() and self._process.poll() is None

    def ask(self, request: bytes, wait_s: float) -> dict[str, Any] | None:
        """The answer to a request; None where the process ended or gave none in time (it is ended then)."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(struct.pack("=Q", len(request)) + request)
            self._process.stdin.flush()
            data = self._read(wait_s)
        except OSError:
            data = None
        if data is None:
            self.end()
            return None
        return cast("dict[str, Any]", json.loads(data))

    def _read(self, wait_s: float) -> bytes | None:
        assert self._process.stdout is not None
        handle, until, data = self._process.stdout.fileno(), time.monotonic() + wait_s, b""
        want: int | None = None
        while want is None or len(data) < want:
            ready, _, _ = select.select([handle], [], [], max(0.0, until - time.monotonic()))
            piece = os.read(handle, 1 << 16) if ready else b""
            if not piece:
                return None
            data += piece
            if want is None and len(data) >= 8:
                want, data = struct.unpack("=Q", data[:8])[0], data[8:]
                if want > 2 * MAX_ANSWER:
                    return None
        return data

    def end(self) -> None:
        """Kill it; what it forked ends with it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


# One a thread: it ends with its thread, and calls of several threads go side by side.
_here = threading.local()


def _ask(request: bytes, wait_s: float) -> dict[str, Any]:
    # The warm process reads no file: where it ends, something outside ended it, and another may do.
    for _ in range(2):
        warm = getattr(_here, "warm", None)
        if warm is None or not warm.alive:
            warm = _here.warm = _Warm()
        answer = warm.ask(request, wait_s)
        if answer is not None:
            if answer.get("ended") == "broken":
                raise FenceError(_line(answer.get("text")))
            return answer
    raise FenceError(
        "want a process to read untrusted files in, got one that ends or is silent (see its lines above); "
        "is the machine out of memory?"
    )


def stop() -> None:
    """End this thread's warm process, if there is one."""
    warm = getattr(_here, "warm", None)
    if warm is not None and warm.alive:
        warm.end()
    _here.warm = None

"""What tests have done behind the fence: crash, hang, grow, look around. Functions of a module, as calls must be."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tasks.batch import Refused


def double(number: int) -> int:
    """A call that is well."""
    return 2 * number


def segfault() -> None:
    """Read address 0."""
    ctypes.string_at(0)


def abort() -> None:
    """As an assertion in C code ends."""
    os.abort()


def instead(name: str, given: tuple[Any, ...], *_: Any, **__: Any) -> Any:
    """Another of these calls, whatever was asked for: as a file could have its reader do."""
    return globals()[name](*given)


def hang() -> None:
    """Wait for what never comes."""
    time.sleep(3600)


def spin() -> None:
    """Work without end."""
    while True:
        pass


def grow(megabytes: int) -> int:
    """Take memory."""
    return len(bytearray(megabytes << 20))


def refuse(text: str) -> None:
    """As a stage does."""
    raise Refused(text)


def fail(kind: str, text: str) -> None:
    """Raise a builtin error."""
    raise getattr(__import__("builtins"), kind)(text)


def say(size: int) -> str:
    """A long answer."""
    return "x" * size


def forge(raw: bytes) -> None:
    """Answer for itself, and end."""
    for number in range(3, 64):
        try:
            os.write(number, raw)
        except OSError:
            continue
    os._exit(0)


def read(path: str) -> str:
    """A file's text."""
    return Path(path).read_text()


def write(path: str) -> None:
    """A file."""
    Path(path).write_text("x")


def link(path: str, to: str) -> None:
    """A link."""
    os.symlink(to, path)


def attempts(address: tuple[str, int]) -> dict[str, str]:
    """What each way out gives: an error's name, or `done`."""

    def tried(what: Any) -> str:
        try:
            what()
        except Exception as error:
            return type(error).__name__
        return "done"

    return {
        "connect": tried(lambda: socket.create_connection(address, 1)),
        "udp": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", address)),
        "unix socket": tried(lambda: socket.socket(socket.AF_UNIX)),
        "a program": tried(lambda: subprocess.run([sys.executable, "-c", ""], check=True)),
        "a signal": tried(lambda: os.kill(os.getppid(), 0)),
        "the environment": tried(lambda: os.environ["FENCE_TEST_SECRET"]),
        "another process": tried(lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes()),
    }


def process_id() -> int:
    """This process, whose parent is the warm one."""
    return os.getpid()


def leave_a_mark() -> bool:
    """Whether a call before this one left its mark in this process."""
    seen = hasattr(sys, "fence_mark")
    sys.fence_mark = True  # type: ignore[attr-defined]
    return seen


def protections() -> dict[str, bool]:
    """What the kernel has of what holds this process."""
    status = Path("/proc/self/status")
    try:
        status.read_text()
    except PermissionError:
        return {"landlock": True}
    return {"landlock": False}

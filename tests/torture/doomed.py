"""The build command in a process that ends itself by kill -9 at a chosen change of a file.

A kill by the clock seldom hits the milliseconds in which a dataset is committed. Here Python's audit hook sees every
file that the process opens for writing, renames, links or removes under store and OUT, and the process ends just before
the chosen one. The environment says which:

TORTURE_ROOTS  NAME=FOLDER, joined by colons: what is watched
TORTURE_LOG    a file that gets every change's label, a line each
TORTURE_AT     "N LABEL": end at the N-th change with this label (1 is the first)
TORTURE_GROUP  1: the whole process group ends with it
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import Counter

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.mkdir": 1, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.link": 2}


def label(change: str, path: str, roots: dict[str, str]) -> str | None:
    """A change without what differs from run to run; None outside the roots.

    >>> label("open", "/s/.tmp/0a1b2c3d4e5f60718293a4b5c6d7e8f9.77.01234567/clip.mp4", {"STORE": "/s"})
    'open STORE/.tmp/#/clip.mp4'
    """
    for name, root in roots.items():
        if path == root or path.startswith(f"{root}/"):
            below = re.sub(r"/media/[^/]+", "/media/#", path[len(root) :])
            below = re.sub(r"[0-9a-f]{8,}(\.[0-9a-f]+)*|(?<=/)[0-9a-f]{2}(?=/|$)|[0-9]{6}", "#", below)
            return f"{change} {name}{re.sub(r'[.][0-9]+[.]#', '.#', below)}"
    return None


def install() -> None:
    """Watch this process, as the environment says."""
    roots = dict(one.split("=", 1) for one in os.environ["TORTURE_ROOTS"].split(":"))
    times, _, wanted = os.environ.get("TORTURE_AT", "0 ").partition(" ")
    log = os.environ.get("TORTURE_LOG")
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else -1
    seen: Counter[str] = Counter()

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[0], str) or not int(arguments[2]) & WRITES:  # type: ignore[call-overload]
                return
            path = arguments[0]
        elif event in CHANGES:
            path = os.fspath(arguments[CHANGES[event] - 1])  # type: ignore[call-overload]
        else:
            return
        said = label(event.removeprefix("os."), path, roots)
        if said is None:
            return
        seen[said] += 1
        if handle >= 0:
            os.write(handle, f"{said}\n".encode())
        if said == wanted and seen[said] == int(times):
            if os.environ.get("TORTURE_GROUP"):
                os.killpg(0, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


if "TORTURE_ROOTS" in os.environ:
    # At import: worker processes import the main module again, and are watched too.
    install()

if __name__ == "__main__":
    from flows.build_dataset import main

    sys.exit(main(sys.argv[1:]))

"""What commands of ours share: one-line usage errors, words on standard error, standard output for results alone."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import NoReturn, TextIO

from datasets.disk import disk_error
from datasets.lock import BusyError
from datasets.remote import OUT_OF_REACH
from flows.errors import Interrupted, UsageError
from flows.stopping import Stopped, stoppable

OK, RED, USAGE = 0, 1, 2
GO_ON = "What is complete stays: the same command goes on from here"


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line and exit code 2, like all other usage errors here."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        self.exit(USAGE, f"error: {message}; {self.prog} --help lists the options\n")


def tell(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def own_stdout() -> Iterator[TextIO]:
    """Standard output for us alone: whatever libraries, or worker processes, print there goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as stdout, redirect_stdout(sys.stderr):
            yield stdout
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def carry_out(command: Callable[[TextIO], int], name: str) -> int:
    """Run a long command, which is given standard output, and make an exit code of however it ends.

    A signal stops it within seconds; whatever else goes wrong is said in one line, with a traceback in the log only
    where nobody foresaw it. `name` is what the log calls it: "the run".
    """
    with own_stdout() as stdout, stoppable(tell) as stop:
        try:
            return command(stdout)
        except (Stopped, KeyboardInterrupt):
            return stop.exit_code
        except (UsageError, BusyError) as error:
            tell(f"error: {error}")
            return USAGE
        except Interrupted as error:
            tell(f"error: {error}")
            return RED
        except Exception as error:
            if stop.signal is not None:
                return stop.exit_code
            full = disk_error(error)
            if full:
                then = "bring it within reach" if full.errno == OUT_OF_REACH else "make room"
                tell(f"error: {full}. What is complete stays: {then}, and the same command goes on from here")
                return RED
            if _of_server(error):
                tell(f"error: Prefect's server: want it to answer, got {type(error).__name__}: {error}. {GO_ON}")
                return RED
            logging.getLogger("duetflow").exception("%s failed", name)
            tell(f"error: {type(error).__name__}: {error}. {GO_ON}")
            return RED


def _of_server(error: Exception) -> bool:
    from flows.outage import of_server  # only here: a command may do without Prefect, and its client takes long

    return of_server(error)

"""What commands of ours share: one-line usage errors, words on standard error, standard output for results alone."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import NoReturn, TextIO

OK, RED, USAGE = 0, 1, 2


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

"""What the commands of this package share: usage errors of one line, words on standard error."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

OK, FAILED, USAGE = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        self.exit(USAGE, f"error: {message}; {self.prog} --help lists the options\n")


def tell(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


def line_of(error: BaseException) -> str:
    """An error as one line."""
    return " ".join(str(error).split())

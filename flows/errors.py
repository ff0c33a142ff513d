"""What can go wrong with a command before it runs: exit code 2, and a line that says what, wanted, got and what to do."""

from __future__ import annotations


class UsageError(ValueError):
    """The command asks for something that cannot be done; nothing was started."""


class Interrupted(RuntimeError):
    """The run ended before its work was done: a worker was killed, or somebody asked it to stop. Finished work is kept."""

"""What ends a command: one that cannot be run (exit code 2), and one that was cut short."""

from __future__ import annotations


class UsageError(ValueError):
    """The command asks for what cannot be done; nothing was started. Says what, wanted, got and what to do."""


class Interrupted(RuntimeError):
    """The run ended before its work was done, because a worker was lost. Finished work is kept."""

"""Numbers -> words for people: 1 clip, 2 clips."""

from __future__ import annotations

_MANY = {"person": "people", "box": "boxes", "switch": "switches"}


def counted(count: int, one: str) -> str:
    """A count with its noun, which is given for one.

    >>> counted(1, "person"), counted(0, "person"), counted(3, "clip")
    ('1 person', '0 people', '3 clips')
    """
    return f"{count} {one if count == 1 else many(one)}"


def many(one: str) -> str:
    """The plural of a noun.

    >>> many("box"), many("track")
    ('boxes', 'tracks')
    """
    return _MANY.get(one, f"{one}s")

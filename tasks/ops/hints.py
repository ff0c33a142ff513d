"""A person's word on what and who is in a clip -> checked, and laid over what the models say."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from datasets.records import Kind

KINDS = typing.get_args(Kind)
Hints = Mapping[str, Mapping[str, Kind]]


def check_hints(value: Any) -> dict[str, dict[str, Kind]]:
    """Hints as {source or clip key: {person: kind}}: a person is a number from 1 on, as the report counts, a name,
    or "*".

    Raises ValueError that says which entry is off.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"hints: want a mapping of source or clip key to people, got {type(value).__name__}")
    out: dict[str, dict[str, Kind]] = {}
    for where, people in value.items():
        if not isinstance(people, Mapping):
            raise ValueError(f"hints: {where}: want a mapping of person to kind, got {people!r}")
        out[str(where)] = {}
        for person, kind in people.items():
            name = str(person)
            if kind not in KINDS:
                raise ValueError(f"hints: {where}: {name}: want one of {', '.join(KINDS)}, got {kind!r}")
            if not (name == "*" or name.startswith("p") or (name.isdigit() and int(name) >= 1)):
                raise ValueError(
                    f"hints: {where}: want a person's number from 1, a name such as p0001 or *, got {name!r}"
                )
            out[str(where)][name] = kind
    return out


def hinted_kind(hints: Hints, *, source: str, key: str, person: int, identity: str) -> Kind | None:
    """What a person says someone is: the clip's hint before the source's, a number before a name before "*".

    >>> hinted_kind({"a.mp4": {"*": "robot"}}, source="a.mp4", key="a-1", person=0, identity="p0001")
    'robot'
    """
    for where in (key, source):
        people = hints.get(where, {})
        for name in (str(person + 1), identity, "*"):
            if name in people:
                return people[name]
    return None

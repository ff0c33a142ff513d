"""Dataclasses <-> what JSON can hold: configurations, sidecars, index rows, corrections."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np


def to_plain(value: Any) -> Any:
    """A value of dataclasses, tuples, mappings, Fractions and scalars as what JSON can hold.

    A field with `unkeyed` in its metadata is left out: it changes no result, so no content key or digest may have it.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in _told(value)}
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    return value


def from_plain(hint: Any, value: Any) -> Any:
    """The inverse of to_plain for a type hint. Raises ValueError or TypeError where the value does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return from_plain(next(a for a in arguments if a is not type(None)), value)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"want one of {', '.join(map(str, arguments))}, got {value!r}")
        return value
    if hint is Fraction:
        return Fraction(value)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{f.name: from_plain(hints[f.name], value[f.name]) for f in _told(hint)})  # type: ignore[operator]
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(from_plain(arguments[0], item) for item in value)
        return tuple(from_plain(a, item) for a, item in zip(arguments, value, strict=True))
    if origin in (dict, Mapping):
        return {key: from_plain(arguments[1], item) for key, item in value.items()}
    if hint in (int, float, str, bool):
        return hint(value)
    return value


def _told(record: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(record) if not field.metadata.get("unkeyed")]

"""Text -> configuration: `--set STAGE.FIELD=VALUE`, read by the type of the field that it names."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Literal, TypeVar

from datasets.plain import to_plain
from flows.errors import UsageError

C = TypeVar("C")

NONE = ("none", "null")
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
PLAIN = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Fraction: "a fraction such as 30000/1001",
}


def override(config: C, settings: Iterable[str]) -> C:
    """The configuration with `STAGE.FIELD=VALUE` texts applied in order; later ones win.

    Raises UsageError that names the nearest field, its type and its choices.
    """
    for setting in settings:
        config = _set(config, setting)
    return config


def digest(config: Any) -> str:
    """sha256 over every field of a configuration."""
    return hashlib.sha256(json.dumps(to_plain(config), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def stages(config: Any) -> tuple[str, ...]:
    """The names of a configuration's stages, in running order."""
    return tuple(f.name for f in dataclasses.fields(config) if dataclasses.is_dataclass(getattr(config, f.name)))


def known(config: Any) -> Iterator[tuple[str, str, Any]]:
    """Every setting as (STAGE.FIELD, what it takes, its value)."""
    for stage in stages(config):
        part = getattr(config, stage)
        hints = typing.get_type_hints(type(part))
        for field in dataclasses.fields(part):
            yield f"{stage}.{field.name}", takes(hints[field.name]), getattr(part, field.name)


def takes(hint: Any) -> str:
    """What a field of this type takes, in words.

    >>> takes(Literal["pairs", "each"]), takes(float | None), takes(tuple[int, ...])
    ('one of pairs, each', 'a number or none', 'comma-separated: a whole number')
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"one of {', '.join('none' if a is None else str(a) for a in arguments)}"
    if origin in (typing.Union, types.UnionType):
        some = [takes(a) for a in arguments if a is not type(None)]
        return " or ".join([*some, "none"] if len(some) < len(arguments) else some)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return f"comma-separated: {takes(arguments[0])}"
    if origin is tuple:
        return f"{len(arguments)} values, comma-separated: {', '.join(takes(a) for a in arguments)}"
    return PLAIN.get(hint, getattr(hint, "__name__", str(hint)))


def parse(hint: Any, text: str) -> Any:
    """A value of a field's type from text. Raises ValueError when the text is none.

    >>> parse(tuple[float, float], "0.5, 2"), parse(int | None, "none"), parse(bool, "off")
    ((0.5, 2.0), None, False)
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {("none" if a is None else str(a)): a for a in arguments}[text] if text else _fail()
    if origin in (typing.Union, types.UnionType):
        return _parse_union(arguments, text)
    if origin is tuple:
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(parse(arguments[0], part) for part in parts)
        return tuple(parse(a, part) for a, part in zip(arguments, parts, strict=True))
    if hint is bool:
        return text.lower() in TRUE if text.lower() in TRUE + FALSE else _fail()
    if hint is float:
        return float(text) if math.isfinite(float(text)) else _fail()
    if hint in (int, Fraction):
        return hint(text)
    if hint is str:
        return text
    raise TypeError(f"no text can say a {hint}")


def _parse_union(arguments: tuple[Any, ...], text: str) -> Any:
    if type(None) in arguments and text.lower() in NONE:
        return None
    # Text takes everything, so it is asked last.
    for argument in sorted((a for a in arguments if a is not type(None)), key=lambda a: a is str):
        try:
            return parse(argument, text)
        except (ValueError, KeyError):
            continue
    return _fail()


def _fail() -> Any:
    raise ValueError


def _set(config: C, setting: str) -> C:
    path, equals, text = setting.partition("=")
    stage, dot, name = path.strip().partition(".")
    if not equals or not dot or not stage or not name:
        raise UsageError(f"--set {setting}: want STAGE.FIELD=VALUE, such as {_example(config)}, got {setting!r}")
    if stage not in stages(config):
        raise UsageError(
            f"--set {setting}: want one of the stages {', '.join(stages(config))}, got {stage!r}{_near(config, path)}"
        )
    part = getattr(config, stage)
    hints = typing.get_type_hints(type(part))
    fields = {field.name: hints[field.name] for field in dataclasses.fields(part)}
    if name not in fields:
        listed = "; ".join(f"{field} ({takes(hint)})" for field, hint in fields.items()) or "none"
        raise UsageError(f"--set {setting}: {stage} has no field {name!r}{_near(config, path)}; its fields: {listed}")
    try:
        value = parse(fields[name], text.strip())
    except (ValueError, KeyError, ZeroDivisionError):
        raise UsageError(f"--set {setting}: want {takes(fields[name])}, got {text.strip()!r}") from None
    try:
        part = dataclasses.replace(part, **{name: value})
    except ValueError as error:
        raise UsageError(f"--set {setting}: {error}") from error
    return dataclasses.replace(config, **{stage: part})  # type: ignore[type-var]


def _near(config: Any, path: str) -> str:
    all_known = {name: what for name, what, _ in known(config)}
    close = difflib.get_close_matches(path, all_known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]} ({all_known[close[0]]})" if close else ""


def _example(config: Any) -> str:
    name, _, value = next(known(config))
    return f"{name}={to_plain(value)}"

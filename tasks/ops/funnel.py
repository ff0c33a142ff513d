"""Counts and rejects -> the funnel: how many came in, how many left at each step, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datasets.counted import many

# How `detect`, `bind` and `judge` begin their reason for a clip without anybody: the funnel counts those apart.
EMPTY = "no people found"
_NOBODY = (EMPTY, "nobody stays")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_ONE = re.compile(r"(?<=… )(?:person|track|box|frame|piece)\b")  # what reasons count


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A reason, without its figures where they differ, and how often it was given at one step."""

    reason: str
    count: int
    example: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the funnel: what is left after it, and why the others are not."""

    name: str
    count: int
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Left:
    """Something that left: the stage that turned it away, its reason, and whether it was a source or a clip."""

    stage: str
    reason: str
    whole_source: bool


def funnel(*, sources: int, accepted: int, review: int, left: Sequence[Left]) -> tuple[Step, ...]:
    """Sources found, sources with clips, clips, those with people, fit ones, accepted ones, and the losses between."""
    unread = [one for one in left if one.whole_source]
    clips = [one for one in left if not one.whole_source]
    empty = [one for one in clips if one.reason.startswith(_NOBODY)]
    unfit = [one for one in clips if not one.reason.startswith(_NOBODY)]
    fit = accepted + review
    return (
        Step(name="sources found", count=sources),
        Step(name="sources with clips", count=sources - len(unread), losses=_losses(unread)),
        Step(name="clips", count=fit + len(clips)),
        Step(name="with people", count=fit + len(unfit), losses=_losses(empty)),
        Step(name="fit to use", count=fit, losses=_losses(unfit)),
        Step(
            name="accepted",
            count=accepted,
            losses=(Loss(reason="for a person to look at", count=review, example=""),) if review else (),
        ),
    )


def _losses(left: Iterable[Left]) -> tuple[Loss, ...]:
    """Equal reasons together, most frequent first; a clip counts once, by the first of its reasons."""
    groups: dict[str, list[Left]] = {}
    for one in left:
        groups.setdefault(f"{one.stage}: {pattern(_first(one))}", []).append(one)
    losses = []
    for general, members in groups.items():
        exact = {f"{one.stage}: {_first(one)}" for one in members}
        # Figures that all of them share are worth telling.
        reason = exact.pop() if len(exact) == 1 else general
        losses.append(Loss(reason=reason, count=len(members), example=members[0].reason))
    return tuple(sorted(losses, key=lambda loss: (-loss.count, loss.reason)))


def _first(one: Left) -> str:
    """The judge gives every reason that decided; the other stages stop at one, which may itself hold a semicolon."""
    return one.reason.split("; ")[0] if one.stage == "judge" else one.reason


def pattern(reason: str) -> str:
    """A reason without its figures, and with what they count in the plural, so that equal ones can be counted.

    >>> pattern("12 people found, at most 8 wanted")
    '… people found, at most … wanted'
    >>> pattern("1 person found, at least 2 wanted")
    '… people found, at least … wanted'
    """
    return _ONE.sub(lambda noun: many(noun[0]), _NUMBER.sub("…", reason))

"""Figures of the suite crossings -> what was promised, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.score import ORACLE, OURS

Trackers = Mapping[str, Mapping[str, float | None]]
ALIKE = "same_clothes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One promise. `met` is None where there is nothing to say."""

    what: str
    wanted: str
    got: str
    met: bool | None


def targets(found: Mapping[str, Any], cut: Mapping[str, float | None]) -> list[Target]:
    """All promises of the suite; `cut` are the mask figures of single-frame GrabCut.

    The best BoxMOT tracker is, figure by figure, the one that is best in it.
    """
    trackers, scenarios = found["trackers"], found["scenarios"]
    out = [
        _errors("identity errors (1 - IDF1) over the best BoxMOT tracker's", trackers, 1 / 3),
        _errors(f"the same, {ALIKE}", scenarios.get(ALIKE, {}), 1 / 2),
        _no_worse(scenarios),
        _switches(trackers),
        _gap(trackers),
        _least("masks, mean J apart", found["masks"]["J_apart"], 0.85),
        _least("masks, mean J in contact", found["masks"]["J_contact"], 0.70),
        _least("masks, J in contact over single-frame GrabCut's", _over(found["masks"], cut), 0.10),
        _least("review: clips with a wrong id that are in review", found["review"]["recall"], 0.95),
    ]
    clean = found["review"]["clean_flagged"]
    met = None if clean is None else clean <= 0.10
    return [
        *out,
        Target(what="review: clean clips whose ids are doubted", wanted="<= 0.10", got=figure(clean), met=met),
    ]


def best(trackers: Trackers, name: str, *, least: bool = False) -> float | None:
    """The best of BoxMOT's trackers in one figure."""
    values = [v for tracker, row in trackers.items() if tracker not in (OURS, ORACLE) and (v := row[name]) is not None]
    return (min(values) if least else max(values)) if values else None


def figure(value: float | None) -> str:
    """A figure in a cell."""
    return "-" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _errors(what: str, trackers: Trackers, most: float) -> Target:
    other, wanted = best(trackers, "IDF1"), f"<= {most:.3f}"
    if other is None or OURS not in trackers:
        return Target(what=what, wanted=wanted, got="-", met=None)
    mine, theirs = 1 - (trackers[OURS]["IDF1"] or 0), 1 - other
    return Target(what=what, wanted=wanted, got=_ratio(mine, theirs), met=mine <= most * theirs)


def _no_worse(scenarios: Mapping[str, Trackers]) -> Target:
    worse = []
    for name, trackers in scenarios.items():
        other = best(trackers, "IDF1")
        if other is not None and (trackers[OURS]["IDF1"] or 0) < other:
            worse.append(name)
    what = "scenarios in which ours has more identity errors"
    return Target(what=what, wanted="none", got=", ".join(worse) or "none", met=not worse)


def _switches(trackers: Trackers) -> Target:
    what, other = "id switches a minute over the best BoxMOT tracker's", best(trackers, "IDSW_per_minute", least=True)
    if other is None or OURS not in trackers:
        return Target(what=what, wanted="<= 0.100", got="-", met=None)
    mine = trackers[OURS]["IDSW_per_minute"] or 0.0
    return Target(what=what, wanted="<= 0.100", got=_ratio(mine, other), met=mine <= 0.1 * other)


def _gap(trackers: Trackers) -> Target:
    what, wanted = "HOTA: share of the gap from the best BoxMOT tracker to oracle that ours closes", ">= 0.667"
    other, ceiling = best(trackers, "HOTA"), trackers.get(ORACLE, {}).get("HOTA")
    if other is None or ceiling is None or OURS not in trackers:
        return Target(what=what, wanted=wanted, got="-", met=None)
    mine = trackers[OURS]["HOTA"] or 0.0
    if ceiling <= other:
        return Target(what=what, wanted=wanted, got=f"no gap; ours {mine - other:+.3f}", met=mine >= other)
    return Target(
        what=what,
        wanted=wanted,
        got=f"{(mine - other) / (ceiling - other):.3f}",
        met=3 * (mine - other) >= 2 * (ceiling - other),
    )


def _least(what: str, value: float | None, least: float) -> Target:
    return Target(what=what, wanted=f">= {least:.2f}", got=figure(value), met=None if value is None else value >= least)


def _over(masks: Mapping[str, float | None], cut: Mapping[str, float | None]) -> float | None:
    mine, theirs = masks["J_contact"], cut["J_contact"]
    return None if mine is None or theirs is None else mine - theirs


def _ratio(mine: float, theirs: float) -> str:
    text = f"{mine:.3f} / {theirs:.3f}"
    return f"{mine / theirs:.3f} ({text})" if theirs else text

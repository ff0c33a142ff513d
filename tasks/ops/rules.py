"""Measures -> reasons: what is turned away, what a person should look at, each with its figure and the limit."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from datasets.counted import counted
from datasets.records import Kind, Verdict
from tasks.ops.funnel import EMPTY
from tasks.ops.scores import Measures

_SOMEBODY_ELSE = re.compile(r"person (\d+) may be somebody else at (\d+\.\d+) s")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where the rules draw the line. Shares are 0..1; a person is one of the P that were followed."""

    min_people: int = 2  # fewer people that can be used: rejected, but see `lone`
    max_people: int = 8  # more people in the shot: rejected
    min_humans: int = 0  # fewer of this kind: review
    min_robots: int = 0
    min_height: float = 0.12  # of the frame's height, a person's median
    min_coverage: float = 0.25  # of the frames, a person is seen
    min_body: float = 0.3  # of shoulders to ankles, found by the pose in the median frame
    lone_coverage: float = 0.8  # of the frames ...
    lone_body: float = (
        0.6  # ... and of the body: someone seen so well is worth a look, the partner may have been missed
    )
    min_together: float = 0.2  # of the frames with two people or more: rejected below
    fair_together: float = 0.5  # review below
    max_freeze: float = 0.6  # of the frames equal to the one before: rejected above
    fair_freeze: float = 0.2  # review above
    max_unsure: float = 0.05  # of the frames in which who is who is unsure: review above
    min_confidence: float = 0.7  # identity, mean over the worst half second: review below
    min_pose_inside: float = 0.7  # of sure joints inside their own mask: review below
    max_pose_foreign: float = 0.15  # of sure joints in somebody else's mask: review above
    max_jitter: float = 0.06  # body heights a frame squared: review above
    min_sharpness: float = 0.02  # edge energy over contrast: review below


class Finding(NamedTuple):
    """What one rule has to say of a clip."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a rule may look at."""

    measures: Measures
    kind: Sequence[Kind]
    unsure: Sequence[tuple[int, int]]  # spans of frames in which who is who is unsure
    strangers: Sequence[tuple[int, int]]  # spans in which somebody is found who is none of the people
    limits: Limits

    def second(self, frame: int) -> str:
        """A frame as people read it; the report turns it into a place to jump to."""
        return f"at {float(frame / self.measures.fps):.2f} s"


def judge(subject: Subject) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict, and the reasons for it; none for an accepted clip. The worst finding decides."""
    if not subject.measures.num_people:
        return "rejected", (f"{EMPTY} in {counted(subject.measures.frames, 'frame')}",)
    findings = [finding for rule in RULES if (finding := rule(subject)) is not None]
    verdict: Verdict = "accepted"
    if findings:
        verdict = "rejected" if any(finding.verdict == "rejected" for finding in findings) else "review"
    # What else might be doubtful in a rejected clip is of no use to anybody.
    return verdict, tuple(finding.reason for finding in findings if finding.verdict == verdict)


def _too_many(s: Subject) -> Finding | None:
    found, most = s.measures.num_people, s.limits.max_people
    return Finding("rejected", f"{counted(found, 'person')} found, at most {most} wanted") if found > most else None


def _too_small(s: Subject) -> Finding | None:
    limit = s.limits.min_height
    return _of_people(
        s,
        s.measures.height >= limit,
        lambda few: (
            f"{few} smaller than {_share(limit)} of the frame height: "
            f"median {_worst(s.measures.height)} < {_figure(limit)}"
        ),
    )


def _too_short(s: Subject) -> Finding | None:
    limit = s.limits.min_coverage
    return _of_people(
        s,
        s.measures.coverage >= limit,
        lambda few: (
            f"{few} seen in less than {_share(limit)} of the frames: "
            f"least {_worst(s.measures.coverage)} < {_figure(limit)}"
        ),
    )


def _no_body(s: Subject) -> Finding | None:
    limit = s.limits.min_body
    return _of_people(
        s,
        s.measures.body >= limit,
        lambda few: (
            f"{few} with too little body for a pose: {_worst(s.measures.body)} of shoulders to ankles found"
            f" < {_figure(limit)}"
        ),
    )


def _too_few(s: Subject) -> Finding | None:
    """Too few people, or too few that pass every rule on people where each rule alone leaves enough."""
    found, least = s.measures.num_people, s.limits.min_people
    if found < least:
        return Finding(_when_short(s), f"{counted(found, 'person')} found, at least {least} wanted")
    tests = _tests(s)
    good = int(np.all(tests, axis=0).sum())
    if good >= least or min(int(test.sum()) for test in tests) < least:
        return None
    text = f"{good} of {counted(found, 'person')} large, whole and long enough in view, at least {least} wanted"
    return Finding(_when_short(s), text)


def _apart(s: Subject) -> Finding | None:
    if s.limits.min_people < 2 or s.measures.num_people < 2 or s.measures.together >= s.limits.fair_together:
        return None
    short = s.measures.together < s.limits.min_together
    limit = s.limits.min_together if short else s.limits.fair_together
    text = f"two people or more in only {_figure(s.measures.together)} of the frames < {_figure(limit)}"
    return Finding(_when_short(s) if short else "review", text)


def _frozen(s: Subject) -> Finding | None:
    if s.measures.freeze <= s.limits.fair_freeze:
        return None
    rejected = s.measures.freeze > s.limits.max_freeze
    limit = s.limits.max_freeze if rejected else s.limits.fair_freeze
    text = (
        f"the picture stands still: {_figure(s.measures.freeze)} of the frames repeat the one before > {_figure(limit)}"
    )
    return Finding("rejected" if rejected else "review", text)


def _unsure(s: Subject) -> Finding | None:
    return _in_frames(s, s.unsure, s.strangers, "who is who is unsure")


def _strangers(s: Subject) -> Finding | None:
    return _in_frames(s, s.strangers, s.unsure, "somebody who is none of the people is found")


def _doubted(s: Subject) -> Finding | None:
    low = int(np.argmin(s.measures.confidence))
    value, limit = s.measures.confidence[low], s.limits.min_confidence
    if value >= limit:
        return None
    where = s.second(int(s.measures.confidence_frame[low]))
    return Finding(
        "review",
        f"person {low + 1} may be somebody else {where}: identity confidence {_figure(value)} < {_figure(limit)}",
    )


def somebody_else(reason: str) -> tuple[int, float] | None:
    """Who (from 0) may be somebody else, and at which second, by a reason of the rule on confidence; None by others.

    >>> somebody_else("person 3 may be somebody else at 1.20 s: identity confidence 0.41 < 0.65")
    (2, 1.2)
    """
    found = _SOMEBODY_ELSE.match(reason)
    return (int(found[1]) - 1, float(found[2])) if found else None


def _disagree(s: Subject) -> Finding | None:
    limit, share = s.limits.min_pose_inside, s.measures.pose_inside
    who = int(np.argmin(share))
    if share[who] >= limit:
        return None
    text = f"pose and mask of person {who + 1} disagree: {_figure(share[who])} of the joints inside < {_figure(limit)}"
    return Finding("review", text)


def _crossed(s: Subject) -> Finding | None:
    limit, share = s.limits.max_pose_foreign, s.measures.pose_foreign
    who = int(np.argmax(share))
    if share[who] <= limit:
        return None
    text = f"the pose of person {who + 1} lies on somebody else: {_figure(share[who])} of the joints > {_figure(limit)}"
    return Finding("review", text)


def _jittery(s: Subject) -> Finding | None:
    limit, who = s.limits.max_jitter, int(np.argmax(s.measures.jitter))
    if s.measures.jitter[who] <= limit:
        return None
    value = f"{s.measures.jitter[who]:.3f} body heights a frame squared > {limit:.3f}"
    return Finding("review", f"the pose of person {who + 1} trembles: {value}")


def _blurred(s: Subject) -> Finding | None:
    limit, who = s.limits.min_sharpness, int(np.argmin(s.measures.sharpness))
    if s.measures.sharpness[who] >= limit:
        return None
    return Finding("review", f"person {who + 1} is blurred: sharpness {s.measures.sharpness[who]:.3f} < {limit:.3f}")


def _wrong_kinds(s: Subject) -> Finding | None:
    for kind, least in (("human", s.limits.min_humans), ("robot", s.limits.min_robots)):
        found = sum(one == kind for one in s.kind)
        if found < least:
            of = counted(len(s.kind), "person")
            return Finding("review", f"{found} of {of} taken for a {kind}, at least {least} wanted")
    return None


# In the order in which reasons are told.
RULES: tuple[Callable[[Subject], Finding | None], ...] = (
    _too_many, _too_small, _too_short, _no_body, _too_few, _apart, _frozen, _unsure, _strangers, _doubted, _disagree,
    _crossed, _jittery, _blurred, _wrong_kinds,
)  # fmt: skip

# Those whose finding says that somebody may go by another's name.
IDENTITY_RULES = (_unsure, _strangers, _doubted)


def _in_frames(
    s: Subject, spans: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]], text: str
) -> Finding | None:
    """One of two doubts that share a limit: told when it goes past the limit alone, or only the two together do."""
    unsure, limit = s.measures.unsure, s.limits.max_unsure
    both = float(unsure.mean()) if len(unsure) else 0.0
    share, other = (sum(stop - start for start, stop in some) / max(1, len(unsure)) for some in (spans, others))
    if both <= limit or not spans or share <= limit < other:
        return None
    together = "" if share > limit else f", {_figure(both)} together with the other doubt"
    places = ", ".join(s.second(start) for start, _ in spans[:4]) + (" ..." if len(spans) > 4 else "")
    return Finding("review", f"{text} in {_figure(share)} of the frames{together} > {_figure(limit)}: {places}")


def _tests(s: Subject) -> tuple[np.ndarray, ...]:
    m, limits = s.measures, s.limits
    return m.height >= limits.min_height, m.coverage >= limits.min_coverage, m.body >= limits.min_body


def _of_people(s: Subject, holds: np.ndarray, text: Callable[[str], str]) -> Finding | None:
    """A rule on each person: when too few are left that hold it, the clip is short of people; else only doubtful."""
    failing = int((~holds).sum())
    if not failing:
        return None
    verdict: Verdict = _when_short(s) if int(holds.sum()) < s.limits.min_people else "review"
    return Finding(verdict, text(f"{failing} of {counted(len(holds), 'person')}"))


def _when_short(s: Subject) -> Verdict:
    """With too few people: rejected, unless somebody is seen so well that a partner may have been missed."""
    m, limits = s.measures, s.limits
    well = (m.height >= limits.min_height) & (m.coverage >= limits.lone_coverage) & (m.body >= limits.lone_body)
    return "review" if well.any() else "rejected"


def _worst(values: np.ndarray) -> str:
    return _figure(float(values.min()))


def _figure(value: float) -> str:
    return f"{value:.2f}"


def _share(value: float) -> str:
    return f"{value:.0%}".replace("%", " %")

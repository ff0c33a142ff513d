"""Scores and rules over drawn people: every verdict has its reason, figure and limit."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import Event, People
from tasks.ops.picture_scores import look
from tasks.ops.rules import IDENTITY_RULES, Limits, Subject
from tasks.ops.rules import judge as verdict_of
from tasks.ops.scores import ABOUT, Measures, measure, stranger_spans, unsure_spans
from tests.draw_people import FPS, Figure, draw_clip

DUET = (Figure(start=(0.2, 0.9), stop=(0.4, 0.9)), Figure(start=(0.8, 0.9), stop=(0.6, 0.9), shirt=(60, 90, 200)))
CROSSING = (Figure(start=(0.2, 0.9), stop=(0.8, 0.9)), Figure(start=(0.8, 0.95), stop=(0.2, 0.95), shirt=(60, 90, 200)))


@functools.cache
def drawing(figures: tuple[Figure, ...], **drawn: Any) -> tuple[People, list[np.ndarray]]:
    """A drawn clip, once for all tests that look at it."""
    return draw_clip(figures, **drawn)


def judged(figures: Sequence[Figure], **options: Any) -> tuple[str, tuple[str, ...], Measures]:
    """The verdict, its reasons, and what was measured; options as of `subject_of`."""
    subject = subject_of(figures, **options)
    return *verdict_of(subject), subject.measures


def subject_of(
    figures: Sequence[Figure],
    *,
    change: Callable[[People], People] = lambda people: people,
    pictures: Callable[[list[np.ndarray]], list[np.ndarray]] = lambda frames: frames,
    limits: Limits | None = None,
    kinds: Sequence[str] | None = None,
    **drawn: Any,
) -> Subject:
    people, frames = drawing(tuple(figures), **drawn)
    people = change(people)
    looks = look(pictures(frames), people)
    return Subject(
        measures=measure(people, FPS, looks.sharpness, looks.still),
        kind=kinds or ["human"] * people.num_people,  # type: ignore[arg-type]
        unsure=unsure_spans(people),
        strangers=stranger_spans(people),
        limits=limits or Limits(),
    )


def with_confidence(person: int, start: int, stop: int, value: float) -> Callable[[People], People]:
    def change(people: People) -> People:
        confidence = people.confidence.copy()
        confidence[person, start:stop] = value
        return dataclasses.replace(people, confidence=confidence)

    return change


def doubts(*spans: tuple[int, int, tuple[int, ...]]) -> tuple[Event, ...]:
    return tuple(Event(kind="doubt", start=start, stop=stop, people=who, note="") for start, stop, who in spans)


def moved_pose(person: int, by: tuple[float, float]) -> Callable[[People], People]:
    def change(people: People) -> People:
        keypoint = people.keypoint.copy()
        keypoint[person] += by
        return dataclasses.replace(people, keypoint=keypoint, flag=np.full_like(people.flag, 2))

    return change


def trembling(people: People) -> People:
    noise = np.random.default_rng(0).normal(0, 6, people.keypoint.shape)
    return dataclasses.replace(people, keypoint=(people.keypoint + noise).astype(np.float32))


def heads_only(people: People) -> People:
    score = people.score.copy()
    score[:, :, 7:] = 0
    return dataclasses.replace(people, score=score)


def nobody(people: People) -> People:
    return dataclasses.replace(
        people,
        **{name: getattr(people, name)[:0] for name in ("box", "keypoint", "score", "flag")},
        **{name: getattr(people, name)[:0] for name in ("present", "visible", "confidence")},
        mask=Masks.from_counts([], size=people.mask.size),
    )


def stopped(frames: list[np.ndarray]) -> list[np.ndarray]:
    return frames[:10] + [frames[10]] * (len(frames) - 10)


def blurred(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [cv2.GaussianBlur(frame, (0, 0), 9) for frame in frames]


def crowd(count: int, height: float) -> tuple[Figure, ...]:
    places = [((i + 0.5) / count, 0.5 + 0.4 * (i % 3) / 2) for i in range(count)]
    return tuple(Figure(start=at, stop=at, height=height) for at in places)


@pytest.mark.parametrize(
    ("figures", "options", "verdict", "says"),
    [
        pytest.param(DUET, {}, "accepted", [], id="two who dance"),
        pytest.param(CROSSING, {}, "accepted", [], id="two who cross"),
        pytest.param(DUET, {"change": nobody}, "rejected", ["no people found in 50 frames"], id="an empty stage"),
        pytest.param(
            (dataclasses.replace(DUET[0], seen=(0, 35)),),
            {},
            "rejected",
            ["1 person found, at least 2 wanted"],
            id="one alone, for a while",
        ),
        pytest.param(
            DUET[:1],
            {"change": heads_only},
            "rejected",
            ["1 person found", "1 of 1 person with too little"],
            id="a face",
        ),
        pytest.param(
            DUET[:1], {}, "review", ["1 person found, at least 2 wanted"], id="one alone, whole: was somebody missed?"
        ),
        pytest.param(DUET[:1], {"limits": Limits(min_people=1)}, "accepted", [], id="one alone, allowed"),
        pytest.param(
            crowd(10, 0.5), {}, "rejected", ["10 people found, at most 8 wanted"], id="a crowd of large people"
        ),
        pytest.param(
            crowd(12, 0.08),
            {},
            "rejected",
            ["12 people found, at most 8", "12 of 12 people smaller than 12 % of the frame height: median 0.0"],
            id="tiny pedestrians",
        ),
        pytest.param(
            (*DUET, Figure(start=(0.5, 0.5), stop=(0.5, 0.5), height=0.09)),
            {},
            "review",
            ["1 of 3 people smaller than 12 % of the frame height: median 0.10 < 0.12"],
            id="a duet and somebody far away",
        ),
        pytest.param(
            (dataclasses.replace(DUET[0], seen=(0, 35)), dataclasses.replace(DUET[1], seen=(0, 8))),
            {},
            "rejected",
            ["1 of 2 people seen in less than 25 % of the frames: least 0.16 < 0.25"],
            id="one of two leaves at once, the other later",
        ),
        pytest.param(
            (DUET[0], dataclasses.replace(DUET[1], seen=(0, 8))),
            {},
            "review",
            [
                "1 of 2 people seen in less than 25 % of the frames: least 0.16 < 0.25",
                "two people or more in only 0.16",
            ],
            id="one of two leaves at once, the other stays",
        ),
        pytest.param(
            (*DUET, Figure(start=(0.5, 0.9), stop=(0.5, 0.9), seen=(0, 8))),
            {},
            "review",
            ["1 of 3 people seen in less than 25 % of the frames: least 0.16 < 0.25"],
            id="a passer-by",
        ),
        pytest.param(
            (
                dataclasses.replace(DUET[0], seen=(0, 35)),
                Figure(start=(0.5, 0.9), stop=(0.5, 0.9), seen=(0, 8)),
                Figure(start=(0.7, 0.5), stop=(0.7, 0.5), height=0.09),
            ),
            {},
            "rejected",
            ["1 of 3 people large, whole and long enough in view, at least 2 wanted"],
            id="each rule alone leaves two, all together one",
        ),
        pytest.param(
            DUET, {"change": heads_only}, "rejected", ["2 of 2 people with too little body", "0.17"], id="two faces"
        ),
        pytest.param(
            (dataclasses.replace(DUET[0], seen=(0, 27)), dataclasses.replace(DUET[1], seen=(22, 50))),
            {},
            "rejected",
            ["two people or more in only 0.10 of the frames < 0.20"],
            id="one comes when the other goes",
        ),
        pytest.param(
            (dataclasses.replace(DUET[0], seen=(0, 35)), dataclasses.replace(DUET[1], seen=(15, 50))),
            {},
            "review",
            ["two people or more in only 0.40 of the frames < 0.50"],
            id="half the time alone",
        ),
        pytest.param(
            DUET,
            {"pictures": stopped},
            "rejected",
            ["stands still", "0.80", "> 0.60"],
            id="a picture that stands still",
        ),
        pytest.param(
            DUET,
            {"pictures": lambda frames: [frames[t - t % 2] for t in range(len(frames))]},
            "review",
            ["stands still: 0.51 of the frames repeat the one before > 0.20"],
            id="every frame twice",
        ),
        pytest.param(
            DUET,
            {"change": with_confidence(1, 20, 30, 0.2)},
            "review",
            ["who is who is unsure in 0.20 of the frames > 0.05: at 0.80 s", "person 2 may be somebody else at"],
            id="a doubted identity",
        ),
        pytest.param(
            DUET,
            {"events": (Event(kind="doubt", start=10, stop=20, people=(0, 1), note=""),)},
            "review",
            ["unsure in 0.20 of the frames > 0.05: at 0.40 s"],
            id="an event of doubt",
        ),
        pytest.param(
            DUET, {"change": with_confidence(1, 20, 22, 0.3)}, "accepted", [], id="a doubt of two frames is nothing"
        ),
        pytest.param(DUET, {"limits": Limits(max_unsure=-1)}, "accepted", [], id="no doubt, whatever its limit"),
        pytest.param(
            DUET,
            {"change": moved_pose(0, (60, 0))},
            "review",
            ["pose and mask of person 1 disagree: 0."],
            id="a pose beside its mask",
        ),
        pytest.param(
            (DUET[0], Figure(start=(0.45, 0.9), stop=(0.65, 0.9))),
            {"change": moved_pose(0, (80, 0))},
            "review",
            ["the pose of person 1 lies on somebody else: 1.00 of the joints > 0.15"],
            id="a pose on the other one",
        ),
        pytest.param(DUET, {"change": trembling}, "review", ["trembles: 0."], id="a pose that trembles"),
        pytest.param(DUET, {"pictures": blurred}, "review", ["blurred: sharpness 0.0", "< 0.020"], id="out of focus"),
        pytest.param(
            DUET,
            {"limits": Limits(min_robots=1)},
            "review",
            ["0 of 2 people taken for a robot, at least 1 wanted"],
            id="no robot where one is wanted",
        ),
        pytest.param(
            DUET, {"limits": Limits(min_robots=1, min_humans=1), "kinds": ["robot", "human"]}, "accepted", [], id="both"
        ),
    ],
)
def test_verdicts(figures: Sequence[Figure], options: dict[str, Any], verdict: str, says: list[str]) -> None:
    got, reasons, measures = judged(figures, **options)
    assert got == verdict, (reasons, measures.scores())
    assert bool(reasons) == (verdict != "accepted")
    for part in says:
        assert any(part in reason for reason in reasons), (part, reasons)


UNSURE, STRANGER = "who is who is unsure in", "somebody who is none of the people is found in"


@pytest.mark.parametrize(
    ("spans", "says"),
    [
        pytest.param([(10, 12, ())], [], id="a stranger in few frames"),
        pytest.param(
            [(10, 12, ()), (30, 35, ())],
            [f"{STRANGER} 0.14 of the frames > 0.05: at 0.40 s, at 1.20 s"],
            id="a stranger, twice",
        ),
        pytest.param(
            [(t, t + 1, ()) for t in range(0, 50, 10)],
            [f"{STRANGER} 0.10 of the frames > 0.05: at 0.00 s, at 0.40 s, at 0.80 s, at 1.20 s ..."],
            id="a stranger, more often than is told",
        ),
        pytest.param([(10, 14, (1,))], [f"{UNSURE} 0.08 of the frames > 0.05: at 0.40 s"], id="one doubted"),
        pytest.param(
            [(10, 14, (0, 1)), (20, 25, ())],
            [f"{UNSURE} 0.08 of the frames > 0.05: at 0.40 s", f"{STRANGER} 0.10 of the frames > 0.05: at 0.80 s"],
            id="each too often",
        ),
        pytest.param(
            [(10, 14, (0, 1)), (20, 22, ())],
            [f"{UNSURE} 0.08 of the frames > 0.05: at 0.40 s"],
            id="a stranger seldom, who is who unsure too often",
        ),
        pytest.param(
            [(10, 12, (0, 1)), (20, 25, ())],
            [f"{STRANGER} 0.10 of the frames > 0.05: at 0.80 s"],
            id="a stranger too often, who is who seldom unsure",
        ),
        pytest.param(
            [(10, 12, (0, 1)), (20, 22, ())],
            [
                f"{UNSURE} 0.04 of the frames, 0.08 together with the other doubt > 0.05: at 0.40 s",
                f"{STRANGER} 0.04 of the frames, 0.08 together with the other doubt > 0.05: at 0.80 s",
            ],
            id="too often only together",
        ),
        pytest.param([(10, 12, (0, 1)), (10, 12, ())], [], id="the same few frames for both"),
    ],
)
def test_what_is_doubted_is_told_by_its_own_name(
    spans: list[tuple[int, int, tuple[int, ...]]], says: list[str]
) -> None:
    subject = subject_of(DUET, events=doubts(*spans))
    share = len({t for start, stop, _ in spans for t in range(start, stop)}) / 50
    assert subject.measures.scores()["swap_suspicion"] == round(share, 4), "a stranger counts as a doubt"
    assert verdict_of(subject) == ("review" if share > 0.05 else "accepted", tuple(says))
    assert [found.reason for rule in IDENTITY_RULES if (found := rule(subject))] == says, "told by identity's rules"


def test_only_the_reasons_that_decide_are_told() -> None:
    verdict, reasons, _ = judged(crowd(12, 0.2), change=trembling)
    assert (verdict, reasons) == ("rejected", ("12 people found, at most 8 wanted",))
    _, reasons, _ = judged(crowd(12, 0.08))
    assert [reason.split()[:4] for reason in reasons] == [
        ["12", "people", "found,", "at"],
        ["12", "of", "12", "people"],
    ]


def test_scores_are_named_finite_and_between_their_bounds() -> None:
    for figures, change in ((CROSSING, lambda p: p), (DUET[:1], lambda p: p), (DUET, nobody)):
        scores = judged(figures, change=change)[2].scores()
        assert set(scores) == set(ABOUT)
        assert np.isfinite(list(scores.values())).all()
    scores = judged(CROSSING)[2].scores()
    assert scores["num_people"] == 2
    assert scores["duration_s"] == 2.0
    assert scores["height_median"] == pytest.approx(0.6, abs=0.03)
    assert scores["pose_inside_min"] == 1.0, "drawn people: every joint that is seen lies on its own body"
    assert scores["pose_foreign_max"] < 0.01, "joints behind somebody are hidden there, not mistaken"
    assert 0.1 < scores["contact"] < 0.6
    assert scores["together"] == 1.0
    assert judged(DUET)[2].scores()["contact"] == 0.0


def test_jitter_and_steadiness_see_noise_and_not_motion() -> None:
    fast = (Figure(start=(0.05, 0.9), stop=(0.95, 0.9)), DUET[1])
    assert judged(fast)[2].jitter.max() < 0.01
    assert judged(fast, change=trembling)[2].jitter.min() > 0.05

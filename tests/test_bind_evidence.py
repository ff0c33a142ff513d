"""What speaks for one person: motion, looks, boxes that hold two, and where somebody is who was not found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks.ops.bind_motion import End, MotionScales, continuation, first_end, last_end
from tasks.ops.cast import Shot, seen_at_once
from tasks.ops.doubles import doubles, unions
from tasks.ops.embraces import held_boxes
from tasks.ops.look_model import LookPrior, alike_of, learn
from tasks.ops.tracks import Track
from tasks.ops.unlooked import unlooked

FPS = 25.0
AREA = 400.0 * 300.0


def track(
    start: int,
    stop: int,
    x: tuple[float, float],
    *,
    width: float = 40,
    height: float = 100,
    look: list[float] | None = None,
) -> Track:
    """A track whose middle goes from x[0] to x[1], its feet at 200."""
    frame = np.arange(start, stop)
    middle = np.linspace(*x, len(frame))
    low = np.full(len(frame), 200.0)
    box = np.stack([middle - width / 2, low - height, middle + width / 2, low], 1)
    n = len(frame)
    vector = None if look is None else np.array(look) / np.linalg.norm(look)
    return Track(
        tracklet=0, row=np.arange(n), frame=frame, box=box, steady=box, score=np.ones(n), apart=np.ones(n),
        segment=np.full(n, -1), look=vector,
    )  # fmt: skip


def costs(a: Track, b: Track) -> float:
    """Nats against b being a."""
    gap = (b.start - a.stop + 1) / FPS
    return float(continuation(last_end(a, FPS), first_end(b, FPS), gap, AREA, MotionScales()))


@pytest.mark.parametrize(
    ("likely", "unlikely"),
    [
        pytest.param(
            track(30, 45, (160, 190)), track(30, 45, (160, 130)), id="who goes on rather than who comes along"
        ),
        pytest.param(track(20, 35, (124, 150)), track(20, 35, (180, 210)), id="who comes out where they must"),
        pytest.param(
            track(20, 35, (130, 100)), track(20, 35, (60, 30)), id="who turns back rather than who is elsewhere"
        ),
    ],
)
def test_motion_tells_who_goes_on(likely: Track, unlikely: Track) -> None:
    walking = track(0, 15, (90, 118))
    assert costs(walking, likely) + 1 < costs(walking, unlikely)


def test_the_next_frame_is_surer_than_a_second_later() -> None:
    stands = track(0, 15, (100, 100))
    later = [costs(stands, track(15 + gap, 30 + gap, (100, 100))) for gap in (0, 12, 25)]
    assert later == sorted(later)


def test_motion_looks_the_same_backwards() -> None:
    a = End(
        place=np.array([100.0, 150]),
        velocity=np.array([40.0, 0]),
        doubt=np.array([3.0, 3]),
        height=np.array(100.0),
        box=np.array([80.0, 100, 120, 200]),
    )
    b = End(
        place=np.array([130.0, 150]),
        velocity=np.array([35.0, 0]),
        doubt=np.array([3.0, 3]),
        height=np.array(100.0),
        box=np.array([80.0, 100, 120, 200]),
    )
    # Seen from the end the same two ends, with their velocities turned about; only b's own share of `anywhere` differs.
    there = continuation(a, b, 0.8, AREA, MotionScales())
    back = continuation(replace(b, velocity=-b.velocity), replace(a, velocity=-a.velocity), 0.8, AREA, MotionScales())
    assert there == pytest.approx(back, abs=0.4)


def test_looks_say_little_among_people_in_the_same_clothes() -> None:
    different = [track(0, 20, (50, 60), look=[1, 0]), track(0, 20, (150, 160), look=[0.2, 1])]
    same = [track(0, 20, (50, 60), look=[1, 0.05]), track(0, 20, (150, 160), look=[1, 0.1])]
    for people, most, least in ((different, 4.0, -4.0), (same, 0.2, -0.2)):
        later = [replace(one, frame=one.frame + 30) for one in people]
        model = learn([*people, *later], LookPrior(weight=0.1))
        alike = alike_of([*people, *later], model)
        assert alike[0, 2] <= most + 1e-9
        assert alike[0, 3] >= least - 1e-9
        assert (alike[0, 2] - alike[0, 3] > 4) == (people is different)


def test_who_was_not_looked_at_is_like_nobody_and_unlike_nobody() -> None:
    tracks = [track(0, 20, (50, 60), look=[1, 0]), track(30, 40, (50, 60))]
    assert not alike_of(tracks, learn(tracks, LookPrior()))[:, 1].any()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param([[10, 10, 50, 110], [48, 10, 90, 110], [10, 10, 90, 110]], [0, 0, 1], id="two, and both in one"),
        pytest.param([[10, 10, 50, 110], [48, 10, 90, 110]], [0, 0], id="two who touch"),
        pytest.param([[10, 10, 50, 110], [12, 12, 52, 112], [10, 10, 54, 112]], [0, 0, 0], id="one found three times"),
        pytest.param([[10, 10, 50, 110], [10, 10, 90, 110]], [0, 0], id="one, and one wide"),
    ],
)
def test_boxes_that_are_two_others(box: list[list[int]], expected: list[int]) -> None:
    assert unions(np.array(box, float), np.full(len(box), 0.8)).tolist() == [bool(e) for e in expected]


A, B = track(0, 20, (60, 95)), track(0, 20, (175, 140))
EMBRACE = track(20, 40, (118, 118), width=86)
# A, who goes on before B with the same box and then spreads both arms.
SPREAD = replace(EMBRACE, steady=np.concatenate([A.steady[-1:], EMBRACE.steady[1:]]))
AWAY, BACK = track(40, 60, (95, 60)), track(40, 60, (140, 175))


@pytest.mark.parametrize(
    ("tracks", "expected"),
    [
        pytest.param([A, B, EMBRACE, AWAY, BACK], [0, 0, 1, 0, 0], id="two walk into one box and out of it"),
        pytest.param([A, B, EMBRACE], [0, 0, 1], id="the clip ends in an embrace"),
        pytest.param([EMBRACE, AWAY, BACK], [1, 0, 0], id="the clip begins in an embrace"),
        pytest.param([A, B, SPREAD, AWAY, BACK], [0, 0, 0, 0, 0], id="one goes on, before the other, arms spread"),
        pytest.param([A, track(20, 40, (95, 95)), B], [0, 0, 0], id="one goes on, the other is lost"),
        pytest.param(
            [A, B, track(20, 40, (118, 118), width=90, height=220)], [0, 0, 0], id="someone near steps before both"
        ),
    ],
)
def test_tracks_that_hold_two(tracks: list[Track], expected: list[int]) -> None:
    assert doubles(tracks, FPS).tolist() == [bool(e) for e in expected]


def test_in_an_embrace_each_keeps_their_side() -> None:
    for person, left in (([A, AWAY], True), ([B, BACK], False)):
        frame, box = held_boxes(person, [EMBRACE], FPS)
        assert frame.tolist() == list(range(20, 40))
        assert np.allclose(box[:, 2] - box[:, 0], 40, atol=1)
        edge = box[:, 0] - EMBRACE.box[:, 0] if left else EMBRACE.box[:, 2] - box[:, 2]
        assert np.abs(edge).max() < 2


def test_who_changes_sides_in_an_embrace_goes_through_it() -> None:
    _, box = held_boxes([A, BACK], [EMBRACE], FPS)
    middle = (box[:, 0] + box[:, 2]) / 2
    assert (np.diff(middle) > 0).all()


def test_who_is_elsewhere_is_not_in_the_embrace() -> None:
    frame, _ = held_boxes([track(0, 18, (300, 300))], [EMBRACE], FPS)
    assert not len(frame)


def test_people_seen_at_once() -> None:
    shot = Shot(frames=60, fps=FPS, size=(300, 400))
    assert seen_at_once([A, B, AWAY, BACK], shot, 0.15) == 2
    hidden = replace(B, apart=np.full(len(B.frame), 0.1))
    assert seen_at_once([A, hidden, AWAY], shot, 0.15) == 1


def test_each_tracklet_worth_it_is_looked_at_where_it_stands_clearest() -> None:
    frame = np.repeat(np.arange(6), 2)
    box = np.tile(np.array([[0, 0, 40, 100], [100, 0, 140, 100]], float), (6, 1))
    box[1:6:2] = [10, 0, 50, 100]  # the second stands before the first in the first three frames
    tracklet = np.tile([0, 1], 6)
    embedding = np.zeros((12, 4))
    embedding[8] = 1.0  # the first was looked at
    chosen = unlooked(frame, box, tracklet, embedding)
    assert {t: rows.tolist() for t, rows in chosen.items()} == {3: [7]}
    assert not unlooked(frame[:4], box[:4], tracklet[:4], embedding[:4] * 0), "two rows are not worth a look"

"""Which clips have a wrong id by the truth, how well the flags tell, poses' figures, and detections made worse."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.records import Detections
from tasks import stress
from tasks.ops.pose_metrics import joints_in_place, row_oks
from tasks.ops.review_metrics import Reviewed, clean_flagged, holders, precision, recall, share
from tasks.ops.stress import KINDS, TOUCH, thinned
from tests.draw_rows import detections, rows, walk

LENGTH = 30
A, B = walk(0, 1), walk(300, -1)
TRUTH = rows({0: A, 1: B}, LENGTH)


@pytest.mark.parametrize(
    ("found", "wrong", "frames"),
    [
        pytest.param(rows({4: A, 9: B}, LENGTH), False, 0, id="right throughout, under other names"),
        pytest.param(
            rows({0: lambda t: (A if t < 20 else B)(t), 1: lambda t: (B if t < 20 else A)(t)}, LENGTH),
            True, 20, id="exchanged for good",
        ),
        pytest.param(
            rows({0: lambda t: (B if t in (8, 9) else A)(t), 1: lambda t: (A if t in (8, 9) else B)(t)}, LENGTH),
            False, 4, id="exchanged for two frames: a box's noise",
        ),
        pytest.param(
            rows({0: lambda t: A(t) if t < 15 else None, 2: lambda t: A(t) if t >= 15 else None, 1: B}, LENGTH),
            True, 15, id="one person under two names in turn",
        ),
        pytest.param(
            rows({0: lambda t: (A if t < 15 else B)(t), 1: lambda t: B(t) if t < 15 else None}, LENGTH),
            True, 15, id="one name on two people in turn",
        ),
        pytest.param(rows({0: A}, LENGTH), False, 0, id="somebody is missed: no id is wrong"),
        pytest.param(rows({0: A, 1: B, 2: walk(600)}, LENGTH), False, 0, id="one too many: no id is wrong"),
        pytest.param(rows({}, LENGTH), False, 0, id="nobody found"),
    ],
)  # fmt: skip
def test_a_wrong_id_is_seen(found, wrong, frames):
    held = holders(TRUTH, found, LENGTH)
    assert held.has_wrong_id is wrong
    assert held.wrong.sum() == frames


def test_nothing_is_said_of_two_whose_boxes_are_one():
    truth = rows({0: walk(0), 1: walk(2)}, LENGTH)
    held = holders(truth, rows({0: walk(2), 1: walk(0)}, LENGTH), LENGTH)
    assert (held.holder == -1).all()
    assert not held.has_wrong_id


def test_a_person_still_held_by_the_right_id_has_no_wrong_one():
    """For ten frames each one's box has slipped to overlap the other more, and its own person by more than a half."""
    middle = range(10, 20)
    near, far = walk(0), walk(12)

    def slipped(own, to):
        return lambda t: walk(to)(t) if t in middle else own(t)

    truth = rows({0: near, 1: far}, LENGTH)
    held = holders(truth, rows({0: slipped(near, 10), 1: slipped(far, 2)}, LENGTH), LENGTH)
    assert not held.wrong.any()


def clip(*, wrong: bool, turned: bool = False, doubted: bool = False, bound: bool = True) -> Reviewed:
    return Reviewed(bound=bound, wrong=wrong, turned=turned, doubted=doubted)


def test_flags_are_counted_where_they_belong():
    clips = [
        clip(wrong=True, turned=True, doubted=True),
        clip(wrong=True, turned=True),  # found, though for another reason
        clip(wrong=True),
        clip(wrong=False),
        clip(wrong=False, turned=True),  # in review for its poses: no doubt about the ids
        clip(wrong=False, turned=True, doubted=True),
        clip(wrong=False, turned=True, bound=False),  # turned away before there were ids
    ]
    assert (recall(clips).hits, recall(clips).of) == (2, 3)
    assert (clean_flagged(clips).hits, clean_flagged(clips).of) == (1, 3)
    assert (precision(clips).hits, precision(clips).of) == (1, 2)
    assert recall([]).value is None


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        # Wilson's interval, as in Newcombe (Statistics in Medicine, 1998), table I: 81 of 263 and 15 of 148.
        pytest.param(81, 263, 0.2553, 0.3662, id="81 of 263"),
        pytest.param(15, 148, 0.0624, 0.1605, id="15 of 148"),
        pytest.param(0, 20, 0.0, 0.1611, id="none of 20"),
        pytest.param(0, 0, 0.0, 1.0, id="of nothing"),
    ],
)
def test_intervals_are_wilsons(hits, of, low, high):
    got = share(hits, of)
    assert (got.low, got.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_poses_have_cocos_figures():
    truth = np.zeros((3, 17, 2))
    truth[:, :, 0] = np.linspace(0, 30, 17)
    truth[:, :, 1] = np.linspace(0, 100, 17)
    labelled = np.ones((3, 17), bool)
    labelled[2] = False
    estimate = truth.copy()
    estimate[1, 5:] = np.inf  # most joints of the second are missed
    assert row_oks(estimate, truth, labelled, np.full(3, 3000.0)).tolist() == [
        1,
        pytest.approx(5 / 17),
        pytest.approx(np.nan, nan_ok=True),
    ]
    placed = joints_in_place(estimate, truth, labelled)
    assert placed.sum(1).tolist() == [17, 5, 0]
    estimate[0] += [0, 9.9]  # a tenth of 100 is the limit
    estimate[1] = truth[1] + [0, 10.1]
    assert joints_in_place(estimate, truth, labelled).sum(1).tolist() == [17, 0, 0]


def crowd() -> Detections:
    """Two who walk through each other, and one aside."""
    return detections([(t, at(t)) for t in range(60) for at in (walk(0, 1), walk(60, -1), walk(600))])


@pytest.mark.parametrize("kind", KINDS)
def test_stress_is_repeatable_and_does_what_it_says(kind):
    found = crowd()
    worse = KINDS[kind](found, 24.0, np.random.default_rng(5))
    again = KINDS[kind](found, 24.0, np.random.default_rng(5))
    other = KINDS[kind](found, 24.0, np.random.default_rng(6))
    assert np.array_equal(worse.box, again.box)
    assert np.array_equal(worse.frame, again.frame)
    assert not (len(worse.frame) == len(other.frame) and np.array_equal(worse.box, other.box)), "another draw differs"
    aside = (worse.box[:, 0] > 500).sum()
    if kind == "jitter":
        assert len(worse.frame) == len(found.frame)
        assert 0.5 < np.abs(worse.box - found.box).mean() < 6
    else:
        assert aside == 60, "who touches nobody is left alone"
        lost = len(found.frame) - len(worse.frame)
        assert 0.3 * 24 <= lost <= 1.0 * 24, "one contact, one span"
    if kind == "merged":
        widest = worse.box[worse.box[:, 0] < 500]
        assert (widest[:, 2] - widest[:, 0]).max() > 40 * (1 + TOUCH)


def test_a_slower_camera_sees_every_nth_frame():
    slow = thinned(crowd(), 3)
    assert slow.frame.tolist() == np.repeat(np.arange(20), 3).tolist()
    assert slow.box[3].tolist() == pytest.approx(walk(0, 1)(3))


def test_stresses_have_names():
    assert stress.named("jitter-3") == stress.Config(kind="jitter", draw=2)
    assert stress.blinds("looks-2")
    for text in ("dropz", "drops-x", "drops-0"):
        with pytest.raises(ValueError, match="want one of drops"):
            stress.named(text)

"""Poses made steady: what is clean is left alone, exchanged sides and jumps are undone, noise goes and motion stays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from datasets.records import HIDDEN, VISIBLE
from datasets.skeleton import COCO17, SKELETONS
from tasks.ops.flips import exchange, flips
from tasks.ops.jumps import jumps
from tasks.ops.smooth import noise, parabola, smooth
from tasks.ops.steady import filled, smooth_people
from tests.draw_people import Figure, draw_clip
from tests.motion_keypoints import moving, people_of

MOTIONS = ("cartwheel", "dance_a", "dance_b", "dance_spin", "kick", "punch", "spin", "spinkick", "walk")
FAST = (0, 4, 5, 6, 7)
ARMS, LEGS, ALL = (True, False, False), (False, True, False), (True, True, True)


@pytest.fixture(scope="module")
def tracks(shared):
    """Every motion of the shared material, (T, 17, 2) pixels at 30 frames a second."""
    return {name: moving(shared / "motion" / f"{name}.npz", turn_deg=40.0 * i) for i, name in enumerate(MOTIONS)}


def size_of(track):
    span = track.max((1,)) - track.min((1,))
    return np.full(len(track), np.median(span.max(-1)))


def noisy(track, share, seed):
    """A track with white noise of a share of the body's size, and its scores."""
    rng = np.random.default_rng(seed)
    return track + rng.normal(size=track.shape) * share * size_of(track)[0], np.full(track.shape[:2], 0.8)


@pytest.mark.parametrize("name", MOTIONS)
@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0])
def test_exact_people_stay_to_the_last_bit(shared, name, fps):
    path = shared / "motion" / f"{name}.npz"
    people = people_of([moving(path, fps=fps, turn_deg=turn) for turn in (0.0, 90.0)])
    assert smooth_people(people, fps=fps) is people


def test_drawn_people_who_cross_stay_too():
    figures = [Figure(start=(0.2, 0.9), stop=(0.8, 0.9)), Figure(start=(0.8, 0.9), stop=(0.2, 0.9))]
    people, _ = draw_clip(figures, frames=40)
    assert smooth_people(people, fps=25) is people


@pytest.mark.parametrize(
    "groups", [pytest.param(ALL, id="all"), pytest.param(ARMS, id="arms"), pytest.param(LEGS, id="legs")]
)
@pytest.mark.parametrize("share", [0.0, 0.01])
def test_exchanged_sides_are_found(tracks, groups, share):
    hit = missed = false = 0
    for i, track in enumerate(tracks.values()):
        point, score = noisy(track, share, i)
        rng = np.random.default_rng(i)
        true = np.zeros((len(track), 3), bool)
        start, length = int(rng.integers(3, len(track) - 12)), int(rng.integers(1, 9))
        true[start : start + length] = groups
        point = exchange(point, true, COCO17)
        found = flips(point, score, size_of(track), fps=30.0, sigma=noise(point, score > 0, fps=30.0))
        left, right = [5, 7, 9, 11, 13, 15], [6, 8, 10, 12, 14, 16]
        told = np.linalg.norm(track[:, left] - track[:, right], axis=-1).mean(1) > 0.06 * size_of(track)
        hit += int((found & true)[told][:, :2].sum())
        missed += int((~found & true)[told][:, :2].sum())
        false += int((found & ~true)[:, :2].sum())
    assert hit >= 0.95 * (hit + missed)
    assert hit > 20
    assert false <= 0.02 * hit


def test_legs_that_pass_each_other_are_not_exchanged():
    t = np.arange(40)
    point = np.zeros((40, 17, 2))
    point[..., 1] = np.arange(17) * 12
    for joint in range(1, 17):
        point[:, joint, 0] = (20 if joint % 2 else -20) * np.cos(t / 6)  # a turn: sides meet at speed, and pass
    found = flips(point, np.ones((40, 17)), np.full(40, 200.0), fps=30.0)
    assert not found.any()


def test_a_hand_goes_with_its_arm_and_the_face_stays():
    layout = SKELETONS["coco133"]
    point = np.arange(133 * 2, dtype=float).reshape(1, 133, 2)
    arms = exchange(point, np.array([ARMS]), layout)
    assert arms[0, 9, 0] == point[0, 10, 0]
    assert (arms[0, 91:112] == point[0, 112:]).all()
    assert (arms[0, 11:91] == point[0, 11:91]).all()
    legs = exchange(point, np.array([LEGS]), layout)
    assert (legs[0, 17:20] == point[0, 20:23]).all()
    whole = exchange(point, np.array([ALL]), layout)
    assert (whole[0, 23:91] == point[0, 23:91]).all()
    assert (exchange(whole, np.array([ALL]), layout) == point).all()


@pytest.mark.parametrize(("length", "far"), [(1, 0.2), (3, 0.3), (6, 0.5)])
def test_jumps_are_left_out(tracks, length, far):
    for name in ("walk", "dance_b", "spin"):
        track = tracks[name].astype(float)
        size, score = size_of(track), np.full(track.shape[:2], 0.3)
        moved = track.copy()
        moved[20 : 20 + length, 9] += (far * size[0], -far * size[0])
        found = jumps(moved, score, size, noise(moved, score > 0, fps=30.0), fps=30.0)
        gone = np.flatnonzero(found[:, 9]).tolist()
        # A neighbour may go with it: it is put back between those that stay.
        assert set(range(20, 20 + length)) <= set(gone) <= set(range(19, 21 + length))
        assert not np.delete(found, 9, axis=1).any()


def test_a_move_for_good_is_no_jump():
    track = np.zeros((40, 17, 2))
    track[15:, 9] = (80, 0)
    score = np.full((40, 17), 0.3)
    assert not jumps(track, score, np.full(40, 200.0), np.zeros((40, 17)), fps=30.0).any()
    # Nor is what is seen again after longer than a jump may last.
    score[10:25] = 0
    assert not jumps(track, score, np.full(40, 200.0), np.zeros((40, 17)), fps=30.0).any()


def test_noise_is_measured(tracks):
    for i, track in enumerate(tracks.values()):
        point, score = noisy(track, 0.01, i)
        found = np.median(noise(point, score > 0, fps=30.0)) / size_of(track)[0]
        assert 0.008 < found < 0.013
    assert (noise(np.zeros((5, 17, 2)), np.ones((5, 17), bool), fps=30.0) == 0).all()


def lag_of(found, true):
    """Frames by which velocities come late: the peak of their cross-correlation, between frames by a parabola."""
    a, b = np.diff(found, axis=0), np.diff(true, axis=0)
    match = [float((a[4 + k : len(a) - 4 + k] * b[4:-4]).sum()) for k in range(-4, 5)]
    i = int(np.clip(np.argmax(match), 1, 7))
    return i - 4 + 0.5 * (match[i - 1] - match[i + 1]) / (match[i - 1] - 2 * match[i] + match[i + 1])


@pytest.mark.parametrize("share", [0.01, 0.02])
def test_noise_goes_and_motion_stays(tracks, share):
    errors, kept, lags, trembles = [], [], [], []
    for i, track in enumerate(tracks.values()):
        point, score = noisy(track, share, i)
        found = smooth(point, score, size_of(track), fps=30.0)
        errors.append(np.linalg.norm(found - track, axis=-1).mean() / np.linalg.norm(point - track, axis=-1).mean())
        trembles.append(np.diff(found - track, 2, axis=0).std() / np.diff(point - track, 2, axis=0).std())
        if i in FAST:
            lags.append(lag_of(found, track))
        speed, true = np.diff(found, axis=0), np.diff(track, axis=0)
        fast = np.linalg.norm(true, axis=-1) > np.percentile(np.linalg.norm(true, axis=-1), 90)
        kept.append((speed[fast] * true[fast]).sum() / (true[fast] ** 2).sum())
    assert np.mean(errors) < 0.72
    assert np.mean(trembles) < 0.45
    assert np.abs(lags).max() < 0.15
    assert np.mean(kept) > 0.92


def test_parabolas_go_through_parabolas():
    t = np.arange(20.0)
    point = np.stack([np.stack([t**2 - 3 * t, 5 - t], -1)] * 2, 1)
    weight = np.ones((20, 2))
    weight[7, 0] = 0
    fit, spread = parabola(point, weight, 4)
    np.testing.assert_allclose(fit, point, atol=1e-6)
    assert (spread[5:7, 1] < 0.8).all()
    assert spread[7, 0] == 0
    line, _ = parabola(point[:3, :1], weight[:3, :1], 1)
    assert np.isfinite(line).all()


def test_gaps_are_filled_when_short():
    point = np.zeros((30, 1, 2))
    point[:, 0, 0] = np.arange(30)
    score = np.full((30, 1), 0.8)
    lost = np.zeros((30, 1), bool)
    lost[5:9] = lost[15:25] = lost[28:] = True
    guess = point.copy()
    guess[lost] = 999
    found, sure = filled(guess, score, lost, most=6)
    np.testing.assert_allclose(found[:28], point[:28])
    assert found[28:, 0, 0].tolist() == [27, 27]
    np.testing.assert_allclose(sure[5:9, 0], 0.4)
    assert (sure[15:25] == 0).all()
    assert (sure[28:] == 0).all()


def test_people_get_scores_flags_and_events_that_fit(tracks):
    exact = people_of([tracks["cartwheel"][:60], tracks["spin"][:60]])
    keypoint, score = exact.keypoint.copy(), np.minimum(exact.score, 0.7)
    true = np.zeros((60, 3), bool)
    true[30:34] = True
    keypoint[0], score[0] = exchange(keypoint[0], true, COCO17), exchange(score[0], true, COCO17)
    score[1, 10:14] = 0.0  # a gap of a seventh of a second, put anywhere
    keypoint[1, 10:14] = (200.0, 200.0)
    score[1, 40:55] = 0.0  # and one of half a second
    found = smooth_people(dataclasses.replace(exact, keypoint=keypoint, score=score), fps=30)
    assert np.abs(found.keypoint[0] - exact.keypoint[0]).max() < 0.5
    (event,) = [event for event in found.events if event.people == (0,)]
    assert (event.kind, event.start, event.stop) == ("repair", 30, 34)
    size = size_of(exact.keypoint[1])[0]
    assert np.linalg.norm(found.keypoint[1, 10:14] - exact.keypoint[1, 10:14], axis=-1).mean() < 0.05 * size
    np.testing.assert_allclose(found.score[1, 10:14], 0.35)
    assert (found.score[1, 40:55] == 0).all()
    assert set(np.unique(found.flag[1, 10:14])) <= {HIDDEN, VISIBLE}
    assert (found.flag[1, 40:55] != VISIBLE).all()
    for name in ("box", "present", "visible", "confidence"):
        assert getattr(found, name) is not None
        np.testing.assert_array_equal(getattr(found, name), getattr(exact, name))

"""People with known identities -> masks made again: touching, missed, hidden, look-alikes, moving cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import People
from tasks.backends.identity_masks import MaskRules, identity_masks
from tasks.ops.actors import actors_of, beside
from tasks.ops.carry import Evidence, join
from tasks.ops.colour_table import colour_bins, fit_table
from tasks.ops.depth_order import alike, in_front
from tasks.ops.identity_evidence import evidence_of
from tasks.ops.joint_cut import decide, enlarge, margins
from tasks.ops.learned import Learned, learn_around, looks
from tasks.ops.mask_ops import box_of
from tasks.ops.scenery import Scenery, camera_step, in_roots, is_still
from tasks.ops.shape_prior import body_distance, first_profile, learn_profile, shape_odds
from tests.draw_tracks import FPS, SIZE, Figure, modal, picture, walk

T = 24
CROSSING = [
    Figure(x=list(walk(60, 130, T)), foot=112, pieces=[(0, T)]),
    Figure(x=list(walk(140, 70, T)), foot=104, look=1, pieces=[(0, T)]),
]


def given(figures: Sequence[Figure], missed: Sequence[tuple[int, int]] = ()) -> People:
    """What bind would hand on: exact poses, masks of boxes; nothing in the missed (person, frame)."""
    people = len(figures)
    lost = np.zeros((people, T), bool)
    for p, t in missed:
        lost[p, t] = True
    box = np.stack([[figure.box(t) for t in range(T)] for figure in figures])
    masks = []
    for p in range(people):
        for t in range(T):
            mask = np.zeros(SIZE, bool)
            x0, y0, x1, y1 = box[p, t].astype(int)
            mask[y0:y1, x0:x1] = not lost[p, t]
            masks.append(mask)
    return People(
        box=box,
        keypoint=np.stack([[figure.keypoint(t) for t in range(T)] for figure in figures]),
        score=np.repeat(np.where(lost, 0.0, 0.9)[..., None], 17, axis=2).astype(np.float32),
        flag=np.zeros((people, T, 17), np.uint8),
        mask=Masks.encode(masks, size=SIZE),
        present=np.ones((people, T), bool),
        visible=(~lost).astype(np.float32),
        confidence=np.ones((people, T), np.float32),
        skeleton="coco17",
        events=(),
    )


def made(figures: Sequence[Figure], people: People, rules: MaskRules | None = None) -> People:
    """The masks of a drawn clip, made again."""
    frames = (picture(figures, t) for t in range(T))
    return identity_masks(frames, people, fps=FPS, rules=rules or MaskRules())


def quality(figures: Sequence[Figure], people: People) -> np.ndarray:
    """(P, T) overlap with what is seen of each."""
    out = np.zeros(people.present.shape)
    for p in range(len(figures)):
        for t in range(T):
            truth, mask = modal(figures, p, t), people.mask_at(p, t)
            out[p, t] = (truth & mask).sum() / max((truth | mask).sum(), 1)
    return out


def test_people_who_cross_are_cut_apart_exclusively() -> None:
    people = made(CROSSING, given(CROSSING))
    assert quality(CROSSING, people)[0].min() > 0.8
    assert quality(CROSSING, people)[1].mean() > 0.8
    for t in range(T):
        assert not (people.mask_at(0, t) & people.mask_at(1, t)).any()
        for p in range(2):
            assert people.box[p, t].tolist() == box_of(people.mask_at(p, t)).tolist()
    hidden = people.visible[1].argmin()
    assert abs(hidden - T // 2) < 4, "least is seen of the one behind where they cross"
    assert people.visible[1, hidden] < 0.6 < people.visible[0].min()


def test_a_person_whom_the_detector_missed_is_carried_through() -> None:
    missed = [(1, t) for t in range(3, 8)]
    people = made(CROSSING, given(CROSSING, missed))
    assert quality(CROSSING, people)[1, 3:8].min() > 0.6
    assert (people.visible[1, 3:8] > 0.3).all()
    assert not people.score[1, 3:8].any(), "a mask is no pose"


def test_of_two_who_are_likelier_than_the_background_colours_tell_which() -> None:
    """Both lie beyond the cap: where a table says that a colour is seldom this person's, that must not be lost."""
    wall, red, blue = np.full((60, 80, 3), 120, np.uint8), (200, 30, 30), (30, 30, 200)
    shirt = wall.copy()
    shirt[20:50, 30:45] = red
    sample = [np.array([one] * 400 + [other] * few, np.uint8) for one, other, few in ((red, blue, 2), (blue, red, 2))]
    people = actors_of(
        np.tile(np.array([28.0, 15, 48, 55]), (2, 3, 1)), np.zeros((2, 3, 17, 2)), np.zeros((2, 3, 17)),
        np.ones((2, 3), bool), np.ones((2, 3), bool), size=(60, 80), fps=8.0,
    )  # fmt: skip
    free = [np.ones((60, 80), bool)] * 3
    learned = Learned(
        colour=np.stack([fit_table(colour_bins(one)) for one in sample]),
        around=learn_around([wall] * 3, free),
        profile=np.stack([first_profile()] * 2),
    )
    scenery = Scenery(pictures=[wall] * 3, free=free, step=None, fps=8.0)
    one, two = evidence_of(shirt, {(0, 1): None, (1, 1): None}, people, [0, 1], 1, learned, scenery)
    x0, y0 = one.window[:2]
    assert one.odds[35 - y0, 37 - x0] > two.odds[35 - y0, 37 - x0] + 2
    alone = evidence_of(shirt, {(1, 1): None}, people, [1], 1, learned, scenery)[0]
    assert alone.odds[35 - y0, 37 - x0] > 0, "against the background alone it is a person's colour"
    assert alone.odds[35 - y0, 37 - x0] > two.odds[35 - y0, 37 - x0]


def test_who_is_in_one_box_with_somebody_unfound_teaches_no_colours_and_is_looked_for_whole() -> None:
    frames = 120
    box = np.tile(np.array([40.0, 20, 70, 110]), (2, frames, 1))
    box[1, :20] += [60, 0, 60, 0]  # beside each other at first, then in one box; only a strip of the second is guessed
    box[1, 20:] = [66, 60, 70, 90]
    score = np.full((2, frames, 17), 0.9)
    score[1, 20:] = 0
    keypoint = np.stack([np.linspace(box[..., :2], box[..., 2:], 17, axis=2)[..., k] for k in (0, 1)], 3)
    people = actors_of(box, keypoint, score, np.ones((2, frames), bool), score.any(2), size=(120, 200), fps=24.0)
    assert people.weight[1, 100] == 0, "so long after they were last found nobody is looked for"
    assert people.apart[0, :20].all()
    assert not people.apart[0, 20:].any(), "not even there is the box one person's alone"
    assert max(looks(people)[0]) < 20
    x0, y0, x1, y1 = people.window[1, 30]
    assert x1 - x0 >= 30
    assert y1 - y0 >= 90, "as large as they were when they were found"


def test_who_is_lost_for_long_is_only_seen_beside_whoever_hides_them() -> None:
    mask, others = np.zeros((40, 80), bool), np.zeros((40, 80), bool)
    others[5:35, 30:40] = True
    mask[10:20, 41:50] = True  # behind the other's shoulder
    mask[10:20, 60:75] = True  # a pillow
    kept = beside(mask, others, 3)
    assert kept[10:20, 41:50].all()
    assert kept.sum() == 90
    assert not beside(mask, np.zeros_like(others), 3).any()
    keypoint, score = np.zeros((1, 60, 17, 2), np.float32), np.zeros((1, 60, 17), np.float32)
    score[0, :10] = 1
    box = np.tile(np.array([20.0, 20, 60, 110]), (1, 60, 1))
    people = actors_of(box, keypoint, score, np.ones((1, 60), bool), score.any(2), size=(120, 200), fps=24.0)
    assert np.flatnonzero(people.lost[0]).tolist() == list(range(22, 60)), "half a second after frame 9"


def test_nobody_is_made_up_where_the_picture_shows_nobody() -> None:
    """One is gone from the picture, but not from what was bound: no mask, nothing visible, a box between."""
    gone = replace(CROSSING[1], x=[150.0] * 6 + [400.0] * 12 + [150.0] * 6)
    figures = [CROSSING[0], gone]
    people = given(figures, [(1, t) for t in range(6, 18)])
    box = people.box.copy()
    box[1, 6:18] = box[1, 5]
    keypoint = people.keypoint.copy()
    keypoint[1, 6:18] = keypoint[1, 5]
    got = made(figures, replace(people, box=box, keypoint=keypoint))
    empty = got.mask.areas().reshape(2, T)[1] == 0
    assert empty[7:17].all()
    assert not empty[:6].any()
    assert not got.visible[1][empty].any()
    assert np.array_equal(got.present, people.present)


def test_equal_frames_give_equal_bytes_and_short_runs_all_frames() -> None:
    people = given(CROSSING)
    once, again = made(CROSSING, people), made(CROSSING, people)
    assert once.mask.rle.tobytes() == again.mask.rle.tobytes()
    assert once.visible.tobytes() == again.visible.tobytes()
    pieces = made(CROSSING, people, MaskRules(chunk=9, overlap=3))
    assert (pieces.mask.areas() > 0).all()
    assert quality(CROSSING, pieces).mean() > 0.75


def test_no_two_masks_share_a_pixel_at_any_size() -> None:
    rng = np.random.default_rng(3)
    odds = cv2.GaussianBlur(rng.normal(0, 4, (30, 40, 3)).astype(np.float32), (0, 0), 2).transpose(2, 0, 1) * 4
    margin = margins(odds)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (margin[a] + margin[b]).max() <= 1e-5
    large = np.stack([enlarge(one, (0, 0, 40, 30), (0.31, 0.29), (0, 0, 129, 103)) for one in margin])
    assert large.any((1, 2)).all()
    assert large.sum(0).max() == 1


def test_specks_go_and_holes_are_filled() -> None:
    odds = np.full((60, 60), -3.0, np.float32)
    odds[10:50, 20:40] = 3.0
    odds[30:32, 30:32] = -3.0
    odds[4:7, 50:53] = 3.0
    one = Evidence(window=(0, 0, 60, 60), odds=odds, weight=np.ones_like(odds))
    mask = decide([one], [None], (0, 0, 60, 60))[0] > 0
    assert mask[31, 31]
    assert not mask[:8, 45:].any()


def test_words_are_carried_along_the_flow_and_fade() -> None:
    def blob(x: int, weight: float) -> Evidence:
        odds = np.full((20, 60), -2.0, np.float32)
        odds[5:15, x : x + 8] = 2.0
        return Evidence(window=(0, 0, 60, 20), odds=odds * (weight > 0.5), weight=np.full((20, 60), weight, np.float32))

    def motion(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        flow = np.zeros((20, 60, 2), np.float32)
        flow[..., 0] = 4.0 * (b - a)
        return flow, np.ones((20, 60), np.float32)

    row = [blob(4 + 4 * t, 1.0 if t in (0, 6) else 0.05) for t in range(7)]
    got = join([row], motion)[0]
    middle = got[3]
    assert middle is not None
    assert middle.odds[10, 20] > 1.0, "where the flow brings it, nobody having said so"
    assert middle.odds[10, 45] < -1.0
    assert middle.weight.max() < 2.0


def test_colours_and_shape_are_learned() -> None:
    rng = np.random.default_rng(0)
    red = np.clip(rng.normal((200, 30, 30), 8, (500, 3)), 0, 255).astype(np.uint8)
    table = fit_table(colour_bins(red))
    assert np.exp(table.astype(np.float64)).sum() == pytest.approx(1, abs=1e-3)
    ratio = table[colour_bins(red[:50])] - table[colour_bins(255 - red[:50])]
    assert ratio.min() > 3
    assert np.ptp(fit_table(np.zeros(0, np.int32))) == 0
    figure = CROSSING[0]
    near = body_distance(figure.keypoint(0), np.ones(17), 30.0, (20, 0, 100, 120))
    assert near is not None
    truth = figure.body(0)[:, 20:100]
    assert near[truth].mean() < 0 < near[~truth].mean()
    wide = learn_profile(near.ravel(), (near < 0.5).ravel())
    assert (np.diff(wide) <= 0).all()
    at = np.array([[0.3]])
    assert shape_odds(at, wide)[0, 0] > 0 > shape_odds(at, first_profile())[0, 0], "a skirt is learned"
    assert body_distance(figure.keypoint(0), np.zeros(17), 30.0, (0, 0, 50, 50)) is None


def test_a_camera_that_moves_is_found_and_its_background_followed() -> None:
    rng = np.random.default_rng(5)
    wall = cv2.GaussianBlur(rng.integers(0, 255, (120, 260, 3), np.uint8), (0, 0), 2)
    wall = cv2.normalize(wall, None, 0, 255, cv2.NORM_MINMAX)
    pictures = [np.ascontiguousarray(wall[:, 2 * t : 2 * t + 160]) for t in range(16)]
    free = [np.ones((120, 160), bool) for _ in pictures]
    for t, one in enumerate(free):
        one[30:100, 40 + 5 * t : 60 + 5 * t] = False  # somebody walks by
        pictures[t][~one] = (250, 0, 0)
    assert not is_still(pictures, free, 16.0)
    assert is_still([pictures[0]] * 16, free, 16.0)
    flow = np.zeros((120, 160, 2), np.float32)
    flow[..., 0] = -2.0
    step = camera_step(flow, free[0] & free[1])
    assert step is not None
    assert step @ [10, 10, 1] == pytest.approx([8, 10, 1], abs=0.05)
    assert camera_step(flow, np.zeros((120, 160), bool)) is None
    behind = Scenery(pictures=pictures, free=free, step=[step] * 15, fps=16.0).at(5)
    truth = in_roots(wall[:, 10:170])
    hidden = ~free[5] & behind.open
    assert hidden.sum() > 0.9 * (~free[5]).sum()
    assert np.abs(behind.picture - truth)[hidden].mean() < 1.0
    told = behind.log_density(in_roots(pictures[5]), (0, 0, 160, 120))
    assert told[free[5] & behind.open].mean() > told[hidden].mean() + 10


def test_feet_say_who_is_in_front_only_of_people_dressed_alike() -> None:
    red, blue = (fit_table(colour_bins(np.full((200, 3), c, np.uint8))) for c in ((200, 10, 10), (10, 10, 200)))
    assert alike(red, red) == pytest.approx(1, abs=1e-3)
    assert alike(red, blue) == 0
    even = np.full(10, 100.0)
    assert in_front(even + 5, even, np.full(10, 20.0), 1.0, 10.0).min() > 0.9
    assert not in_front(even + 5, even, np.full(10, 20.0), 0.0, 10.0).any()
    assert not in_front(even + 40, even, np.full(10, 20.0), 1.0, 10.0).any(), "one of them is lifted"
    assert not in_front(np.full(10, np.nan), even, np.full(10, 20.0), 1.0, 10.0).any()


def test_a_camera_that_cannot_be_followed_leaves_each_frame_to_itself() -> None:
    """No step is known (fades, flashes): nothing is known behind anybody, and nothing fails."""
    pictures = [np.full((40, 60, 3), t, np.uint8) for t in range(90)]
    free = [np.ones((40, 60), bool)] * 90
    scenery = Scenery(pictures=pictures, free=free, step=[None] * 89, fps=30.0)
    for t in range(90):
        assert not scenery.at(t).known.any()

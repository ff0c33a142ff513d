"""Tracklets -> Segments: GrabCut on drawn people, carried colours, clean frames, looks; the same bytes each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import Poses
from tasks.backends.grabcut import GrabCut, grab
from tasks.ops.clean import clean_rows
from tasks.ops.colour import fit_colours, log_ratio
from tasks.ops.looks_of import frames_to_look_at
from tasks.ops.mask_ops import box_of, fill_holes, keep_body
from tasks.ops.pose_owner import borrowed_poses
from tasks.ops.prompts import prompts_of
from tasks.ops.trimap import Regions, crop_around, regions
from tasks.segment import Config
from tests.draw_tracks import SIZE, Figure, draw, modal, picture, walk

T = 12
APART = [Figure(x=walk(50, 60, T), pieces=[(0, T)]), Figure(x=walk(150, 140, T), look=1, pieces=[(0, T)])]
TOUCHING = [
    Figure(x=walk(75, 88, T), foot=112, pieces=[(0, T)]),
    Figure(x=walk(125, 110, T), foot=106, look=1, pieces=[(0, T)]),
]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def cut(figures: list[Figure], poses: Poses | None = None) -> list[tuple[int, int, float, bytes]]:
    """GrabCut's rows of a drawn scene."""
    scene = draw(figures)
    frames = (picture(figures, t) for t in range(T))
    return list(GrabCut(side=96).segment(frames, scene.tracklets, poses or scene.poses))


def quality(figures: list[Figure], rows: list[tuple[int, int, float, bytes]]) -> np.ndarray:
    """(figures, T) overlap of each row's mask with the truth; tracklets are named in the order of the figures."""
    out = np.zeros((len(figures), T))
    masks = Masks.from_counts((row[3] for row in rows), size=SIZE)
    for i, (t, name, *_) in enumerate(rows):
        out[name, t] = iou(masks.decode(i), modal(figures, name, t))
    return out


def test_people_apart_are_cut_out() -> None:
    rows = cut(APART)
    assert [(t, name) for t, name, *_ in rows] == [(t, name) for t in range(T) for name in (0, 1)]
    assert quality(APART, rows).min() > 0.8
    assert min(score for *_, score, _ in rows) > 0.5


def test_people_who_touch_keep_their_own_colours() -> None:
    assert quality(TOUCHING, cut(TOUCHING)).min(1).min() > 0.6


def test_a_missing_pose_falls_back_on_box_and_prior() -> None:
    scene = draw(APART)
    score = scene.poses.score.copy()
    score[scene.poses.frame >= 6] = 0.0
    got = quality(APART, cut(APART, replace(scene.poses, score=score)))
    assert got[:, 6:].min() > 0.6


def test_no_pose_at_all_still_gives_the_person() -> None:
    scene = draw(APART)
    assert quality(APART, cut(APART, replace(scene.poses, score=np.zeros_like(scene.poses.score)))).mean() > 0.5


def test_equal_frames_give_equal_bytes() -> None:
    assert cut(TOUCHING) == cut(TOUCHING)


def test_a_crop_without_seeds_of_both_kinds_is_not_given_to_grabcut() -> None:
    empty = np.zeros((20, 20), bool)
    piece = np.zeros((20, 20, 3), np.uint8)
    models = fit_colours(np.full((50, 3), 10, np.uint8)), fit_colours(np.full((50, 3), 200, np.uint8))
    nothing = Regions(sure=empty, body=empty, reach=empty, other=empty)
    assert not grab(piece, nothing, models).any()
    everything = Regions(sure=~empty, body=~empty, reach=~empty, other=empty)
    assert grab(piece, everything, models).all()


def test_colours_tell_front_from_back() -> None:
    rng = np.random.default_rng(0)
    red = np.clip(rng.normal((200, 30, 30), 8, (300, 3)), 0, 255).astype(np.uint8)
    grey = np.clip(rng.normal(120, 8, (300, 3)), 0, 255).astype(np.uint8)
    model = fit_colours(grey), fit_colours(red)
    assert model[0].shape == (1, 65)
    assert model[0][0, :5].sum() == pytest.approx(1)
    ratio = log_ratio(np.stack([red[:10], grey[:10]]), *model)
    assert (ratio[0] > 5).all()
    assert (ratio[1] < -5).all()
    with pytest.raises(ValueError, match="at least 5 pixels, got 3"):
        fit_colours(red[:3])


def test_bones_of_another_are_not_this_person() -> None:
    people = [(figure.box(0), figure.keypoint(0), np.full(17, 0.9)) for figure in TOUCHING]
    crop = crop_around(people[0][0], SIZE, margin=0.4, side=96)
    region = regions(people[0], [people[1]], crop, lambda: None)
    assert region.other.any()
    assert not (region.other & region.sure).any()
    twice = regions(people[0], [people[0]], crop, lambda: None)
    assert not twice.other.any(), "the same pose seen twice is nobody else's"


@pytest.mark.parametrize(
    ("frame", "x", "tracklet", "every", "rows"),
    [
        pytest.param([0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 0, 0], 2, [0, 2], id="alone: every second frame"),
        pytest.param([0, 0, 1, 1], [0, 5, 0, 80], [0, 1, 0, 1], 1, [2, 3], id="the frame in which they stand apart"),
        pytest.param(
            [0, 0, 1, 1], [0, 1, 0, 6], [0, 1, 0, 1], 1, [2, 3], id="never apart: the one that overlaps least"
        ),
        pytest.param([0, 1], [0, 0], [-1, -1], 1, [], id="nobody's boxes"),
    ],
)
def test_clean_rows(frame: list[int], x: list[int], tracklet: list[int], every: int, rows: list[int]) -> None:
    box = np.array([[left, 0, left + 20, 50] for left in x], np.float32)
    assert clean_rows(np.array(frame), box, np.array(tracklet), every=every).tolist() == rows


def test_mask_shapes() -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:30, 5:20] = True
    mask[10:12, 10:12] = False  # a hole of 4 pixels
    mask[20:28, 8:16] = False  # and one of 64
    mask[35:38, 35:38] = True
    kept = keep_body(mask, None)
    assert box_of(kept).tolist() == [5, 5, 20, 30]
    assert kept[11, 11]
    assert not kept[24, 12]
    anchor = np.zeros_like(mask)
    anchor[36, 36] = True
    assert box_of(keep_body(mask, anchor)).tolist() == [35, 35, 38, 38], "the part that the skeleton touches"
    assert not fill_holes(np.zeros((4, 4), bool), 0.5).any()


def test_a_pose_seen_through_two_boxes_is_one_of_them() -> None:
    first, second = TOUCHING[0], TOUCHING[1]
    box = np.stack([first.box(6), second.box(6)])
    own = np.stack([first.keypoint(6), second.keypoint(6)])
    score = np.full((2, 17), 0.9)
    assert borrowed_poses(box, own, score).tolist() == [False, False]
    assert borrowed_poses(box, own[[1, 1]], score).tolist() == [True, False]


def test_prompts_are_clean_frames_with_points_on_and_off_the_person() -> None:
    scene = draw(TOUCHING)
    prompts = prompts_of(scene.tracklets, scene.poses, most=3)
    assert sorted(prompts) == [0, 1]
    frames = [prompt.frame for prompt in prompts[0]]
    assert frames == sorted(set(frames))
    assert frames[0] < 4, "the frame in which they stand apart"
    late = draw([replace(figure, pieces=[(8, T)]) for figure in TOUCHING])
    prompt = prompts_of(late.tracklets, late.poses, most=1)[0][0]
    on, off = prompt.points[prompt.labels == 1], prompt.points[prompt.labels == 0]
    assert len(on)
    assert ((on > prompt.box[:2]) & (on < prompt.box[2:])).all()
    truth = modal(TOUCHING, 1, prompt.frame)
    assert all(truth[int(y), int(x)] for x, y in off)


def test_frames_to_look_at_are_spread_and_well_seen() -> None:
    from tests.test_bind import bound

    people = bound(draw(APART), frames=T)
    wanted = frames_to_look_at(people, 3)
    assert [len(frames) for frames in wanted] == [3, 3]
    assert all(frames[0] < 4 <= frames[1] < 8 <= frames[2] for frames in wanted)


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"side": 8}, "side of 32 or more"),
        ({"image_size": 100}, "multiple of 32"),
        ({"reach_s": -1.0}, "0 or more seconds"),
        ({"embed_every": 0}, "embed_every of 1 or more"),
    ],
)
def test_bad_settings(setting: dict[str, float], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Config(**setting)  # type: ignore[arg-type]


def test_real_skaters(shared: Path) -> None:
    """Two skaters well apart: the masks are people-shaped and hold their poses' joints."""
    from tests.real_clip import light_clip

    clip = light_clip(shared, "duet_case01", start=84, frames=12)
    areas = clip.segments.mask.areas()
    box = clip.tracklets.box
    assert len(areas) == len(box) >= 20
    fill = areas / np.prod(box[:, 2:] - box[:, :2], axis=1)
    assert 0.2 < np.median(fill) < 0.7
    held = []
    for i in range(len(areas)):
        mask = clip.segments.mask.decode(i)
        point = np.clip(clip.poses.keypoint[i], 0, np.array(mask.shape[::-1]) - 1).astype(int)
        sure = clip.poses.score[i] > 0.4
        held.append(mask[point[sure, 1], point[sure, 0]].mean())
    assert np.median(held) > 0.85
    assert clip.segments.embedding.any(1).sum() >= 2

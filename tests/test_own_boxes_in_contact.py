"""Boxes of those in contact: what detector, mask, pose and time say of a side, and what is believed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import CameraMotion, People, Tracklets, load_record, save_record
from datasets.store import Store
from tasks import refine
from tasks.batch import Env
from tasks.ops.boxes import paired_iou
from tasks.ops.own_boxes import expected_boxes, own_rows, settle_boxes
from tasks.ops.own_boxes_in_contact import CLEAR, FOUND, MASK, POSE, SHARED, Reach, contact_boxes, side_line
from tests.draw_people import Figure, draw_clip, found_boxes_at, store_clip

T, FPS, SIZE = 48, 24.0, (240, 400)
HEIGHT = 120.0
MEETING = slice(18, 30)  # frames in which the two are in contact
STILL = np.tile(np.eye(2, 3), (T, 1, 1))
# A box's joints, as shares of its size: 10 % of flesh round them.
JOINTS = np.array([[0.1 + 0.8 * (j % 2), 0.1 + 0.8 * j / 16] for j in range(17)])


def walk(start: float, stop: float) -> np.ndarray:
    """(T, 4) boxes of somebody who walks to and fro between two places: 50 px wide, 120 high."""
    x = np.interp(np.arange(T), (0, 18, 29, T - 1), (start, stop, stop, start))
    return np.stack([x, np.full(T, 60.0), x + 50, np.full(T, 60.0 + HEIGHT)], 1)


BEHIND, FRONT = walk(60, 150), walk(300, 172) + np.array([0, -6, 40, 14])


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What detector, mask and pose make of the one behind while they meet: pixels added to their true sides."""

    found: tuple[float, ...] | None = (0, 0, 0, 0)  # None: not found
    mask: tuple[float, ...] | None = (0, 0, 0, 0)
    shared: bool = False  # the other is found in one box with them
    posed: bool = True
    frames: range = field(default_factory=lambda: range(T)[MEETING])  # frames of the meeting in which it is so


def scene(seen: Seen) -> tuple[People, Tracklets]:
    """Both people, with the boxes that they have before, and the found boxes."""
    truth = np.stack([BEHIND, FRONT])
    mask, found = truth.copy(), [(t, FRONT[t]) for t in range(T)]
    behind: dict[int, np.ndarray] = {t: BEHIND[t] for t in range(T)}
    empty = set()
    for t in seen.frames:
        if seen.mask is None:
            empty.add(t)
        else:
            mask[0, t] += seen.mask
        if seen.found is None:
            del behind[t]
        else:
            behind[t] = BEHIND[t] + seen.found
        if seen.shared:
            both = np.stack([BEHIND[t], FRONT[t]])
            found[t] = t, np.concatenate([both[:, :2].min(0), both[:, 2:].max(0)])
    rows = sorted([*found, *behind.items()], key=lambda row: row[0])
    score = np.full((2, T, 17), 0.8, np.float32)
    score[0, seen.frames] *= seen.posed
    drawn = [rectangle(mask[p, t], t in empty and p == 0) for p in range(2) for t in range(T)]
    people = People(
        box=truth.astype(np.float32),
        keypoint=(truth[:, :, None, :2] + JOINTS * (truth[:, :, None, 2:] - truth[:, :, None, :2])).astype(np.float32),
        score=score,
        flag=np.full((2, T, 17), 2, np.uint8),
        mask=Masks.encode(drawn, size=SIZE),
        present=np.ones((2, T), bool),
        visible=np.ones((2, T), np.float32),
        confidence=np.ones((2, T), np.float32),
        skeleton="coco17",
        events=(),
    )
    return replace(people, box=mask.astype(np.float32)), found_boxes_at(rows)


def rectangle(box: np.ndarray, empty: bool) -> np.ndarray:
    """(h, w) bool, true inside a box."""
    out = np.zeros(SIZE, bool)
    x0, y0, x1, y1 = np.round(box).astype(int)
    out[y0:y1, x0:x1] = not empty
    return out


def settled(people: People, found: Tracklets) -> People:
    """As refine settles boxes before: the true boxes tell whose found box is whose."""
    rows = own_rows(replace(people, box=np.stack([BEHIND, FRONT]).astype(np.float32)), found)
    return settle_boxes(people, found, rows, expected_boxes(found, rows, STILL))


def off(people: People) -> float:
    """The largest distance, in heights, of a side of the one behind from where it is while they meet."""
    return float(np.abs(people.box[0, MEETING] - BEHIND[MEETING]).max() / HEIGHT)


@pytest.mark.parametrize(
    ("seen", "wrong"),
    [
        pytest.param(Seen(found=None, mask=(0, 0, 0, -60)), 0.4, id="not found, and the mask lost the legs"),
        pytest.param(Seen(found=None, mask=(0, 0, -30, 0)), 0.2, id="not found, and the mask is cut in front"),
        pytest.param(Seen(found=(0, 0, -20, 0), mask=(0, 0, -16, 0)), 0.1, id="detector and mask lost an arm"),
        pytest.param(Seen(found=None, mask=(0, 0, 0, -60), shared=True), 0.15, id="found in one box, without legs"),
        pytest.param(Seen(found=None, mask=None, shared=True), 0.09, id="found in one box, and no mask"),
        pytest.param(Seen(found=None, mask=(0, 0, 60, 0), frames=range(22, 25)), 0.25, id="a mask with another's arm"),
        pytest.param(Seen(found=None, posed=False), 0.0, id="only the mask speaks, and is right"),
        pytest.param(Seen(found=None, mask=None, frames=range(22, 26)), 0.0, id="for some frames only the pose speaks"),
    ],
)  # fmt: skip
def test_half_hidden_people_have_the_boxes_that_are_theirs(seen: Seen, wrong: float) -> None:
    """wrong: by how much, in heights, their boxes were off before."""
    people, found = scene(seen)
    before = settled(people, found)
    after = contact_boxes(before, found, STILL, fps=FPS)
    assert off(before) >= wrong
    assert off(after) < 0.08
    assert after.mask is before.mask
    assert (after.visible == before.visible).all()


def test_who_stands_free_keeps_their_box() -> None:
    people, found = scene(Seen(found=None, mask=(0, 0, 0, -60)))
    before = settled(replace(people, box=people.box + np.float32(2)), found)
    after = contact_boxes(before, found, STILL, fps=FPS)
    free = np.ones(T, bool)
    free[10:38] = False  # nearer to each other they touch
    assert (after.box[:, free] == before.box[:, free]).all()
    assert (after.box[0, MEETING] != before.box[0, MEETING]).any()


def test_a_side_that_nobody_reaches_is_between_detector_and_mask() -> None:
    """The other stands to the right: there what lies further out is believed, for both may have lost an arm."""
    people, found = scene(Seen(found=(-1, 0, 1, 0), mask=(1, 0, -1, 0)))
    after = contact_boxes(settled(people, found), found, STILL, fps=FPS)
    inner = range(T)[MEETING][3:-3]
    assert after.box[0, inner, 0] == pytest.approx(BEHIND[inner, 0], abs=0.4)
    assert (after.box[0, inner, 2] > BEHIND[inner, 2] + 0.5).all()


def test_who_is_away_says_nothing() -> None:
    people, found = scene(Seen(found=None, mask=(0, 0, 0, -60)))
    present, keypoint, score = people.present.copy(), people.keypoint.copy(), people.score.copy()
    gone = slice(MEETING.stop - 4, T)
    present[0, gone], keypoint[0, gone] = False, 0
    away = replace(people, present=present, visible=people.visible * present, keypoint=keypoint)
    score[0, gone] = 0
    empty = people.mask.select([-1 if p == 0 and t >= gone.start else p * T + t for p in range(2) for t in range(T)])
    silent = replace(away, score=score, mask=empty)
    one, other = (contact_boxes(which, found, STILL, fps=FPS) for which in (away, silent))
    assert (one.box == other.box).all()


def test_whom_no_box_was_ever_found_of_stays() -> None:
    people, found = scene(Seen(found=None, mask=(0, 0, 0, -60), frames=range(T)))
    after = contact_boxes(people, found, STILL, fps=FPS)
    assert (after.box[0] == people.box[0]).all()


def test_where_nothing_else_speaks_the_way_between_does() -> None:
    """Nobody's box jumps to where a hidden person was last guessed."""
    people, found = scene(Seen(found=None, mask=None, posed=False))
    before = settled(people, found)
    guessed = before.box.copy()
    guessed[0, MEETING] += 60
    after = contact_boxes(replace(before, box=guessed), found, STILL, fps=FPS)
    assert np.abs(after.box[0, MEETING] - BEHIND[MEETING]).max() < 6


def test_who_is_found_in_one_box_with_somebody_larger_keeps_their_own_size() -> None:
    """Without a mask or pose, between frames in which they were found."""
    people, found = scene(Seen(found=None, mask=None, posed=False, shared=True))
    after = contact_boxes(settled(people, found), found, STILL, fps=FPS)
    wide = FRONT[MEETING, 2] - BEHIND[MEETING, 0]
    got = after.box[0, MEETING, 2] - after.box[0, MEETING, 0]
    assert (got < 0.5 * (50 + wide)).all(), "the shared box is theirs"


def test_who_jumps_is_followed() -> None:
    """On a trampoline: the top stays on the head all the way up and down."""
    people, found = scene(Seen())
    jump = 0.45 * HEIGHT * np.abs(np.sin(np.pi * np.arange(T) / 14))
    up = jump[:, None] * (0, -1, 0, -1)
    box, keypoint = people.box.copy(), people.keypoint.copy()
    box[0] += up
    keypoint[0, :, :, 1] -= jump[:, None]
    mask = Masks.encode([rectangle(box[p, t], False) for p in range(2) for t in range(T)], size=SIZE)
    mine = np.isclose(found.box[:, 2] - found.box[:, 0], 50)
    seen = np.where(mine[:, None], found.box + up[found.frame], found.box).astype(np.float32)
    jumping = replace(people, box=box, keypoint=keypoint, mask=mask)
    after = contact_boxes(jumping, replace(found, box=seen), STILL, fps=FPS)
    off = np.abs(after.box[0, MEETING, 1] - box[0, MEETING, 1])
    assert off.mean() < 0.02 * HEIGHT, off


def test_the_camera_may_pan() -> None:
    """Shifted by 3 px a frame, with its own steps known, the same comes out, shifted."""
    seen = Seen(found=None, mask=(0, 0, 0, -60))
    people, found = scene(seen)
    still = contact_boxes(settled(people, found), found, STILL, fps=FPS)
    shift, pan = -3.0 * np.arange(T) + 60, STILL.copy()
    pan[:, 0, 2] = 3.0 * np.arange(T)
    across = np.array([1, 0, 1, 0])
    before = settled(people, found)
    moved = replace(
        before,
        box=(before.box + shift[:, None] * across).astype(np.float32),
        keypoint=(before.keypoint + shift[:, None, None] * (1, 0)).astype(np.float32),
        mask=Masks.encode(
            [np.roll(people.mask_at(p, t), int(shift[t]), 1) for p in range(2) for t in range(T)], size=SIZE
        ),
    )  # fmt: skip
    boxes = replace(found, box=(found.box + shift[found.frame, None] * across).astype(np.float32))
    after = contact_boxes(moved, boxes, pan, fps=FPS)
    assert after.box[0, MEETING] == pytest.approx((still.box[0] + shift[:, None] * across)[MEETING], abs=0.1)


@pytest.mark.parametrize("frames", [1, 2])
def test_too_short_a_clip_stays(frames: int) -> None:
    people, found = scene(Seen(found=None))
    short = replace(
        people, box=people.box[:, :frames], keypoint=people.keypoint[:, :frames], score=people.score[:, :frames],
        flag=people.flag[:, :frames], present=people.present[:, :frames], visible=people.visible[:, :frames],
        confidence=people.confidence[:, :frames], mask=people.mask.select([0] * (2 * frames)),
    )  # fmt: skip
    assert contact_boxes(short, found, STILL[:frames], fps=FPS) is short


def voices(*said: tuple[float, Reach], frames: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(what is said, how much further in it may be, how much further out) of each voice, the same in every frame."""
    table = [(place, reach.inside, reach.outside) for place, reach in said]
    place, inside, outside = np.repeat(np.array(table).T[..., None], frames, 2)
    return place, inside, outside


@pytest.mark.parametrize(
    ("said", "low", "high"),
    [
        pytest.param([(0.0, MASK), (0.1, POSE)], 0.03, 0.1, id="a lost limb: the pose draws outwards"),
        pytest.param([(0.0, MASK), (-0.1, POSE)], -0.01, 0.0, id="nothing draws inwards of a mask"),
        pytest.param([(0.0, FOUND), (-0.1, POSE)], -0.01, 0.0, id="nor of a found box"),
        pytest.param([(0.0, SHARED), (0.1, POSE)], 0.0, 0.01, id="nothing draws out of a shared box"),
        pytest.param([(0.0, CLEAR), (0.0, CLEAR), (0.8, CLEAR)], -0.01, 0.01, id="two against one"),
    ],
)
def test_a_side_is_where_those_who_speak_may_err(said: list[tuple[float, Reach]], low: float, high: float) -> None:
    line = side_line(*voices(*said), hurry=0.01)
    assert low <= line.min()
    assert line.max() <= high


def test_a_straight_way_is_kept_through_silence_and_past_outliers() -> None:
    said, inside, outside = voices((0.0, CLEAR))
    way = 0.02 * np.arange(40.0)
    said[0] = way
    said[0, 12:20] = np.nan
    said[0, 30] += 0.5
    assert side_line(said, inside, outside, hurry=0.003) == pytest.approx(way, abs=2e-3)


def test_silence_of_a_thousand_frames_is_no_trouble() -> None:
    said, inside, outside = voices((0.0, CLEAR), frames=1200)
    said[0, 30:] = np.nan
    assert np.abs(side_line(said, inside, outside, hurry=3 / 240**2)).max() < 0.01
    said[0, 1:] = np.nan
    assert np.abs(side_line(said, inside, outside, hurry=3 / 240**2)).max() < 0.01


def twice(said: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every frame two times."""
    return np.repeat(said, 2, 1), np.repeat(inside, 2, 1), np.repeat(outside, 2, 1)


def test_twice_the_frames_give_the_same_line() -> None:
    rng = np.random.default_rng(5)
    slow, inside, outside = voices((0.0, POSE), frames=60)
    slow[0] = np.sin(np.arange(60) / 8) + 0.05 * rng.normal(size=60)
    half = side_line(*twice(slow, inside, outside), hurry=10 / 48**2)
    whole = side_line(slow, inside, outside, hurry=10 / 24**2)
    assert (half[::2] + half[1::2])[5:-5] / 2 == pytest.approx(whole[5:-5], abs=0.01)


def refined(folder: Path, masks: Literal["light", "keep"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two who walk past each other, through the stage: the boxes (T, 4) of the one behind, the true whole ones, and in
    which frames (T,) no box of theirs is found."""
    figures = Figure(start=(0.25, 0.85), stop=(0.75, 0.85)), Figure(start=(0.75, 0.92), stop=(0.25, 0.92), height=0.66)
    people, pictures = draw_clip(figures, frames=40)
    lost = people.visible[0] < 0.8
    rows = [(t, people.box[p, t]) for t in range(40) for p in range(2) if p or not lost[t]]
    found = found_boxes_at(rows)
    store = Store(str(folder))
    item = store_clip(store, "drawn", people, pictures)

    def tracked(out: Path) -> None:
        save_record(found, out / "tracklets.npz")
        save_record(CameraMotion(step=np.tile(np.eye(2, 3, dtype=np.float32), (40, 1, 1))), out / "camera.npz")

    track, _ = store.make("track", "a" * 32, tracked)
    bind, _ = store.make("bind", "b" * 32, lambda out: save_record(people, out / "people.npz"))
    item = replace(item, artifacts={**item.artifacts, "track": track, "bind": bind})
    config = refine.Config(repair=False, masks=masks, estimator=None, smooth=False)
    refine.compute(item, config, Env(store=store, weights="", download=False, threads=1), folder)
    return load_record(People, folder / "people.npz").box[0], draw_clip(figures[:1], frames=40)[0].box[0], lost


def test_the_stage_ends_with_these_boxes(tmp_path: Path) -> None:
    box, whole, lost = refined(tmp_path, "light")
    assert lost.sum() > 5
    assert paired_iou(box[lost], whole[lost]).min() > 0.9


def test_where_masks_are_kept_the_settled_boxes_are_too(tmp_path: Path) -> None:
    box, whole, lost = refined(tmp_path, "keep")
    assert paired_iou(box[lost], whole[lost]).min() < 0.8

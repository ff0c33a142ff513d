"""Frames and pixels of brought files in the clip's own: turned, stretched, made smaller, and at a constant rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.masks import Masks
from datasets.records import Clip
from datasets.store import Store
from datasets.video import read_frames
from tasks import bring, probe, shots
from tasks.batch import Batch, Env, Item
from tasks.brought import boxes_in, masks_in
from tasks.clips import clip_of
from tasks.ops.given import given_tracklets, match_people, match_poses, name_brought, people_ids, rows_between
from tasks.ops.placing import Frame, Placing, place
from tests.make_videos import CLOCKWISE, MIRRORED, write_video

BRIGHT = 200


def spot(size: tuple[int, int], t: int) -> np.ndarray:
    """A picture with a bright rectangle, higher than wide, that moves down with time."""
    picture = np.full((*size, 3), 30, np.uint8)
    picture[6 + 2 * t : 22 + 2 * t, 10:18] = BRIGHT
    return picture


def taken_in(video: Path, folder: Path, **cut: object) -> list[tuple[Item, Clip, Path]]:
    """The clips of a video with what stands beside it."""
    env = Env(store=Store(str(folder / "store")), download=False)
    batch = Batch(items=(probe.source_item(video, video.name, env.store),))
    batch = bring.bring.fn(probe.probe.fn(batch, probe.Config(), env), bring.Config(), env)
    batch = shots.shots.fn(batch, shots.Config(min_s=0.1, crf=0, **cut), env)
    assert not batch.rejects, batch.rejects
    return [(item, *clip_of(item)) for item in batch.items]


def add_spot_masks(video: Path, masks: list[np.ndarray]) -> None:
    folder = video.with_suffix(".masks") / "1"
    folder.mkdir(parents=True)
    for t, mask in enumerate(masks):
        Image.fromarray(mask).save(folder / f"{t}.png")


def add_spot_boxes(video: Path, boxes: list[tuple[float, float, float, float]]) -> None:
    rows = [f"{t},1,{x0},{y0},{x1 - x0},{y1 - y0},1" for t, (x0, y0, x1, y1) in enumerate(boxes, 1)]
    video.with_suffix(".mot.txt").write_text("\n".join(rows))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


@pytest.mark.parametrize(
    ("matrix", "size", "scale"),
    [
        pytest.param(None, (48, 64), 1, id="as it lies"),
        pytest.param(None, (48, 64), 2, id="as it lies, half of it"),
        pytest.param(CLOCKWISE, (48, 64), 1, id="a phone held upright"),
        pytest.param(CLOCKWISE, (48, 64), 2, id="a phone held upright, half of it"),
        pytest.param(CLOCKWISE, (50, 66), 1, id="turned, other sides"),
        # A mirrored picture has the size of the upright one: its masks must be upright.
        pytest.param(MIRRORED, (48, 64), 1, id="mirrored"),
    ],
)
def test_masks_of_the_stored_picture_lie_on_the_upright_one(tmp_path, matrix, size, scale):
    """Masks drawn on the pictures as stored, at their size or half of it, cover the spot in the clip."""
    pictures = [spot(size, t) for t in range(8)]
    video = write_video(tmp_path / "v.mp4", pictures, matrix=matrix, options={"crf": "0"})
    masks = [picture[::scale, ::scale, 0] == BRIGHT for picture in pictures]
    if matrix is MIRRORED:
        masks = [mask[:, ::-1] for mask in masks]
    add_spot_masks(video, masks)
    ((item, clip, path),) = taken_in(video, tmp_path)
    given = masks_in(item, clip)
    assert given.frame.tolist() == list(range(8))
    assert given.mask.size == clip.size
    for i, frame in enumerate(read_frames(path)):
        assert overlap(given.mask.decode(i), frame[..., 0] > 115) > (0.97 if scale == 1 else 0.75)


def test_boxes_without_a_size_are_of_the_upright_video(tmp_path):
    video = write_video(tmp_path / "v.mp4", [spot((48, 64), t) for t in range(8)], matrix=CLOCKWISE)
    # Turned clockwise, (x, y) of the stored picture comes to (48 - y, x).
    add_spot_boxes(video, [(48 - 22 - 2 * t, 10, 48 - 6 - 2 * t, 18) for t in range(8)])
    ((item, clip, path),) = taken_in(video, tmp_path)
    boxes = boxes_in(item, clip)
    for (x0, y0, x1, y1), frame in zip(boxes.box.astype(int), read_frames(path), strict=True):
        inside = np.zeros(clip.size, bool)
        inside[y0:y1, x0:x1] = True
        assert overlap(inside, frame[..., 0] > 115) > 0.95


def test_clips_made_smaller(tmp_path):
    pictures = [spot((96, 128), t) for t in range(8)]
    video = write_video(tmp_path / "v.mp4", pictures)
    add_spot_masks(video, [picture[..., 0] == BRIGHT for picture in pictures])
    add_spot_boxes(video, [(10, 6 + 2 * t, 18, 22 + 2 * t) for t in range(8)])
    ((item, clip, path),) = taken_in(video, tmp_path, max_side=64)
    assert clip.size == (48, 64)
    given, boxes = masks_in(item, clip), boxes_in(item, clip)
    np.testing.assert_array_equal(boxes.box[3], [5, 6, 9, 14])
    for i, frame in enumerate(read_frames(path)):
        assert overlap(given.mask.decode(i), frame[..., 0] > 115) > 0.75


def test_frames_are_those_that_the_decoder_gives(tmp_path):
    """Of a video at an uneven rate frames are left out or shown twice: their masks go with them."""
    times = [0, 40, 80, 300, 340, 380, 385, 390, 420, 460, 500]
    pictures = [spot((48, 64), t) for t in range(len(times))]
    video = write_video(tmp_path / "v.mp4", pictures, times=times, options={"crf": "0", "bf": "0"})
    add_spot_masks(video, [picture[..., 0] == BRIGHT for picture in pictures])
    ((item, clip, path),) = taken_in(video, tmp_path)
    source = probe.source_of(item)
    assert source.variable
    assert len(set(source.frame_map.tolist())) < len(source.frame_map)
    given = masks_in(item, clip)
    assert given.frame.tolist() == list(range(clip.frames))
    for i, frame in enumerate(read_frames(path)):
        assert overlap(given.mask.decode(i), frame[..., 0] > 115) > 0.97


def test_the_second_clip_begins_where_the_first_ends(tmp_path):
    pictures = [spot((48, 64), t % 8) for t in range(20)]
    video = write_video(tmp_path / "v.mp4", pictures)
    add_spot_masks(video, [picture[..., 0] == BRIGHT for picture in pictures])
    clips = taken_in(video, tmp_path, max_s=0.4)
    assert len(clips) == 2
    for item, clip, path in clips:
        given = masks_in(item, clip)
        assert given.frame.tolist() == given.annotated.tolist() == list(range(10))
        for i, frame in enumerate(read_frames(path)):
            assert overlap(given.mask.decode(i), frame[..., 0] > 115) > 0.9


UPRIGHT = Frame(coded=(48, 64), square=(48, 64), quarter_turns=0, mirrored=False, upright=(48, 64))
TURNED = Frame(coded=(48, 64), square=(48, 64), quarter_turns=1, mirrored=False, upright=(64, 48))
WIDE = Frame(coded=(48, 64), square=(48, 85), quarter_turns=0, mirrored=False, upright=(48, 84))


@pytest.mark.parametrize(
    ("given", "frame", "clip", "point", "want"),
    [
        pytest.param(None, UPRIGHT, (48, 64), (10, 20), (10, 20), id="no size"),
        pytest.param((48, 64), UPRIGHT, (48, 64), (10, 20), (10, 20), id="the video's"),
        pytest.param((24, 32), UPRIGHT, (48, 64), (5, 10), (10, 20), id="half of it"),
        pytest.param((48, 64), UPRIGHT, (24, 32), (10, 20), (5, 10), id="a smaller clip"),
        pytest.param((64, 48), TURNED, (64, 48), (10, 20), (10, 20), id="turned already"),
        pytest.param((48, 64), TURNED, (64, 48), (0, 0), (48, 0), id="to be turned: left top goes right top"),
        pytest.param((24, 32), TURNED, (64, 48), (32, 24), (0, 64), id="to be turned, half of it"),
        pytest.param((48, 64), WIDE, (48, 84), (64, 48), (85, 48), id="to be stretched"),
        pytest.param((48, 85), WIDE, (48, 84), (10, 20), (10, 20), id="with the odd column"),
        pytest.param((48, 48), UPRIGHT, (48, 64), None, None, id="another shape"),
    ],
)
def test_place(given, frame, clip, point, want):
    found = place(given, frame, clip)
    if want is None:
        assert found is None
        return
    np.testing.assert_allclose(found.points(np.array([point], float))[0], want, atol=1e-5)
    box = found.boxes(np.array([[0, 0, *(given or frame.upright)[::-1]]], float))[0]
    full = place(None, frame, clip).boxes(np.array([[0, 0, *frame.upright[::-1]]], float))[0]
    np.testing.assert_allclose(box, full, atol=1.01)


def test_a_turn_takes_points_where_it_takes_pixels():
    rng = np.random.default_rng(0)
    for turns in range(4):
        for mirrored in (False, True):
            mask = np.zeros((20, 30), bool)
            y, x = rng.integers(0, 20), rng.integers(0, 30)
            mask[y, x] = True
            size = (20, 30) if turns % 2 == 0 else (30, 20)
            placing = Placing(given=(20, 30), mirrored=mirrored, quarter_turns=turns, scale=(1.0, 1.0), size=size)
            moved = placing.masks(Masks.encode([mask], size=(20, 30))).decode(0)
            at = np.argwhere(moved)
            assert len(at) == 1
            np.testing.assert_allclose(placing.points(np.array([[x + 0.5, y + 0.5]]))[0], at[0][::-1] + 0.5)


# Which rows are whose


def test_an_id_is_one_tracklet_however_long_its_gaps():
    frame = np.array([0, 1, 2, 40, 41])
    box = np.array([[0, 0, 10, 30.0]] * 5)
    assert given_tracklets(frame, box, np.full(5, 7), 25.0).tolist() == [0] * 5


def test_an_id_is_cut_where_nobody_could_have_moved_so():
    frame = np.array([0, 0, 1, 1, 2, 2])
    left, right = [0, 0, 10, 30], [400, 0, 410, 30]
    box = np.array([left, right, left, right, right, left], float)
    ids = np.array([3, 9, 3, 9, 3, 9])
    assert given_tracklets(frame, box, ids, 25.0).tolist() == [0, 1, 0, 1, 2, 3]


def test_rows_between_stay_within_gaps_that_the_file_does_not_speak_of():
    frame, ids = np.array([0, 4, 12]), np.array([1, 1, 1])
    assert rows_between(frame, ids, np.array([0, 4, 12]), 6) == [(1, 0, 1), (2, 0, 1), (3, 0, 1)]
    assert rows_between(frame, ids, np.array([0, 2, 4, 12]), 6) == []


def test_poses_go_to_boxes_one_to_one():
    box = np.array([[0, 0, 20, 40], [15, 0, 35, 40]], float)
    keypoint = np.array([[[17, 5], [33, 35]], [[2, 5], [18, 35]], [[90, 5], [95, 35]]], float)
    none = np.full(3, -1)
    assert match_poses(box, none[:2], keypoint, np.ones((3, 2)), none).tolist() == [1, 0]
    assert match_poses(box, np.array([5, 6]), keypoint, np.ones((3, 2)), np.array([5, 6, 7])).tolist() == [0, 1]
    assert match_poses(box, none[:2], keypoint[2:], np.ones((1, 2)), none[:1]).tolist() == [-1, -1]
    assert match_poses(box, none[:2], keypoint, np.zeros((3, 2)), none).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("ids", "numbered", "want"),
    [
        pytest.param([1, 2], True, {1: 1, 2: 2}, id="numbers mean the same"),
        pytest.param([1, 2], False, {1: 2, 2: 1}, id="names say nothing"),
        pytest.param([8, 9], True, {8: 2, 9: 1}, id="other numbers"),
    ],
)
def test_people_of_two_files(ids, numbered, want):
    a, b = [0, 0, 10, 30], [50, 0, 60, 30]
    rows = np.array([a, b, a, b], float)
    found = match_people(
        np.array([0, 0, 1, 1]), rows, np.array([1, 2, 1, 2]), np.array([0, 0]), np.array([b, a], float), np.array(ids),
        numbered=numbered,
    )  # fmt: skip
    assert found == want


def test_ids_of_bound_people():
    a, b = [0, 0, 10, 30], [50, 0, 60, 30]
    box = np.array([[b, b], [a, a], [[200, 0, 210, 30]] * 2], float)
    seen = np.ones((3, 2), bool)
    rows = np.array([a, b, a, b], float)
    assert people_ids(box, seen, np.array([0, 0, 1, 1]), rows, np.array([4, 7, 4, 7])) == [7, 4, -1]


def test_names_by_brought_ids():
    one, two, three = name_brought([[7, 3], [3, -1], [-1]])
    assert (one.identity, two.identity, three.identity) == (("p0001", "p0002"), ("p0002", "p0003"), ("p0004",))
    assert [*one.confidence, *two.confidence, *three.confidence] == [1, 1, 1, 0, 0]

"""Points on people: where they begin, how long they are followed, and on whose mask they are seen."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from datasets.masks import Masks
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.point_tracks import _APART, PointTracks, _corners, follow_points, watched
from tests.test_bind_evidence import track

SIZE = (100, 160)
Place = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A rectangle of noise that moves before a wall of noise."""

    at: Sequence[Place]  # (T,) x, y of its upper left corner; it may lie off the picture
    size: tuple[int, int] = (48, 36)  # (h, w)
    look: int = 0  # another: dressed otherwise


@dataclass(frozen=True, kw_only=True, eq=False)
class Film:
    """What was drawn: the pictures, and of each frame what is seen of each patch, (P, h, w) bool."""

    pictures: list[np.ndarray]
    seen: list[np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sights:
    """What was followed; owner (M,): which mask of its frame holds each sight."""

    points: PointTracks
    owner: np.ndarray

    def on(self, owner: int, *frames: int) -> set[int]:
        """The points that lie on one mask in each of these frames."""
        here = (set(self.points.point[(self.points.frame == t) & (self.owner == owner)].tolist()) for t in frames)
        return set.intersection(*here)

    def at(self, *frames: int) -> set[int]:
        """The points that are seen in any of these frames."""
        return set(self.points.point[np.isin(self.points.frame, frames)].tolist())


def path(start: Place, step: Place, frames: int) -> list[Place]:
    """Straight, `step` pixels a frame."""
    return [(start[0] + t * step[0], start[1] + t * step[1]) for t in range(frames)]


@functools.cache
def noise(size: tuple[int, int], seed: int, grain: float) -> np.ndarray:
    """(h, w, 3) uint8 with spots of about `grain` pixels."""
    rough = np.random.default_rng(seed).normal(size=(*size, 3))
    soft = cv2.GaussianBlur(rough, (0, 0), grain)
    return np.clip(128 + 60 * soft / soft.std(), 0, 255).astype(np.uint8)


def film(*patches: Patch, size: tuple[int, int] = SIZE, grain: float = 1.5) -> Film:
    """Later patches are nearer."""
    wall = noise(size, 99, grain)
    pictures, seen = [], []
    for t in range(len(patches[0].at)):
        picture, masks = wall.copy(), np.zeros((len(patches), *size), bool)
        for p, patch in enumerate(patches):
            (x, y), (h, w) = patch.at[t], patch.size
            x0, x1 = np.clip([x, x + w], 0, size[1])
            y0, y1 = np.clip([y, y + h], 0, size[0])
            picture[y0:y1, x0:x1] = noise(patch.size, 10 * patch.look + p, grain)[y0 - y : y1 - y, x0 - x : x1 - x]
            masks[:, y0:y1, x0:x1] = False
            masks[p, y0:y1, x0:x1] = True
        pictures.append(picture)
        seen.append(masks)
    return Film(pictures=pictures, seen=seen)


def followed(pictures: list[np.ndarray], masks: Sequence[np.ndarray], wanted: Sequence[bool] | None = None) -> Sights:
    """masks: of each frame, (K, h, w); K may differ."""
    rows = [(t, k) for t, stack in enumerate(masks) for k in range(len(stack))]
    crops = MaskCrops(Masks.encode((masks[t][k] for t, k in rows), size=pictures[0].shape[:2]))
    frame = np.array([t for t, _ in rows], np.int32)
    want = np.ones(len(pictures), bool) if wanted is None else np.array(wanted)
    points = follow_points(pictures, crops, frame, want)
    assert (frame[points.segment] == points.frame).all(), "a sight on another frame's mask"
    pairs = np.stack([points.point, points.frame], 1)
    assert len(np.unique(pairs, axis=0)) == len(pairs), "a point seen twice in a frame"
    return Sights(points=points, owner=np.array([k for _, k in rows], int)[points.segment])


STILL = film(Patch(at=path((30, 20), (0, 0), 6)))
# Two who go different ways, and the share of the picture that they are followed in.
SMALL = film(Patch(at=path((10, 10), (2, 1), 10), size=(60, 60)), Patch(at=path((110, 40), (-2, 0), 10)))
LARGE = film(
    Patch(at=path((40, 40), (12, 4), 8), size=(400, 200)),
    Patch(at=path((700, 80), (-9, 2), 8), size=(400, 200)),
    size=(540, 960),
    grain=5,
)


@pytest.mark.parametrize(
    ("drawn", "scale"),
    [pytest.param(SMALL, 1.0, id="as it is"), pytest.param(LARGE, 176 / 400, id="made smaller")],
)
def test_points_stay_on_whom_they_began_on(drawn: Film, scale: float) -> None:
    sights = followed(drawn.pictures, drawn.seen)
    last = len(drawn.pictures) - 1
    for p in (0, 1):
        cells = drawn.seen[0][p].sum() * scale**2 / _APART**2
        assert 0.7 * cells < len(sights.on(p, 0)) < 1.5 * cells, "about one a cell"
        assert len(sights.on(p, 0, last)) > 0.7 * len(sights.on(p, 0))
    owners = np.unique(np.stack([sights.points.point, sights.owner]), axis=1)[0]
    assert (np.bincount(owners) > 1).sum() <= 0.02 * len(set(owners.tolist())), "points went over to the other"


@pytest.mark.parametrize("drawn", [pytest.param(SMALL, id="as it is"), pytest.param(LARGE, id="made smaller")])
def test_a_point_keeps_its_place_on_the_body(drawn: Film) -> None:
    # Six masks beside each other for one body: which of them holds a point says where on the body it lies.
    strips = []
    for seen in drawn.seen:
        columns = np.flatnonzero(seen[0].any(0))
        edge = np.linspace(columns[0], columns[-1] + 1, 7).round()
        strip = np.searchsorted(edge, np.arange(seen.shape[2]), side="right") - 1
        strips.append(np.stack([seen[0] & (strip == k) for k in range(6)]))
    sights = followed(drawn.pictures, strips)
    last = len(strips) - 1
    kept = [[len(sights.on(a, 0) & sights.on(b, last)) for b in range(6)] for a in range(6)]
    assert np.diag(kept).min() >= 4
    assert np.trace(kept) > 0.9 * np.sum(kept), "only a few lie on an edge"
    assert np.triu(kept, 2).sum() + np.tril(kept, -2).sum() == 0, "a point is a strip off its place"


def test_points_are_lost_when_their_body_is_hidden() -> None:
    back, front = Patch(at=path((60, 30), (0, 0), 24)), Patch(at=path((0, 20), (5, 0), 24), size=(70, 50))
    drawn = film(back, front)
    hidden = [t for t, seen in enumerate(drawn.seen) if not seen[0].any()]
    assert hidden
    sights = followed(drawn.pictures, drawn.seen)
    before, after = sights.on(0, 0), sights.on(0, 23)
    assert min(len(before), len(after)) > 20
    assert not before & after, "points of somebody who was hidden came back"
    assert len(before & sights.on(1, 23)) <= 2, "points stuck to the one in front"
    inner = sights.on(1, 6)
    assert len(inner & sights.on(1, 18)) > 0.6 * len(inner), "the one in front keeps theirs"


def test_points_are_lost_where_they_do_not_come_back_to_their_place() -> None:
    other = film(Patch(at=path((30, 20), (0, 0), 3), look=1))
    sights = followed([*STILL.pictures[:3], *other.pictures], STILL.seen)
    before, after = sights.at(0, 1, 2), sights.at(3, 4, 5)
    assert min(len(before), len(after)) > 20
    assert len(before & after) < 0.3 * len(before), "another picture altogether"


def test_none_begin_off_masks() -> None:
    drawn = film(Patch(at=path((10, 10), (2, 0), 8)), Patch(at=path((90, 30), (0, 1), 8)))
    # The second is without a mask for five frames.
    masks = [seen[:1] if t < 5 else seen for t, seen in enumerate(drawn.seen)]
    sights = followed(drawn.pictures, masks)
    point, first = np.unique(sights.points.point, return_index=True)
    assert point.tolist() == list(range(len(point))), "a point was begun that lies on no mask"
    assert (np.diff(sights.points.frame[first]) >= 0).all(), "a point was begun before anybody's mask held it"
    assert not sights.on(1, 5) & sights.at(0, 1, 2, 3, 4)


def test_what_several_masks_hold_is_nobodys() -> None:
    whole = STILL.seen[0][0]
    left = whole & (np.arange(SIZE[1]) < 48)
    masks = [np.stack([whole]), np.stack([whole, whole]), np.stack([whole, left]), np.stack([whole])]
    sights = followed(STILL.pictures[:4], masks)
    assert not sights.at(1)
    assert sights.at(2) == sights.on(0, 2)
    assert 0.3 < len(sights.at(2)) / len(sights.at(0)) < 0.7, "only the right half is one person's"
    assert sights.at(3) == sights.at(0), "followed all the same"


def test_where_a_point_is_none_is_taken_anew() -> None:
    sights = followed(STILL.pictures, STILL.seen)
    assert all(sights.at(t) == sights.at(0) for t in range(6))
    assert len(sights.at(0)) > 20


@pytest.mark.parametrize("seed", range(4))
def test_new_ones_are_the_best_corners_of_cells_without_any(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grey = noise((60, 90), seed, 1.5)[..., 0].copy()
    grey[:, 40:] = np.where(rng.random((60, 50)) < 0.01, 255, 90)  # few corners here
    masks, window = rng.random((2, 37, 52)) < 0.6, (21, 10, 73, 47)
    taken = rng.uniform((0, 0), (89, 59), (40, 2)).astype(np.float32)
    worth = cv2.cornerMinEigenVal(grey[10:47, 21:73], 5) * masks.any(0)
    want = []
    for y, x in itertools.product(range(0, 37, _APART), range(0, 52, _APART)):
        cell = worth[y : y + _APART, x : x + _APART]
        held = ((taken >= (x + 21, y + 10)) & (taken < (x + 21 + _APART, y + 10 + _APART))).all(1).any()
        if cell.max() > 1e-4 and not held:
            row, column = np.unravel_index(cell.argmax(), cell.shape)
            want.append([21 + x + column, 10 + y + row])
    assert 5 < len(want) < 50
    assert _corners(grey, masks, window, 1.0, taken).tolist() == want


def test_nothing_is_followed_over_frames_that_are_not_watched() -> None:
    sights = followed(STILL.pictures, STILL.seen, [False, True, True, False, True, True])
    assert set(sights.points.frame.tolist()) == {1, 2, 4, 5}
    assert sights.at(1) == sights.at(2)
    assert sights.at(4) == sights.at(5)
    assert len(sights.at(1)) == len(sights.at(4)) > 20
    assert max(sights.at(1, 2)) < min(sights.at(4, 5)), "a number was given twice"


def test_points_are_followed_through_frames_without_masks() -> None:
    none = np.zeros((0, *SIZE), bool)
    sights = followed(STILL.pictures, [none, STILL.seen[0], none, np.zeros((1, *SIZE), bool), STILL.seen[0], none])
    assert set(sights.points.frame.tolist()) == {1, 4}
    assert sights.at(1) == sights.at(4)
    assert len(sights.at(1)) > 20


def test_a_clip_without_any_mask() -> None:
    assert not len(followed(STILL.pictures, [np.zeros((0, *SIZE), bool)] * 6).points.segment)


def test_no_picture_is_read_that_is_not_wanted() -> None:
    read: list[int] = []

    def pictures() -> Iterator[np.ndarray]:
        for t in itertools.count():
            read.append(t)
            yield STILL.pictures[t]

    crops = MaskCrops(Masks.encode([STILL.seen[0][0]] * 6, size=SIZE))
    assert len(follow_points(pictures(), crops, np.arange(6), np.zeros(6, bool)).point) == 0
    assert read == [], "a picture was decoded for nothing"
    some = follow_points(pictures(), crops, np.arange(6), np.array([0, 0, 1, 1, 0, 0], bool))
    assert set(some.frame.tolist()) == {2, 3}
    assert read == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("size", "body", "step"),
    [
        pytest.param(SIZE, (48, 36), (12, 0), id="to the right"),
        pytest.param(SIZE, (48, 36), (-12, 0), id="to the left"),
        pytest.param(SIZE, (48, 36), (0, 11), id="below"),
        pytest.param((540, 960), (300, 100), (71, 0), id="to the right, large"),
        pytest.param((960, 540), (300, 100), (0, 83), id="below, large"),
    ],
)
def test_who_leaves_the_frame_takes_their_points_along(
    size: tuple[int, int], body: tuple[int, int], step: Place
) -> None:
    start = (size[1] // 2 - body[1] // 2, size[0] // 2 - body[0] // 2)
    drawn = film(Patch(at=path(start, step, 13), size=body), size=size, grain=1.5 * max(body) / 48)
    assert not drawn.seen[-1].any()
    sights = followed(drawn.pictures, drawn.seen)
    whole, part = ({t for t, seen in enumerate(drawn.seen) if seen.sum() > least} for least in (200, 0))
    assert whole <= set(sights.points.frame.tolist()) <= part


@pytest.mark.parametrize("size", [SIZE, (540, 960)])
def test_one_pixel_at_any_edge(size: tuple[int, int]) -> None:
    wall = noise(size, 3, 4)
    masks = np.zeros((5, 1, *size), bool)
    masks[0, :, :, -1] = masks[1, :, -1] = masks[2, :, :, 0] = masks[3, :, 0] = True
    masks[4, :, -1, -1] = True
    assert set(followed([wall] * 5, list(masks)).points.frame.tolist()) <= set(range(5))


def test_equal_pictures_give_equal_points() -> None:
    one, two = (followed(SMALL.pictures, SMALL.seen).points for _ in range(2))
    for name in ("point", "frame", "segment"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    assert len(one.point) > 300


@pytest.mark.parametrize(
    ("spans", "window", "reach", "runs"),
    [
        pytest.param([], 5, 2, [], id="nobody"),
        pytest.param([(0, 30), (3, 30)], 5, 2, [], id="two who stay"),
        pytest.param([(0, 10), (15, 30)], 5, 1, [(9, 16)], id="found as late as may be"),
        pytest.param([(0, 10), (16, 30)], 5, 1, [], id="too late"),
        pytest.param([(0, 10), (9, 30)], 5, 3, [], id="found before the other is lost"),
        pytest.param([(0, 10), (2, 30), (12, 30), (15, 30)], 9, 1, [(9, 16)], id="several"),
        pytest.param([(0, 5), (5, 20), (21, 30)], 3, 1, [(4, 6), (19, 22)], id="cut, and lost and found"),
        pytest.param([(0, 2), (3, 28), (29, 30)], 4, 5, [(0, 8), (23, 30)], id="at both ends"),
    ],
)
def test_what_is_watched(spans: list[tuple[int, int]], window: int, reach: int, runs: list[tuple[int, int]]) -> None:
    tracks = [track(start, stop, (50, 60)) for start, stop in spans]
    want = np.zeros(30, bool)
    for start, stop in runs:
        want[start:stop] = True
    got = watched(tracks, 30, window=window, reach=reach)
    assert got.dtype == bool
    assert np.flatnonzero(got).tolist() == np.flatnonzero(want).tolist()


def test_sights_that_do_not_fit_together_are_refused() -> None:
    two, three = np.arange(2), np.arange(3)
    with pytest.raises(ValueError, match="of one length, got 2, 3 and 3"):
        PointTracks(point=two, frame=three, segment=three)
    with pytest.raises(ValueError, match="of one length, got 3, 3 and 2"):
        PointTracks(point=three, frame=three, segment=two)
    with pytest.raises(ValueError, match="ascending by frame"):
        PointTracks(point=three, frame=np.array([0, 2, 1]), segment=three)
    assert len(PointTracks(point=three, frame=np.array([1, 1, 1]), segment=three).frame) == 3

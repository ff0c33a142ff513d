"""Which way heads are turned -> who goes on as whom: of poses, of drawn tracks, and in whole bindings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from datasets.records import Poses
from datasets.skeleton import SKELETONS, Skeleton
from tasks.ops.bind import Rules, bind
from tasks.ops.cast import Shot, Watched
from tasks.ops.facing import FacingScales, by_facing, nose_places
from tasks.ops.point_tracks import PointTracks
from tasks.ops.tracks import Track
from tests.draw_tracks import FPS, SIZE, Figure, Scene, draw, walk
from tests.test_bind import bound, whose
from tests.test_bind_by_points import PLACES, STILL, TURN, T, pair

SCALES = FacingScales()
TORSO = 40.0  # of who stands here, pixels
STANDS = {
    "nose": (100.0, 80.0),
    "left_shoulder": (110.0, 100.0),
    "right_shoulder": (90.0, 100.0),
    "left_hip": (108.0, 140.0),
    "right_hip": (92.0, 140.0),
}
LARGE = {name: (2 * x, 2 * y) for name, (x, y) in STANDS.items()}
NAN = float("nan")


def layout(name: str, joints: Sequence[str]) -> Skeleton:
    """A keypoint layout of these joints."""
    return Skeleton(name=name, joints=tuple(joints), limbs=(), mirror=(), sigma=())


def pose(moved: Mapping[str, tuple[float, float]], score: Mapping[str, float], skeleton: str) -> Poses:
    """One pose of who stands here, some joints elsewhere or less sure; of all other joints nothing is seen."""
    at = {**STANDS, **moved}
    joints = SKELETONS[skeleton].joints
    return Poses(
        frame=np.zeros(1, np.int32),
        keypoint=np.array([[at.get(name, (0.0, 0.0)) for name in joints]], np.float32),
        score=np.array([[score.get(name, 0.9 if name in at else 0.0) for name in joints]], np.float32),
        skeleton=skeleton,
    )


@pytest.mark.parametrize("skeleton", ["coco17", "coco133", "backwards"])
@pytest.mark.parametrize(
    ("moved", "score", "place"),
    [
        pytest.param({}, {}, 0.0, id="straight ahead"),
        pytest.param({"nose": (110, 80)}, {}, 0.25, id="to the right of the picture"),
        pytest.param({"nose": (90, 80)}, {}, -0.25, id="to the left"),
        pytest.param({"nose": (110, 95)}, {}, 0.25, id="to the right and down"),
        pytest.param({"left_shoulder": (130, 100)}, {}, -10 / np.hypot(40, 10), id="of the middle of both shoulders"),
        pytest.param({"left_hip": (138, 140), "right_hip": (122, 140), "nose": (110, 80)}, {}, 0.2, id="leaning"),
        pytest.param({**LARGE, "nose": (220, 160)}, {}, 0.25, id="twice as large"),
        pytest.param({"nose": (400, 80)}, {}, 1.5, id="a misplaced nose is not worth all of its way"),
        pytest.param({"nose": (-400, 80)}, {}, -1.5, id="nor to the left"),
        pytest.param({"left_hip": (100, 106), "right_hip": (100, 106), "nose": (103, 80)}, {}, 0.5, id="six pixels"),
        pytest.param({"left_hip": (100, 104), "right_hip": (100, 104), "nose": (103, 80)}, {}, NAN, id="four pixels"),
        *[pytest.param({}, {name: 0.29}, NAN, id=f"no {name}") for name in STANDS],
        *[pytest.param({}, {name: 0.31}, 0.0, id=f"hardly a {name}") for name in STANDS],
        pytest.param({"left_ear": (0, 0)}, {"left_ear": 0.1}, 0.0, id="no ear: nobody asks for it"),
    ],
)
def test_where_the_nose_is(
    monkeypatch: pytest.MonkeyPatch,
    skeleton: str,
    moved: dict[str, tuple[float, float]],
    score: dict[str, float],
    place: float,
) -> None:
    monkeypatch.setitem(SKELETONS, "backwards", layout("backwards", SKELETONS["coco17"].joints[::-1]))
    found = nose_places(pose(moved, score, skeleton), SCALES)
    assert found == pytest.approx([place], abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("lacks", sorted(STANDS))
def test_a_skeleton_without_one_of_these_joints_has_no_facing(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    joints = [name for name in SKELETONS["coco17"].joints if name != lacks]
    monkeypatch.setitem(SKELETONS, "less", layout("less", joints))
    assert np.isnan(nose_places(pose({}, {}, "less"), SCALES)).tolist() == [True]


def test_each_row_for_itself_and_no_row_none() -> None:
    right, unseen = pose({"nose": (110, 80)}, {}, "coco17"), pose({}, {"nose": 0.0}, "coco17")
    both = replace(
        right, frame=np.zeros(2, np.int32),
        keypoint=np.concatenate([right.keypoint, unseen.keypoint]), score=np.concatenate([right.score, unseen.score]),
    )  # fmt: skip
    assert nose_places(both, SCALES) == pytest.approx([0.25, NAN], nan_ok=True)
    none = replace(right, frame=right.frame[:0], keypoint=right.keypoint[:0], score=right.score[:0])
    assert nose_places(none, SCALES).shape == (0,)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A track from start to stop: where its nose is, in torsos (NaN: not seen), and how free its box."""

    start: int
    stop: int
    nose: float | Sequence[float]
    apart: float | Sequence[float] = 1.0
    every: int = 1  # frames from row to row

    def track(self, row: Sequence[int]) -> Track:
        """With these rows of the poses."""
        frame = np.arange(self.start, self.stop, self.every)
        n, box = len(frame), np.zeros((len(frame), 4))
        return Track(
            tracklet=0, row=np.array(row), frame=frame, box=box, steady=box, score=np.ones(n),
            apart=np.array(np.broadcast_to(self.apart, n)), segment=np.full(n, -1), look=None,
        )  # fmt: skip


def told(*pieces: Piece, fps: float = FPS) -> np.ndarray:
    """What the heads of these say: their poses lie among each other, by frame."""
    every = [range(piece.start, piece.stop, piece.every) for piece in pieces]
    rows = sorted((t, k) for k, frames in enumerate(every) for t in frames)
    nose = [dict(zip(at, np.broadcast_to(p.nose, len(at)), strict=True)) for p, at in zip(pieces, every, strict=True)]
    places = [float(nose[k][t]) for t, k in rows]
    one = pose({}, {}, "coco17")
    keypoint, score = np.repeat(one.keypoint, len(rows), 0), np.repeat(one.score, len(rows), 0)
    keypoint[:, 0, 0] += np.nan_to_num(places) * TORSO
    score[np.isnan(places), 0] = 0.0
    poses = Poses(frame=np.array([t for t, _ in rows], np.int32), keypoint=keypoint, score=score, skeleton="coco17")
    tracks = [piece.track([i for i, (_, n) in enumerate(rows) if n == k]) for k, piece in enumerate(pieces)]
    return by_facing(tracks, np.ones(len(tracks), bool), poses, fps, SCALES)


def nats(gone: float, gap_s: float = 0.0) -> float:
    """What it is worth that a nose went so far, in torsos, over so many seconds unseen."""
    return SCALES.weight * float(np.log(SCALES.even / (SCALES.least + gone)) * np.exp(-gap_s / SCALES.fade_s))


@pytest.mark.parametrize("turned", [1, -1])
def test_of_two_who_walk_past_each_other_each_looks_where_they_did(turned: int) -> None:
    before = [Piece(start=0, stop=20, nose=0.25), Piece(start=0, stop=20, nose=-0.25)]
    after = [Piece(start=27, stop=47, nose=0.25 * turned), Piece(start=27, stop=47, nose=-0.25 * turned)]
    found = told(*before, *after)
    same, other = (found[[0, 1], [2, 3]], found[[0, 1], [3, 2]])[::turned]
    assert same.min() > 1 > -1 > other.max()
    assert same == pytest.approx(2 * [nats(0.0, 7 / FPS)])
    assert other == pytest.approx(2 * [nats(0.5, 7 / FPS)])


def test_the_end_of_the_first_is_held_against_the_beginning_of_the_second() -> None:
    turns = Piece(start=0, stop=40, nose=walk(-0.25, 0.25, 40))
    after = [Piece(start=40, stop=80, nose=nose) for nose in (0.25, -0.25)]
    found = told(turns, *after)
    assert found[0, 1] > 1.5 > -1 > found[0, 2]


@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
@pytest.mark.parametrize(
    "turned",
    [
        pytest.param(0.0, id="not at all"),
        pytest.param(SCALES.even - SCALES.least, id="so far that it says nothing"),
        pytest.param(0.5, id="far"),
    ],
)
def test_what_heads_say_fades_with_the_gap(turned: float, fps: float) -> None:
    first, gaps = Piece(start=0, stop=20, nose=0.0), (0, 3, 10, 30)
    after = [Piece(start=20 + gap, stop=40 + gap, nose=turned) for gap in gaps]
    assert told(first, *after, fps=fps)[0, 1:] == pytest.approx([nats(turned, gap / fps) for gap in gaps], abs=1e-5)


def ending(early: float, *last: float) -> np.ndarray:
    """Thirty places of a nose: at first here, in the last frames there."""
    return np.r_[np.full(30 - len(last), early), last]


HERE, THERE = 0.25, -0.25


@pytest.mark.parametrize("side", [1, -1], ids=["end", "beginning"])
@pytest.mark.parametrize(
    ("nose", "apart", "gone"),
    [
        pytest.param(ending(HERE), ending(1), 0.0, id="in plain sight"),
        pytest.param(ending(NAN), ending(1), None, id="never seen"),
        pytest.param(ending(NAN, HERE), ending(1), None, id="seen once"),
        pytest.param(ending(NAN, HERE, HERE), ending(1), 0.0, id="seen twice"),
        pytest.param(ending(HERE, *[NAN] * 12), ending(1), None, id="gone all but once for half a second"),
        pytest.param(ending(HERE, *[NAN] * 11), ending(1), 0.0, id="gone for less"),
        pytest.param(ending(HERE), ending(1, *[0.35] * 13), None, id="covered for half a second"),
        pytest.param(ending(HERE, *[THERE] * 8), ending(1, *[0.35] * 8), 0.0, id="covered: the pose is the other's"),
        pytest.param(ending(HERE, *[THERE] * 8), ending(1, *[0.45] * 8), 0.5, id="hardly covered: it is their own"),
        pytest.param(ending(HERE, HERE, -1, HERE, -1, HERE), ending(1), 0.0, id="misplaced now and then"),
        pytest.param(ending(THERE, *[HERE] * 3), ending(1), 0.0, id="turned three frames before"),
        pytest.param(ending(HERE, *[THERE] * 3), ending(1), 0.5, id="turned away three frames before"),
        pytest.param(ending(HERE, *[THERE] * 2), ending(1), 0.0, id="turned away two frames before"),
        pytest.param(ending(THERE, *[HERE, NAN] * 5), ending(1), 0.0, id="of those that show the head"),
    ],
)
def test_what_counts_of_a_track_s_end(nose: np.ndarray, apart: np.ndarray, gone: float | None, side: int) -> None:
    varied, plain = (nose[::side], apart[::side]), (ending(HERE), ending(1))
    first, second = (varied, plain)[::side]
    pieces = [Piece(start=30 * k, stop=30 * k + 30, nose=n, apart=a) for k, (n, a) in enumerate((first, second))]
    assert told(*pieces)[0, 1] == pytest.approx(0.0 if gone is None else nats(gone))
    assert np.isfinite(told(*pieces)).all()


def to_and_fro(frames: int, step: float) -> np.ndarray:
    """A nose that goes evenly, half a torso to each side and back."""
    return np.abs((np.arange(frames) * step) % 2 - 1) - 0.5


@pytest.mark.parametrize("fps", [25.0, 50.0])
@pytest.mark.parametrize(
    ("restless", "unseen", "every", "counts"),
    [
        pytest.param(0.0, 0, 1, 1, id="nobody moves"),
        pytest.param(0.5, 0, 1, 1, id="calmer than others: no more than for them"),
        pytest.param(1.0, 0, 1, 1, id="as others"),
        pytest.param(2.0, 0, 1, 2, id="twice as restless"),
        pytest.param(4.0, 0, 1, 4, id="four times"),
        pytest.param(4.0, 5, 1, 4, id="four times, every fifth head unseen"),
        pytest.param(4.0, 0, 2, 1, id="found in every second frame: none a quarter of a second apart by rows"),
    ],
)
def test_in_a_restless_clip_a_turn_counts_less(
    restless: float, unseen: int, every: int, counts: float, fps: float
) -> None:
    """Two pieces of still heads half a torso apart, beside somebody who looks about."""
    frames = round(12 * fps)
    nose = to_and_fro(frames, restless * SCALES.steady / round(0.25 * fps))
    if unseen:
        nose[::unseen] = NAN
    looks_about = Piece(start=0, stop=frames, nose=nose[::every], every=every)
    found = told(Piece(start=0, stop=20, nose=0.25), Piece(start=20, stop=40, nose=-0.25), looks_about, fps=fps)
    assert found[0, 1] == pytest.approx(nats(0.5 / counts), abs=1e-4)


def test_nobody_s_heads_say_nothing() -> None:
    assert told().shape == (0, 0)
    assert told(Piece(start=0, stop=3, nose=NAN)).tolist() == [[0.0]]


def faced(scene: Scene, nose: Sequence[float], turn: int = T) -> Scene:
    """Each figure with the nose so many torsos to the right, from a frame on as many to the left."""
    keypoint, figures = scene.poses.keypoint.copy(), np.array(nose)[scene.owner]
    torso = keypoint[:, [11, 12], 1].mean(1) - keypoint[:, [5, 6], 1].mean(1)
    keypoint[:, 0, 0] += np.where(scene.poses.frame < turn, figures, -figures) * torso
    return replace(scene, poses=replace(scene.poses, keypoint=keypoint))


def slid(scene: Scene, at: int = T // 2) -> Scene:
    """Both tracklets go on with the other person from a frame on."""
    tracklet = np.where(scene.tracklets.frame < at, scene.tracklets.tracklet, 1 - scene.tracklets.tracklet)
    return replace(
        scene,
        tracklets=replace(scene.tracklets, tracklet=tracklet),
        segments=replace(scene.segments, tracklet=tracklet),
    )


BRIEFLY, ALL = [(0, 29), (31, T)], [(0, T)]
NEAR = pair(np.r_[walk(60, 88, 20), np.full(20, 88), walk(88, 60, 20)], [BRIEFLY, BRIEFLY])
PAST = pair(np.r_[walk(60, 88, 20), walk(88, 112, 20), walk(112, 140, 20)], [BRIEFLY, BRIEFLY])
AWAY = pair(100 - 2 * np.abs(np.arange(T) - 30.0), [ALL, ALL])
RIGHT, EXCHANGED = [{0}, {1}], [{0, 1}, {0, 1}]


@pytest.mark.parametrize(
    ("figures", "slides", "by_boxes"),
    [
        pytest.param(TURN, False, EXCHANGED, id="they turn back unseen, though all moves as if they passed"),
        pytest.param(PLACES, False, EXCHANGED, id="they change places unseen"),
        pytest.param(PAST, False, EXCHANGED, id="they pass, lost for two frames"),
        pytest.param(NEAR, False, RIGHT, id="they stand close and part again, lost for two frames"),
        pytest.param(AWAY, False, None, id="they turn back, never lost"),
        pytest.param(AWAY, True, None, id="they turn back, and their tracklets slide"),
    ],
)
def test_heads_decide_who_is_who(figures: list[Figure], slides: bool, by_boxes: list[set[int]] | None) -> None:
    scene = slid(draw(figures)) if slides else draw(figures)
    plain, look_on, look_back = (
        bound(one, T) for one in (scene, faced(scene, [0.25, -0.25]), faced(scene, [0.25, -0.25], T // 2))
    )
    if by_boxes is None:
        assert "doubt" in {event.kind for event in plain.events}, "boxes alone were sure: heads confirm them"
    else:
        assert whose(plain, figures, scene) == by_boxes
    assert whose(look_on, figures, scene) == RIGHT
    assert whose(look_back, figures, scene) == EXCHANGED
    for people in (look_on, look_back):
        assert "doubt" not in {event.kind for event in people.events}


def test_heads_count_beside_points_that_say_nothing() -> None:
    none = np.zeros(0, np.int64)
    nothing = Watched(points=PointTracks(point=none, frame=none, segment=none))
    scene = draw(TURN)
    for nose, owners in (([0.0, 0.0], EXCHANGED), ([0.25, -0.25], RIGHT)):
        one, shot = faced(scene, nose), Shot(frames=T, fps=FPS, size=SIZE)
        people = bind(one.tracklets, one.poses, one.segments, STILL, shot, Rules(), lambda tracks, crops: nothing)[0]
        assert whose(people, TURN, scene) == owners


def test_heads_seen_for_a_moment_between_do_not_decide() -> None:
    """Four frames within a contact, in which each head seems to be the other's: too few to be sure of anything."""
    moment = [(0, 24), (28, 32), (36, T)]
    figures = pair(np.r_[walk(60, 90, 20), np.full(20, 90), walk(90, 60, 20)], [moment, moment])
    scene = faced(draw(figures), [0.25, -0.25])
    keypoint, within = scene.poses.keypoint.copy(), (scene.poses.frame >= 28) & (scene.poses.frame < 32)
    keypoint[within, 0, 0] += np.where(scene.owner[within] == 0, -0.5, 0.5) * 25.6
    assert whose(bound(replace(scene, poses=replace(scene.poses, keypoint=keypoint)), T), figures, scene) == RIGHT


def test_heads_that_all_look_ahead_say_as_little_as_unseen_ones() -> None:
    scene = draw(TURN)
    score = scene.poses.score.copy()
    score[:, 0] = 0.0
    ahead, unseen = bound(scene, T), bound(replace(scene, poses=replace(scene.poses, score=score)), T)
    assert np.array_equal(ahead.present, unseen.present)
    assert ahead.confidence == pytest.approx(unseen.confidence, abs=1e-6)

"""Tracklets -> People: identities through crossings, gaps and ghosts, and doubt where it is due."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import HIDDEN, UNKNOWN, VISIBLE, CameraMotion, People, Poses
from tasks.ops.bind import Rules, bind
from tasks.ops.bind_solve import cover
from tasks.ops.cast import Limits, Shot
from tasks.ops.occlusion import exclusive, flags
from tasks.ops.pose_binding import bind_poses
from tests.draw_tracks import FPS, SIZE, Figure, Scene, draw, modal, walk

T = 50


def bound(scene: Scene, frames: int = T, **limits: int | None) -> People:
    """The people of a scene."""
    shot = Shot(frames=frames, fps=FPS, size=SIZE)
    camera = CameraMotion(step=np.tile(np.eye(2, 3, dtype=np.float32), (frames, 1, 1)))
    rules = Rules(limits=Limits(**limits))  # type: ignore[arg-type]
    return bind(scene.tracklets, scene.poses, scene.segments, camera, shot, rules)[0]


def whose(people: People, figures: list[Figure], scene: Scene) -> list[set[int]]:
    """For each identity the figures that its boxes lay on, in the frames in which it was found."""
    found = {(int(t), int(i)) for t, i in zip(scene.tracklets.frame, scene.owner, strict=True)}
    out: list[set[int]] = []
    for p in range(people.num_people):
        own = set()
        for t in range(people.num_frames):
            if not people.score[p, t].any():
                continue
            near = [(abs(figures[i].x[t] - people.box[p, t, [0, 2]].mean()), i) for f, i in found if f == t]
            if near and min(near)[0] < 8 and len([d for d, _ in near if d < 16]) == 1:
                own.add(min(near)[1])
        out.append(own)
    return out


def kinds(people: People) -> set[str]:
    """The kinds of events that happened."""
    return {event.kind for event in people.events}


CROSS_A, CROSS_B = walk(30, 170, T), walk(170, 30, T)
MEET = np.r_[walk(50, 95, 20), np.full(10, 95), walk(95, 50, 20)]
MEET_B = np.r_[walk(150, 105, 20), np.full(10, 105), walk(105, 150, 20)]


@pytest.mark.parametrize(
    ("figures", "count", "events"),
    [
        pytest.param(
            [
                Figure(x=CROSS_A, foot=112, pieces=[(0, 22), (28, T)]),
                Figure(x=CROSS_B, foot=106, look=1, pieces=[(0, 22), (28, T)]),
            ],
            2,
            {"crossing"},
            id="two people cross, lost for six frames",
        ),
        pytest.param(
            [
                Figure(x=CROSS_A, foot=112, pieces=[(0, 25), (25, T)]),
                Figure(x=CROSS_B, foot=106, pieces=[(0, 25), (25, T)]),
            ],
            2,
            {"crossing"},
            id="two people in the same clothes cross without a pause",
        ),
        pytest.param(
            [
                Figure(x=np.full(T, 100.0), foot=114, height=90, pieces=[(0, T)]),
                Figure(x=walk(40, 165, T), foot=106, look=1, pieces=[(0, 15), (33, T)]),
            ],
            2,
            {"gap", "crossing"},
            id="one hides behind the other and comes out on the far side",
        ),
        pytest.param(
            [
                Figure(x=np.full(T, 60.0), pieces=[(0, T)]),
                Figure(x=walk(120, 195, T), look=1, pieces=[(0, 40)]),
            ],
            2,
            {"exit"},
            id="one leaves through the edge",
        ),
        pytest.param(
            [
                Figure(x=walk(30, 100, T), pieces=[(0, 20), (24, T)]),
                Figure(x=walk(100, 170, T), look=1, pieces=[(0, T)]),
                Figure(x=walk(170, 30, T), foot=104, look=2, pieces=[(0, 11), (16, 30), (36, T)]),
            ],
            3,
            {"crossing"},
            id="three people, one passes behind both",
        ),
        pytest.param(
            [
                Figure(x=walk(60, 80, T), pieces=[(0, T)]),
                Figure(x=walk(140, 120, T), look=1, pieces=[(0, T)]),
                Figure(x=walk(142, 122, T), foot=108, height=70, look=1, score=0.35, pieces=[(10, 16)]),
            ],
            2,
            {"repair"},
            id="a ghost on somebody's body",
        ),
        pytest.param(
            [
                Figure(x=walk(60, 80, T), pieces=[(0, T)]),
                Figure(x=walk(140, 120, T), look=1, pieces=[(0, T)]),
                Figure(x=np.full(T, 20.0), foot=60, height=20, look=2, pieces=[(0, T)]),
            ],
            2,
            {"repair"},
            id="audience far behind",
        ),
        pytest.param(
            [
                Figure(x=walk(60, 80, T), pieces=[(0, T)]),
                Figure(x=walk(140, 120, T), look=1, pieces=[(0, T)]),
                Figure(x=walk(190, 185, T), foot=104, look=2, pieces=[(0, 6)]),
            ],
            2,
            {"repair"},
            id="someone passes by at the edge",
        ),
    ],
)
def test_identities(figures: list[Figure], count: int, events: set[str]) -> None:
    scene = draw(figures)
    people = bound(scene)
    assert people.num_people == count
    owners = whose(people, figures, scene)
    assert all(len(own) == 1 for own in owners), f"an identity lies on several people: {owners}"
    assert len(set.union(*owners)) == count, "two identities lie on one person"
    assert events <= kinds(people)


def test_the_one_who_left_is_not_present() -> None:
    figures = [
        Figure(x=np.full(T, 60.0), pieces=[(0, T)]),
        Figure(x=walk(120, 195, T), look=1, pieces=[(0, 40)]),
    ]
    people = bound(draw(figures))
    assert people.present[0].all()
    assert people.present[1, :40].all()
    assert not people.present[1, 40:].any()


def test_the_hidden_one_is_present_and_not_visible() -> None:
    figures = [
        Figure(x=np.full(T, 100.0), foot=114, height=90, pieces=[(0, T)]),
        Figure(x=walk(40, 165, T), foot=106, look=1, pieces=[(0, 15), (33, T)]),
    ]
    people = bound(draw(figures))
    hidden = people.box[:, 0, 0].argmin()
    assert people.present[hidden].all()
    assert people.visible[hidden, 16:32].max() < 0.75
    assert people.visible[hidden, 22:26].max() < 0.3, "behind the other's middle"
    assert not people.mask.areas().reshape(2, T)[hidden, 16:32].any()
    middle = people.box[hidden, 24, [0, 2]].mean()
    assert abs(middle - figures[1].x[24]) < 8, "the box is not interpolated through the gap"


@pytest.mark.parametrize(
    ("look", "unsure"),
    [
        pytest.param(0, True, id="look-alikes meet, merge and part: nobody can tell"),
        pytest.param(1, False, id="different clothes: the look tells"),
    ],
)
def test_confidence_drops_where_it_must(look: int, unsure: bool) -> None:
    figures = [
        Figure(x=MEET, pieces=[(0, 18), (32, T)]),
        Figure(x=MEET_B, look=look, pieces=[(0, 18), (32, T)]),
    ]
    people = bound(draw(figures))
    assert people.num_people == 2
    low = people.confidence[:, 15:35].min()
    assert (low < 0.65) == unsure, f"confidence {low}"
    assert ("doubt" in kinds(people)) == unsure
    assert people.confidence[:, :5].min() > 0.9, "the doubt spreads to frames that are sure"


def test_the_number_of_people_can_be_given() -> None:
    figures = [
        Figure(x=walk(40, 60, T), pieces=[(0, T)]),
        Figure(x=walk(110, 100, T), look=1, pieces=[(0, T)]),
        Figure(x=walk(160, 170, T), look=2, pieces=[(10, 40)], score=0.6),
    ]
    scene = draw(figures)
    assert bound(scene).num_people == 3
    assert bound(scene, people=2).num_people == 2
    assert whose(bound(scene, people=2), figures, scene) == [{0}, {1}]


def test_short_gap_is_filled_and_a_long_one_left_open() -> None:
    figures = [Figure(x=walk(40, 90, T), pieces=[(0, 10), (15, 30), (42, T)])]
    people = bound(draw(figures))
    area = people.mask.areas()
    assert (area[10:15] > 0).all()
    assert (area[31:41] == 0).all()
    assert people.present.all()
    assert (people.score[0, 10:15] == 0).all(), "an interpolated pose is not seen"
    truth = figures[0].keypoint(12)
    assert np.abs(people.keypoint[0, 12] - truth).max() < 2
    assert {"repair", "gap"} <= kinds(people)


def test_nobody() -> None:
    people = bound(draw([Figure(x=walk(40, 41, T), pieces=[])]))
    assert people.num_people == 0


def test_equal_input_gives_equal_people() -> None:
    scene = draw([Figure(x=CROSS_A, pieces=[(0, 22), (28, T)]), Figure(x=CROSS_B, look=1, pieces=[(0, T)])])
    one, two = bound(scene), bound(scene)
    assert one.mask.rle.tobytes() == two.mask.rle.tobytes()
    assert one.events == two.events
    assert np.array_equal(one.box, two.box)


def test_masks_are_exclusive_and_boxes_tight() -> None:
    figures = [
        Figure(x=walk(70, 96, T), foot=112, pieces=[(0, T)]),
        Figure(x=walk(128, 108, T), foot=106, look=1, pieces=[(0, T)]),
    ]
    scene = draw(figures)
    # What a segmenter may do: each mask claims all of its body, the hidden part too.
    whole = Masks.encode(
        (figures[i].body(int(t)) for t, i in zip(scene.tracklets.frame, scene.owner, strict=True)), size=SIZE
    )
    people = bound(replace(scene, segments=replace(scene.segments, mask=whole)))
    for t in range(0, T, 7):
        a, b = people.mask_at(0, t), people.mask_at(1, t)
        assert not (a & b).any()
        for p, mask in enumerate((a, b)):
            y, x = np.nonzero(mask)
            assert people.box[p, t].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
    front, behind = people.mask_at(0, 48), people.mask_at(1, 48)
    truth = modal(figures, 0, 48), modal(figures, 1, 48)
    assert (front & truth[0]).sum() > 0.75 * truth[0].sum()
    assert people.visible[0, 48] > people.visible[1, 48]
    assert (behind & ~truth[1]).sum() < 0.35 * behind.sum()


def test_a_contested_pixel_goes_to_who_stands_lower_where_bones_are_as_near() -> None:
    near, far = Figure(x=[100.0], foot=115, pieces=[]), Figure(x=[100.0], foot=113, pieces=[])
    claim = np.stack([near.body(0), near.body(0)])
    box = np.stack([near.box(0), far.box(0)])
    point = np.stack([near.keypoint(0), far.keypoint(0)])
    masks = exclusive(claim, box, point, np.ones((2, 17)), np.ones(2, bool))
    assert masks[0].sum() > 0.8 * claim[0].sum()
    seen_and_guessed = exclusive(claim, box, point, np.ones((2, 17)), np.array([False, True]))
    assert not seen_and_guessed[0].any(), "a guessed mask took pixels from a seen one"


def test_flags() -> None:
    front, behind = Figure(x=[100.0], foot=115, pieces=[]), Figure(x=[112.0], foot=110, pieces=[])
    masks = np.stack([modal([front, behind], 0, 0), modal([front, behind], 1, 0)])
    point = np.stack([front.keypoint(0), behind.keypoint(0)])
    score = np.ones((2, 17))
    score[0, 9] = 0.0
    flag = flags(masks, np.arange(2), point, score, 2)
    assert (np.delete(flag[0], 9) == VISIBLE).all()
    assert flag[0, 9] == UNKNOWN
    assert flag[1, 6] == HIDDEN, "the shoulder behind the other's body"
    assert flag[1, 7] == VISIBLE, "the elbow that sticks out"


@pytest.mark.parametrize(
    ("given", "owner"),
    [
        pytest.param([0, 1], [0, 1], id="each in their own mask"),
        pytest.param([1, 0], [1, 0], id="exchanged: both change hands"),
        pytest.param([0, 0], [0, -1], id="one body seen twice: the other has none"),
    ],
)
def test_a_pose_belongs_to_the_mask_that_holds_it(given: list[int], owner: list[int]) -> None:
    figures = [Figure(x=[90.0], foot=112, pieces=[]), Figure(x=[112.0], foot=108, pieces=[])]
    masks = np.stack([modal(figures, 0, 0), modal(figures, 1, 0)])
    box = np.stack([figure.box(0) for figure in figures])
    point = np.stack([figures[i].keypoint(0) for i in given])
    assert bind_poses(box, point, np.full((2, 17), 0.9), masks).tolist() == owner


def test_a_missing_pose_is_empty_and_its_mask_stays() -> None:
    scene = draw(
        [Figure(x=walk(90, 95, T), foot=112, pieces=[(0, T)]), Figure(x=walk(115, 110, T), look=1, pieces=[(0, T)])]
    )
    first = scene.owner == 0
    keypoint, score = scene.poses.keypoint.copy(), scene.poses.score.copy()
    # In frames 20 to 29 both boxes got the pose of the second person.
    for t in range(20, 30):
        keypoint[first & (scene.poses.frame == t)] = keypoint[~first & (scene.poses.frame == t)]
    poses = Poses(frame=scene.poses.frame, keypoint=keypoint, score=score, skeleton="coco17")
    people = bound(replace(scene, poses=poses))
    left = int(people.box[:, 0, 0].argmin())
    assert (people.score[left, 20:30] == 0).all()
    assert (people.score[1 - left] > 0).all()
    assert (people.mask.areas().reshape(2, T)[left] > 0).all()
    assert any(event.kind == "repair" and event.people == (left,) for event in people.events)


def _brute(link: np.ndarray, start: np.ndarray, end: np.ndarray, nobody: np.ndarray, person: float) -> float:
    """The cost of the best cover by trying all of them."""
    n = len(start)
    best = np.inf
    for after in itertools.product(*([[-2, -1, *list(range(i + 1, n))] for i in range(n)])):
        # -2: nobody's, -1: the chain ends here
        following = [j for j in after if j >= 0]
        if len(set(following)) < len(following) or any(after[j] == -2 for j in following):
            continue
        cost = 0.0
        for i, j in enumerate(after):
            if j == -2:
                cost += nobody[i]
                continue
            cost += link[i, j] if j >= 0 else end[i]
            if i not in following:
                cost += start[i] + person
        best = min(best, cost)
    return float(best)


@pytest.mark.parametrize("seed", range(8))
def test_the_cover_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 5
    link = np.where(np.triu(rng.random((n, n)) < 0.8, 1), rng.random((n, n)) * 6, np.inf)
    start, end, nobody = rng.random(n) * 3, rng.random(n) * 3, rng.random(n) * 8
    got = cover(link, start, end, nobody, person=2.0)
    assert got.cost == pytest.approx(_brute(link, start, end, nobody, 2.0))

"""People whose identities, poses, sides and presence broke in time: put back, told of, and never harmed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import Event, People, load_record
from datasets.skeleton import COCO17
from datasets.store import Store
from tasks import exact
from tasks.ops import faults
from tasks.ops.crossings import crossings
from tasks.ops.reorder import reorder
from tasks.ops.repair import repair
from tasks.ops.repair_steps import Scales, steps_of
from tasks.ops.repair_swaps import cheapest, find_order, permutations
from tests.draw_people import Figure, draw_clip

FPS = 25.0
PAIR = [Figure(start=(0.25, 0.88), stop=(0.75, 0.88)), Figure(start=(0.75, 0.9), stop=(0.25, 0.9))]
GROUP = [
    *PAIR,
    Figure(start=(0.5, 0.97), stop=(0.5, 0.97), height=0.7),
    Figure(start=(0.12, 0.8), stop=(0.3, 0.8), height=0.5),
]
CROWD = [Figure(start=(0.1 + 0.11 * i, 0.9), stop=(0.87 - 0.11 * i, 0.9), height=0.5) for i in range(8)]
AWAY = [Figure(start=(0.9, 0.9), stop=(1.3, 0.9)), Figure(start=(0.3, 0.9), stop=(0.4, 0.9))]


def same(one: People, other: People) -> bool:
    """Whether two records hold the same of everyone, but for confidence and events."""
    names = ("box", "keypoint", "score", "flag", "present", "visible")
    if one.present.shape != other.present.shape or any((getattr(one, n) != getattr(other, n)).any() for n in names):
        return False
    return one.mask.rle.tobytes() == other.mask.rle.tobytes() and (one.mask.offset == other.mask.offset).all()


def turning(people: People) -> People:
    """Everyone turns about their own axis, twice a clip: left and right pass each other at speed."""
    middle = people.keypoint[:, :, 5:13].mean(2, keepdims=True)
    wide = np.cos(np.linspace(0, 4 * np.pi, people.num_frames))[None, :, None]
    keypoint = people.keypoint.copy()
    keypoint[..., 0] = middle[..., 0] + (keypoint[..., 0] - middle[..., 0]) * wide
    return replace(people, keypoint=keypoint)


@pytest.mark.parametrize(
    "people",
    [
        pytest.param(lambda: draw_clip(PAIR)[0], id="two of one height pass each other"),
        pytest.param(lambda: draw_clip(GROUP)[0], id="four, one in front of all"),
        pytest.param(lambda: draw_clip(CROWD)[0], id="eight in a row change sides"),
        pytest.param(lambda: draw_clip(AWAY)[0], id="one walks out of the picture"),
        pytest.param(lambda: turning(draw_clip(PAIR)[0]), id="two turn about themselves"),
        pytest.param(lambda: draw_clip([Figure(seen=(30, 50)), Figure(start=(0.7, 0.9))])[0], id="one is there late"),
        pytest.param(lambda: draw_clip([Figure()])[0], id="one alone"),
        pytest.param(lambda: draw_clip(PAIR, frames=1)[0], id="one frame"),
        pytest.param(lambda: draw_clip(PAIR, frames=2)[0], id="two frames"),
    ],
)
def test_what_is_not_broken_is_not_touched(people):
    whole = people()
    out, events = repair(whole, fps=FPS)
    assert events == ()
    assert same(out, whole)
    assert (out.confidence == whole.confidence).all()


@pytest.mark.parametrize(
    ("figures", "inject"),
    [
        pytest.param(PAIR, lambda p: faults.swap(p, 0, 1, 24, 50), id="swapped where they meet, for good"),
        pytest.param(PAIR, lambda p: faults.swap(p, 0, 1, 22, 27), id="swapped where they meet, and back"),
        pytest.param(PAIR, lambda p: faults.swap(p, 0, 1, 8, 9), id="swapped for one frame, apart"),
        pytest.param(PAIR, lambda p: faults.swap(p, 0, 1, 1, 50), id="swapped from the second frame"),
        pytest.param(
            GROUP, lambda p: faults.swap(faults.swap(p, 0, 1, 25, 50), 1, 2, 25, 50), id="three changed at one frame"
        ),
        pytest.param(
            GROUP, lambda p: faults.swap(faults.swap(p, 0, 2, 20, 40), 1, 3, 23, 50), id="two pairs, one in the other"
        ),
        pytest.param(CROWD, lambda p: faults.swap(p, 2, 5, 10, 40), id="two of eight"),
        pytest.param(PAIR, lambda p: faults.swap_poses(p, 0, 1, 5, 15), id="poses alone exchanged, apart"),
        pytest.param(PAIR, lambda p: faults.swap_poses(p, 0, 1, 20, 30), id="poses alone exchanged, in contact"),
        pytest.param(PAIR, lambda p: faults.flip(p, 0, 10, 16, COCO17.mirror), id="left and right for six frames"),
        pytest.param(PAIR, lambda p: faults.flip(p, 1, 30, 50, COCO17.mirror), id="left and right to the end"),
        pytest.param(
            PAIR, lambda p: faults.haunt(p, 0, 10, 15, "fragment", np.random.default_rng(0)), id="legs as a person"
        ),
        pytest.param(
            PAIR, lambda p: faults.haunt(p, 1, 30, 35, "echo", np.random.default_rng(0)), id="a ghost beside somebody"
        ),
        pytest.param(
            GROUP,
            lambda p: faults.flip(faults.swap(p, 0, 1, 24, 50), 3, 10, 20, COCO17.mirror),
            id="a swap and a flip in one clip",
        ),
    ],
)
def test_a_fault_is_undone_and_told_of(figures, inject):
    whole = draw_clip(figures)[0]
    broken = inject(whole)
    assert not same(broken, whole)
    out, events = repair(broken, fps=FPS)
    assert same(out, whole)
    assert {event.kind for event in events} == {"repair"}
    assert set(events) <= set(out.events)
    again, more = repair(out, fps=FPS)
    assert more == ()
    assert same(again, out)


@pytest.mark.parametrize(
    ("other", "start", "stop"),
    [
        pytest.param(None, 6, 9, id="over the background"),
        pytest.param(None, 8, 18, id="over the background for ten frames"),
        pytest.param(1, 16, 19, id="over a neighbour"),
    ],
)
def test_a_mask_that_ran_over_is_cut_back_and_what_it_took_returned(other, start, stop):
    whole = draw_clip(PAIR)[0]
    broken = faults.bleed(whole, 0, other, start, stop, 0.3, np.random.default_rng(3))
    out, events = repair(broken, fps=FPS)
    assert [(event.kind, event.people, event.start, event.stop) for event in events] == [("repair", (0,), start, stop)]
    shares = np.ones(whole.present.shape)
    for p, t in np.ndindex(shares.shape):
        true, made = whole.mask_at(p, t), out.mask_at(p, t)
        shares[p, t] = (true & made).sum() / max((true | made).sum(), 1)
        assert not (made & out.mask_at(1 - p, t)).any()
    assert shares[[0] if other is None else [0, 1], start:stop].mean() > 0.95
    shares[[0] if other is None else [0, 1], start:stop] = 1
    assert (shares == 1).all(), "nothing else is touched"
    left, none = repair(broken, fps=FPS, masks=False)
    assert none == ()
    assert same(left, broken)
    again, more = repair(out, fps=FPS)
    assert more == ()
    assert same(again, out)


def test_one_pose_on_both_is_emptied_and_bridged():
    whole = draw_clip(PAIR)[0]
    out, events = repair(faults.double_pose(whole, 0, 1, 10, 14), fps=FPS)
    assert (out.keypoint[1] == whole.keypoint[1]).all()
    assert np.abs(out.keypoint[0] - whole.keypoint[0]).max() < 4
    assert (out.score[0, 10:14] == 0.45).all()
    assert (out.flag[0, 10:14] <= 1).all()
    assert [(event.people, event.start, event.stop) for event in events] == [((0,), 10, 14)]
    long, _ = repair(faults.double_pose(whole, 0, 1, 5, 17), fps=FPS)
    assert (long.score[0, 5:17] == 0).all()
    assert long.mask.rle.tobytes() == whole.mask.rle.tobytes()


@pytest.mark.parametrize(
    ("frames", "filled"),
    [pytest.param(4, True, id="a short gap is filled"), pytest.param(9, False, id="a long one is left open")],
)
def test_gaps(frames, filled):
    whole = draw_clip(PAIR)[0]
    out, events = repair(faults.lose(whole, 0, 10, 10 + frames), fps=FPS)
    assert out.present[0, 10 : 10 + frames].tolist() == [filled] * frames
    assert bool(events) == filled
    if filled:
        assert np.abs(out.keypoint[0] - whole.keypoint[0]).max() < 4
        for t in range(10, 14):
            true, made = whole.mask_at(0, t), out.mask_at(0, t)
            assert (true & made).sum() / (true | made).sum() > 0.5


def test_who_steps_out_of_the_picture_for_a_moment_was_not_lost():
    x = np.r_[np.linspace(0.75, 1.09, 22), np.linspace(1.09, 0.75, 22)]
    figures = [[Figure(start=(float(a), 0.9), stop=(float(a), 0.9), swing=0)] for a in x]
    frames = [draw_clip(one, frames=1)[0] for one in figures]
    names = ("box", "keypoint", "score", "flag", "visible", "confidence")
    joined = {name: np.concatenate([getattr(one, name) for one in frames], 1) for name in names}
    mask = Masks.from_counts([one.mask.counts(0) for one in frames], size=frames[0].mask.size)
    present = mask.areas()[None] > 0
    people = replace(frames[0], **joined, mask=mask, present=present)
    gone = int((~present).sum())
    assert 1 <= gone <= 6
    out, events = repair(people, fps=FPS)
    assert events == ()
    assert (out.present == present).all()


def test_a_persons_word_is_not_undone():
    said = faults.swap(draw_clip(PAIR)[0], 0, 1, 24, 50)
    settled = np.zeros(50, bool)
    settled[24] = True
    out, events = repair(said, fps=FPS, settled=settled)
    assert events == ()
    assert same(out, said)


def test_events_follow_the_identities_that_they_are_about():
    whole = draw_clip(PAIR, events=(Event(kind="gap", start=40, stop=41, people=(0,), note="told"),))[0]
    broken = faults.swap(whole, 0, 1, 24, 50)
    out, _ = repair(broken, fps=FPS)
    assert [event.people for event in out.events if event.note == "told"] == [(1,)]


def test_equal_evidence_is_a_doubt_and_no_repair():
    """Two without poses, of whom each one's mask lies half where the other's was."""
    size, frames, cut = (60, 120), 20, 10
    masks = np.zeros((2, frames, *size), bool)
    masks[0, :cut, 10:50, 20:50], masks[1, :cut, 10:50, 50:80] = True, True
    masks[0, cut:, 10:50, 44:74], masks[1, cut:, 10:50, 20:44] = True, True
    masks[1, cut:, 10:50, 74:80] = True
    boxes = np.array([[cv2.boundingRect(m.view(np.uint8)) for m in row] for row in masks], np.float32)
    boxes[..., 2:] += boxes[..., :2]
    blank = np.zeros((2, frames, 17), np.float32)
    people = People(
        box=boxes, keypoint=np.zeros((2, frames, 17, 2), np.float32), score=blank, flag=blank.astype(np.uint8),
        mask=Masks.encode(masks.reshape(-1, *size), size=size), present=np.ones((2, frames), bool),
        visible=np.ones((2, frames), np.float32), confidence=np.ones((2, frames), np.float32), skeleton="coco17",
        events=(),
    )  # fmt: skip
    out, events = repair(people, fps=FPS)
    assert [event.kind for event in events] == ["doubt"]
    assert events[0].start <= cut < events[0].stop
    assert events[0].people == (0, 1)
    assert same(out, people)
    assert (out.confidence[:, cut] < 0.75).all()
    assert (out.confidence[:, 0] == 1).all()


def noisy(people: People, rng: np.random.Generator) -> People:
    """As a light detector would have it: a fifth of the poses gone, joints off by 3 % of the height, ragged masks."""
    height = (people.box[..., 3] - people.box[..., 1])[..., None, None]
    keypoint = people.keypoint + (rng.normal(0, 0.03, people.keypoint.shape) * height).astype(np.float32)
    score, flag = people.score.copy(), people.flag.copy()
    gone = (rng.random(people.present.shape) < 0.2) | (people.visible < 0.1)
    score[gone], flag[gone] = 0, 0
    kernel, taken, masks = np.ones((5, 5)), np.zeros((people.num_frames, *people.mask.size), bool), []
    for p in range(people.num_people):
        for t in range(people.num_frames):
            mask = people.mask_at(p, t).astype(np.uint8)
            rough = mask + rng.normal(0, 0.9, mask.shape) * cv2.dilate(mask, kernel)
            masks.append((cv2.GaussianBlur(rough, (0, 0), 1.5) > 0.5) & ~taken[t])
            taken[t] |= masks[-1]
    box = people.box.copy()
    for i, mask in enumerate(masks):
        if mask.any():
            x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
            box[divmod(i, people.num_frames)] = (x, y, x + w, y + h)
    return replace(
        people, keypoint=keypoint, score=score, flag=flag, box=box, mask=Masks.encode(masks, size=people.mask.size)
    )


@pytest.mark.parametrize("figures", [pytest.param(PAIR, id="two pass"), pytest.param(GROUP, id="four")])
@pytest.mark.parametrize("seed", range(3))
def test_noise_changes_no_identity_and_hides_no_swap(figures, seed):
    rough = noisy(draw_clip(figures)[0], np.random.default_rng(seed))
    out, _ = repair(rough, fps=FPS)
    assert (out.box == rough.box).all()
    swapped, events = repair(faults.swap(rough, 0, 1, 12, 50), fps=FPS)
    assert (swapped.box == rough.box).all()
    assert any(event.people == (0, 1) and event.start == 12 for event in events)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> dict[str, People]:
    """Exact people of an embrace, a lift, and an exit with a return: the middle two seconds, small."""
    store = Store(str(tmp_path_factory.mktemp("exact")))
    config = exact.Config(width=128, height=128, fps=20)
    made = crossings(21, 6, seconds=2.0)[3:]
    assert [one.scenario for one in made] == ["embrace", "lift", "exit"]
    paths = {one.scenario: exact.exact(one, store, config)[0].path for one in made}
    return {name: load_record(People, f"{path}/{exact.FILE}") for name, path in paths.items()}


@pytest.mark.parametrize("scenario", ["embrace", "lift", "exit"])
def test_exact_bodies_are_left_alone_and_swaps_in_contact_undone(filmed, scenario):
    people = filmed[scenario]
    out, events = repair(people, fps=20)
    assert events == ()
    assert same(out, people)
    frames = np.flatnonzero(people.present.all(0) & np.roll(people.present.all(0), 1))
    for t in frames[frames > 1][::5]:
        broken = faults.swap(people, 0, 1, int(t), people.num_frames)
        assert same(repair(broken, fps=20)[0], people), t


def test_margins_are_those_of_all_courses():
    """Against every course of a small problem, one by one."""
    rng = np.random.default_rng(3)
    node = [rng.uniform(0, 3, k) for k in (1, 3, 2, 3)]
    edge = [np.zeros((1, 1)), *(rng.uniform(0, 3, (len(a), len(b))) for a, b in pairwise(node))]
    courses = [(0, a, b, c) for a in range(3) for b in range(2) for c in range(3)]
    price = {
        c: sum(node[t][k] for t, k in enumerate(c)) + sum(edge[t][c[t - 1], c[t]] for t in range(1, 4)) for c in courses
    }
    best = min(price, key=lambda c: price[c])
    chosen, margin, second = cheapest(node, edge)
    assert tuple(chosen) == best
    for t in range(1, 4):
        other = min((c for c in courses if c[t] != best[t]), key=lambda c: price[c])
        assert margin[t] == pytest.approx(price[other] - price[best])
        assert second[t] == other[t]
    assert margin[0] == np.inf


def test_of_many_people_those_steps_are_looked_at_that_move_four():
    assert len(permutations(4)) == 24
    many = permutations(8)
    assert (many[0] == np.arange(8)).all()
    assert (many != many[0]).sum(1).max() == 4
    assert len(many) == 1 + 28 + 2 * 56 + 9 * 70


def test_rows_that_are_no_permutation_are_refused():
    whole = draw_clip(PAIR)[0]
    with pytest.raises(ValueError, match="each frame a permutation"):
        reorder(whole, np.zeros((2, 50), int))


def test_the_order_starts_with_everyones_own_row():
    broken = faults.swap(draw_clip(PAIR)[0], 0, 1, 3, 50)
    order = find_order(steps_of(broken, Scales()), swap_nats=6.0)
    assert order.moved == (3,)
    assert order.slot[:, 0].tolist() == [0, 1]
    assert order.slot[:, 3:].T.tolist() == [[1, 0]] * 47

"""Known faults put into people: each changes what it says, and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from datasets.records import People
from datasets.skeleton import COCO17
from flows.bench_faults import fault_table, figures
from tasks.ops import faults
from tasks.ops.fault_trials import Numbers, trials
from tests.draw_people import Figure, draw_clip

PAIR = [Figure(start=(0.25, 0.88), stop=(0.6, 0.88)), Figure(start=(0.7, 0.92), stop=(0.4, 0.92), height=0.66)]
START, STOP = 12, 20


@pytest.fixture(scope="module")
def pair() -> People:
    """Two who walk past each other."""
    return draw_clip(PAIR)[0]


def changed(people: People, other: People) -> dict[str, set[tuple[int, int]]]:
    """What of whom in which frame is not the same."""
    out = {}
    for name in ("box", "keypoint", "score", "flag", "present", "visible"):
        differs = getattr(people, name) != getattr(other, name)
        out[name] = {(int(p), int(t)) for p, t in np.argwhere(differs.reshape(*people.present.shape, -1).any(-1))}
    counts = [[one.mask.counts(i) for i in range(len(one.mask))] for one in (people, other)]
    out["mask"] = {divmod(i, people.num_frames) for i, (a, b) in enumerate(zip(*counts, strict=True)) if a != b}
    return out


def within(who: set[int]) -> set[tuple[int, int]]:
    """These people in the frames of the fault."""
    return {(p, t) for p in who for t in range(START, STOP)}


RNG = 5
POSE, BODY = {"keypoint", "score", "flag"}, {"box", "mask", "keypoint"}


@pytest.mark.parametrize(
    ("inject", "who", "names"),
    [
        pytest.param(lambda p, r: faults.swap(p, 0, 1, START, STOP), {0, 1}, BODY, id="two identities exchanged"),
        pytest.param(lambda p, r: faults.swap_poses(p, 0, 1, START, STOP), {0, 1}, {"keypoint"}, id="two poses alone"),
        pytest.param(lambda p, r: faults.double_pose(p, 0, 1, START, STOP), {0}, {"keypoint"}, id="one pose on both"),
        pytest.param(lambda p, r: faults.lose(p, 1, START, STOP), {1}, BODY | {"present", "score"}, id="lost"),
        pytest.param(lambda p, r: faults.flip(p, 0, START, STOP, COCO17.mirror), {0}, {"keypoint"}, id="mirrored"),
        pytest.param(lambda p, r: faults.shake(p, 0, START, STOP, 3.0, r), {0}, {"keypoint"}, id="shaken"),
        pytest.param(
            lambda p, r: faults.bleed(p, 0, None, START, STOP, 0.3, r), {0}, {"mask"}, id="background in a mask"
        ),
        pytest.param(
            lambda p, r: faults.bleed(p, 0, 1, START, STOP, 0.3, r), {0, 1}, {"mask"}, id="a neighbour in a mask"
        ),
    ],
)
def test_a_fault_lies_where_it_says(pair, inject, who, names):
    told = changed(pair, inject(pair, np.random.default_rng(RNG)))
    for name in names:
        assert told[name], name
    for places in told.values():
        assert places <= within(who)
    if names <= POSE:
        assert not told["box"] | told["mask"] | told["present"]


@pytest.mark.parametrize("other", [pytest.param(None, id="background"), pytest.param(1, id="neighbour")])
def test_masks_stay_exclusive_when_one_bleeds(pair, other):
    broken = faults.bleed(pair, 0, other, START, STOP, 0.3, np.random.default_rng(RNG))
    for t in range(START, STOP):
        assert not (broken.mask_at(0, t) & broken.mask_at(1, t)).any()
        more = broken.mask_at(0, t).sum() / pair.mask_at(0, t).sum()
        assert 1.25 < more < 1.35


@pytest.mark.parametrize("kind", ["fragment", "echo"])
def test_a_ghost_is_a_person_more_and_masks_stay_exclusive(pair, kind):
    broken = faults.haunt(pair, 0, START, STOP, kind, np.random.default_rng(RNG))
    assert broken.num_people == 3
    assert np.flatnonzero(broken.present[2]).tolist() == list(range(START, STOP))
    for t in range(START, STOP):
        masks = np.stack([broken.mask_at(p, t) for p in range(3)])
        assert masks.sum(0).max() == 1
        if kind == "fragment":
            assert (masks[0] | masks[2] == pair.mask_at(0, t)).all()


def test_a_swap_twice_is_none(pair):
    twice = faults.swap(faults.swap(pair, 0, 1, START, STOP), 0, 1, START, STOP)
    assert not any(changed(pair, twice).values())


def test_contacts_are_of_two_and_mutual(pair):
    near = faults.contacts(pair)
    assert (near == near.transpose(1, 0, 2)).all()
    assert not near[[0, 1], [0, 1]].any()
    assert near[0, 1].any()
    assert not near[0, 1].all()


def test_trials_count_what_was_injected_and_figures_add_up(pair):
    numbers = Numbers(swaps=3, others=1)
    counts = [trials(pair, fps=25, seed=(0, i), twins=bool(i), numbers=numbers) for i in range(2)]
    found = figures(7, [Counter(count) for count in counts])
    assert found["swaps_injected"] == 6
    assert found["swaps_repaired"] == 6
    assert found["swaps_contact"]["injected"] == found["swaps_alike"]["injected"] == 3
    assert (found["clean_clips"], found["clean_changed"]) == (2, 0)
    assert found["clean_keypoint_px_max"] == 0
    assert found["flips_injected"] == 2
    assert len(fault_table(found).rows) == 8
    again = trials(pair, fps=25, seed=(0, 0), twins=False, numbers=numbers)
    assert again == counts[0]


def test_trials_see_what_is_not_repaired(pair, monkeypatch):
    monkeypatch.setattr("tasks.ops.fault_trials.mended", lambda people, fps: (people, ()))
    count = trials(pair, fps=25, seed=(0, 0), twins=True, numbers=Numbers(swaps=4, others=2))
    assert count["swaps_alike_injected"] == 4
    left = [name for name in count if name.endswith(("_repaired", "_found")) and count[name]]
    # A long gap is left open by doing nothing.
    assert set(left) <= {"gaps_repaired", "gaps_found"}

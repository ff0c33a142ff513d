"""Exact People -> how many of the faults put into them are found and repaired, and what happens to them clean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from datasets.records import Event, People
from datasets.skeleton import skeleton
from tasks.ops import faults
from tasks.ops.faults import Fault
from tasks.ops.repair import FILL_S, repair
from tasks.ops.repair_poses import runs
from tasks.ops.steady import smooth_people

NEAR = 2  # frames: a border of a swap may be put so far off where the two are in contact
_SEEN = 0.1  # visible share from which somebody is there to be hurt
_SAME_PX = 0.5
_SAME_MASK = 0.95  # intersection over union with the truth from which a mask is as it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How many faults of each kind are put into a clip, one at a time."""

    swaps: int = 10
    others: int = 4


def mended(people: People, fps: float) -> tuple[People, tuple[Event, ...]]:
    """People as the stage `refine` mends them: repaired, and their poses made steady."""
    repaired, events = repair(people, fps=fps)
    return smooth_people(repaired, fps=fps, fill_s=FILL_S), events


def trials(people: People, *, fps: float, seed: tuple[int, ...], twins: bool, numbers: Numbers) -> Counter[str]:
    """Counts of a clip: KIND_injected, KIND_found, KIND_repaired, and sums of pixels.

    Each fault is put into the people by itself. twins: everyone looks the same, so that swaps are of look-alikes, at
    any frame; else they are in contact. Found is what is repaired, or of which an event of the people names anyone
    within NEAR frames of a border. Repaired is what is as it was before: of a swap, every person's box, mask, pose and
    presence in every frame, but for those within NEAR of a border at which the two are in contact.
    """
    count: Counter[str] = Counter(clips=1)
    _clean(people, fps, count)
    kind = "swaps_alike" if twins else "swaps_contact"
    for fault, broken in _swaps(people, np.random.default_rng((*seed, 1)), twins, numbers.swaps):
        repaired, events = mended(broken, fps)
        good = _put_back(people, repaired, fault)
        count[f"{kind}_injected"] += 1
        count[f"{kind}_repaired"] += good
        count[f"{kind}_found"] += good or _told(fault, events)
    for number, (name, draw) in enumerate(_OTHERS.items()):
        rng = np.random.default_rng((*seed, 2, number))
        for fault, broken in _drawn(draw, people, fps, rng, numbers.others):
            repaired, events = mended(broken, fps)
            good = _JUDGES[name](people, broken, repaired, fault, fps)
            count[f"{name}_injected"] += 1
            count[f"{name}_repaired"] += good
            count[f"{name}_found"] += good or _told(fault, events)
            if name == "jitter":
                for when, one in (("before", broken), ("after", repaired)):
                    count[f"jitter_px_{when}"] += _error(people, one, fault)  # type: ignore[assignment]
    return count


def _clean(people: People, fps: float, count: Counter[str]) -> None:
    out, _ = mended(people, fps)
    count["clean_clips"] += 1
    moved = float("inf")
    if out.num_people == people.num_people:
        moved = float(np.abs(out.keypoint - people.keypoint).max(initial=0))
    same = moved <= _SAME_PX and bool((out.present == people.present).all()) and bool((out.box == people.box).all())
    count["clean_changed"] += not (same and _counts(out) == _counts(people))
    count["clean_keypoint_px_max"] = moved  # type: ignore[assignment]


def _counts(people: People) -> list[bytes]:
    return [people.mask.counts(i) for i in range(len(people.mask))]


def _swaps(people: People, rng: np.random.Generator, twins: bool, number: int) -> Iterator[tuple[Fault, People]]:
    """Half to the end of the clip, half back again after some frames."""
    near, there = faults.contacts(people), people.present & (people.visible >= _SEEN)
    both = there[:, None] & there[None]
    both &= np.roll(both, 1, 2)  # in the frame before as well
    both[..., [0, 1, -1]] = False
    spots = np.argwhere(np.triu((both if twins else both & near).transpose(2, 0, 1), 1))
    for i in range(number if len(spots) else 0):
        t, a, b = (int(x) for x in spots[rng.integers(len(spots))])
        back = sorted(int(s) for s, p, q in spots if (p, q) == (a, b) and s > t)
        stop = back[rng.integers(len(back))] if back and i % 2 else people.num_frames
        fault = Fault(kind="swap", people=(a, b), start=t, stop=stop, where="alike" if twins else "contact")
        yield fault, faults.swap(people, a, b, t, stop)


def _put_back(people: People, repaired: People, fault: Fault) -> bool:
    if repaired.num_people != people.num_people:
        return False
    wrong = (repaired.present != people.present) | (repaired.box != people.box).any(-1)
    wrong |= np.abs(repaired.keypoint - people.keypoint).max((2, 3)) > _SAME_PX
    allowed = np.zeros(people.num_frames, bool)
    touching = faults.contacts(people)[fault.people[0], fault.people[1]]
    for border in (fault.start, fault.stop):
        around = slice(max(border - NEAR, 0), border + NEAR)
        allowed[around] = touching[around]
    return not (wrong.any(0) & ~allowed).any()


def _told(fault: Fault, events: tuple[Event, ...]) -> bool:
    return any(
        (set(event.people) & set(fault.people) or not event.people)
        and any(event.start - NEAR <= border <= event.stop + NEAR for border in (fault.start, fault.stop))
        for event in events
    )


Drawn = tuple[Fault, People] | None


def _drawn(
    draw: Callable[..., Drawn], people: People, fps: float, rng: np.random.Generator, number: int
) -> Iterator[tuple[Fault, People]]:
    """So many faults, of as many tries as it takes up to ten times that: some clips have no place for some."""
    made = 0
    for i in range(10 * number):
        one = draw(people, fps, rng, i)
        if one is not None:
            yield one
            made += 1
        if made == number:
            return


def _stretch(people: People, p: int, frames: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """`frames` frames, and one before and after, in which a person is seen."""
    seen = people.present[p] & (people.visible[p] >= _SEEN)
    starts = [t for a, b in runs(seen) for t in range(a + 1, b - frames)]
    if not starts:
        return None
    start = starts[rng.integers(len(starts))]
    return start, start + frames


def _someone(people: People, rng: np.random.Generator, frames: int) -> tuple[int, int, int] | None:
    p = int(rng.integers(people.num_people))
    at = _stretch(people, p, frames, rng)
    return None if at is None else (p, *at)


def _pair(people: People, rng: np.random.Generator, frames: int) -> tuple[int, int, int, int] | None:
    if people.num_people < 2:
        return None
    a, b = (int(x) for x in rng.permutation(people.num_people)[:2])
    at = _stretch(people, a, frames, rng)
    if at is None or not (people.present & (people.visible >= _SEEN))[b, at[0] - 1 : at[1] + 1].all():
        return None
    return a, b, *at


def _flip(people: People, fps: float, rng: np.random.Generator, i: int) -> Drawn:
    at = _someone(people, rng, int(rng.integers(1, max(round(fps), 3))))
    if at is None:
        return None
    broken = faults.flip(people, *at, skeleton(people.skeleton).mirror)
    return Fault(kind="flip", people=at[:1], start=at[1], stop=at[2]), broken


def _pose(people: People, fps: float, rng: np.random.Generator, i: int) -> Drawn:
    at = _pair(people, rng, int(rng.integers(1, max(round(fps), 3))))
    if at is None:
        return None
    where = ("exchanged", "doubled")[i % 2]
    make = (faults.swap_poses, faults.double_pose)[i % 2]
    return Fault(kind="pose", people=at[:2], start=at[2], stop=at[3], where=where), make(people, *at)


def _gap(people: People, fps: float, rng: np.random.Generator, i: int) -> Drawn:
    short = max(1, int(FILL_S * fps))
    frames = int(rng.integers(1, short + 1)) if i % 2 else int(rng.integers(2 * short, 4 * short))
    at = _someone(people, rng, frames)
    if at is None:
        return None
    return Fault(kind="gap", people=at[:1], start=at[1], stop=at[2]), faults.lose(people, *at)


def _ghost(people: People, fps: float, rng: np.random.Generator, i: int) -> Drawn:
    at = _someone(people, rng, int(rng.integers(2, max(round(0.12 * people.num_frames), 4))))
    if at is None:
        return None
    kind = ("fragment", "echo")[i % 2]
    broken = faults.haunt(people, *at, kind, rng)
    box, (h, w) = broken.box[-1, at[1] : at[2]], people.mask.size
    # What comes in through the frame's edge may be anybody.
    if (
        not broken.present[-1, at[1] : at[2]].all()
        or box.min() < 0.02 * w
        or (box[:, 2:] > 0.98 * np.array([w, h])).any()
    ):
        return None
    return Fault(kind="ghost", people=at[:1], start=at[1], stop=at[2], where=kind), broken


def _bleed(people: People, fps: float, rng: np.random.Generator, i: int) -> Drawn:
    frames, share = int(rng.integers(2, max(round(0.5 * fps), 4))), float(rng.uniform(0.15, 0.35))
    if i % 2:
        at = _someone(people, rng, frames)
        if at is None:
            return None
        broken = faults.bleed(people, at[0], None, *at[1:], share, rng)
        return Fault(kind="bleed", people=at[:1], start=at[1], stop=at[2], where="background"), broken
    pair = _pair(people, rng, frames)
    if pair is None or not faults.contacts(people)[pair[0], pair[1], pair[2] : pair[3]].all():
        return None
    broken = faults.bleed(people, *pair, share, rng)
    return Fault(kind="bleed", people=pair[:2], start=pair[2], stop=pair[3], where="neighbour"), broken


def _jitter(people: People, fps: float, rng: np.random.Generator, i: int) -> Drawn:
    at = _someone(people, rng, round(fps))
    if at is None:
        return None
    height = float(np.median(people.box[at[0], at[1] : at[2], 3] - people.box[at[0], at[1] : at[2], 1]))
    broken = faults.shake(people, *at, 0.02 * height, rng)
    return Fault(kind="jitter", people=at[:1], start=at[1], stop=at[2]), broken


def _same_poses(people: People, broken: People, repaired: People, fault: Fault, fps: float) -> bool:
    if repaired.num_people != people.num_people or (repaired.box != people.box).any():
        return False
    off = np.abs(repaired.keypoint - people.keypoint).max((2, 3)) > _SAME_PX
    if fault.where == "doubled":
        # What was lost can only be emptied, or guessed from both sides.
        p, at = fault.people[0], slice(fault.start, fault.stop)
        still = (repaired.score[p, at] > 0).any(1) & (
            np.abs(repaired.keypoint - broken.keypoint)[p, at].max((1, 2)) == 0
        )
        off[p, at] = still
    return not off.any()


def _gap_closed(people: People, broken: People, repaired: People, fault: Fault, fps: float) -> bool:
    p, at = fault.people[0], slice(fault.start, fault.stop)
    if repaired.num_people != people.num_people:
        return False
    short = fault.stop - fault.start <= FILL_S * fps
    others = repaired.present == people.present
    others[p, at] = True
    return bool((repaired.present[p, at] == short).all() and others.all())


def _left_out(people: People, broken: People, repaired: People, fault: Fault, fps: float) -> bool:
    if repaired.num_people != people.num_people or (repaired.present != people.present).any():
        return False
    return bool(np.abs(repaired.keypoint - people.keypoint).max() <= _SAME_PX)


def _trimmed(people: People, broken: People, repaired: People, fault: Fault, fps: float) -> bool:
    if repaired.num_people != people.num_people:
        return False
    shares = []
    for p in fault.people:
        for t in range(fault.start, fault.stop):
            true, made = people.mask_at(p, t), repaired.mask_at(p, t)
            shares.append(float((true & made).sum()) / max(int((true | made).sum()), 1))
    return float(np.mean(shares)) >= _SAME_MASK


def _calmer(people: People, broken: People, repaired: People, fault: Fault, fps: float) -> bool:
    return _error(people, repaired, fault) < 0.7 * _error(people, broken, fault)


def _error(people: People, other: People, fault: Fault) -> float:
    """Root mean square pixels between the truth's keypoints in the picture and another's, where the fault lies."""
    if other.num_people != people.num_people:
        return float("inf")
    p, at = fault.people[0], slice(fault.start, fault.stop)
    seen = people.score[p, at] > 0
    off = ((other.keypoint - people.keypoint)[p, at].astype(np.float64) ** 2).sum(-1)
    return float(np.sqrt(off[seen].mean())) if seen.any() else 0.0


_OTHERS: dict[str, Callable[..., Drawn]] = {
    "gaps": _gap, "ghosts": _ghost, "bleed": _bleed, "flips": _flip, "poses": _pose, "jitter": _jitter
}  # fmt: skip
_JUDGES: dict[str, Callable[[People, People, People, Fault, float], bool]] = {
    "gaps": _gap_closed, "ghosts": _left_out, "bleed": _trimmed, "flips": _same_poses, "poses": _same_poses,
    "jitter": _calmer,
}  # fmt: skip

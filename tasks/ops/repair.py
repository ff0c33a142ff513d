"""People -> People: identities that changed hands, poses on the wrong body, flips, masks that ran over, ghosts and gaps
found and undone.

What a repair looks for is a break in time: a body does not jump, turn inside out or grow. Where there is no break
nothing is touched, so exact people come out as they went in, and repaired people are not repaired again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from datasets.counted import counted
from datasets.records import Event, People
from datasets.skeleton import skeleton
from tasks.ops.bind_solve import certainty
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.reorder import reorder, reorder_poses
from tasks.ops.repair_bleeds import bleeds, give_back
from tasks.ops.repair_flips import flipped
from tasks.ops.repair_gaps import fill, gaps
from tasks.ops.repair_ghosts import ghosts, without
from tasks.ops.repair_poses import own_poses, runs
from tasks.ops.repair_steps import Scales, Steps, steps_of
from tasks.ops.repair_swaps import Order, find_order

FILL_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """How much must speak for a repair."""

    scales: Scales = field(default_factory=Scales)
    swap_nats: float = 6.0  # against two identities having changed hands between two frames
    doubt: float = 0.75  # certainty below which nothing more is claimed than that it is unsure
    doubt_s: float = 0.25  # and so far around it
    fill_s: float = FILL_S  # gaps up to this are filled


def repair(
    people: People, *, fps: float, care: Care | None = None, settled: np.ndarray | None = None, masks: bool = True
) -> tuple[People, tuple[Event, ...]]:
    """The people of one clip with what broke in time put back, and events that say what was done.

    masks: whether masks are cut back that ran over something, as is idle where they will all be made again.
    settled (T,) bool: frames into which nobody's identity may be changed, for a person has said who they are. Events of
    kind `repair` name what was done; those of kind `doubt` name where the next best course is nearly as good: there the
    confidence is lowered. The events are in the people's own too. Identities keep the names that they have at first.
    """
    if people.num_people == 0 or people.num_frames < 3:
        # Of two frames none is broken off from the others.
        return people, ()
    care = care or Care()
    events: list[Event] = []
    people = _ghosts(people, fps, events)
    people, steps = _swaps(people, fps, care, settled, events)
    people, steps = _poses(people, steps, fps, care, events)
    people = _flips(people, steps, events)
    if masks:
        people = _bleeds(people, fps, events)
    people = _gaps(people, fps, care, events)
    if not events:
        return people, ()
    kept = sorted({*people.events, *events}, key=lambda event: (event.start, event.stop, event.kind, event.people))
    return replace(people, events=tuple(kept)), tuple(events)


def _swaps(
    people: People, fps: float, care: Care, settled: np.ndarray | None, events: list[Event]
) -> tuple[People, Steps]:
    steps = steps_of(people, care.scales)
    if people.num_people < 2:
        return people, steps
    order = find_order(steps, swap_nats=care.swap_nats, settled=settled)
    people = _doubted(people, order, fps, care, events)
    if not order.moved:
        return people, steps
    home = np.arange(people.num_people)[:, None]
    cuts = [0, *order.moved, people.num_frames]
    for start, stop in pairwise(cuts):
        moved = tuple(int(p) for p in np.flatnonzero(order.slot[:, start] != home[:, 0]))
        if moved:
            note = f"identities had changed hands: put back for {counted(stop - start, 'frame')}"
            events.append(Event(kind="repair", start=start, stop=stop, people=moved, note=note))
    people = replace(reorder(people, order.slot), events=_renamed(people.events, order.slot))
    return people, steps_of(people, care.scales)


def _doubted(people: People, order: Order, fps: float, care: Care, events: list[Event]) -> People:
    """Confidence lowered, and an event, where another course of identities is nearly as good."""
    unsure = [t for t, margin in enumerate(order.margin) if certainty(float(margin)) < care.doubt]
    if not unsure:
        return people
    confidence, reach = people.confidence.copy(), round(care.doubt_s * fps)
    for t in unsure:
        taken = order.slot[:, t] != order.rival[t][order.slot[:, t - 1]]
        sure = certainty(float(order.margin[t]))
        around = slice(max(t - reach, 0), t + reach)
        rows = np.unique(order.slot[taken, t])
        confidence[rows, around] = np.minimum(confidence[rows, around], sure * people.present[rows, around])
        who = tuple(int(p) for p in np.flatnonzero(taken))
        note = f"may have changed hands: certainty {sure:.2f}"
        events.append(
            Event(kind="doubt", start=around.start, stop=min(t + reach, people.num_frames), people=who, note=note)
        )
    return replace(people, confidence=confidence)


def _renamed(events: tuple[Event, ...], slot: np.ndarray) -> tuple[Event, ...]:
    """Events of rows -> events of the identities that those rows are at the event's first frame."""
    where = np.argsort(slot, 0)
    last = slot.shape[1] - 1
    return tuple(
        replace(event, people=tuple(int(where[p, min(event.start, last)]) for p in event.people)) for event in events
    )


def _poses(people: People, steps: Steps, fps: float, care: Care, events: list[Event]) -> tuple[People, Steps]:
    """Poses to the bodies that hold them; what is nobody's is emptied, and filled in where that is short."""
    found = own_poses(people, steps, MaskCrops(people.mask))
    home = np.arange(people.num_people)[:, None]
    for p in range(people.num_people):
        for start, stop in runs((found.slot != home)[p]):
            note = "had the pose of somebody else: exchanged"
            events.append(Event(kind="repair", start=start, stop=stop, people=(p,), note=note))
        for start, stop in runs(found.emptied[p]):
            note = "had a pose that is not this body's: emptied"
            events.append(Event(kind="repair", start=start, stop=stop, people=(p,), note=note))
    if (found.slot == home).all() and not found.emptied.any():
        return people, steps
    people = _emptied(reorder_poses(people, found.slot), found.emptied, int(care.fill_s * fps))
    return people, steps_of(people, care.scales)


def _emptied(people: People, empty: np.ndarray, most: int) -> People:
    """Poses taken away: between two that stay up to `most` frames apart, half their score; else none. The keypoints
    are in a straight line between what stays, for a best guess is always there.
    """
    keypoint, score, flag = people.keypoint.copy(), people.score.copy(), people.flag.copy()
    for p in range(people.num_people):
        for start, stop in runs(empty[p]):
            a, b = max(start - 1, 0), min(stop, people.num_frames - 1)
            ends = [t for t in (a, b) if not empty[p, t] and people.present[p, t]] or [a]
            share = np.linspace(0, 1, stop - start + 2)[1:-1, None, None]
            keypoint[p, start:stop] = (1 - share) * keypoint[p, ends[0]] + share * keypoint[p, ends[-1]]
            held = len(ends) == 2 and stop - start <= most
            score[p, start:stop] = np.minimum(score[p, a], score[p, b]) / 2 if held else 0
            flag[p, start:stop] = np.minimum(np.minimum(flag[p, a], flag[p, b]), 1) if held else 0
    return replace(people, keypoint=keypoint, score=score, flag=flag)


def _flips(people: People, steps: Steps, events: list[Event]) -> People:
    wrong = flipped(people, steps)
    if not wrong.any():
        return people
    mirror = list(skeleton(people.skeleton).mirror)
    fields = {name: getattr(people, name).copy() for name in ("keypoint", "score", "flag")}
    for array in fields.values():
        array[wrong] = array[wrong][:, mirror]
    for p in range(people.num_people):
        for start, stop in runs(wrong[p]):
            note = "left and right were exchanged: put back"
            events.append(Event(kind="repair", start=start, stop=stop, people=(p,), note=note))
    return replace(people, **fields)


def _bleeds(people: People, fps: float, events: list[Event]) -> People:
    found = bleeds(people, fps)
    for one in found:
        note = f"mask had run over what is not theirs: given back for {counted(one.stop - one.start, 'frame')}"
        events.append(Event(kind="repair", start=one.start, stop=one.stop, people=(one.person,), note=note))
    return give_back(people, found) if found else people


def _ghosts(people: People, fps: float, events: list[Event]) -> People:
    rows = ghosts(people, fps)
    if not rows:
        return people
    for row in rows:
        found = np.flatnonzero(people.present[row])
        note = f"someone out of nowhere for {counted(len(found), 'frame')}: left out"
        events.append(Event(kind="repair", start=int(found[0]), stop=int(found[-1]) + 1, people=(), note=note))
    return without(people, rows)


def _gaps(people: People, fps: float, care: Care, events: list[Event]) -> People:
    found = gaps(people, int(care.fill_s * fps))
    for p, start, stop in found:
        note = f"filled {counted(stop - start, 'frame')} in which nobody was found"
        events.append(Event(kind="repair", start=start, stop=stop, people=(p,), note=note))
    return fill(people, found) if found else people

"""Spans, visibility, boxes -> events: where a person should look."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from datasets.counted import counted
from datasets.records import Event
from tasks.ops.bind_cost import at_edge
from tasks.ops.boxes import iou, paired_iou
from tasks.ops.cast import BESIDE, LeftOut, Shot
from tasks.ops.spans import Spans

# Share of the frames in which somebody may be found who is nobody.
_UNEXPLAINED = 0.08
_SECOND = 0.4  # intersection over union from which a box is a second one on a person
_THERE = 0.3  # and from which it stands where somebody looks on, whose box trembles, or of whom a part is seen
_LOOKS_ON = ("onlooker", "audience")


def events_of(
    spans: Spans,
    visible: np.ndarray,
    box: np.ndarray,
    changed: np.ndarray,
    left_out: list[LeftOut],
    shot: Shot,
    touch: float,
    doubt: float,
) -> tuple[Event, ...]:
    """All events of a clip, by first frame. visible, changed (P, T), box (P, T, 4)."""
    events = [
        *_borders(spans, shot),
        *_gaps(spans),
        *_doubts(spans, doubt),
        *_contacts(spans, visible, shot, touch),
        *_pose_repairs(changed, shot),
        *_left_out(left_out),
    ]
    return in_order(events)


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """Events by first frame."""
    return tuple(sorted(events, key=lambda event: (event.start, event.stop, event.kind, event.people)))


def unexplained(left_out: list[LeftOut], spans: Spans, shot: Shot) -> list[Event]:
    """Doubts where somebody was found who is nobody, in too many frames to be a detector's slip: then there may be one
    person more. Not where it is a second box on one of the people, nor where somebody stands who only looks on: these
    have their own reason to be left out, and are often found in pieces."""
    found = np.zeros(shot.frames, bool)
    onlookers = [left.track for left in left_out if left.why.startswith(_LOOKS_ON)]
    places = np.array([np.median(track.steady, 0) for track in onlookers]).reshape(-1, 4)
    for left in left_out:
        track = left.track
        if not left.why.startswith(("nobody's", "a passer-by")) or (iou(track.steady, places) >= _THERE).any():
            continue
        people = np.where(spans.present[:, track.frame, None], spans.box[:, track.frame], 0.0)
        own = np.stack([paired_iou(track.box, box) for box in people]).max(0) if len(people) else 0.0
        found[track.frame[(track.apart >= BESIDE) & (own < _SECOND)]] = True
    if found.mean() <= _UNEXPLAINED:
        return []
    return [
        Event(kind="doubt", start=start, stop=stop, people=(), note="somebody found here is none of the people")
        for start, stop in runs(found, bridge=round(0.2 * shot.fps))
    ]


def runs(on: np.ndarray, bridge: int = 0) -> list[tuple[int, int]]:
    """(start, stop) of the stretches of true in a (T,) bool array; gaps of up to `bridge` frames do not part them.

    >>> runs(np.array([1, 1, 0, 1, 0, 0, 1], bool), bridge=1)
    [(0, 4), (6, 7)]
    """
    out: list[tuple[int, int]] = []
    for t in np.flatnonzero(on).tolist():
        if out and t - out[-1][1] <= bridge:
            out[-1] = (out[-1][0], t + 1)
        else:
            out.append((t, t + 1))
    return out


def _borders(spans: Spans, shot: Shot) -> list[Event]:
    events = []
    for p, row in enumerate(spans.row):
        found = np.flatnonzero(row >= 0)
        first, last = int(found[0]), int(found[-1])
        if first > 0:
            where = _where(spans.box[p, first], shot)
            events.append(Event(kind="entry", start=first, stop=first + 1, people=(p,), note=f"first seen {where}"))
        if last < shot.frames - 1:
            where = _where(spans.box[p, last], shot)
            events.append(Event(kind="exit", start=last, stop=last + 1, people=(p,), note=f"last seen {where}"))
    return events


def _where(box: np.ndarray, shot: Shot) -> str:
    return "at the edge of the frame" if at_edge(box, shot.size) else "in the middle of the picture"


def _gaps(spans: Spans) -> list[Event]:
    events = []
    for gap in spans.gaps:
        long = gap.stop - gap.start
        where: dict[str, Any] = {"start": gap.start, "stop": gap.stop, "people": (gap.person,)}
        if gap.filled:
            events.append(
                Event(kind="repair", note=f"filled {counted(long, 'frame')} in which nobody was found", **where)
            )
        elif gap.away:
            events.append(Event(kind="exit", note=f"out of the frame for {counted(long, 'frame')}", **where))
            events.append(
                Event(
                    kind="entry", start=gap.stop, stop=gap.stop + 1, people=(gap.person,), note="back through the edge"
                )
            )
        else:
            events.append(Event(kind="gap", note=f"not found for {counted(long, 'frame')}", **where))
    return events


def _doubts(spans: Spans, doubt: float) -> list[Event]:
    """Stretches in which the next best assignment is nearly as good."""
    events = []
    for p, sure in enumerate(spans.sure):
        for start, stop in runs((sure < doubt) & spans.present[p]):
            low = float(sure[start:stop].min())
            events.append(
                Event(
                    kind="doubt", start=start, stop=stop, people=(p,), note=f"may be somebody else: certainty {low:.2f}"
                )
            )
    return events


def _contacts(spans: Spans, visible: np.ndarray, shot: Shot, touch: float) -> list[Event]:
    """Pairs whose boxes overlap: a crossing when they change sides, an occlusion when one covers the other."""
    events = []
    num = len(spans.row)
    for p, q in itertools.combinations(range(num), 2):
        both = spans.present[p] & spans.present[q]
        near = both & (paired_iou(spans.box[p], spans.box[q]) > touch)
        for start, stop in runs(near, bridge=round(0.2 * shot.fps)):
            before, after = _side(spans, p, q, start - 1), _side(spans, p, q, stop)
            covered = [float(visible[i, start:stop].min()) for i in (p, q)]
            behind = (p, q)[int(np.argmin(covered))]
            note = f"person {behind + 1} down to {min(covered):.0%} visible"
            if before * after < 0 and min(abs(before), abs(after)) > 0.15:
                events.append(Event(kind="crossing", start=start, stop=stop, people=(p, q), note=note))
            elif min(covered) < 0.7:
                events.append(Event(kind="occlusion", start=start, stop=stop, people=(p, q), note=note))
    return events


def _side(spans: Spans, p: int, q: int, t: int) -> float:
    """How far person p stands to the right of person q at a frame (the nearest in the clip), in heights."""
    t = min(max(t, 0), spans.row.shape[1] - 1)
    a, b = spans.box[p, t], spans.box[q, t]
    return float((a[0] + a[2] - b[0] - b[2]) / 2 / max(a[3] - a[1], b[3] - b[1], 1.0))


def _pose_repairs(changed: np.ndarray, shot: Shot) -> list[Event]:
    note = "the box's pose lay on someone else: emptied or exchanged"
    return [
        Event(kind="repair", start=start, stop=stop, people=(p,), note=note)
        for p in range(len(changed))
        for start, stop in runs(changed[p], bridge=round(0.2 * shot.fps))
    ]


def _left_out(left_out: list[LeftOut]) -> list[Event]:
    """One event a reason, with how many tracks and frames it took away."""
    count: Counter[str] = Counter()
    boxes: Counter[str] = Counter()
    span: dict[str, tuple[int, int]] = {}
    for left in left_out:
        count[left.why] += 1
        boxes[left.why] += len(left.track.frame)
        start, stop = span.get(left.why, (left.track.start, left.track.stop))
        span[left.why] = (min(start, left.track.start), max(stop, left.track.stop))
    return [
        Event(
            kind="repair",
            start=span[why][0],
            stop=span[why][1],
            people=(),
            note=f"left out {counted(count[why], 'track')}, {counted(boxes[why], 'box')}: {why}",
        )
        for why in sorted(count)
    ]

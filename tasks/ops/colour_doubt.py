"""People, whose colours their masks show -> People: confidence and doubts, with the masks' colours heard.

Binding doubts a whole contact when nothing that it weighs says who was who in it. The masks that were made with the
identities known say it afterwards, and say, too, where an id lies on somebody else whom binding was sure of.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import median_filter, minimum_filter1d
from scipy.special import expit, logit

from datasets.records import Event, People
from tasks.ops.bind_events import in_order, runs
from tasks.ops.boxes import paired_iou
from tasks.ops.mask_colours import MaskColours

# `MaskColours.own` of pairs of neighbouring looks at the masks of 576 filmed crossings and their stressed forms (seeds
# 808 and 909), each mask for the most part on one person: of 32,394 on the right one, 1 in 1,000 is below 0.57 and 1 in
# 10 below 0.9; of 33 on another, three in four are below 0.39 and half below 0.2. Masks that hold two people by halves
# lie between: of all clips whose ids are right, 2 in 100 have such a pair below 0.32. So a line that says nothing at
# _EVEN, and no more than _MOST at its ends: pixels err together.
_EVEN = 0.42
_NATS = 12.0  # a share of 1
_MOST = 5.0
_BIND_MOST = 0.99  # what binding's own certainty counts for at most, where colours speak against it
_LOOKS = 3  # the middle one of which is heard: a single look may be of a limb, or of light
_MUTUAL = 0.02  # overlap of boxes from which two people may have been taken for each other
# Of a doubted stretch: the share of looks in which enough is seen, and the share of these that must speak for it.
_SEEN, _AGREED, _SPEAKS = 0.5, 0.8, 0.5
_LEAST_LOOKS = 2
CLEARED = "who is who was unsure, and the colours of the masks tell it"


def weigh_colours(people: People, colours: MaskColours, *, fps: float, doubt: float, lower: bool = True) -> People:
    """The people with doubts answered where masks show their own people's colours, and raised where another's.

    doubt: the confidence below which a doubt is told, as binding does. A doubt that is answered becomes a repair; where
    colours cannot tell the two apart it stays. lower=False raises none: where a person has said who is who.
    Identities, boxes, masks and poses stay.
    """
    people = _answered(people, colours, doubt)
    return _lowered(people, colours, fps, doubt) if lower else people


def _answered(people: People, colours: MaskColours, doubt: float) -> People:
    confidence, events = people.confidence.copy(), list[Event]()
    for event in people.events:
        if event.kind != "doubt" or not event.people:
            events.append(event)
            continue
        part = slice(event.start, event.stop)
        nats = [_for(people, colours, p, event) for p in event.people]
        rows = list(event.people)
        sure = _with(people.confidence[rows, part], np.array(nats)[:, None])
        if np.where(people.present[rows, part], sure, 1.0).min() < doubt:
            events.append(event)
            continue
        confidence[rows, part] = np.where(people.present[rows, part], sure, confidence[rows, part])
        events.append(replace(event, kind="repair", note=CLEARED))
    return replace(people, confidence=confidence, events=in_order(events))


def _for(people: People, colours: MaskColours, p: int, event: Event) -> float:
    """Nats for person p being p in a doubted stretch; 0 where one who may be it cannot be told from p by colours."""
    at = (colours.frame >= event.start) & (colours.frame < event.stop)
    at &= people.present[p, colours.frame]
    rivals = _rivals(people, p, event)
    if not rivals:
        return 0.0
    least = _MOST
    for q in rivals:
        seen = colours.own[p, q, at]
        seen = seen[np.isfinite(seen)]
        if not colours.told(p, q) or len(seen) < max(_LEAST_LOOKS, _SEEN * at.sum()):
            return 0.0
        if (seen > _SPEAKS).mean() < _AGREED:
            return 0.0
        least = min(least, _NATS * (float(np.median(seen)) - _EVEN))
    return max(least, 0.0)


def _rivals(people: People, p: int, event: Event) -> list[int]:
    """Who may be person p in a doubted stretch: who is doubted at the same time, and who comes near; where that is
    nobody, everybody else."""
    part = slice(event.start, event.stop)
    others = [q for q in range(people.num_people) if q != p]
    doubted = {
        q
        for other in people.events
        if other.kind == "doubt" and other.start < event.stop and event.start < other.stop
        for q in other.people
    }
    near = {
        q
        for q in others
        if (
            people.present[p, part]
            & people.present[q, part]
            & (paired_iou(people.box[p, part], people.box[q, part]) > _MUTUAL)
        ).any()
    }
    return sorted((doubted | near) - {p}) or others


def _lowered(people: People, colours: MaskColours, fps: float, doubt: float) -> People:
    if not len(colours.frame):
        return people
    share, whose = colours.others()
    heard = median_filter(share, size=(1, _LOOKS), mode="mirror")
    nats = np.clip(_NATS * (heard - _EVEN), -_MOST, 0.0)
    looks = np.arange(len(colours.frame))
    nearest = np.interp(np.arange(people.num_frames), colours.frame, looks).round().astype(int)
    # An unsure look makes its surroundings unsure, as an unsure step does.
    told = minimum_filter1d(nats[:, nearest], 2 * round(fps / 4) + 1, axis=1, mode="nearest")
    against = people.present & (told < 0)
    confidence = np.where(against, _with(people.confidence, told), people.confidence).astype(np.float32)
    events = list(people.events)
    for p in range(people.num_people):
        for start, stop in runs(against[p] & (confidence[p] < doubt)):
            worst = start + int(confidence[p, start:stop].argmin())
            near = np.flatnonzero((colours.frame >= start) & (colours.frame < stop))
            look = near[heard[p, near].argmin()] if len(near) else nearest[worst]
            q, low = int(whose[p, look]), float(confidence[p, worst])
            note = f"person {p + 1}'s mask shows the colours of person {q + 1}: certainty {low:.2f}"
            who = (p, q) if people.present[q, start:stop].any() else (p,)
            events.append(Event(kind="doubt", start=start, stop=stop, people=who, note=note))
    return replace(people, confidence=confidence, events=in_order(events))


def _with(confidence: np.ndarray, nats: np.ndarray) -> np.ndarray:
    """Confidence with evidence added: log odds, as independent evidence adds up."""
    before = np.clip(confidence.astype(np.float64), 1 - _BIND_MOST, _BIND_MOST)
    return np.asarray(expit(logit(before) + nats), np.float32)

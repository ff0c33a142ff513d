"""A person's word that two are exchanged from a frame on, People -> People in which its chains of sightings hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from datasets.corrections import Correction
from datasets.records import Event, People
from tasks.ops.exchange import answered, best_cut, exchange, in_order, sure_from, without
from tasks.ops.sightings import Chain, chain_of, is_seen, sighting, who_stands

WORD = "a person's word"
# Sightings lie so far apart, and so far does a swap look back for clear ones.
STEP_S, BACK_S = 0.5, 2.0


def chains_of_swap(people: People, a: int, b: int, start: int, stop: int | None, fps: float) -> tuple[Chain, ...]:
    """The sightings of a swap of a and b (from 0) from `start` on: who A and B truly are, then as they were shown.

    The last two hold where both stood in the frames on either side of each border, so that the very frame can be
    found again.
    """
    step, back = max(1, round(STEP_S * fps)), max(1, round(BACK_S * fps))
    end = people.num_frames if stop is None else stop
    true = tuple(
        chain_of(people, one, max(0, start - back), start, step=step)
        + chain_of(people, other, start, end, step=step)
        + chain_of(people, one, end, min(end + back, people.num_frames), step=step)
        for one, other in ((a, b), (b, a))
    )
    borders = [t for border in (start, end) for t in (border - 1, border) if 0 <= t < people.num_frames]
    shown = tuple(tuple(sighting(people, p, t) for t in borders if is_seen(people, p, t)) for p in (a, b))
    return true + shown


def swap(people: People, word: Correction) -> tuple[People, str]:
    """People in which a swap holds, or the same People and why it cannot.

    Where they agree with it already nothing is exchanged. Either way its two people are sure from FROM to TO and as far
    as the nearest sightings on either side, and doubts about them there are answered.
    """
    start = word.start or 0
    stop = people.num_frames if word.stop is None else word.stop
    found = [_claimed(places, start, stop) for places in who_stands(people, word.anchors[:2])]
    walk = _Walk(people, word, found)
    why = walk.trouble(start, stop)
    if why:
        return people, why
    for frame in sorted({t for places in walk.found for t in places}):
        walk.step(0, frame)
        walk.step(1, frame)
    if not walk.holds():
        return people, "the two cannot be told apart along their ways"
    made, pair = walk.people, tuple(sorted(one for one in walk.base if one is not None))
    if start == 0 and walk.exchanged and len(pair) == 2:
        # There is nothing before the first frame whose numbers could be kept: those after TO are.
        made = exchange(made, pair[0], pair[1], 0)
    sighted = [t for places in walk.found for t in places]
    first, last = (
        max((t for t in sighted if t < start), default=0),
        min((t for t in sighted if t >= stop), default=stop),
    )
    made = sure_from(answered(made, pair, first, last, WORD), pair, first, last)
    note = f"{WORD}: exchanged from here on" if walk.exchanged else f"{WORD}: as said already"
    event = Event(kind="repair", start=start, stop=start + 1, people=pair, note=note)
    return _without_absent(replace(made, events=in_order([*made.events, event]))), ""


@dataclass
class _Walk:
    """The way along both chains: who stands at each sighting, and who each chain is of."""

    people: People
    word: Correction
    found: list[dict[int, int]]  # for each chain frame -> person
    exchanged: int = 0

    def __post_init__(self) -> None:
        start = self.word.start or 0
        before = [[t for t in sorted(places) if t < start or start == 0] for places in self.found]
        self.base = [places[ts[0]] if ts else None for places, ts in zip(self.found, before, strict=True)]

    def trouble(self, start: int, stop: int) -> str:
        """Why there is no way to walk; nothing when there is."""
        if not any(self.found):
            return "nobody is found where the two stood"
        for number, chain, places in zip(self.word.people, self.word.anchors, self.found, strict=False):
            for where, first, last in (("before", 0, start), ("from", start, stop), ("after", stop, chain[-1][0] + 1)):
                if any(first <= one[0] < last for one in chain) and not any(first <= t < last for t in places):
                    frame = stop if where == "after" else start
                    return f"nobody is found {where} frame {frame} where person {number} is said to be"
        if not any(_both_sides(places, start, stop) for places in self.found):
            return f"nobody is found on both sides of frame {start or stop} where the two stood"
        if self.base[0] is not None and self.base[0] == self.base[1]:
            return "the two are one person now"
        return ""

    def step(self, i: int, frame: int) -> None:
        """At a sighting of chain i: exchange who stands there with who the chain is of, if that is another."""
        places = self.found[i]
        if frame not in places:
            return
        own, who = self.base[i], places[frame]
        if own is None:
            self.base[i] = who
            return
        if who == own:
            return
        first = max((t for t in places if t < frame), default=0) + 1
        cut = self._cut(own, who, first, frame)
        self.people = exchange(self.people, own, who, cut)
        other = {own: who, who: own}
        self.found = [{t: other.get(p, p) if t >= cut else p for t, p in one.items()} for one in self.found]
        self.exchanged += 1

    def holds(self) -> bool:
        """Whether each chain is one person, and the two are two."""
        return self.base[0] != self.base[1] and all(
            set(places.values()) <= {base} for places, base in zip(self.found, self.base, strict=True)
        )

    def _cut(self, a: int, b: int, first: int, last: int) -> int:
        """From which frame of first .. last on to exchange: the very one that was said, where the binding is as it
        was shown there; else where it breaks the paths least."""
        borders = [t for t in (self.word.start, self.word.stop) if t is not None and first <= t <= last]
        for border in borders:
            shown = [tuple(one for one in chain if one[0] in (border - 1, border)) for chain in self.word.anchors[2:]]
            places = who_stands(self.people, shown)
            known = [one for one in places if len(one) == 2]
            if known and all(one[border - 1] == one[border] for one in known):
                return border
        return best_cut(self.people, a, b, first, last, borders[0] if borders else (first + last) // 2)


def _claimed(places: dict[int, int], start: int, stop: int) -> dict[int, int]:
    """Of a chain's sightings those that the word is about: from start to stop, and the nearest on either side.

    Farther ones are there for detectors that miss the nearest: what lies between may be for other words to say.
    """
    before = max((t for t in places if t < start), default=start)
    after = min((t for t in places if t >= stop), default=stop)
    return {t: who for t, who in places.items() if before <= t <= after}


def _both_sides(places: dict[int, int], start: int, stop: int) -> bool:
    """Whether a chain is found on both sides of one of the two borders."""
    inside = any(start <= t < stop for t in places)
    return inside and (any(t < start for t in places) or any(t >= stop for t in places))


def _without_absent(people: People) -> People:
    """People without those whom exchanging left with no frame at all."""
    for p in reversed(range(people.num_people)):
        if not people.present[p].any():
            people = without(people, p)
    return people

"""A person's words, People -> People that hold to them; or why a word no longer fits.

A word is a statement about sightings, not an order about rows: where People already agree with it nothing is changed,
where they contradict it they are made to agree, and where they can do neither the word is left aside with the reason.
Words are heeded in the order in which they were said.

Which doubts a word answers: a swap those about its two people from the last clear sighting before FROM to the first
after TO (or to the clip's end), for whoever says that two are exchanged from there to there has looked there; a drop
those about the person taken out; an accept all of the clip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from datasets.corrections import Correction
from datasets.records import People, Verdict
from tasks.ops.exchange import without
from tasks.ops.sightings import Chain, chain_of, who_stands
from tasks.ops.swaps import STEP_S, WORD, swap

MISFIT = "a correction no longer fits"
# What each stage heeds; `judge` hears all.
REFINED, NAMED, ALL = ("swap", "drop"), ("kind",), ("accept", "reject", "swap", "drop", "kind")
# Of a chain's sightings that are found, so many must be one person's; the rest may be a detector's slips.
_MOST = 0.7
# With fewer of its sightings found than this, a person is not found.
_FOUND = 0.2


def everyone(people: People, fps: float) -> tuple[Chain, ...]:
    """A chain for each person of a clip."""
    step = max(1, round(STEP_S * fps))
    return tuple(chain_of(people, p, 0, people.num_frames, step=step) for p in range(people.num_people))


def heed(people: People, words: Sequence[Correction]) -> tuple[People, dict[str, str]]:
    """People after the swaps and drops among these words; and id -> why for those that no longer fit."""
    misfits = {}
    for word in words:
        if word.word == "swap":
            people, why = swap(people, word)
        elif word.word == "drop":
            people, why = _drop(people, word)
        else:
            continue
        if why:
            misfits[word.id] = misfit(word, why)
    return people, misfits


def misfit(word: Correction, why: str) -> str:
    """A reason for review that says which word does not fit, and why."""
    return f"{MISFIT}: {phrase(word)} ({word.id}): {why}"


def phrase(word: Correction) -> str:
    """A word for people, without its clip.

    >>> phrase(Correction(word="swap", clip="", key="", people=(1, 2), start=93))
    'swap 1 2 from frame 93'
    """
    parts = [word.word, *map(str, word.people)]
    parts += [f"from frame {word.start}"] if word.start is not None else []
    parts += [f"to {word.stop}"] if word.stop is not None else []
    return " ".join([*parts, word.kind] if word.kind else parts)


def strangers(clip: str, words: Sequence[Correction]) -> dict[str, str]:
    """Id -> why for words that fit no clip of this digest: they were said of another cut of the same footage."""
    return {word.id: misfit(word, "it was said of another cut of the source") for word in words if word.clip != clip}


def person_of(people: People, word: Correction) -> tuple[int | None, str]:
    """Who of people (from 0) the first person of a word is now, or None and why that cannot be said.

    None without a reason: nobody is found where that person stood.
    """
    found = who_stands(people, word.anchors)
    wanted = word.people[0] - 1
    count = Counter(found[wanted].values())
    total = sum(count.values())
    if total < max(1, _FOUND * len(word.anchors[wanted])):
        return None, ""
    (who, most), *_ = count.most_common(1)
    if most < _MOST * total:
        return None, f"where person {word.people[0]} stood there are now {len(count)} people, one after another"
    for other, places in enumerate(found):
        if other != wanted and sum(one == who for one in places.values()) > len(places) / 2:
            return None, f"persons {word.people[0]} and {other + 1} of then are one person now"
    return who, ""


def kinds_said(people: People, words: Sequence[Correction]) -> tuple[dict[int, Correction], dict[str, str]]:
    """Person (from 0) -> the last word that says of which kind they are; and id -> why for those that fit no longer."""
    out: dict[int, Correction] = {}
    misfits = {}
    for word in words:
        if word.word == "kind":
            who, why = person_of(people, word)
            if who is None:
                misfits[word.id] = misfit(word, why or f"nobody is found where person {word.people[0]} stood")
            else:
                out[who] = word
    return out, misfits


def accepted_still(people: People, word: Correction) -> str:
    """Why people are no longer those that were accepted; nothing when they are."""
    taken: dict[int, int] = {}
    for p, (chain, places) in enumerate(zip(word.anchors, who_stands(people, word.anchors), strict=True)):
        if not chain:
            continue
        if len(places) < len(chain) / 2:
            return f"person {p + 1} of then is found in only {len(places)} of {len(chain)} places"
        who = places[min(places)]
        changed = [t for t in sorted(places) if places[t] != who]
        if changed:
            return f"person {p + 1} of then is somebody else from frame {changed[0]} on"
        if who in taken:
            return f"persons {taken[who] + 1} and {p + 1} of then are one person now"
        taken[who] = p
    if people.num_people > len(word.anchors):
        return f"{people.num_people} people are found, {len(word.anchors)} when it was accepted"
    return ""


def final_verdict(
    verdict: Verdict, reasons: tuple[str, ...], people: People, words: Sequence[Correction], misfits: Mapping[str, str]
) -> tuple[Verdict, tuple[str, ...]]:
    """The rules' verdict and reasons after a person's: the last accept or reject decides, where it fits.

    `misfits` (id -> reason) are words that no longer fit, kinds' left out. Nobody in the clip is beyond any word. An
    accept that fits stands above all that was said before it, for everybody was seen where they are; and for what a
    later swap or drop made of the clip, which is another word of the same person.
    """
    last = next((word for word in reversed(words) if word.word in ("accept", "reject")), None)
    if last is not None and last.word == "reject":
        return "rejected", (WORD,)
    if not people.num_people:
        return verdict, reasons
    doubts = {**misfits, **kinds_said(people, words)[1]}
    if last is not None:
        earlier, later = words[: words.index(last)], words[words.index(last) + 1 :]
        changed = any(word.word in REFINED for word in later)
        why = "" if changed else accepted_still(people, last)
        if why:
            doubts[last.id] = misfit(last, why)
        else:
            ours = {word.id for word in words}
            doubts = {name: told for name, told in doubts.items() if name in ours - {word.id for word in earlier}}
            if not doubts:
                return "accepted", ()
    if not doubts or verdict == "rejected":
        return verdict, reasons
    return "review", (*doubts.values(), *reasons)


def _drop(people: People, word: Correction) -> tuple[People, str]:
    who, why = person_of(people, word)
    # Nobody found where that person stood: the detector has come to agree.
    return (people, why) if who is None else (without(people, who), "")

"""The command's arguments, what OUT shows -> one word, checked before it is written down."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from datasets.corrections import Correction, clip_digest, standing
from datasets.records import People
from flows.errors import UsageError
from flows.shown import Shown, near, row_of, rows_of, shown
from tasks.ops.corrections import everyone, heed, person_of
from tasks.ops.swaps import chains_of_swap, swap


def say(arguments: argparse.Namespace, words: Sequence[Correction]) -> Correction:
    """The word that the arguments ask for; `words` stand already. Raises UsageError where it cannot be said."""
    rows = rows_of(arguments.out)
    clip = shown(arguments.out, row_of(arguments.out, rows, arguments.key, words))
    plain = {
        "word": arguments.word,
        "clip": clip_digest(clip.clip),
        "key": arguments.key,
        "who": arguments.who,
        "note": arguments.note,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if arguments.word == "reject":
        return Correction(**plain)
    if arguments.word == "accept":
        # It is said of the clip with all that was said of it before.
        return Correction(**plain, anchors=everyone(_corrected(clip, words), float(clip.clip.fps)))
    people = tuple(arguments.people)
    _check_people(clip, people)
    if arguments.word == "swap":
        return _swap(arguments, clip, words, plain)
    if arguments.word == "drop" and clip.people.num_people == 1:
        raise UsageError(f"drop {arguments.key} 1: want somebody left in the clip, got the only one; reject the clip")
    kind = arguments.kind if arguments.word == "kind" else None
    word = Correction(**plain, people=people, kind=kind, anchors=everyone(clip.people, float(clip.clip.fps)))
    who, why = person_of(clip.people, word)
    if who is None:
        raise UsageError(
            f"{arguments.word} {arguments.key} {people[0]}: want a person who stands clear of others somewhere, got "
            f"none ({why or 'never seen'}): no later run could find them; reject the clip"
        )
    return word


def undo(arguments: argparse.Namespace, words: Sequence[Correction]) -> Correction:
    """The word that takes back the last one that stands, on a clip or of all. Raises UsageError where there is none."""
    if (arguments.key is None) != bool(arguments.last):
        raise UsageError("undo: want KEY or --last, got " + ("both" if arguments.key else "neither"))
    left = standing(words)
    mine = [word for word in left if arguments.key in (None, word.key)]
    if not mine:
        hint = near(arguments.key, {word.key for word in left}) if arguments.key else ""
        raise UsageError(f"undo {arguments.key or '--last'}: want a word that stands, got none{hint}")
    last = mine[-1]
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Correction(
        word="undo", clip=last.clip, key=last.key, undoes=last.id, who=arguments.who, note=arguments.note, when=when
    )


def _check_people(clip: Shown, people: tuple[int, ...]) -> None:
    key, count = clip.clip.key, clip.people.num_people
    if clip.exact:
        raise UsageError(
            f"KEY {key}: want a clip of footage, got a rendered one, whose people are known exactly; "
            "change its scene, or reject it"
        )
    for person in people:
        if not 1 <= person <= count:
            raise UsageError(f"PERSON {person}: want 1 to {count}, the people of {key}, got {person}")
    if len(set(people)) != len(people):
        raise UsageError(f"swap: want two different people, got {people[0]} twice")


def _swap(arguments: argparse.Namespace, clip: Shown, words: Sequence[Correction], plain: dict[str, Any]) -> Correction:
    start, stop, frames = arguments.start, arguments.stop, clip.people.num_frames
    if not 0 <= start < frames:
        raise UsageError(f"--from {start}: want a frame of {arguments.key}, 0 to {frames - 1}, got {start}")
    if stop is not None and not start < stop <= frames:
        raise UsageError(f"--to {stop}: want a frame after --from {start}, up to {frames}, got {stop}")
    if start == 0 and stop in (None, frames):
        raise UsageError("swap: want a part of the clip, got all of it: that changes only the numbers, not who is who")
    stop = None if stop == frames else stop
    a, b = arguments.people
    anchors = chains_of_swap(clip.people, a - 1, b - 1, start, stop, float(clip.clip.fps))
    word = Correction(**plain, people=(a, b), start=start, stop=stop, anchors=anchors)
    _, why = swap(_corrected(clip, words), word)
    if why:
        raise UsageError(f"swap {arguments.key} {a} {b} --from {start}: cannot be done: {why}")
    return word


def _corrected(clip: Shown, words: Sequence[Correction]) -> People:
    """The clip's people after what was said since the run that showed them."""
    return heed(clip.people, clip.pending(words))[0]

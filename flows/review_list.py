"""OUT, words -> what is in review: why, where to look, and the commands that settle it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from datasets.corrections import Correction, standing
from datasets.counted import counted
from flows.shown import Shown, rows_of, shown
from tasks.ops.corrections import phrase
from tasks.ops.places import places_of

COMMAND = "python -m flows.review"
_SWAPS = 3  # more exchanges than this are not spelled out


def listing(out: str, words: Sequence[Correction], file: str | None) -> dict[str, Any]:
    """What `--json` prints: `clips` in review, least sure first; `waiting`, words that the next build heeds of other
    clips; `elsewhere`, words on clips not in OUT.

    words: all of the file, those taken back and the undos themselves too.
    """
    rows, stand = rows_of(out), standing(words)
    rejected = {word.key for word in stand if word.word == "reject"}
    said = {word.key for word in words} & rows.keys()
    read = {key: shown(out, row) for key, row in rows.items() if key in said or row["verdict"] == "review"}
    clips = [_clip(out, clip, stand, file) for key, clip in read.items() if rows[key]["verdict"] == "review"]
    clips.sort(key=lambda clip: (clip["confidence"], clip["key"]))
    elsewhere = [_plain(word) for word in stand if word.key not in rows and word.key not in rejected]
    waiting = _waiting([read[key] for key in sorted(said)], words, stand)
    return {"out": out, "clips": clips, "waiting": waiting, "elsewhere": elsewhere}


def listing_text(found: Mapping[str, Any]) -> str:
    """For people."""
    count = len(found["clips"])
    if not count:
        lines = [f"{found['out']}: nothing is in review"]
    else:
        lines = [f"{found['out']}: {counted(count, 'clip')} in review"]
    for clip in found["clips"]:
        lines += ["", f"{clip['key']}  ({clip['source']} from {clip['start_s']:.2f} s, {clip['seconds']:.2f} s long)"]
        lines += _block("why", clip["reasons"])
        lines += _block("look", [_look(look) for look in clip["look"]] or ["at all of it"])
        lines += _block("say", clip["commands"])
        lines += _block("said", [f"{_word(one)}: heeded by the next build" for one in clip["pending"]])
    if found["waiting"]:
        lines += ["", "heeded by the next build:"]
        for word in found["waiting"]:
            lines.append(f"  {word['key']}: {_word(word)}" + (" is taken back" if word["taken_back"] else ""))
    if found["elsewhere"]:
        lines += ["", "said of clips that are not in the dataset now:"]
        lines += [f"  {word['key']}: {_word(word)}" for word in found["elsewhere"]]
    return "\n".join(lines)


def _clip(out: str, clip: Shown, words: Sequence[Correction], file: str | None) -> dict[str, Any]:
    key, fps = clip.clip.key, clip.clip.fps
    places = places_of(clip.people, fps, clip.sample.reasons)
    look: list[dict[str, Any]] = [
        {
            "start_s": round(float(place.start / fps), 2),
            "stop_s": round(float(place.stop / fps), 2),
            "frames": [place.start, place.stop],
            "people": [p + 1 for p in place.people],
            "frame": place.frame,
            "stranger": place.stranger,
        }
        for place in places
    ]
    return {
        "key": key,
        "source": clip.clip.source,
        "start_s": round(float(clip.clip.start / fps), 2),
        "seconds": round(clip.clip.duration_s, 2),
        "people": clip.people.num_people,
        "confidence": clip.sample.scores.get("confidence_min", 0.0),
        "reasons": list(clip.sample.reasons),
        "look": look,
        "commands": [_command(out, file, words) for words in _sayings(key, look, exact=clip.exact)],
        "pending": [_plain(word) for word in clip.pending(words)],
    }


def _waiting(clips: Sequence[Shown], words: Sequence[Correction], stand: Sequence[Correction]) -> list[dict[str, Any]]:
    """Words that were taken back since the clips were built, and new ones on clips that are not in review."""
    standing_ids = {word.id for word in stand}
    out = []
    for clip in clips:
        new = clip.pending(stand) if clip.sample.verdict != "review" else ()
        gone = [word for word in words if word.id in clip.heard - standing_ids]
        out += [_plain(word) | {"taken_back": False} for word in new]
        out += [_plain(word) | {"taken_back": True} for word in gone]
    return out


def _sayings(key: str, look: Sequence[Mapping[str, Any]], *, exact: bool) -> list[str]:
    """What may be said of a clip: the exchanges that the first doubts are about are filled in."""
    pairs = [] if exact else [one for one in look if len(one["people"]) == 2]
    swaps = [
        f"swap {key} {one['people'][0]} {one['people'][1]} --from {max(1, one['frame'])}" for one in pairs[:_SWAPS]
    ]
    return [f"accept {key}", f"reject {key}", *swaps]


def _command(out: str, file: str | None, saying: str) -> str:
    named = f" --corrections {shlex.quote(file)}" if file else ""
    return f"{COMMAND} {shlex.quote(out)} {saying}{named}"


def _plain(word: Correction) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": word.id, "key": word.key, "said": phrase(word), "word": word.word}
    plain["people"] = list(word.people)
    extra = {"from": word.start, "to": word.stop, "kind": word.kind, "who": word.who, "when": word.when}
    return plain | {name: value for name, value in {**extra, "note": word.note}.items() if value is not None}


def _word(plain: Mapping[str, Any]) -> str:
    return str(plain["said"]) + (f" ({plain['note']})" if "note" in plain else "")


def _look(one: Mapping[str, Any]) -> str:
    first, last = one["frames"][0], one["frames"][1] - 1
    frames = f"frame {first}" if first == last else f"frames {first} to {last}"
    who = "somebody who is none of the people" if one["stranger"] else " and ".join(map(str, one["people"]))
    return f"{one['start_s']:.2f} to {one['stop_s']:.2f} s, {frames}" + (f": {who}" if who else "")


def _block(name: str, lines: Sequence[str]) -> list[str]:
    return [f"  {name if i == 0 else '':<5} {line}" for i, line in enumerate(lines)]

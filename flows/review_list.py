"""OUT, words -> what is in review: why, where to look, and the commands that settle it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from datasets.corrections import Correction
from flows.shown import Shown, rows_of, shown
from tasks.ops.corrections import phrase
from tasks.ops.places import places_of

COMMAND = "python -m flows.review"


def listing(out: str, words: Sequence[Correction], file: str | None) -> dict[str, Any]:
    """What `--json` prints: `clips` in review, least sure first; `elsewhere`, words on clips not in OUT."""
    rows = rows_of(out)
    rejected = {word.key for word in words if word.word == "reject"}
    clips = [_clip(out, shown(out, row), words, file) for row in rows.values() if row["verdict"] == "review"]
    clips.sort(key=lambda clip: (clip["confidence"], clip["key"]))
    elsewhere = [_plain(word) for word in words if word.key not in rows and word.key not in rejected]
    return {"out": out, "clips": clips, "elsewhere": elsewhere}


def listing_text(found: Mapping[str, Any]) -> str:
    """For people."""
    count = len(found["clips"])
    if not count:
        lines = [f"{found['out']}: nothing is in review"]
    else:
        lines = [f"{found['out']}: {count} {'clip' if count == 1 else 'clips'} in review"]
    for clip in found["clips"]:
        lines += ["", f"{clip['key']}  ({clip['source']} from {clip['start_s']:.2f} s, {clip['seconds']:.2f} s long)"]
        lines += _block("why", clip["reasons"])
        lines += _block("look", [_look(look) for look in clip["look"]] or ["at all of it"])
        lines += _block("say", clip["commands"])
        lines += _block("said", [f"{_word(one)}: heeded by the next build" for one in clip["pending"]])
    if found["elsewhere"]:
        lines += ["", "said of clips that are not in the dataset now:"]
        lines += [f"  {word['key']}: {_word(word)}" for word in found["elsewhere"]]
    return "\n".join(lines)


def _clip(out: str, clip: Shown, words: Sequence[Correction], file: str | None) -> dict[str, Any]:
    key, fps = clip.clip.key, clip.clip.fps
    places = places_of(clip.people)
    look: list[dict[str, Any]] = [
        {
            "start_s": round(float(place.start / fps), 2),
            "stop_s": round(float(place.stop / fps), 2),
            "frames": [place.start, place.stop],
            "people": [p + 1 for p in place.people],
            "frame": place.frame,
        }
        for place in places
    ]
    told = {float(at) for reason in clip.sample.reasons for at in re.findall(r"at (\d+(?:\.\d+)?) s\b", reason)}
    for at in sorted(told):
        if not any(one["start_s"] <= at <= one["stop_s"] for one in look):
            frame = round(at * fps)
            look.append({"start_s": at, "stop_s": at, "frames": [frame, frame + 1], "people": [], "frame": frame})
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


def _sayings(key: str, look: Sequence[Mapping[str, Any]], *, exact: bool) -> list[str]:
    """What may be said of a clip: the first doubt's exchange is filled in."""
    pair = next((one for one in look if len(one["people"]) == 2), None)
    swaps = []
    if pair is not None and not exact:
        swaps = [f"swap {key} {pair['people'][0]} {pair['people'][1]} --from {max(1, pair['frame'])}"]
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
    who = " and ".join(map(str, one["people"]))
    return f"{one['start_s']:.2f} to {one['stop_s']:.2f} s, {frames}" + (f": {who}" if who else "")


def _block(name: str, lines: Sequence[str]) -> list[str]:
    return [f"  {name if i == 0 else '':<5} {line}" for i, line in enumerate(lines)]

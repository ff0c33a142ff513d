"""OUT -> what a run showed of a clip: its record, people and verdict, read from the shard that it is in."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from datasets import index
from datasets.corrections import Correction
from datasets.folder import open_folder
from datasets.masks import Masks
from datasets.members import ShardError, decode_about, decode_json, decode_pose
from datasets.records import Clip, People, Sample
from datasets.shards import read_sample
from flows.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """A clip as the report shows it. Its people have no masks: where they stand is enough to speak of them."""

    clip: Clip
    people: People
    sample: Sample

    @property
    def exact(self) -> bool:
        """Whether the clip was rendered: who is who is known there, and no word can change it."""
        return "render" in self.sample.provenance

    @property
    def heard(self) -> frozenset[str]:
        """Ids of the words that the run which wrote the clip heeded."""
        return frozenset(self.sample.provenance.get("corrections", "").split())

    def pending(self, words: Iterable[Correction]) -> tuple[Correction, ...]:
        """Of words, those on this clip that the run which wrote it did not know yet."""
        return tuple(word for word in words if word.key == self.clip.key and word.id not in self.heard)


def rows_of(out: str) -> dict[str, dict[str, Any]]:
    """Key -> row of OUT's index. Raises UsageError where there is no dataset."""
    try:
        if index.read_dataset(out) is None:
            raise UsageError(f"{out}: want a dataset that flows.build_dataset wrote, got none there; check the path")
        rows = index.read_table(open_folder(out).read(index.INDEX), index.COLUMNS, index.INDEX)
    except (OSError, ShardError) as error:
        raise UsageError(f"{out}: want a dataset that can be read, got {error}; build it again") from error
    return {row["key"]: row for row in rows}


def shown(out: str, row: Mapping[str, Any]) -> Shown:
    """The clip of an index row. Raises UsageError when its shard does not hold it."""
    try:
        data = open_folder(out).part(row["shard"], row["offset"], row["size"])
        members = read_sample(io.BytesIO(data), row["key"], 0, row["size"], ["json", "pose.npz"])
        about, pose = decode_json(members), decode_pose(members)
        clip, _, sample, events = decode_about(about)
        empty = Masks.from_counts([b""] * pose["present"].size, size=clip.size)
        people = People(**pose, mask=empty, skeleton=str(about["skeleton"]), events=events)
    except (OSError, ShardError, ValueError) as error:
        raise UsageError(
            f"{out}: {row['key']}: want the clip that the index names, got {error}; "
            "a build may be at work: try again when it is done"
        ) from error
    return Shown(clip=clip, people=people, sample=sample)


def row_of(out: str, rows: Mapping[str, dict[str, Any]], key: str, words: Iterable[Correction]) -> dict[str, Any]:
    """The row of a key. Raises UsageError that says what became of the clip, or which key may have been meant."""
    if key in rows:
        return rows[key]
    if any(word.key == key and word.word == "reject" for word in words):
        raise UsageError(f"KEY {key}: it is rejected by a person's word; `undo {key}` and build again to see it")
    rejects = index.read_table(open_folder(out).read(index.REJECTS), index.REJECT_COLUMNS, index.REJECTS)
    why = next((row for row in rejects if row["clip"] == key), None)
    if why is not None:
        raise UsageError(
            f"KEY {key}: want a clip of {index.INDEX}, got one that {why['stage']} turned away: {why['reason']}; "
            "build again with other limits (--set) to have it in review"
        )
    raise UsageError(f"KEY {key}: want a clip of {out}, got no such key{near(key, rows)}")


def near(key: str, keys: Iterable[str]) -> str:
    """A hint at the keys that were probably meant."""
    close = difflib.get_close_matches(key, list(keys), n=3, cutoff=0.5)
    return f"; did you mean {', '.join(close)}?" if close else ""

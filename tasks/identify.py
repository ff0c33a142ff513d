"""Clips of one source, Segments, People -> Cast: what each person is, and who they are from clip to clip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
import yaml
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.records import Cast, Kind, People, Segments, load_record, save_record
from tasks.backends.table import face_finder
from tasks.batch import Batch, Env, Item, Stage
from tasks.brought import TRACKS, boxes_in, has
from tasks.clips import clip_of, clip_record, people_of, words_on
from tasks.detect import where
from tasks.frames import FRAMES
from tasks.ops.corrections import NAMED, WORD, kinds_said
from tasks.ops.crops import pad_cut
from tasks.ops.given import name_brought, people_ids
from tasks.ops.hints import Hints, check_hints, hinted_kind
from tasks.ops.identities import Named, name_people
from tasks.ops.kind import Faces, kind_evidence
from tasks.ops.looks_of import frames_to_look_at, pooled_looks

VERSION = 3


@dataclass(frozen=True, kw_only=True)
class Config:
    """How people are told apart from clip to clip, and humans from robots."""

    # Cosine distance of two masked looks above which they are two people; people of one clip may lower it.
    same_person: float = 0.45
    looks: int = 12  # frames of each person in which a face is looked for; 0: nobody is looked at, without weights
    # A person's word: a YAML or JSON file, or such text itself: {SOURCE or CLIP: {PERSON: robot}}; see docs/format.md.
    hints: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.same_person < 2:
            raise ValueError(f"identify.same_person: want a cosine distance within 0 .. 2, got {self.same_person}")
        if self.looks < 0:
            raise ValueError(f"identify.looks: want 0 or more frames, got {self.looks}")
        read_hints(self.hints)


def read_hints(hints: str | None) -> Hints:
    """The hints of a file or of the text itself. Raises ValueError when there is no such file, or an entry is off."""
    if hints is None:
        return {}
    text, name = hints, "identify.hints"
    if not hints.lstrip().startswith("{"):
        try:
            text, name = Path(hints).read_text(), hints
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"identify.hints: want a YAML or JSON file, or such text in braces, got {hints!r} ({error})"
            ) from None
    try:
        return check_hints(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None


@dataclass(frozen=True)
class Group:
    """All clips of one source, as far as they were bound."""

    items: tuple[Item, ...]
    config: Config

    @cached_property
    def named(self) -> dict[str, Named]:
        """clip key -> its people's names. Computed once, when the first of its casts is missing."""
        looks = {item.key: looks for item in self.items if (looks := _readable_looks(item)) is not None}
        if all(has(item.artifacts, TRACKS) for item in self.items):
            # The ids that a person brought hold over the whole source.
            ids = [brought_people(item) for item in self.items if item.key in looks]
            return dict(zip(looks, name_brought(ids), strict=True))
        named = name_people(list(looks.values()), threshold=self.config.same_person)
        return dict(zip(looks, named, strict=True))

    def compute(self, item: Item, config: Config, env: Env, out: Path) -> None:
        """One clip's cast: names from the whole group, kinds from its own frames, a person's word above both."""
        if item.key not in self.named:
            looks_of(item)  # raises what made it unreadable
        named, hints = self.named[item.key], read_hints(self.config.hints)
        said = _kinds_said(item)
        judged = kinds_in(item, config, env)
        kind, sure, reason = [], [], []
        for person, (found, confidence, why) in enumerate(judged):
            word = said.get(person) or hinted_kind(
                hints, source=item.source, key=item.key, person=person, identity=named.identity[person]
            )
            kind.append(word or found)
            sure.append(1.0 if word else confidence)
            reason.append(WORD if word else why)
        cast = Cast(
            kind=tuple(kind),
            kind_confidence=np.array(sure, np.float32),
            kind_reason=tuple(reason),
            identity=named.identity,
            identity_confidence=named.confidence,
        )
        save_record(cast, out / "cast.npz")


def _kinds_said(item: Item) -> dict[int, Kind]:
    """Person -> what the review says they are."""
    words = words_on(item)
    return {p: word.kind for p, word in kinds_said(people_of(item), words)[0].items() if word.kind} if words else {}


def _readable_looks(item: Item) -> list[np.ndarray | None] | None:
    """None for a clip whose records are damaged: that is the fault of that clip's own cast, not of the others'."""
    try:
        return looks_of(item)
    except (ValueError, OSError):
        return None


def looks_of(item: Item) -> list[np.ndarray | None]:
    """Each person's mean masked appearance in one clip; None where none was taken."""
    segments = load_record(Segments, item.folder("segment") / "segments.npz")
    return pooled_looks(segments, people_of(item))


def brought_people(item: Item) -> list[int]:
    """The id that was brought for each person of one clip; -1 for whom there is none."""
    clip = clip_record(item)
    people, rows = people_of(item), boxes_in(item, clip)
    if rows is None:
        return [-1] * people.num_people
    return people_ids(people.box, people.visible > 0, rows.frame, rows.box, rows.id)


def kinds_in(item: Item, config: Config, env: Env) -> list[tuple[Kind, float, str]]:
    """For each person of a clip what a few frames show of what they are: kind, confidence, reason."""
    _, path = clip_of(item)
    people = people_of(item)
    if not config.looks:
        return [kind_evidence([], [], [])] * people.num_people
    finder = face_finder(where(env))
    wanted = frames_to_look_at(people, config.looks)
    crops: list[list[np.ndarray]] = [[] for _ in wanted]
    masks: list[list[np.ndarray]] = [[] for _ in wanted]
    faces: list[list[Faces]] = [[] for _ in wanted]
    last = max((t for frames in wanted for t in frames), default=-1)
    for t, frame in enumerate(FRAMES.read(path, last + 1)):
        for p in (p for p, frames in enumerate(wanted) if t in frames):
            rectangle = _around(people, p, t)
            crops[p].append(pad_cut(frame, rectangle))
            masks[p].append(pad_cut(people.mask_at(p, t), rectangle))
            faces[p].append(finder.faces(crops[p][-1]))
    return [kind_evidence(*looks) for looks in zip(crops, masks, faces, strict=True)]


def _around(people: People, p: int, t: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (int(v) for v in people.box[p, t])
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


STAGE = Stage(
    name="identify",
    version=VERSION,
    inputs=("shots", "segment", "refine"),
    compute=lambda item, config, env, out: Group(items=(item,), config=config).compute(item, config, env, out),
    weights=lambda config: ("yunet",) if config.looks else (),
    heeds=NAMED,
    takes=TRACKS,
)


def told(config: Config) -> Config:
    """The configuration with a hint file's words in place of its name: they count, not where it lies."""
    hints = read_hints(config.hints)
    return replace(config, hints=json.dumps(hints, sort_keys=True) if hints else None)


def group_digest(items: Sequence[Item]) -> str:
    """What a cast depends on beyond its own clip: every clip of the source, as it was bound and looked at."""
    made = sorted((item.key, item.artifacts["refine"].key, item.artifacts["segment"].key) for item in items)
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:32]


@task(name="identify", cache_policy=NO_CACHE, persist_result=False)
def identify(batch: Batch, config: Config, env: Env) -> Batch:
    """One batch through this stage; it must hold all clips of its sources."""
    config = told(config)
    done = Batch(items=(), rejects=batch.rejects, costs=batch.costs)
    items = sorted(batch.items, key=lambda item: (item.source, item.part, item.key))
    for _, clips in groupby(items, key=lambda item: item.source):
        group = Group(items=tuple(clips), config=config)
        stage = replace(STAGE, compute=group.compute)
        part = stage.run(
            Batch(items=group.items, rejects=done.rejects, costs=done.costs),
            config,
            env,
            extra=(f"source={group_digest(group.items)}",),
        )
        done = replace(part, items=(*done.items, *part.items))
    return done

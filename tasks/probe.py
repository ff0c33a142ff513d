"""File -> Source: what a video is once all of it is decoded, brought to a constant rate by its timestamps."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.records import Source, load_record, save_record
from datasets.store import Store, write_atomic
from datasets.video import MAX_FRAMES, VideoError, VideoFacts, probe_video
from tasks.batch import Batch, Env, Item, Refused, Stage
from tasks.ops.timeline import constant_rate

VERSION = 1
FILE = "source.npz"


@dataclass(frozen=True, kw_only=True)
class Config:
    """How much is taken in, and under what licence."""

    licence: str = "unknown"  # of the footage; written into every sample
    max_lost: float = 0.1  # share of a file that may be damaged or missing; 0..1
    max_frames: int = MAX_FRAMES

    def __post_init__(self) -> None:
        if not 0 <= self.max_lost <= 1 or self.max_frames < 1:
            raise ValueError(
                f"probe: want max_lost within 0 .. 1 and max_frames >= 1, got {self.max_lost} and {self.max_frames}"
            )


def sha256_of(path: str | Path, store: Store) -> str:
    """The sha256 of a file, remembered in the store by path, size and time of change: a file is hashed once.

    Raises OSError for a file that cannot be read.
    """
    path = os.path.abspath(path)
    state = os.stat(path)
    seen = [path, state.st_size, state.st_mtime_ns]
    note = (
        Path(store.root) / ".sha256" / f"{hashlib.sha256(path.encode(errors='surrogateescape')).hexdigest()[:32]}.json"
    )
    try:
        noted = json.loads(note.read_bytes())
        if noted["seen"] == seen:
            return noted["sha256"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        pass  # not hashed yet, or a note from a killed disk: hash it
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    write_atomic(note, json.dumps({"seen": seen, "sha256": digest}, sort_keys=True).encode())
    return digest


def source_item(path: str | Path, source: str, store: Store) -> Item:
    """The item of a footage file: `source` is its name under its root, `path` where it lies now.

    Its part, and so every key, holds the file's sha256 and its name, since both are written into what is made.
    """
    return Item(key=source, source=source, path=os.fspath(path), part=f"{sha256_of(path, store)} {source}")


def source_of(item: Item) -> Source:
    """The item's Source record."""
    return load_record(Source, item.folder("probe") / FILE)


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Decode the file and write its Source. Raises Refused for one that is no video, has no frames or is broken."""
    try:
        facts = probe_video(item.path, max_frames=config.max_frames)
        _refuse_broken(facts, item.source, config.max_lost)
        timeline = constant_rate(facts.time_s, facts.last_s, facts.rates, max_frames=config.max_frames)
    except VideoError as error:
        raise Refused(str(error)) from error
    except ValueError as error:
        raise Refused(f"{Path(item.source).name}: {error}") from error
    source = Source(
        path=item.source,
        sha256=item.part.partition(" ")[0] or sha256_of(item.path, env.store),
        container=facts.container,
        codec=facts.codec,
        width=facts.width,
        height=facts.height,
        rotation=facts.rotation,
        fps=timeline.fps,
        frames=len(timeline.frame_map),
        decoded=len(facts.time_s),
        variable=timeline.variable,
        frame_map=timeline.frame_map,
        audio=facts.audio,
        licence=config.licence,
    )
    save_record(source, out / FILE)


def _refuse_broken(facts: VideoFacts, source: str, max_lost: float) -> None:
    """Headers alone prove nothing, so a length that falls short counts only where decoding met damage too."""
    if not facts.damaged:
        return
    shown_s = float(facts.time_s[-1]) + facts.last_s
    missing = 1 - shown_s / facts.promised_s if facts.promised_s > 0 else 0.0
    spoilt = facts.damaged / (len(facts.time_s) + facts.damaged)
    lost = max(missing, spoilt)
    if lost > max_lost:
        got = f"{len(facts.time_s)} frames, {shown_s:.1f} of {facts.promised_s:.1f} s, {facts.damaged} damaged"
        raise Refused(
            f"{Path(source).name}: want at most {max_lost:.0%} of a file lost, got {lost:.0%} ({got}: {facts.damage}); "
            "copy it again, or set probe.max_lost"
        )


STAGE = Stage(name="probe", version=VERSION, inputs=(), compute=compute)


@task(name="probe", cache_policy=NO_CACHE, persist_result=False)
def probe(batch: Batch, config: Config, env: Env) -> Batch:
    """Every file of the batch probed; its item then knows how many frames it has."""
    probed = STAGE.run(batch, config, env)
    return replace(probed, items=tuple(replace(item, frames=source_of(item).frames) for item in probed.items))

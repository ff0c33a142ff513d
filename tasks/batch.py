"""Batch -> Batch: a stage over a batch of clips. The one place that catches: an item's fault becomes a reject."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datasets.corrections import Correction
from datasets.disk import disk_error
from datasets.records import Artifact
from datasets.remote import SCHEME
from datasets.remote_scratch import local_text
from datasets.store import Store, content_key, local_file, local_folder, size_in
from tasks.backends import blas, weights

log = logging.getLogger("duetflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """Where and on what a run runs. Nothing here may change what an artifact holds."""

    store: Store
    weights: str | None = None  # --weights DIR
    device: str = "cpu"  # cpu, cuda, cuda:1, ...
    threads: int = 1  # compute threads a worker
    download: bool = True  # whether missing weights may be fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One source, clip or scene on its way through the stages."""

    key: str  # the sample key of a clip; the source's path before there are clips
    source: str  # as given, relative to its root
    path: str  # where the file is now; never part of a content key
    part: str = ""  # what tells items of one source apart: a start frame, or a scene's JSON; part of every key
    frames: int = 0  # for balancing batches; 0 while unknown
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)  # stage -> what it made
    words: tuple[Correction, ...] = ()  # what a person said of the clip; stages that heed it have it in their keys

    def folder(self, stage: str) -> Path:
        """The artifact folder that a stage made for this item, on this machine."""
        return local_folder(self.artifacts[stage])

    def file(self, stage: str, name: str) -> Path:
        """One file that a stage made for this item, on this machine: from an address only that one is fetched."""
        return local_file(self.artifacts[stage], name)

    def size(self, stage: str, name: str) -> int | None:
        """Bytes of a file that a stage made, without fetching it; None where it made none of that name."""
        return size_in(self.artifacts[stage], name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """An item that goes no further, and why."""

    source: str
    clip: str
    stage: str
    reason: str  # one line, for people: what, wanted, got
    fault: bool  # true when it failed (an error); false when a rule turned it away


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a stage spent on a batch."""

    stage: str
    ran: int
    reused: int
    seconds: float
    frames: int = 0  # frames of the items that ran


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Items that go on, those that do not, and what it cost so far."""

    items: tuple[Item, ...]
    rejects: tuple[Reject, ...] = ()
    costs: tuple[Cost, ...] = ()


class Refused(ValueError):
    """Raised by a stage for an item that a rule turns away, such as a video without frames: a reject, not a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one stage is: enough to name its artifact before making it, and to make it."""

    name: str
    version: int
    inputs: tuple[str, ...]  # stages whose artifacts it reads
    compute: Callable[[Item, Any, Env, Path], None]  # open, call, save into the folder
    weights: Callable[[Any], Sequence[str]] = lambda config: ()  # names in the weights table that this config uses
    heeds: tuple[str, ...] = ()  # a person's words that change what it makes
    takes: tuple[str, ...] = ()  # artifacts that only some items have, of files brought beside their source
    spared: Callable[[Any, Collection[str]], Collection[str]] = lambda config, has: ()  # weights not used with these
    here: Callable[[str], str] | None = None  # the source's path -> its path on this machine; None: it is not opened

    def key(self, item: Item, config: Any, env: Env, extra: Sequence[str] = ()) -> str:
        """The content key of this stage's artifact for an item; `extra` names further inputs."""
        taken = [name for name in self.takes if name in item.artifacts]
        inputs = [f"{name}={item.artifacts[name].key}" for name in (*self.inputs, *taken)]
        said = [f"said={word.id}" for word in item.words if word.word in self.heeds]
        inputs = [*inputs, *extra, *said, item.part]
        return content_key(self.name, self.version, config, inputs, self._digests(item, config, env))

    def make(self, item: Item, config: Any, env: Env, extra: Sequence[str] = ()) -> tuple[Item, bool]:
        """The item with this stage's artifact added, and whether that was already in the store."""
        key = self.key(item, config, env, extra)
        digests = self._digests(item, config, env)
        # What stood before it, so that all that comes of a source can be found: by its bytes, then from key to key.
        made_from = {"part": item.part, "inputs": sorted({one.key for one in item.artifacts.values()})}
        about = {"item": item.key, "config": config, "version": self.version, "weights": digests, **made_from}

        def write(out: Path) -> None:
            blas.one_thread()
            self.compute(self._on_this_machine(item), config, env, out)

        artifact, reused = env.store.make(self.name, key, write, about=about)
        return replace(item, artifacts={**item.artifacts, self.name: artifact}), reused

    def _on_this_machine(self, item: Item) -> Item:
        """The item as a stage that opens its source reads it: behind a fence nothing can be fetched any more."""
        if self.here is None:
            return item
        wanted = {name for name in (*self.inputs, *self.takes) if name in item.artifacts}
        near = {name: replace(item.artifacts[name], path=str(item.folder(name))) for name in wanted}
        return replace(item, path=self.here(item.path), artifacts={**item.artifacts, **near})

    def used(self, config: Any, has: Collection[str]) -> tuple[str, ...]:
        """The weights that are used for an item with these artifacts."""
        spared = self.spared(config, has)
        return tuple(name for name in self.weights(config) if name not in spared)

    def _digests(self, item: Item, config: Any, env: Env) -> dict[str, str]:
        return {name: weights.digest(name, env.weights) for name in self.used(config, item.artifacts)}

    def run(self, batch: Batch, config: Any, env: Env, extra: Sequence[str] = ()) -> Batch:
        """Every item of the batch through this stage; a fault or refusal of one becomes its reject.

        `extra` names further inputs that all items of the batch depend on. Raises OSError where the disk is full or
        read-only.
        """
        started, ran, reused_count, frames = time.monotonic(), 0, 0, 0
        items, rejects = [], list(batch.rejects)
        for item in batch.items:
            try:
                made, reused = self.make(item, config, env, extra)
            except Refused as refusal:
                rejects.append(self.reject(item, str(refusal), fault=False))
                ran += 1
            except Exception as error:
                full = disk_error(error, env.store.root)
                if full:
                    # The next clip would fail too, and a dataset without them all would be committed.
                    raise full from error
                log.debug("%s: %s\n%s", self.name, item.key, traceback.format_exc())
                rejects.append(self.reject(item, f"{type(error).__name__}: {error}", fault=True))
                ran += 1
            else:
                items.append(made)
                ran, reused_count = ran + (not reused), reused_count + reused
                frames += 0 if reused else made.frames
        cost = Cost(stage=self.name, ran=ran, reused=reused_count, seconds=time.monotonic() - started, frames=frames)
        return Batch(items=tuple(items), rejects=tuple(rejects), costs=(*batch.costs, cost))

    def reject(self, item: Item, reason: str, *, fault: bool) -> Reject:
        """The reject of an item at this stage; the reason names no folder of this machine."""
        clip = "" if item.key == item.source else item.key
        folder = os.path.dirname(item.path.removeprefix(SCHEME))
        reason = local_text(reason).replace(SCHEME, "")
        reason = reason.replace(f"{folder}{os.sep}", "") if folder else reason
        return Reject(source=item.source, clip=clip, stage=self.name, reason=" ".join(reason.split()), fault=fault)

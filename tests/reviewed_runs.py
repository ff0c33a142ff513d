"""Drawn clips of footage through every stage after `bind`, into a dataset: what a review speaks of, in a second."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.corrections import FILE
from datasets.masks import Masks
from datasets.members import Bundle, decode_sample
from datasets.records import Artifact, CameraMotion, People, Segments, Tracklets, save_record
from datasets.shards import read_sample
from datasets.store import Store
from datasets.video import VideoWriter
from flows.batches import costs_by_stage
from flows.shown import rows_of
from flows.words import with_words, words_of
from tasks import identify, judge, refine, shard
from tasks.batch import Batch, Env, Item
from tasks.ops.exchange import exchange
from tests import tiny_weights
from tests.draw_people import FPS, Figure, clip_of, draw_clip

FRAMES = 40
FIGURES = (
    Figure(start=(0.1, 0.9), stop=(0.7, 0.9), height=0.5),
    Figure(start=(0.7, 0.9), stop=(0.1, 0.9), height=0.5, shirt=(60, 90, 200)),
    Figure(start=(0.9, 0.9), stop=(0.9, 0.9), height=0.5, shirt=(60, 170, 90)),
)
# Masks and poses as they were bound: what a word changes is then to be seen to the byte.
KEEP = refine.Config(repair=False, masks="keep", estimator=None, smooth=False)


def faulty(people: People) -> People:
    """Two exchanged where they meet, and the binder knows that it does not know."""
    people = exchange(people, 0, 1, FRAMES // 2)
    confidence = people.confidence.copy()
    confidence[:2, FRAMES // 2 - 3 : FRAMES // 2 + 3] = 0.2
    return replace(people, confidence=confidence)


class DrawnRun:
    """A dataset of drawn clips, built again and again from the same store."""

    def __init__(self, root: Path, names: tuple[str, ...] = ("walk", "hall")) -> None:
        self.out, self.ran = root / "out", dict[str, int]()
        weights = tiny_weights.write(root, ["yunet"])
        self.env = Env(store=Store(str(root / "store")), weights=str(weights), download=False)
        self.people, self.pictures = draw_clip(FIGURES, frames=FRAMES)
        self.items = tuple(self._bound(name, faulty(self.people)) for name in names)

    def build(self, *, limits: judge.Config | None = None, file: str | None = None, repair: bool = False) -> Batch:
        """Every stage after bind, with what was said until now; the rejects are those of the judge."""
        self.out.mkdir(exist_ok=True)
        batch = with_words(Batch(items=self.items), words_of(str(self.out), file))
        batch = refine.refine.fn(batch, replace(KEEP, repair=repair), self.env)
        batch = identify.identify.fn(batch, identify.Config(), self.env)
        batch = judge.judge.fn(batch, limits or judge.Config(), self.env)
        assert not any(reject.fault for reject in batch.rejects), batch.rejects
        self.ran = {stage: cost.ran for stage, cost in costs_by_stage(batch.costs).items()}
        plan = shard.plan_shards([batch], shard.Config(), self.out)
        shard.commit_dataset(plan, [shard.write_shard(job, self.out) for job in plan.jobs], self.out)
        return batch

    def elsewhere(self, out: Path) -> DrawnRun:
        """Go on in another, new folder, with the words so far."""
        out.mkdir()
        shutil.copy(self.out / FILE, out / FILE)
        self.out = out
        return self

    def bind_anew(self, change: Callable[[People], People]) -> None:
        """As if another detector, or another binder, had been at work."""
        self.items = tuple(self._bound(item.source.removesuffix(".mp4"), change(self.people)) for item in self.items)

    def bundle(self, key: str) -> Bundle:
        """A sample as its shard holds it."""
        row = rows_of(str(self.out))[key]
        with (self.out / row["shard"]).open("rb") as file:
            return decode_sample(read_sample(file, key, row["offset"], row["size"]))

    @property
    def keys(self) -> tuple[str, ...]:
        """The clips' keys."""
        return tuple(item.key for item in self.items)

    def _bound(self, name: str, people: People) -> Item:
        """The item of a clip as `bind` leaves it."""
        sha256 = f"{name:0<64}".encode().hex()[:64]
        clip = replace(clip_of(people, key=f"{name}-{sha256[:8]}-00000000", source=f"{name}.mp4"), sha256=sha256)

        def shots(out: Path) -> None:
            save_record(clip, out / "00000000.npz")
            with VideoWriter(out / "00000000.mp4", fps=FPS, size=people.mask.size) as video:
                for picture in self.pictures:
                    video.write(picture)

        nothing = Segments(
            frame=np.zeros(0, np.int32), tracklet=np.zeros(0, np.int32), score=np.zeros(0, np.float32),
            mask=Masks.from_counts([], size=people.mask.size), embedding=np.zeros((0, 8), np.float32),
        )  # fmt: skip
        found = Tracklets(
            frame=nothing.frame, box=np.zeros((0, 4), np.float32), score=nothing.score, tracklet=nothing.tracklet,
            embedding=nothing.embedding,
        )  # fmt: skip

        def track(out: Path) -> None:
            save_record(found, out / "tracklets.npz")
            still = np.tile(np.eye(2, 3, dtype=np.float32), (people.num_frames, 1, 1))
            save_record(CameraMotion(step=still), out / "camera.npz")

        tag = hashlib.sha256(people.box.tobytes()).hexdigest()
        about = {"item": clip.key, "config": {}, "version": 1, "weights": {}}

        def make(stage: str, key: str, write: Callable[[Path], None]) -> Artifact:
            return self.env.store.make(stage, key, write, about=about)[0]

        made = {
            "shots": make("shots", f"{name:a<32}", shots),
            "track": make("track", f"{name:c<32}", track),
            "segment": make("segment", f"{name:b<32}", lambda out: save_record(nothing, out / "segments.npz")),
            "bind": make("bind", f"{name}{tag}"[:32], lambda out: save_record(people, out / "people.npz")),
        }
        return Item(key=clip.key, source=clip.source, path=clip.source, part="00000000", frames=FRAMES, artifacts=made)

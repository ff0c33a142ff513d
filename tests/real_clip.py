"""A few frames of real footage through the light stages' networks, for tests that look at real pixels."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from datasets.records import Cast, Poses, Segments, Tracklets, load_record
from datasets.store import Store
from datasets.video import VideoWriter
from tasks import bind, detect, identify, pose, probe, refine, segment, shots, track
from tasks.batch import Batch, Env


@dataclass(frozen=True, kw_only=True)
class RealClip:
    """What the stages made of it."""

    tracklets: Tracklets
    poses: Poses
    segments: Segments
    cast: Cast


def light_clip(shared: Path, name: str, *, start: int, frames: int) -> RealClip:
    """Frames of a footage file through all stages from probe to identify, as `--preset light` does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.mp4"
        with av.open(str(shared / "footage" / f"{name}.mp4")) as container:
            stream = container.streams.video[0]
            fps = stream.average_rate
            decoded = itertools.islice(container.decode(stream), start, start + frames)
            pictures = [frame.to_ndarray(format="rgb24") for frame in decoded]
        with VideoWriter(path, fps=fps, size=pictures[0].shape[:2], crf=10) as writer:
            for picture in pictures:
                writer.write(np.ascontiguousarray(picture))
        env = Env(store=Store(str(Path(folder) / "store")), weights=str(shared / "weights"), download=False)
        batch = Batch(items=(probe.source_item(path, path.name, env.store),))
        batch = probe.STAGE.run(batch, probe.Config(), env)
        batch = shots.shots.fn(batch, shots.Config(min_s=0.1), env)
        for stage in (detect, track, pose, segment, bind, refine):
            batch = stage.STAGE.run(batch, stage.Config(), env)
        batch = identify.identify.fn(batch, identify.Config(), env)
        assert not batch.rejects, batch.rejects
        (item,) = batch.items
        return RealClip(
            tracklets=load_record(Tracklets, item.folder("track") / "tracklets.npz"),
            poses=load_record(Poses, item.folder("pose") / "poses.npz"),
            segments=load_record(Segments, item.folder("segment") / "segments.npz"),
            cast=load_record(Cast, item.folder("identify") / "cast.npz"),
        )

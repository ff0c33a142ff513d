"""Clip, Tracklets, Poses -> Segments: each tracklet's mask in each frame, and how the masked person looks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.masks import Masks
from datasets.records import Clip, Poses, Segments, Tracklets, load_record, save_record
from tasks.backends.reid import CROP, Embedder
from tasks.backends.table import ReIDName, Where, embedder
from tasks.batch import Batch, Env, Item, Stage
from tasks.brought import MASKS, TRACKS, WHOLE_MASKS, has
from tasks.brought_rows import brought_masks, no_looks
from tasks.clips import clip_of
from tasks.detect import where
from tasks.frames import FRAMES
from tasks.ops.clean import clean_rows
from tasks.ops.crops import person_crop
from tasks.ops.mask_ops import box_of

VERSION = 1
Sam2Name = Literal["sam2.1-hiera-tiny", "sam2.1-hiera-small", "sam2.1-hiera-base-plus", "sam2.1-hiera-large"]
Row = tuple[int, int, float, bytes]  # frame, tracklet, score, COCO counts


@dataclass(frozen=True, kw_only=True)
class Config:
    """How people are cut out of their frames."""

    backend: Literal["grabcut", "sam2"] = "grabcut"
    side: int = 192  # grabcut: the crop's longer side, pixels
    refresh: int = 5  # grabcut: frames for which colours are kept before they are learned again
    sam2: Sam2Name = "sam2.1-hiera-large"
    image_size: int = 1024  # sam2: the square that frames are brought to, a multiple of 32
    reach_s: float = 1.0  # sam2: how far a tracklet's mask is carried on beyond its ends
    reid: ReIDName = "reid-0248"
    embed_every: int = 10  # frames from one look at a person to the next

    def __post_init__(self) -> None:
        if self.side < 32 or self.refresh < 1 or self.embed_every < 1:
            raise ValueError(
                "segment: want side of 32 or more, refresh and embed_every of 1 or more, "
                f"got {self.side}, {self.refresh} and {self.embed_every}"
            )
        if self.image_size < 64 or self.image_size % 32:
            raise ValueError(f"segment.image_size: want a multiple of 32, at least 64, got {self.image_size}")
        if self.reach_s < 0:
            raise ValueError(f"segment.reach_s: want 0 or more seconds, got {self.reach_s}")


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Cut every tracklet out of its frames, then look at the clean ones."""
    clip, path = clip_of(item)
    tracklets = load_record(Tracklets, item.folder("track") / "tracklets.npz")
    poses = load_record(Poses, item.folder("pose") / "poses.npz")
    rows = all_masks(item, clip, path, tracklets, poses, config, where(env))
    masks = Masks.from_counts((counts for *_, counts in rows), size=clip.size)
    frame = np.array([row[0] for row in rows], np.int32)
    tracklet = np.array([row[1] for row in rows], np.int32)
    looked = clean_rows(tracklets.frame, tracklets.box, tracklets.tracklet, every=config.embed_every)
    wanted = {(int(tracklets.frame[i]), int(tracklets.tracklet[i])) for i in looked}
    chosen = [i for i in range(len(rows)) if (rows[i][0], rows[i][1]) in wanted and rows[i][3]]
    segments = Segments(
        frame=frame,
        tracklet=tracklet,
        score=np.array([row[2] for row in rows], np.float32),
        mask=masks,
        embedding=no_looks(len(rows))
        if has(item.artifacts, TRACKS)
        else looks(path, frame, masks, chosen, embedder(config.reid, where(env))),
    )
    save_record(segments, out / "segments.npz")


def all_masks(
    item: Item, clip: Clip, path: Path, tracklets: Tracklets, poses: Poses, config: Config, where: Where
) -> list[Row]:
    """The masks brought beside the source; those of the backend in the frames that no brought file speaks of."""
    given = brought_masks(item, clip, tracklets)
    if given is not None and has(item.artifacts, WHOLE_MASKS):
        return given.rows
    computed = list(masks_of(clip, path, tracklets, poses, config, where))
    return computed if given is None else given.with_computed(computed)


def masks_of(clip: Clip, path: Path, tracklets: Tracklets, poses: Poses, config: Config, where: Where) -> Iterable[Row]:
    """One row for each mask, ascending by frame."""
    if config.backend == "sam2":
        from tasks.backends.sam2 import Sam2, predictor

        model = predictor(config.sam2, config.image_size, where.path(config.sam2), where.device, where.threads)
        reach = round(config.reach_s * clip.fps)
        return Sam2(model=model, reach=reach).segment(path, clip.frames, clip.size, tracklets, poses)
    from tasks.backends.grabcut import GrabCut

    return GrabCut(side=config.side, refresh=config.refresh).segment(FRAMES.read(path), tracklets, poses)


def looks(path: Path, frame: np.ndarray, masks: Masks, chosen: list[int], network: Embedder) -> np.ndarray:
    """Unit appearance vectors of the chosen masked people, (N, E) float32; rows of zeros for the others."""
    embedding = np.zeros((len(masks), network.width), np.float32)
    if not chosen:
        return embedding
    by_frame: dict[int, list[int]] = {}
    for i in chosen:
        by_frame.setdefault(int(frame[i]), []).append(i)
    for t, picture in enumerate(FRAMES.read(path, max(by_frame) + 1)):
        if t not in by_frame:
            continue
        mask = [masks.decode(i) for i in by_frame[t]]
        crops = np.stack([person_crop(picture, box_of(m), m, CROP) for m in mask])
        embedding[by_frame[t]] = network.embed(crops)
    return embedding


def _weights(config: Config) -> tuple[str, ...]:
    return (config.sam2, config.reid) if config.backend == "sam2" else (config.reid,)


def _spared(config: Config, carried: Collection[str]) -> tuple[str, ...]:
    """Ids that were brought say who is who, so nobody is looked at; masks of all frames leave nothing to segment."""
    looks = (config.reid,) if has(carried, TRACKS) else ()
    return (*looks, config.sam2) if has(carried, WHOLE_MASKS) else looks


STAGE = Stage(
    name="segment",
    version=VERSION,
    inputs=("shots", "track", "pose"),
    compute=compute,
    weights=_weights,
    takes=(*TRACKS, *MASKS),
    spared=_spared,
)


@task(name="segment", cache_policy=NO_CACHE, persist_result=False)
def segment(batch: Batch, config: Config, env: Env) -> Batch:
    """One batch through this stage."""
    return STAGE.run(batch, config, env)

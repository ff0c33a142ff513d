"""Real sample, generated video -> what the footage stages and the measures are given: one clip, its driving people.

The generated video is brought to SIDE pixels on its shorter side, as a video of 64 pixels holds nobody whom a detector
would know, and the driving people to the same picture: all of the bench's pixels are those of SIDE.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from datasets.members import decode_sample
from datasets.records import Artifact, Clip, People, load_record, save_record
from datasets.store import Store
from datasets.video import VideoWriter, read_frames, read_source
from datasets.view import view_of
from tasks.batch import Env, Item, Refused, Stage
from tasks.ops.line_up import Lined, line_up
from tasks.ops.seen_through import seen_through
from tasks.probe import source_of

VERSION = 1
SIDE = 512  # what the paper's figures are of
PEOPLE, REAL = "people.npz", "real"
# What is read of a sample: what is compared with, and what a generator starts from.
MEMBERS = ("json", "mp4", "pose.npz", "mask.npz", "ref.png", "face.npz")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the generated video is, so that the real one can be scored in its place, at its size and its frames."""

    size: tuple[int, int]  # (h, w)
    fps: Fraction
    frames: int
    real: bool = False  # score the real video in the generated one's place: the ceiling
    crf: int = 10  # of what the detectors see: far finer than what they can tell


def real_sample(members: Mapping[str, bytes], store: Store) -> Artifact:
    """The sample that drives, unpacked: clip.npz, clip.mp4, people.npz. Raises ShardError for damaged members."""
    digest = hashlib.sha256()
    for name in MEMBERS:
        digest.update(hashlib.sha256(members.get(name, b"")).digest())
    bundle = decode_sample(members)

    def write(out: Path) -> None:
        save_record(replace(bundle.clip, file="clip.mp4"), out / "clip.npz")
        (out / "clip.mp4").write_bytes(bundle.video)
        save_record(bundle.people, out / PEOPLE)

    return store.make(REAL, f"{VERSION:02d}{digest.hexdigest()[:30]}", write, about={"item": bundle.clip.key})[0]


def real_clip(item: Item) -> Clip:
    """The driving sample's clip."""
    return load_record(Clip, item.folder(REAL) / "clip.npz")


def real_people(item: Item) -> People:
    """The driving people, over all of their clip and in its pixels."""
    return load_record(People, item.folder(REAL) / PEOPLE)


def lined(item: Item, config: Config) -> Lined:
    """Which frames and which part of the real clip are compared. Raises Refused where there is too little."""
    clip = real_clip(item)
    try:
        return line_up((clip.frames, clip.fps, clip.size), (config.frames, config.fps, config.size), f"{item.source}")
    except ValueError as error:
        raise Refused(str(error)) from error


def real_pictures(item: Item, config: Config) -> Generator[np.ndarray, None, None]:
    """The real frames that are compared, at the generated video's size: (h, w, 3) uint8 RGB each.

    Scaled and cut as the training stream does it, so that a generator that is right gives just these; at the clip's
    own size decoded as a generated video is, so that a copy is equal.
    """
    beside = lined(item, config)
    scaled = beside.view.scaled
    decoded = read_frames(item.folder(REAL) / "clip.mp4", size=scaled, exact=scaled == beside.view.source)
    with contextlib.closing(decoded):  # type: ignore[type-var]
        position, picture = -1, None
        for wanted in beside.frame.tolist():
            while position < wanted:
                picture, position = next(decoded), position + 1
            assert picture is not None  # frames are asked for from 0 on
            yield beside.view.cut(picture)


def pictures(item: Item, config: Config) -> Iterator[np.ndarray]:
    """The frames that are scored, (h, w, 3) uint8 RGB at their own size; of the ceiling the real ones."""
    if config.real:
        yield from real_pictures(item, config)
        return
    yield from read_source(item.path, source_of(item), frames=len(lined(item, config).frame))


def canvas_of(size: tuple[int, int]) -> tuple[int, int]:
    """(h, w), even, of a picture of this size brought to SIDE pixels on its shorter side.

    >>> canvas_of((64, 64)), canvas_of((1080, 1920))
    ((512, 512), (512, 910))
    """
    scale = SIDE / min(size)
    height, width = (2 * round(side * scale / 2) for side in size)
    return height, width


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Write clip.npz, clip.mp4 and people.npz (who drives), all as in a crossing that was filmed."""
    beside, clip = lined(item, config), real_clip(item)
    canvas = canvas_of(config.size)
    way = cv2.INTER_CUBIC if canvas[0] > config.size[0] else cv2.INTER_AREA
    with VideoWriter(out / "clip.mp4", fps=config.fps, size=canvas, crf=config.crf) as video:
        for picture in pictures(item, config):
            video.write(cv2.resize(picture, canvas[::-1], interpolation=way))
    view = view_of(clip.size, canvas, "crop")
    save_record(seen_through(real_people(item), view, beside.frame), out / PEOPLE)
    shown = replace(clip, file="clip.mp4", frames=len(beside.frame), fps=config.fps, size=canvas, audio=False)
    save_record(shown, out / "clip.npz")


STAGE = Stage(name="compare", version=VERSION, inputs=(REAL,), compute=compute)


def compared(item: Item, config: Config, env: Env) -> Item:
    """The item as the footage stages take it, from the detections on. Raises Refused, VideoError."""
    extra = () if config.real else (f"probe={item.artifacts['probe'].key}",)
    made, _ = STAGE.make(item, config, env, extra)
    # The stages from detect on read a clip's frames from `shots`, under the name in `part`.
    return replace(
        made,
        key=real_clip(item).key,
        part="clip",
        frames=len(lined(item, config).frame),
        artifacts={**made.artifacts, "shots": made.artifacts["compare"]},
    )

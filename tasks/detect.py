"""Clip -> Detections: where people are, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.counted import counted
from datasets.records import Clip, Detections, save_record
from datasets.video import clip_facts, read_window
from tasks.backends.table import Detector, DetectorName, Where, detector
from tasks.batch import Batch, Env, Item, Refused, Stage
from tasks.brought import BOXES, Rows, boxes_in, has
from tasks.clips import clip_of
from tasks.frames import FRAMES
from tasks.ops.boxes import parts_of_others

VERSION = 1
_SAMPLED = 12  # frames looked at before the rest, to turn a crowd away early


@dataclass(frozen=True, kw_only=True)
class Config:
    """How people are found."""

    detector: DetectorName = "rtmdet-nano"
    score_threshold: float = 0.3
    nms: float = 0.65  # generous: two people who embrace overlap this much
    min_height: float = 0.08  # of the frame's height; smaller ones are background
    max_people: int = 8  # more than this in the usual frame is a crowd, turned away


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Find the people of every frame. Refuses a clip that shows a crowd or nobody."""
    clip, path = clip_of(item)
    given = boxes_in(item, clip)
    if given is not None:
        save_record(brought_detections(given, clip, config), out / "detections.npz")
        return
    network = detector(config.detector, where(env))
    keyframes = np.array(clip_facts(path).keyframes)  # the cheapest to decode
    sampled = np.unique(keyframes[np.linspace(0, len(keyframes) - 1, _SAMPLED).astype(int)])
    found = dict(find(network, zip(sampled.tolist(), read_window(path, sampled), strict=True), config))
    refuse_crowd([len(score) for _, score in found.values()], config)
    others = ((t, frame) for t, frame in enumerate(FRAMES.read(path)) if t not in sampled)
    found.update(find(network, others, config))
    detections = gather(found, clip, config)
    save_record(detections, out / "detections.npz")


def where(env: Env) -> Where:
    """What the table of networks needs to know of the run."""
    return Where(directory=env.weights, device=env.device, threads=env.threads, download=env.download)


def find(
    network: Detector, frames: Iterable[tuple[int, np.ndarray]], config: Config
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """(number, frame) -> (number, its boxes (N, 4) and scores (N,)), parts of other people left out."""
    for t, box, score in network.detect_each(frames, score_threshold=config.score_threshold, nms=config.nms):
        keep = ~parts_of_others(box, score)
        yield t, (box[keep], score[keep])


def brought_detections(rows: Rows, clip: Clip, config: Config) -> Detections:
    """Boxes brought beside the source. Refuses a crowd, and a clip in which none lies."""
    refuse_crowd(np.bincount(rows.frame, minlength=clip.frames).tolist(), config)
    if not len(rows.frame):
        raise Refused(
            f"no people found in {counted(clip.frames, 'frame')} by the file beside the source; "
            "without it they are looked for"
        )
    return Detections(frame=rows.frame, box=rows.box, score=rows.score)


def refuse_crowd(counts: list[int], config: Config) -> None:
    """Raise Refused when the usual frame holds more people than max_people."""
    usual = float(np.median(counts)) if counts else 0.0
    if usual > config.max_people:
        raise Refused(f"a crowd: {usual:.0f} people in the usual frame, wanted at most {config.max_people}")


def gather(found: dict[int, tuple[np.ndarray, np.ndarray]], clip: Clip, config: Config) -> Detections:
    """One record of all frames, small people left out. Raises Refused when nobody large enough is left."""
    frame, box, score, small = [], [], [], 0
    for t in sorted(found):
        tall = found[t][0][:, 3] - found[t][0][:, 1] >= config.min_height * clip.size[0]
        small += int((~tall).sum())
        frame.append(np.full(int(tall.sum()), t, np.int32))
        box.append(found[t][0][tall])
        score.append(found[t][1][tall])
    refuse_crowd([len(rows) for rows in frame], config)
    if not sum(map(len, frame)):
        why = f"; {counted(small, 'box')} below {config.min_height:.0%} of the height" if small else ""
        raise Refused(f"no people found in {counted(clip.frames, 'frame')}{why}")
    return Detections(
        frame=np.concatenate(frame),
        box=np.concatenate(box).astype(np.float32),
        score=np.concatenate(score).astype(np.float32),
    )


STAGE = Stage(
    name="detect",
    version=VERSION,
    inputs=("shots",),
    compute=compute,
    weights=lambda config: (config.detector,),
    takes=BOXES,
    spared=lambda config, carried: (config.detector,) if has(carried, BOXES) else (),
)


@task(name="detect", cache_policy=NO_CACHE, persist_result=False)
def detect(batch: Batch, config: Config, env: Env) -> Batch:
    """One batch through this stage."""
    return STAGE.run(batch, config, env)

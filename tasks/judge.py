"""Clip, People, Cast -> Sample: scores first, then rules with reasons; and the picture that shows everyone best."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.corrections import clip_digest
from datasets.records import Artifact, Sample, load_record, save_record
from datasets.store import manifest_of
from datasets.video import read_frames, read_window
from tasks.batch import Batch, Env, Item, Stage
from tasks.clips import cast_of, clip_of, people_of, words_on
from tasks.ops.corrections import ALL, final_verdict, strangers
from tasks.ops.picture_scores import look, reference_frame
from tasks.ops.rules import Limits, Subject
from tasks.ops.rules import judge as verdict_of
from tasks.ops.scores import measure, stranger_spans, unsure_spans
from tasks.refine import misfits_of

VERSION = 3
# Sharpness and standstill are taken at no more than this height: it is what a person in the frame is seen at later.
_LOOK_HEIGHT = 360

# The rules' limits are all that this stage has to set.
Config = Limits


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Judge one clip: sample.npz and ref.png."""
    clip, video = clip_of(item)
    people, cast = people_of(item), cast_of(item)
    looks = look(read_frames(video, size=_look_size(clip.size)), people)
    measures = measure(people, clip.fps, looks.sharpness, looks.still)
    subject = Subject(
        measures=measures,
        kind=cast.kind,
        unsure=unsure_spans(people),
        strangers=stranger_spans(people),
        limits=config,
    )
    verdict, reasons = verdict_of(subject)
    if item.words:
        misfits = strangers(clip_digest(clip), item.words) | misfits_of(item)
        verdict, reasons = final_verdict(verdict, reasons, people, words_on(item), misfits)
    best = reference_frame(people, looks.sharpness)
    sample = Sample(
        key=clip.key,
        verdict=verdict,
        reasons=reasons,
        scores=measures.scores(),
        reference_frame=best,
        coverage=tuple(round(float(share), 4) for share in measures.coverage),
        provenance=_provenance(item),
    )
    save_record(sample, out / "sample.npz")
    _write_png(out / "ref.png", read_window(video, [best])[0])


JUDGE_FOOTAGE = Stage(
    name="judge", version=VERSION, inputs=("shots", "refine", "identify"), compute=compute, heeds=ALL, takes=("face",)
)  # fmt: skip
JUDGE_MOTION = Stage(name="judge", version=VERSION, inputs=("render",), compute=compute, heeds=ALL)


@task(name="judge", cache_policy=NO_CACHE, persist_result=False)
def judge(batch: Batch, config: Config, env: Env) -> Batch:
    """The batch's clips with their samples; the rejected ones are among the rejects, with their reasons."""
    motion = any("render" in item.artifacts for item in batch.items)
    return turn_away((JUDGE_MOTION if motion else JUDGE_FOOTAGE).run(batch, config, env))


def sample_of(item: Item) -> Sample:
    """The item's verdict, reasons and scores."""
    return load_record(Sample, item.file("judge", "sample.npz"))


def turn_away(batch: Batch) -> Batch:
    """Judged items whose verdict is "rejected" become rejects of the stage, by rule and not by fault."""
    kept, rejects = [], list(batch.rejects)
    for item in batch.items:
        sample = sample_of(item)
        if sample.verdict == "rejected":
            rejects.append(JUDGE_FOOTAGE.reject(item, "; ".join(sample.reasons), fault=False))
        else:
            kept.append(item)
    return replace(batch, items=tuple(kept), rejects=tuple(rejects))


def _look_size(size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    scale = min(1.0, _LOOK_HEIGHT / height)
    return max(2, round(height * scale)), max(2, round(width * scale))


def _provenance(item: Item) -> dict[str, str]:
    """What made the sample: each stage's artifact and version, one digest over all settings, each weights file."""
    facts: dict[str, str] = {}
    settings: dict[str, object] = {}
    for stage, artifact in item.artifacts.items():
        facts[stage] = artifact.key
        about = _about(artifact)
        if about is None:
            continue
        facts[f"{stage}.version"] = str(about["version"])
        settings[stage] = about["config"]
        facts.update({f"weights.{name}": digest for name, digest in about["weights"].items()})
        facts.update(about.get("brought", {}))
    if item.words:
        facts["corrections"] = " ".join(word.id for word in item.words)
    facts["config"] = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return facts


def _about(artifact: Artifact) -> dict[str, Any] | None:
    """What an artifact's manifest says of its making. Bodies have only a digest for a name."""
    manifest = manifest_of(artifact)
    return manifest["about"] if manifest else None


def _write_png(path: Path, picture: np.ndarray) -> None:
    """Equal pixels give equal bytes: the level and the filter are fixed."""
    way = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    good, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), way)
    if not good:
        raise ValueError(f"{path.name}: cv2 could not encode a picture of {picture.shape} {picture.dtype}")
    path.write_bytes(data.tobytes())

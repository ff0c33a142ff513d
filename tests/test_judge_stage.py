"""The stage `judge`: what it writes, what it turns away, and what of a damaged clip is a fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datasets.records import People, load_record
from datasets.store import Store
from datasets.video import read_window
from tasks.batch import Batch, Env
from tasks.judge import Config, judge, sample_of
from tasks.ops.picture_scores import Looks, look
from tasks.ops.scores import measure
from tests.draw_people import Figure, draw_clip, store_clip
from tests.test_judge import CROSSING, DUET, crowd


def run(tmp_path: Path, name: str, figures: Sequence[Figure], config: Config, **drawn: Any) -> Batch:
    store = Store(root=str(tmp_path / "store"))
    item = store_clip(store, name, *draw_clip(figures, **drawn))
    return judge.fn(Batch(items=(item,)), config, Env(store=store))


def test_the_stage_writes_sample_and_picture(tmp_path: Path) -> None:
    batch = run(tmp_path, "dance", CROSSING, Config())
    (item,) = batch.items
    sample = sample_of(item)
    assert (sample.verdict, sample.key, len(sample.coverage)) == ("accepted", "dance-00000000-00000000", 2)
    assert sample.provenance["render"] == item.artifacts["render"].key
    assert sample.provenance["render.version"] == "1"
    assert sample.provenance["weights.pencil"] == "2b"
    assert len(sample.provenance["config"]) == 64
    picture = cv2.imread(str(item.folder("judge") / "ref.png"))[..., ::-1]
    shown = read_window(item.folder("render") / "clip.mp4", [sample.reference_frame])[0]
    assert np.array_equal(picture, shown)
    people = load_record(People, item.folder("render") / "people.npz")
    assert people.visible[:, sample.reference_frame].min() > 0.95


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = []
    for turn in ("a", "b"):
        (item,) = run(tmp_path / turn, "dance", DUET, Config(), frames=12).items
        folders.append(item.folder("judge"))
    for name in ("sample.npz", "ref.png"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_rejected_clip_is_a_reject_by_rule_with_all_reasons(tmp_path: Path) -> None:
    batch = run(tmp_path, "street", crowd(12, 0.08), Config(), frames=8)
    assert not batch.items
    (reject,) = batch.rejects
    assert (reject.stage, reject.fault, reject.source) == ("judge", False, "street.mp4")
    assert reject.clip == "street-00000000-00000000"
    assert "12 people found, at most 8 wanted; 12 of 12 people smaller than 12 %" in reject.reason


def test_a_damaged_clip_is_a_fault_and_others_go_on(tmp_path: Path) -> None:
    store = Store(root=str(tmp_path / "store"))
    bad = store_clip(store, "bad", *draw_clip(DUET, frames=8))
    good = store_clip(store, "good", *draw_clip(DUET, frames=8))
    video = bad.folder("render") / "clip.mp4"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    batch = judge.fn(Batch(items=(bad, good)), Config(), Env(store=store))
    assert [item.key for item in batch.items] == [good.key]
    assert [(r.clip, r.fault) for r in batch.rejects] == [(bad.key, True)]


def test_looks_have_one_value_a_person_and_frame() -> None:
    people, frames = draw_clip((DUET[0], dataclasses.replace(DUET[1], seen=(2, 4))), frames=5)
    looks: Looks = look(frames, people)
    assert np.isfinite(looks.sharpness).tolist() == [[True] * 5, [False, False, True, True, False]]
    assert not looks.still.any()
    assert measure(people, Fraction(25), looks.sharpness, looks.still).freeze == 0

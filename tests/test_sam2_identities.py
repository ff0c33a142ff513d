"""SAM 2 over people's contacts: what it touches and what not, on a randomly initialised hiera-tiny."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.records import People
from datasets.video import VideoWriter
from tasks.backends.sam2 import BoundedPredictor, predictor
from tasks.backends.sam2_identities import Sam2Identities
from tasks.ops.contacts import stretches
from tests.draw_people import FPS, Figure, draw_clip
from tests.test_contacts import APART, PASS
from tests.tiny_sam2 import IMAGE_SIZE, tiny_sam2_checkpoint

FRAMES = 24


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundedPredictor:
    path = tiny_sam2_checkpoint(tmp_path_factory.mktemp("sam2") / "sam2.1_hiera_tiny.pt")
    return predictor("sam2.1-hiera-tiny", IMAGE_SIZE, str(path), "cpu", 1)


def filmed(figures: Sequence[Figure], path: Path) -> People:
    people, pictures = draw_clip(figures, frames=FRAMES, size=(96, 160))
    with VideoWriter(path, fps=FPS, size=(96, 160)) as writer:
        for picture in pictures:
            writer.write(picture)
    return people


def test_only_contacts_are_made_again_and_masks_stay_exclusive(model: BoundedPredictor, tmp_path: Path) -> None:
    people = filmed(PASS, tmp_path / "clip.mp4")
    sam2 = Sam2Identities(model=model, fps=float(FPS), around_s=0.4)
    after = sam2.refine(tmp_path / "clip.mp4", people)
    (one,) = stretches(people, touch=sam2.touch, bridge=6, margin=6, away=10, most=2)
    inside = np.zeros(FRAMES, bool)
    inside[one.start : one.stop] = True
    changed = np.zeros(FRAMES, bool)
    for t in range(FRAMES):
        masks = [after.mask_at(p, t) for p in range(2)]
        assert not (masks[0] & masks[1]).any()
        changed[t] = any((mask != people.mask_at(p, t)).any() for p, mask in enumerate(masks))
    assert changed[inside].mean() > 0.5, "a random network's masks are not the drawn ones"
    assert not changed[~inside].any()
    assert (after.box[:, ~inside] == people.box[:, ~inside]).all()
    assert (after.keypoint == people.keypoint).all()
    again = sam2.refine(tmp_path / "clip.mp4", people)
    assert after.mask.rle.tobytes() == again.mask.rle.tobytes()


@pytest.mark.parametrize(
    ("figures", "confidence", "score"),
    [
        pytest.param(APART, 1.0, 1.0, id="nobody touches"),
        pytest.param(PASS, 0.0, 0.0, id="neither a clean frame nor a pose to show"),
    ],
)
def test_without_contact_or_evidence_nothing_changes(
    model: BoundedPredictor, tmp_path: Path, figures: list[Figure], confidence: float, score: float
) -> None:
    people = filmed(figures, tmp_path / "clip.mp4")
    people = replace(
        people, confidence=people.confidence * np.float32(confidence), score=people.score * np.float32(score)
    )
    after = Sam2Identities(model=model, fps=float(FPS), around_s=0.4).refine(tmp_path / "clip.mp4", people)
    assert after.mask.rle.tobytes() == people.mask.rle.tobytes()
    assert (after.visible == people.visible).all()


def test_without_clean_frames_the_surest_pose_is_shown(model: BoundedPredictor, tmp_path: Path) -> None:
    people = filmed(PASS, tmp_path / "clip.mp4")
    people = replace(people, confidence=people.confidence * np.float32(0.1))
    after = Sam2Identities(model=model, fps=float(FPS), rounds=0).refine(tmp_path / "clip.mp4", people)
    assert after.mask.rle.tobytes() != people.mask.rle.tobytes()

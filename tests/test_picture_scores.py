"""Pictures of drawn people -> how sharp they are, and the frame that shows everyone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tasks.ops.picture_scores import look, reference_frame
from tests.draw_people import Figure, draw_clip
from tests.test_judge import CROSSING, DUET, blurred, nobody, with_confidence


def test_sharpness_knows_focus_and_is_blind_to_contrast() -> None:
    people, frames = draw_clip(DUET, frames=3)
    sharp, soft = look(frames, people).sharpness, look(blurred(frames), people).sharpness
    pale = look([(f * 0.5 + 60).astype(np.uint8) for f in frames], people).sharpness
    assert (soft < sharp / 10).all()
    assert np.allclose(pale, sharp, rtol=0.15)


@pytest.mark.parametrize("count", [2, 4])
def test_a_video_of_other_length_than_its_people_is_a_fault(count: int) -> None:
    people, frames = draw_clip(DUET, frames=3)
    with pytest.raises(ValueError, match="want 3 frames"):
        look((frames * 2)[:count], people)


@pytest.mark.parametrize(
    ("figures", "good"),
    [
        pytest.param(CROSSING, lambda t: not 17 <= t <= 33, id="not where one hides the other"),
        pytest.param(
            (DUET[0], dataclasses.replace(DUET[1], seen=(30, 50))), lambda t: t >= 30, id="when the second has come"
        ),
        pytest.param(
            (Figure(start=(-0.4, 0.9), stop=(0.3, 0.9)), DUET[1]), lambda t: t >= 30, id="when both are in the picture"
        ),
        pytest.param(
            (
                Figure(start=(-0.12, 0.9), stop=(0.3, 0.9)),
                DUET[1],
                Figure(start=(0.5, 0.9), stop=(0.5, 0.9), seen=(12, 15)),
            ),
            lambda t: t >= 25,
            id="a passer-by of three frames does not decide",
        ),
    ],
)
def test_the_reference_frame_shows_everyone(figures: Sequence[Figure], good: Callable[[int], bool]) -> None:
    people, frames = draw_clip(figures)
    assert good(reference_frame(people, look(frames, people).sharpness))


def test_the_reference_frame_avoids_blur_and_doubt() -> None:
    people, frames = draw_clip((Figure(), Figure(start=(0.7, 0.9), stop=(0.7, 0.9))))
    doubted = with_confidence(0, 0, 40, 0.1)(people)
    assert reference_frame(doubted, look(frames, doubted).sharpness) >= 40
    soft = blurred(frames)
    mixed = [frames[t] if t == 17 else soft[t] for t in range(50)]
    assert reference_frame(people, look(mixed, people).sharpness) == 17


def test_nobody_has_a_reference_frame_too() -> None:
    people = nobody(draw_clip(DUET, frames=10)[0])
    assert reference_frame(people, np.zeros((0, 10), np.float32)) == 5

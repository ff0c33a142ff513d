"""Whose colours: own, exchanged, blurred; contact; switches; people in equal clothes."""

from __future__ import annotations

import numpy as np
import pytest

from model.who import NOBODY, palettes, told_apart, touching, worn

RED, BLUE, SKIN = (200, 30, 40), (30, 50, 190), (210, 160, 130)


def scene(frames: int = 6, other: tuple[int, int, int] = BLUE) -> tuple[np.ndarray, np.ndarray]:
    """Two people in clothes of their own who walk towards each other: video (T, 64, 64, 3), masks (2, T, 64, 64)."""
    video = np.full((frames, 64, 64, 3), 120, np.uint8)
    mask = np.zeros((2, frames, 64, 64), bool)
    for t in range(frames):
        for person, (x, colour) in enumerate([(8 + 3 * t, RED), (46 - 3 * t, other)]):
            mask[person, t, 20:52, x : x + 8] = True
            video[t, 20:28, x : x + 8], video[t, 28:52, x : x + 8] = SKIN, colour
    mask[0] &= ~mask[1]
    return video, mask


def test_everyone_has_their_own_colours_in_the_truth() -> None:
    video, mask = scene()
    found = worn(video, mask, palettes(video, mask))
    assert found.share() == 1
    assert told_apart(found)
    assert found.confusion().tolist() == [[6, 0], [0, 6]]
    assert found.switches() == 0


def test_exchanged_people_are_seen_and_counted_as_switches() -> None:
    video, mask = scene()
    wrong = video.copy()
    wrong[3:][mask[0, 3:]], wrong[3:][mask[1, 3:]] = BLUE, RED
    found = worn(wrong, mask, palettes(video, mask))
    assert found.by.tolist() == [[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]]
    assert found.switches() == 2
    assert found.confusion().tolist() == [[3, 3], [3, 3]]


def test_noise_and_a_cast_of_colour_change_nothing() -> None:
    video, mask = scene()
    rng = np.random.default_rng(0)
    noisy = np.clip(video * 0.8 + rng.normal(0, 15, video.shape) + [12, 0, 0], 0, 255).astype(np.uint8)
    assert worn(noisy, mask, palettes(video, mask)).share() == 1


def test_contact_is_where_masks_touch_and_shares_are_told_by_it() -> None:
    video, mask = scene()
    assert touching(mask).tolist() == [False] * 5 + [True]
    wrong = video.copy()
    wrong[5][mask[0, 5]] = BLUE
    found = worn(wrong, mask, palettes(video, mask))
    assert (found.share(near=False), found.share(near=True)) == (1, 0.5)


def test_who_is_hardly_seen_is_not_judged() -> None:
    video, mask = scene()
    mask[1, 2] = False
    found = worn(video, mask, palettes(video, mask))
    assert found.by[1, 2] == NOBODY
    assert found.switches() == 0, "a gap is no switch"
    assert found.confusion().sum() == 11
    nothing = worn(video, np.zeros_like(mask), palettes(video, mask))
    assert np.isnan(nothing.share())


def test_equal_clothes_cannot_be_told_apart() -> None:
    video, mask = scene(other=RED)
    assert not told_apart(worn(video, mask, palettes(video, mask)))


def test_a_person_never_seen_has_no_palette() -> None:
    video, mask = scene()
    mask[1] = False
    with pytest.raises(ValueError, match="person 1: want 16 visible pixels for a palette, got 0"):
        palettes(video, mask)

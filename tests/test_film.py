"""Film: motion blur, dim light and shot noise as a camera makes them, from drawn pictures."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.ops.film import GAMMA, Film, expose


def flat(value: int, size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def linear(picture: np.ndarray) -> np.ndarray:
    return (picture / 255) ** GAMMA


def test_plain_film_changes_nothing():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(expose([picture], Film(), 3), picture)


def test_a_moving_edge_is_smeared_over_its_way_in_linear_light():
    pictures = []
    for step in range(5):
        picture = flat(0, 16)
        picture[:, : 4 + step] = 255
        pictures.append(picture)
    row = linear(expose(pictures, Film(subframes=5), 0))[0, :, 0]
    np.testing.assert_allclose(row[:4], 1, atol=0.01)
    np.testing.assert_allclose(row[4:8], [0.8, 0.6, 0.4, 0.2], atol=0.02)
    np.testing.assert_allclose(row[8:], 0, atol=0.01)


def test_dim_light_is_a_share_of_the_light():
    out = linear(expose([flat(200)], Film(gain=0.25), 0))
    np.testing.assert_allclose(out, 0.25 * linear(flat(200)), atol=0.005)


def test_shot_noise_has_a_variance_that_grows_with_the_light():
    film = Film(noise=0.05)
    dark, bright = (linear(expose([flat(value, 200)], film, 0)).std() for value in (70, 180))
    light = [float(linear(flat(value))[0, 0, 0]) for value in (70, 180)]
    assert bright == pytest.approx(0.05 * np.sqrt(light[1] + 0.15**2), rel=0.1)
    assert bright / dark == pytest.approx(np.sqrt((light[1] + 0.15**2) / (light[0] + 0.15**2)), rel=0.15)


def test_noise_is_the_seeds_and_the_frames_own():
    film = Film(noise=0.05, gain=0.5, seed=4)
    one = expose([flat(120)], film, 7)
    np.testing.assert_array_equal(one, expose([flat(120)], film, 7))
    assert (one != expose([flat(120)], film, 8)).mean() > 0.5
    assert (one != expose([flat(120)], Film(noise=0.05, gain=0.5, seed=5), 7)).mean() > 0.5


@pytest.mark.parametrize("wrong", [{"subframes": 4}, {"subframes": 0}, {"gain": 0}, {"gain": 2}, {"crf": 60}])
def test_film_that_is_not_made(wrong):
    with pytest.raises(ValueError, match="film"):
        Film(**wrong)


def test_the_number_of_subframes_is_held_to():
    with pytest.raises(ValueError, match="want 3 subframes, got 1"):
        expose([flat(1)], Film(subframes=3), 0)

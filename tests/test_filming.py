"""Crossings on film: what lies in the folder, exact truth of it, equal bytes, and a key over all it is made from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from datasets.records import Clip, People, load_record
from datasets.store import Store
from datasets.video import read_frames
from tasks.filming import ABOUT, Config, film, film_crossing
from tasks.ops.crossings import SCENARIOS, Crossing, crossings
from tasks.ops.film import Film

SMALL = Config(width=96, height=96, fps=8)


def crossing(scenario: str, **changes: object) -> Crossing:
    """The first crossing of a scenario, two seconds of it."""
    made = crossings(3, 1 + list(SCENARIOS).index(scenario), seconds=2.0)[-1]
    return dataclasses.replace(made, **changes)


def records(folder: Path) -> tuple[Clip, People, dict, np.ndarray]:
    clip = load_record(Clip, folder / "clip.npz")
    people = load_record(People, folder / "people.npz")
    return clip, people, json.loads((folder / ABOUT).read_text()), np.stack(list(read_frames(folder / clip.file)))


@pytest.fixture(scope="module")
def passing(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("passing")
    film_crossing(crossing("pass_behind"), folder, SMALL)
    return folder


def test_the_folder_holds_a_clip_and_its_exact_truth(passing):
    assert {path.name for path in passing.iterdir()} == {"clip.npz", "clip.mp4", "people.npz", ABOUT}
    clip, people, about, frames = records(passing)
    assert frames.shape == (16, 96, 96, 3)
    assert (clip.frames, clip.fps, clip.size) == (16, 8, (96, 96))
    assert (people.num_people, people.num_frames) == (2, 16)
    assert about["scenario"] == "pass_behind"
    assert about["people"] == 2
    assert about["audience"] == []
    assert people.present.all()


def test_somebody_is_hidden_behind_somebody_else(passing):
    _, people, _, _ = records(passing)
    assert people.visible.min(1).min() < 0.5
    assert people.visible.max(1).min() > 0.9
    assert [event.kind for event in people.events].count("crossing") == 1


def test_equal_crossings_give_equal_bytes(passing, tmp_path):
    film_crossing(crossing("pass_behind"), tmp_path, SMALL)
    for path in passing.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_blurred_clip_has_the_truth_of_the_shutters_middle(tmp_path):
    """At three moments a frame, the truth is that of a sharp clip of three times the rate, every third frame."""
    made = crossing("pass_behind")
    for name, film_of, config in (
        ("blurred", Film(subframes=3, crf=4), SMALL),
        ("sharp", Film(crf=4), dataclasses.replace(SMALL, fps=24)),
    ):
        (tmp_path / name).mkdir()
        film_crossing(dataclasses.replace(made, film=film_of), tmp_path / name, config)
    _, blurred, about, soft = records(tmp_path / "blurred")
    _, sharp, _, hard = records(tmp_path / "sharp")
    assert about["film"]["subframes"] == 3
    assert blurred.num_frames == 16
    np.testing.assert_array_equal(blurred.keypoint, sharp.keypoint[:, 1::3])
    np.testing.assert_array_equal(blurred.box, sharp.box[:, 1::3])
    for frame in (5, 10):
        np.testing.assert_array_equal(blurred.mask_at(1, frame), sharp.mask_at(1, 3 * frame + 1))
    linear = (hard.reshape(16, 3, 96, 96, 3) / 255.0) ** 2.2
    moving = np.ptp(linear, axis=1) > 0.1
    to_mean, to_middle = (
        np.abs((soft / 255.0) ** 2.2 - want)[moving].mean() for want in (linear.mean(1), linear[:, 1])
    )
    assert to_mean < 0.5 * to_middle


def test_the_audience_is_in_the_truth_and_named(tmp_path):
    made = crossing("audience")
    film_crossing(made, tmp_path, SMALL)
    _, people, about, _ = records(tmp_path)
    assert about["audience"] == list(made.audience) != []
    assert people.num_people == len(made.scene.performers)


def test_a_dim_clip_is_darker(passing, tmp_path):
    film_crossing(crossing("pass_behind", film=Film(gain=0.2, noise=0.04, crf=36)), tmp_path, SMALL)
    _, people, _, dim = records(tmp_path)
    _, bright_people, _, bright = records(passing)
    assert dim.mean() < 0.65 * bright.mean()
    np.testing.assert_array_equal(people.box, bright_people.box)
    assert (tmp_path / "clip.mp4").stat().st_size < (passing / "clip.mp4").stat().st_size


def test_the_store_keeps_what_was_filmed_and_films_what_changed(tmp_path):
    store, made = Store(str(tmp_path)), crossing("pass_behind")
    tiny = dataclasses.replace(SMALL, width=32, height=32, fps=2)
    first, reused = film(made, store, tiny)
    assert not reused
    assert film(crossing("pass_behind"), store, tiny) == (first, True)
    for changed in (
        dataclasses.replace(made, film=Film(gain=0.5)),
        dataclasses.replace(made, scene=dataclasses.replace(made.scene, seed=made.scene.seed + 1)),
        dataclasses.replace(made, files={name: {**a, "trans": a["trans"] + 0.01} for name, a in made.files.items()}),
    ):
        assert changed.digest != made.digest
    other, reused = film(dataclasses.replace(made, film=Film(gain=0.5)), store, tiny)
    assert not reused
    assert other.key != first.key

"""What is brought changes the plan: keys, weights that are wanted, and what a dry run says."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.records import People
from datasets.store import content_key
from flows.plan import forecast, weights_of
from flows.run import Options, prepare
from tasks import bring
from tests.brought_video import ESTIMATOR, Route, add_boxes, add_keypoints, add_masks, drawn

ALL = (add_boxes, add_keypoints, add_masks)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, People]:
    """A folder with the video alone, and the truth."""
    return tmp_path, drawn(tmp_path / "in")


def test_limits_change_no_key():
    configs = (bring.Config(), bring.Config(budget_s=9, memory_mb=999), bring.Config(fill_s=1))
    keys = [content_key("bring", 1, config, [], {}) for config in configs]
    assert keys[0] == keys[1] != keys[2]
    # As before there were limits: what is in stores stays.
    assert keys[0] == content_key("bring", 1, {"use": True, "fill_s": 0.25}, [], {})
    with pytest.raises(ValueError, match="bring: want budget_s above 0 and memory_mb of 512 or more"):
        bring.Config(budget_s=0)


def test_nothing_is_brought_when_told_not_to(place):
    folder, truth = place
    add_boxes(folder / "in", truth)
    assert bring.roles_of(folder / "in" / "two.mp4", bring.Config(use=False)) == ()
    assert [role.name for role in bring.roles_of(folder / "in" / "two.mp4", bring.Config())] == ["tracks"]


@pytest.mark.parametrize(
    ("add", "wanted"),
    [
        pytest.param((), {"rtmdet-nano", "reid-0248", "movenet-lightning", "yunet"}, id="nothing"),
        pytest.param((add_boxes,), {"movenet-lightning", "yunet"}, id="boxes with ids"),
        pytest.param((add_keypoints,), {"yunet"}, id="keypoints with ids"),
        pytest.param((add_masks,), {"movenet-lightning", "yunet"}, id="masks"),
        pytest.param(ALL, {"yunet"}, id="all"),
    ],
)
def test_weights_that_are_wanted(place, add, wanted):
    folder, truth = place
    for one in add:
        one(folder / "in", truth)
    options = Options(
        sources=(str(folder / "in"),), preset="light", out=str(folder / "out"), store=str(folder / "store"),
        weights=str(folder),
    )  # fmt: skip
    run = prepare(options)
    assert {one.name for one in weights_of(run)} == wanted
    plan = forecast(run)
    assert {one.name for one in plan.weights} == wanted
    assert plan.stages["bring"].run == len(add) + (add in ((add_keypoints,), (add_masks,)))


def test_the_dry_run_names_the_artifacts_that_a_run_makes(place):
    folder, truth = place
    for add in ALL:
        add(folder / "in", truth)
    Route(folder).run(folder / "in" / "two.mp4")
    settings = ("shots.min_s=0.1", "shots.crf=10", "identify.looks=0", f"pose.estimator={ESTIMATOR}")
    options = Options(
        sources=(str(folder / "in"),), preset="light", out=str(folder / "out"), store=str(folder / "store"),
        weights=str(folder / "no weights"), settings=settings,
    )  # fmt: skip
    plan = forecast(prepare(options))
    names = ("probe", "bring", "shots", "detect", "track", "pose", "segment", "bind", "refine", "identify", "judge")
    assert {name: (plan.stages[name].run, plan.stages[name].reuse) for name in names} == {
        name: (0, 3 if name == "bring" else 1) for name in names
    }
    assert not plan.weights

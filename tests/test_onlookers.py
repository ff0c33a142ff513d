"""Who only looks on is left out, with the reason; who may be a performer is bound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from datasets.records import Artifact, CameraMotion, People, load_record, save_record
from tasks import bind as stage
from tasks.ops.bind import Rules, bind
from tasks.ops.cast import LeftOut, Limits, Shot
from tasks.ops.onlookers import OnlookerLimits
from tests.clip_items import clip_item, env_at
from tests.draw_tracks import FPS, SIZE, Figure, draw, walk

T = 75
DANCERS = (
    Figure(x=walk(50, 110, T), foot=112, pieces=[(0, T)]),
    Figure(x=walk(150, 120, T), foot=110, look=1, pieces=[(0, T)]),
)
STANDS = np.full(T, 20.0)
SWAYS = 20 + 0.7 * np.sin(np.arange(T) / 8)
STILL = CameraMotion(step=np.tile(np.eye(2, 3, dtype=np.float32), (T, 1, 1)))
ONLOOKER = Figure(x=SWAYS, foot=90, height=50, look=2, pieces=[(0, T)])


def cast(figures: list[Figure], rules: Rules | None = None, pan: float = 0.0) -> tuple[People, list[LeftOut]]:
    """Who is bound and who is left out of a scene; the camera turns so that all moves by `pan` pixels a frame."""
    shift = pan * np.arange(T)
    scene = draw([replace(figure, x=np.asarray(figure.x) + shift) for figure in figures])
    step = STILL.step.copy()
    step[1:, 0, 2] = -pan
    camera = CameraMotion(step=step)
    shot = Shot(frames=T, fps=FPS, size=SIZE)
    return bind(scene.tracklets, scene.poses, scene.segments, camera, shot, rules or Rules())


def onlookers(left_out: list[LeftOut]) -> int:
    """How many of the tracks that were left out are onlookers'."""
    return sum(left.why.startswith("onlooker: ") for left in left_out)


@pytest.mark.parametrize(
    ("figures", "people"),
    [
        pytest.param([*DANCERS, ONLOOKER], 2, id="one looks on from behind"),
        pytest.param(
            [*DANCERS, ONLOOKER, replace(ONLOOKER, x=SWAYS + 155, look=3)], 2, id="two look on, in a row"
        ),
        pytest.param(
            [*DANCERS, replace(ONLOOKER, x=SWAYS + 70, pieces=[(0, 18), (50, T)])], 2,
            id="one looks on, lost while a dancer is in front",
        ),
        pytest.param(
            [*DANCERS, ONLOOKER, replace(ONLOOKER, x=SWAYS + 120, look=3, pieces=[(0, 20)])], 2,
            id="one of two who look on is hardly seen",
        ),
        pytest.param(
            [*DANCERS, replace(ONLOOKER, foot=110, height=80)], 3, id="as tall and as near: a dancer who stands"
        ),
        pytest.param([*DANCERS, replace(ONLOOKER, foot=111, height=50)], 3, id="small but as near: a child"),
        pytest.param([*DANCERS, replace(ONLOOKER, foot=106, height=72)], 3, id="in the row behind"),
        pytest.param(
            [*DANCERS, replace(ONLOOKER, x=20 + 5 * np.sin(np.arange(T) / 4))], 3, id="one dances on the spot, behind"
        ),
        pytest.param(
            [*DANCERS, replace(ONLOOKER, x=np.r_[STANDS[:45], walk(20, 70, 30)])], 3, id="one stands, then sets off"
        ),
        pytest.param(
            [*DANCERS, replace(ONLOOKER, x=np.r_[walk(70, 20, 30), STANDS[:45]])], 3, id="one comes, then stands"
        ),
        pytest.param([*DANCERS, replace(ONLOOKER, pieces=[(0, 45)])], 3, id="one stands, then is gone"),
        pytest.param([DANCERS[0], ONLOOKER], 2, id="two people, one of whom stands behind"),
        pytest.param(
            [*DANCERS, replace(ONLOOKER, foot=118, height=100, x=STANDS + 10)], 3, id="the tallest stands, in front"
        ),
        pytest.param(
            [DANCERS[0], replace(DANCERS[1], x=np.full(T, 160.0)), ONLOOKER], 2,
            id="of two dancers one stands, a third looks on",
        ),
    ],
)  # fmt: skip
def test_who_is_bound(figures: list[Figure], people: int) -> None:
    bound, left_out = cast(figures)
    assert bound.num_people == people
    assert bool(onlookers(left_out)) == (people < len(figures))


def test_the_reason_is_told_in_words() -> None:
    bound, left_out = cast([*DANCERS, ONLOOKER])
    why = [left.why for left in left_out]
    told = "moved 0.03 of their height in 3.0 s, 1.8 heights from the nearest performer, 0.62 as tall in the picture"
    assert why == [f"onlooker: {told}"]
    assert [event.note for event in bound.events if "onlooker" in event.note] == [
        f"left out 1 track, {T} boxes: {why[0]}"
    ]


def test_a_camera_that_turns_moves_nobody() -> None:
    assert cast([*DANCERS, ONLOOKER], pan=0.4)[0].num_people == 2


def test_who_goes_with_the_picture_moves() -> None:
    follows = replace(ONLOOKER, x=SWAYS + 0.4 * np.arange(T)[::-1])
    assert cast([*DANCERS, follows], pan=0.4)[0].num_people == 3, "stands still in the picture, not in the room"


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(onlookers=None), id="onlookers are wanted"),
        pytest.param(Rules(limits=Limits(people=3)), id="it is known that there are three"),
        *(
            pytest.param(Rules(onlookers=OnlookerLimits(**{name: value})), id=f"{name} {value}")
            for name, value in [
                ("smaller", 0.6), ("behind", 2.5), ("above", 0.3), ("moved", 0.01), ("most", 0.02), ("performers", 3),
                ("together", 1.1),
            ]
        ),
    ],
)  # fmt: skip
def test_onlookers_are_kept(rules: Rules) -> None:
    bound, left_out = cast([*DANCERS, ONLOOKER], rules)
    assert bound.num_people == 3
    assert not onlookers(left_out)


@pytest.mark.parametrize(("onlookers", "people"), [("drop", 2), ("keep", 3)])
def test_the_stage_does_as_it_is_set(onlookers: Literal["drop", "keep"], people: int, tmp_path: Path) -> None:
    scene = draw([*DANCERS, ONLOOKER])
    item = clip_item([np.zeros((*SIZE, 3), np.uint8)] * T, tmp_path / "shots")
    made = {"tracklets": scene.tracklets, "poses": scene.poses, "segments": scene.segments, "camera": STILL}
    for name, record in made.items():
        save_record(record, tmp_path / f"{name}.npz")
    folder = Artifact(key="made", path=str(tmp_path))
    item = replace(item, artifacts={**item.artifacts, **dict.fromkeys(("track", "pose", "segment"), folder)})
    stage.compute(item, stage.Config(onlookers=onlookers), env_at(tmp_path, tmp_path), tmp_path)
    assert load_record(People, tmp_path / "people.npz").num_people == people


def test_the_two_that_are_asked_for_are_those_who_dance() -> None:
    late = replace(DANCERS[1], pieces=[(0, 30), (45, T)], score=0.5)
    bound, _ = cast([DANCERS[0], late, ONLOOKER], Rules(limits=Limits(people=2)))
    assert bound.num_people == 2
    assert bound.box[:, :, 3].min() > 100, "an onlooker was taken for one of the two"


def test_who_may_look_on_is_bound_and_an_event_says_so() -> None:
    bound, left_out = cast([*DANCERS, replace(ONLOOKER, x=20 + 4.2 * np.sin(np.arange(T) / 12))])
    assert bound.num_people == 3
    assert not onlookers(left_out)
    said = [event for event in bound.events if event.note.startswith("bound, though perhaps an onlooker: moved 0.1")]
    assert [event.people for event in said] == [(0,)]
    assert not [event for event in bound.events if event.kind == "doubt" and 0 in event.people], "an identity in doubt"


def test_a_pose_drawn_to_the_one_in_front_is_no_motion() -> None:
    scene = draw([*DANCERS, ONLOOKER])
    own = scene.owner == 2
    point = scene.poses.keypoint.copy()
    point[np.flatnonzero(own)[:30]] = DANCERS[0].keypoint(0)
    poses = replace(scene.poses, keypoint=point)
    shot = Shot(frames=T, fps=FPS, size=SIZE)
    assert bind(scene.tracklets, poses, scene.segments, STILL, shot, Rules())[0].num_people == 2


def test_a_track_that_slipped_to_an_onlooker_is_parted() -> None:
    scene = draw([replace(DANCERS[0], pieces=[(0, 40), (50, T)]), DANCERS[1], ONLOOKER])
    # The first dancer's tracklet goes on as the onlooker's; the dancer is found again as somebody new.
    first = scene.tracklets.tracklet[scene.owner == 0][0]
    late = (scene.tracklets.frame >= 40) & (scene.owner == 2)
    name = np.where(late, first, scene.tracklets.tracklet)
    slipped = replace(scene.tracklets, tracklet=name.astype(np.int32))
    segments = replace(scene.segments, tracklet=name.astype(np.int32))
    shot = Shot(frames=T, fps=FPS, size=SIZE)
    people, left_out = bind(slipped, scene.poses, segments, STILL, shot, Rules())
    assert people.num_people == 2
    assert people.box[:, :, 3].min() > 100, "a dancer is where the onlooker stands"
    found = [left.track.frame for left in left_out if left.why.startswith("onlooker: ")]
    assert sorted(np.concatenate(found).tolist()) == list(range(T))
    looks = [left.track.look for left in left_out]
    assert all(look is not None and look.argmax() == ONLOOKER.look for look in looks), "a look of both"

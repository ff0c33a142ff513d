"""Crossings: what each scenario promises, measured on joints and cameras, without drawing a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from datasets.members import legal_key
from tasks.ops import retime
from tasks.ops.camera import Track, project
from tasks.ops.camera_path import plan_camera
from tasks.ops.choreography import FPS
from tasks.ops.crossings import PASS_M, SCENARIOS, TOUCH_M, Crossing, crossings
from tasks.ops.motion_layouts import read_motion
from tasks.ops.performance import JOINTS, PARENTS
from tasks.ops.wardrobe import dress_cast
from tests.test_motion_choreography import skeleton

SIZE = 512
STEP = 3  # every third frame of the choreography is looked at
RATE = FPS / STEP
SEEDS = (1, 7)
ROUNDS = 4  # clips of each scenario and seed
FLESH_M = 0.2  # crown and soles, beyond the joints


@dataclass(frozen=True)
class Staged:
    """A crossing with everybody's joints and where they are in the picture."""

    crossing: Crossing
    joint: np.ndarray  # (P, T, 24, 3) world
    at: np.ndarray  # (P, T, 24, 2) pixels
    depth: np.ndarray  # (P, T, 24) metres from the camera
    track: Track

    @property
    def bound(self) -> range:
        """The people who are no audience; they come first."""
        return range(len(self.joint) - len(self.crossing.audience))

    def place(self, name: str) -> np.ndarray:
        """One joint of everybody, (P, T, 3)."""
        return self.joint[:, :, JOINTS.index(name)]

    def stature(self) -> np.ndarray:
        """Heights in the picture, (P, T), as shares of it."""
        flesh = FLESH_M * self.track.intrinsics[:, 0, 0] / self.depth.mean(2)
        return (np.ptp(self.at[..., 1], axis=2) + flesh) / SIZE


@cache
def made(seed: int) -> dict[str, tuple[Crossing, ...]]:
    """The crossings of a seed by scenario."""
    every = crossings(seed, ROUNDS * len(SCENARIOS))
    return {name: tuple(c for c in every if c.scenario == name) for name in SCENARIOS}


@cache
def staged(seed: int, scenario: str) -> tuple[Staged, ...]:
    """All clips of a scenario and seed, on bodies of middle height."""
    return tuple(stage(crossing) for crossing in made(seed)[scenario])


def stage(crossing: Crossing) -> Staged:
    frames = round(crossing.scene.duration_s * RATE)
    joints = []
    for spec in crossing.scene.performers:
        motion = read_motion([(spec.motion, crossing.files[spec.motion])], source=spec.motion, sha256="")
        pose = retime.retarget(motion.pose[0].astype(float), "smplh", "smpl")
        world = retime.transforms(pose, motion.trans[0].astype(float), skeleton(), PARENTS)[:, :, :3, 3]
        first = round(spec.start_s * FPS)
        joints.append(world[first::STEP][:frames])
    joint = np.stack(joints)
    track = plan_camera(crossing.scene.cameras[0], joint, fps=RATE, size=(SIZE, SIZE))
    at, depth = project(joint, track.intrinsics[None, :, None], track.extrinsics[None, :, None])
    return Staged(crossing=crossing, joint=joint, at=at, depth=depth, track=track)


def pairs(people: range) -> list[tuple[int, int]]:
    return [(i, j) for i in people for j in people if i != j]


def longest(on: np.ndarray) -> float:
    """Seconds of the longest run of True in (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(int), [0]])))
    return float(np.max(edges[1::2] - edges[::2], initial=0)) / RATE


def hidden(clip: Staged, i: int, j: int) -> np.ndarray:
    """Share of the width of i, by its joints, that j stands before, (T,)."""
    low, high = clip.at[..., 0].min(2), clip.at[..., 0].max(2)
    both = np.minimum(high[i], high[j]) - np.maximum(low[i], low[j])
    nearer = clip.depth[j].mean(1) < clip.depth[i].mean(1)
    return np.clip(both / (high[i] - low[i]), 0, 1) * nearer


def changes_sides(clip: Staged, i: int, j: int) -> int:
    """How often i and j, by their pelves, change from left to right of one another in the picture."""
    off = clip.at[i, :, 0, 0] - clip.at[j, :, 0, 0]
    told = np.sign(off)[np.abs(off) > 5]
    return int((np.diff(told) != 0).sum())


def angle_swept(clip: Staged, i: int, j: int) -> float:
    """Turns of the line between two people, seen from above."""
    line = clip.joint[i, :, 0] - clip.joint[j, :, 0]
    angle = np.unwrap(np.arctan2(line[:, 0], line[:, 2]))
    return float(abs(angle[-1] - angle[0])) / (2 * np.pi)


def passes_behind(clip: Staged) -> bool:
    return any(
        hidden(clip, i, j).max() > 0.8 and changes_sides(clip, i, j) and np.ptp(clip.joint[j, :, 0, 0]) < 0.4
        for i, j in pairs(clip.bound)
    )


def swaps_places(clip: Staged) -> bool:
    x = clip.at[:, :, 0, 0]
    ends = [j for j in clip.bound if x[j, 0] in (x[:, 0].min(), x[:, 0].max())]
    a, b = ends
    exchanged = np.sign(x[a, 0] - x[b, 0]) == -np.sign(x[a, -1] - x[b, -1])
    walked = np.linalg.norm(clip.joint[[a, b], -1, 0] - clip.joint[[a, b], 0, 0], axis=1)
    return bool(exchanged and walked.min() > 1.5)


def turns_about(clip: Staged) -> bool:
    return all(max(angle_swept(clip, i, j) for j in clip.bound if i != j) > 0.65 for i in clip.bound) and any(
        changes_sides(clip, i, j) for i, j in pairs(clip.bound)
    )


def embraces(clip: Staged) -> bool:
    """Two whose torsos are within 0.4 m, each with a hand behind the other's back, for a second."""

    def behind(i: int, j: int) -> np.ndarray:
        ahead = clip.place("spine3")[j] - clip.place("spine3")[i]
        ahead = ahead * [1, 0, 1] / np.linalg.norm(ahead * [1, 0, 1], axis=1, keepdims=True)
        hands = [((clip.place(f"{side}_wrist")[i] - clip.place("spine3")[j]) * ahead).sum(1) for side in SIDES]
        return np.maximum(*hands) > 0.05

    for i, j in pairs(clip.bound):
        near = np.linalg.norm(clip.place("spine3")[i] - clip.place("spine3")[j], axis=1) < 0.4
        if longest(near & behind(i, j) & behind(j, i)) >= 1:
            return True
    return False


def lifts(clip: Staged) -> bool:
    """Both feet of one are off the floor for a second while another's hands are at the hips and the partner stands."""
    low = clip.joint[:, :, [JOINTS.index(f"{s}_{n}") for s in SIDES for n in ("ankle", "foot")], 1].min(2)
    for i, j in pairs(clip.bound):
        hands = np.stack([clip.place(f"{side}_wrist")[j] - clip.place("pelvis")[i] for side in SIDES])
        held = np.linalg.norm(hands, axis=2).max(0) < 0.4
        if longest((low[i] > 0.3) & held & (low[j] < 0.1)) >= 1:
            return True
    return False


def leaves_and_returns(clip: Staged) -> bool:
    """One is in the picture, wholly out of it for 0.4 s, and in it again, before a camera that does not move."""
    outside = ((clip.at < 0) | (clip.at > SIZE)).any(3).all(2)
    still = np.ptp(clip.track.extrinsics, axis=0).max() < 1e-9
    gone = [longest(out) >= 0.4 and not out[0] and not out[-1] for out in outside]
    return bool(still and any(gone) and not outside.all(0).any())


def goes_down(clip: Staged) -> bool:
    """One goes down behind another, and comes up again."""
    height = clip.place("pelvis")[..., 1]
    return any(
        longest(height[i] < 0.62) > 0.8
        and height[i, [0, -1]].min() > 0.85
        and (hidden(clip, i, j) * (height[i] < 0.62)).max() > 0.6
        for i, j in pairs(clip.bound)
    )


def looks_alike(clip: Staged) -> bool:
    performers = clip.crossing.scene.performers
    palettes = dress_cast(performers)
    genders = {clip.crossing.files[p.motion]["gender"].item() for p in performers}
    alike = all(np.array_equal(palettes[0], other) for other in palettes)
    return alike and len({p.shape_seed for p in performers}) == 1 and len(genders) == 1


def camera_moves(clip: Staged) -> bool:
    """By four degrees at least, with zoom, and the people stay in sight."""
    axis = clip.track.extrinsics[:, 2, :3]
    turned = np.degrees(np.arccos(np.clip((axis @ axis.T).min(), -1, 1)))
    zoom = clip.track.intrinsics[:, 0, 0]
    inside = ((clip.at > 0) & (clip.at < SIZE)).all(3).any(2)
    return bool(turned > 4 and zoom.max() / zoom.min() > 1.05 and inside.mean() > 0.95)


def is_fast_and_blurred(clip: Staged) -> bool:
    speed = np.linalg.norm(np.diff(clip.at, axis=1), axis=3).max() * RATE
    return clip.crossing.film.subframes >= 5 and speed / 24 > 8  # pixels within a frame


def is_dim_and_compressed(clip: Staged) -> bool:
    film = clip.crossing.film
    return film.gain <= 0.3 and film.noise > 0.02 and film.crf >= 34


def has_audience(clip: Staged) -> bool:
    """Onlookers, smaller than everyone who dances, who stay where they are."""
    onlookers = list(clip.crossing.audience)
    small = clip.stature()[onlookers].max() < clip.stature()[list(clip.bound)].min(1).max()
    behind = clip.depth[onlookers].mean((1, 2)).min() > clip.depth[list(clip.bound)].mean((1, 2)).max() + 1
    moved = np.ptp(clip.at[onlookers, :, 0], axis=1).max()
    return len(onlookers) >= 2 and bool(small and behind and moved < 25)


SIDES = ("left", "right")
PROMISES = {
    "pass_behind": passes_behind, "swap_places": swaps_places, "turn_about": turns_about, "embrace": embraces,
    "lift": lifts, "exit": leaves_and_returns, "crouch": goes_down, "same_clothes": looks_alike,
    "camera_pan": camera_moves, "motion_blur": is_fast_and_blurred, "low_light": is_dim_and_compressed,
    "audience": has_audience,
}  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_is_what_its_name_says(scenario, seed):
    for clip in staged(seed, scenario):
        assert PROMISES[scenario](clip), clip.crossing.name


# What no other choreography does: that the promises above can be broken.
@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s not in ("pass_behind", "swap_places", "turn_about")])
def test_people_who_only_pass_behind_one_another_keep_no_other_promise(scenario):
    clip = staged(1, "pass_behind")[0]
    if scenario == "audience":
        assert not clip.crossing.audience
    else:
        assert not PROMISES[scenario](clip)
        assert not passes_behind(staged(1, "turn_about")[0])
        assert not turns_about(clip)
        assert not swaps_places(staged(1, "lift")[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_two_to_five_people_to_bind_and_often_more_than_two(seed):
    every = [crossing for clips in made(seed).values() for crossing in clips]
    people = [len(crossing.scene.performers) - len(crossing.audience) for crossing in every]
    assert len(every) >= 40
    assert set(people) == {2, 3, 4, 5}
    assert np.mean(np.array(people) >= 3) >= 1 / 3
    assert len({crossing.name for crossing in every}) == len(every)
    for crossing in every:
        legal_key(crossing.name)
        assert crossing.scene.duration_s == 4
        assert len(crossing.scene.cameras) == 1
        assert crossing.audience == tuple(range(len(crossing.scene.performers)))[-len(crossing.audience) or 99 :]
        assert (crossing.film.crf, crossing.film.gain) == (20, 1) or crossing.scenario == "low_light"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_bodies_are_large_enough_and_neither_walk_through_each_other_nor_fly(scenario, seed):
    for clip in staged(seed, scenario):
        stature = clip.stature()[list(clip.bound)]
        # Five abreast are a third of the picture high; who leans out of a moving camera's picture may reach over it.
        assert np.median(stature, axis=1).min() > 0.28, clip.crossing.name
        assert np.median(stature, axis=1).max() < 0.87, clip.crossing.name
        pelvis = clip.place("pelvis")[..., [0, 2]]
        for i, j in pairs(range(len(pelvis))):
            close = scenario in ("embrace", "lift")
            nearest = np.linalg.norm(pelvis[i] - pelvis[j], axis=1).min()
            assert nearest > (TOUCH_M if close else PASS_M - 0.04), clip.crossing.name  # hips sway over the path
        low = clip.joint[..., 1].min(2)
        assert low.min() > -0.02
        on_floor = np.ones(len(low), bool) if scenario != "lift" else low.max(1) < 0.3
        assert low[on_floor].max() < 0.16, clip.crossing.name
        assert np.linalg.norm(np.diff(clip.joint, axis=1), axis=3).max() * RATE < 9.5, clip.crossing.name


def test_people_of_other_scenarios_wear_different_clothes():
    for crossing in (*made(1)["swap_places"], *made(1)["embrace"]):
        shirts = [tuple(palette[2]) for palette in dress_cast(crossing.scene.performers)]
        assert len(set(shirts)) == len(shirts)


def test_a_crossing_follows_from_seed_and_number_alone():
    again = {crossing.name: crossing.digest for crossing in crossings(1, 6)}
    every = {crossing.name: crossing.digest for clips in made(1).values() for crossing in clips}
    assert again.items() <= every.items(), "neither the run nor how many are asked for changes one"
    assert len(set(every.values())) == len(every)


def test_another_seed_gives_other_people_clothes_cameras_and_timings():
    for scenario in SCENARIOS:
        one, other = made(1)[scenario][0], made(7)[scenario][0]
        assert one.scene.performers[0].shape_seed != other.scene.performers[0].shape_seed
        assert one.scene.performers[0].clothes_seed != other.scene.performers[0].clothes_seed
        assert one.scene.cameras[0] != other.scene.cameras[0]
        assert one.scene.seed != other.scene.seed
        poses = [next(iter(c.files.values()))["poses"] for c in (one, other)]
        assert np.abs(poses[0][60:180] - poses[1][60:180]).max() > 0.1


def test_a_short_clip_shows_the_middle():
    short, whole = crossings(1, 1, seconds=2.0)[0], crossings(1, 1)[0]
    a, b = stage(short), stage(whole)
    np.testing.assert_allclose(a.joint, b.joint[:, 20:60])
    assert passes_behind(a)


@pytest.mark.parametrize(("seed", "count", "seconds"), [(-1, 1, 4), (0, -1, 4), (0, 1, 0.5), (0, 1, 60)])
def test_what_cannot_be_asked_for(seed, count, seconds):
    with pytest.raises(ValueError, match="crossings: want"):
        crossings(seed, count, seconds=seconds)


@pytest.mark.parametrize("asked", [{"scenarios": ["waltz"]}, {"people": [6]}, {"people": [1]}])
def test_unknown_scenarios_and_numbers_of_people_are_refused(asked: dict[str, list[object]]) -> None:
    with pytest.raises(ValueError, match=r"want scenarios of pass_behind, .* with 2 to 5 people, got (waltz|\[[16]\])"):
        crossings(0, 1, **asked)  # type: ignore[arg-type]

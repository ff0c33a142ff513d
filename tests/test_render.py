"""The render stage: files that fit each other, exact truth, equal bytes, keys that follow what they are made from."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.members import decode_masks
from datasets.npz import read_npz
from datasets.records import UNKNOWN, VISIBLE, Artifact, Cast, Clip, People, load_record
from datasets.store import MANIFEST, Store
from datasets.video import read_depth, read_frames
from tasks import motion as motion_stage
from tasks import render as stage
from tasks.batch import Batch, Env, Item
from tasks.clips import cast_of, clip_of, people_of
from tasks.ops.camera import project
from tasks.ops.scene import scene_from_json, scene_to_json

SMALL = stage.Config(width=96, height=96, fps=10)
FILES = {
    "clip.npz", "clip.mp4", "people.npz", "cast.npz", "smpl.npz", "scene.npz", "amodal.npz", "depth.mkv",
    "artifact.json",
}  # fmt: skip


def scenes(paths: list[Path], root: Path, env: Env) -> tuple[Item, ...]:
    """The items that motion or scene files become."""
    items = tuple(motion_stage.source_item(p, p.relative_to(root).as_posix(), env.store) for p in paths)
    batch = motion_stage.STAGE.run(Batch(items=items), motion_stage.Config(), env)
    batch = motion_stage.compose(batch, motion_stage.Config(cameras=1))
    assert not batch.rejects
    return batch.items


def film(item: Item, env: Env, config: stage.Config) -> Item:
    """The item with its artifact of `render`."""
    batch = stage.STAGE.run(Batch(items=(item,)), config, env)
    assert not batch.rejects, batch.rejects
    return batch.items[0]


def lasting(item: Item, seconds: float) -> Item:
    """The same scene, shorter."""
    scene = dataclasses.replace(scene_from_json(item.part), duration_s=seconds)
    return dataclasses.replace(item, part=scene_to_json(scene))


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[dict[str, Item], Env]:
    """The demo's scene items by name, of their first camera."""
    root = tmp_path_factory.mktemp("demo")
    env = Env(store=Store(str(root / "store")))
    items = scenes(motion_stage.write_demo_motions(root / "in"), root / "in", env)
    named = {scene_from_json(item.part).name.removeprefix("demo-"): item for item in reversed(items)}
    assert set(named) == {"strangers", "twins", "robot"}
    return named, env


@pytest.fixture(scope="module")
def robot(demo) -> Item:
    """A second of a person and a robot, filmed."""
    items, env = demo
    return film(lasting(items["robot"], 1.0), env, SMALL)


def bytes_of(item: Item) -> dict[str, bytes]:
    """Every file of the artifact but its manifest, which says when they were written."""
    return {path.name: path.read_bytes() for path in item.folder("render").iterdir() if path.name != MANIFEST}


def test_the_artifact_holds_what_the_contract_names(robot):
    assert {path.name for path in robot.folder("render").iterdir()} == FILES
    clip, video = clip_of(robot)
    assert (clip.key, clip.frames, clip.fps, clip.size) == (robot.key, 10, Fraction(10), (96, 96))
    assert len(clip.sha256) == 64
    assert sum(1 for _ in read_frames(video)) == 10
    people, cast = people_of(robot), cast_of(robot)
    assert (people.num_people, people.num_frames, people.skeleton) == (2, 10, "coco17")
    assert cast.kind == ("human", "robot")
    assert cast.kind_reason == ("rendered", "rendered")
    assert len(set(cast.identity)) == 2
    folder = robot.folder("render")
    scene, bodies = read_npz(folder / "scene.npz"), read_npz(folder / "smpl.npz")
    assert scene["json"].tobytes().decode() == robot.part
    assert scene["coco"].shape == (2, 10, 17, 3)
    assert scene["joint"].shape == (2, 10, 24, 3)
    for p in range(2):
        assert bodies[f"pose_{p}"].shape == (10, 24, 3)
        assert bodies[f"trans_{p}"].shape == (10, 3)
        assert str(bodies[f"model_{p}"]).startswith("duetflow-anny")


def test_masks_are_exclusive_and_amodal_ones_hold_the_modal(robot):
    people = people_of(robot)
    amodal = decode_masks({"amodal.npz": (robot.folder("render") / "amodal.npz").read_bytes()}, "amodal.npz")
    for t in range(10):
        modal = np.stack([people.mask_at(p, t) for p in range(2)])
        whole = np.stack([amodal.decode(p * 10 + t) for p in range(2)])
        assert modal.sum(0).max() == 1
        assert (whole | ~modal).all()
        # Nobody hides what the other does not cover.
        assert ((whole & ~modal) <= modal[::-1]).all()


def test_joints_in_pixels_depth_and_cameras_agree(robot):
    people, folder = people_of(robot), robot.folder("render")
    scene = read_npz(folder / "scene.npz")
    at, depth = project(scene["coco"], scene["intrinsics"][None, :, None], scene["extrinsics"][None, :, None])
    np.testing.assert_allclose(people.keypoint, at, atol=1e-3)
    maps = np.stack(list(read_depth(folder / "depth.mkv")))
    seen = np.argwhere(people.flag == VISIBLE)
    assert len(seen) > 100
    for p, t, j in seen:
        x, y = people.keypoint[p, t, j].astype(int)
        if people.mask_at(p, t)[y, x]:
            under = depth[p, t, j] - maps[t, y, x] / 1000
            assert -0.25 < under < 0.25


def test_equal_scenes_give_equal_bytes_in_threads_too(demo, robot, tmp_path):
    item = lasting(demo[0]["robot"], 1.0)
    again = film(item, Env(store=Store(str(tmp_path / "again"))), SMALL)
    assert bytes_of(again) == bytes_of(robot)
    stores = [Env(store=Store(str(tmp_path / name))) for name in "ab"]
    with ThreadPoolExecutor(2) as pool:
        drawn = list(pool.map(lambda env: film(item, env, SMALL), stores))
    assert all(bytes_of(one) == bytes_of(robot) for one in drawn)


def test_the_size_of_chunks_changes_nothing(demo, robot, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "_CHUNK", 3)
    chunked = film(lasting(demo[0]["robot"], 1.0), Env(store=Store(str(tmp_path))), SMALL)
    assert bytes_of(chunked) == bytes_of(robot)


def test_plain_pictures_have_the_same_people(demo, robot, tmp_path):
    bare = dataclasses.replace(SMALL, textures=False, shadows=False, depth=False)
    plain = film(lasting(demo[0]["robot"], 1.0), Env(store=Store(str(tmp_path))), bare)
    here, there = bytes_of(plain), bytes_of(robot)
    assert set(here) == FILES - {"depth.mkv", MANIFEST}
    assert here["people.npz"] == there["people.npz"]
    assert here["amodal.npz"] == there["amodal.npz"]
    assert here["clip.mp4"] != there["clip.mp4"]


def test_twins_look_alike_and_are_two_people(demo):
    items, env = demo
    twins = film(lasting(items["twins"], 0.3), env, SMALL)
    names = cast_of(twins).identity
    assert names[1] == f"{names[0]}-2"


def test_one_person_has_one_name_under_every_camera(demo, robot):
    items, env = demo
    scene = scene_from_json(items["robot"].part)
    camera = dataclasses.replace(scene.cameras[0], kind="orbit", seed=99)
    other = dataclasses.replace(items["robot"], part=scene_to_json(dataclasses.replace(scene, cameras=(camera,))))
    moved = film(lasting(other, 0.3), env, SMALL)
    assert cast_of(moved).identity == cast_of(robot).identity
    assert bytes_of(moved)["clip.mp4"] != bytes_of(robot)["clip.mp4"]


def changed(item: Item, name: str) -> Item:
    """The item with another artifact under this name."""
    return dataclasses.replace(item, artifacts={**item.artifacts, name: Artifact(key="other", path="")})


@pytest.mark.parametrize("name", ["motion.0", "motion.1", "body"])
def test_the_key_follows_every_motion_and_the_bodies(demo, name):
    items, env = demo
    before = stage.STAGE.key(items["robot"], SMALL, env)
    assert stage.STAGE.key(changed(items["robot"], name), SMALL, env) != before
    assert stage.STAGE.key(changed(items["robot"], "judge"), SMALL, env) == before


def test_the_key_follows_scene_and_settings(demo):
    items, env = demo
    item = items["robot"]
    keys = {
        stage.STAGE.key(item, dataclasses.replace(SMALL, **change), env) for change in ({}, {"seed": 1}, {"crf": 21})
    }
    keys.add(stage.STAGE.key(lasting(item, 0.7), SMALL, env))
    assert len(keys) == 4


def share_inside(item: Item) -> tuple[float, int]:
    """The share of keypoints, hidden ones too, within two pixels of their own amodal mask; and how many are visible."""
    people = people_of(item)
    amodal = decode_masks({"amodal.npz": (item.folder("render") / "amodal.npz").read_bytes()}, "amodal.npz")
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    hits = total = 0
    for p in range(people.num_people):
        for t in range(people.num_frames):
            mask = cv2.dilate(amodal.decode(p * people.num_frames + t).astype(np.uint8), near) > 0
            for x, y in people.keypoint[p, t][people.flag[p, t] != UNKNOWN].astype(int):
                hits, total = hits + int(mask[y, x]), total + 1
    return hits / total, int((people.flag == VISIBLE).sum())


@pytest.mark.parametrize("name", ["strangers", "twins", "robot"])
def test_keypoints_lie_inside_their_person_in_the_demo(demo, name):
    items, env = demo
    share, total = share_inside(film(items[name], env, stage.Config(width=384, height=384, fps=4)))
    assert total > 300
    assert share >= 0.995


def test_keypoints_lie_inside_their_person_in_real_capture(shared, tmp_path):
    env = Env(store=Store(str(tmp_path)))
    items = scenes(sorted((shared / "motion").glob("*.npz")), shared, env)
    found = [share_inside(film(item, env, stage.Config(width=384, height=384, fps=3))) for item in items[:4]]
    total = sum(number for _, number in found)
    assert total > 300
    assert sum(share * number for share, number in found) / total >= 0.995


def test_people_stand_in_the_picture(demo):
    items, env = demo
    people = people_of(film(items["strangers"], env, stage.Config(width=384, height=384, fps=4)))
    box = people.box
    assert people.present.all()
    inside = (box[..., :2] > 0).all(-1) & (box[..., 2:] < 384).all(-1)
    assert inside.mean() > 0.9
    assert (box[..., 3] - box[..., 1]).mean() > 0.2 * 384


def test_an_odd_motion_is_a_reject_and_the_others_go_on(demo, tmp_path):
    items, _ = demo
    env = Env(store=Store(str(tmp_path)))
    scene = scene_from_json(items["robot"].part)
    late = dataclasses.replace(scene.performers[0], start_s=3000.0)
    broken = dataclasses.replace(scene, performers=(late, *scene.performers[1:]), duration_s=1.0)
    bad = dataclasses.replace(items["robot"], key="bad", part=scene_to_json(broken))
    batch = stage.STAGE.run(Batch(items=(bad, lasting(items["twins"], 0.3))), SMALL, env)
    assert [item.key for item in batch.items] == [items["twins"].key]
    assert [(reject.clip, "start_s" in reject.reason) for reject in batch.rejects] == [("bad", True)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 97}, "render.width: want an even number of pixels from 32 to 4096, got 97"),
        ({"height": 16}, "render.height: want an even number"),
        ({"fps": 0}, "render.fps: want 1 to 240"),
        ({"crf": 60}, "want crf 0 to 51"),
        ({"gop": 0}, "gop of 1 or more"),
        ({"seed": -1}, "seed of 0 or more"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        stage.Config(**settings)


def test_records_load_as_what_they_are(robot):
    folder = robot.folder("render")
    for kind, name in ((Clip, "clip"), (People, "people"), (Cast, "cast")):
        assert isinstance(load_record(kind, folder / f"{name}.npz"), kind)

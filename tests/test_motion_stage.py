"""The motion stage and the composer: files in, scene items out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from datasets.records import Motion, load_record
from datasets.store import Store
from tasks import motion
from tasks.batch import Batch, Env
from tasks.ops import compose
from tasks.ops.scene import scene_to_json
from tests import motion_fixtures as made
from tests.motion_fixtures import Dance, write_set


@pytest.fixture
def env(tmp_path) -> Env:
    return Env(store=Store(str(tmp_path / "store")))


def run(paths: list[Path], root: Path, env: Env, split=lambda sha256: "", **config) -> Batch:
    """The stage and the composer over files of a root."""
    items = tuple(motion.source_item(path, path.relative_to(root).as_posix(), env.store) for path in paths)
    settings = motion.Config(**config)
    return motion.compose(motion.STAGE.run(Batch(items=items), settings, env), settings, split)


def dances(folder: Path, count: int, frames: int = 400) -> list[Path]:
    """Single motions, each a little different."""
    folder.mkdir(exist_ok=True)
    out = []
    for i in range(count):
        data = made.amass(Dance(frames=frames))
        data["trans"] = data["trans"] * (1 + 0.01 * i)
        out.append(folder / f"dance{i:02d}.npz")
        np.savez(out[-1], **data)
    return out


def test_partners_come_from_the_same_split(tmp_path, env):
    batch = run(dances(tmp_path / "in", 8), tmp_path / "in", env, split=lambda sha256: str(int(sha256, 16) % 2))
    shas = [{int(read.sha256, 16) % 2 for read in motion.motions_of(item)} for item in batch.items]
    assert {frozenset(both) for both in shas} == {frozenset({0}), frozenset({1})}


def test_single_motions_become_duets_with_cameras(tmp_path, env):
    batch = run(dances(tmp_path / "in", 4), tmp_path / "in", env, cameras=2)
    assert not batch.rejects
    scenes = [motion.scene_of(item) for item in batch.items]
    danced = {p.motion for scene in scenes for p in scene.performers}
    assert danced == {f"dance{i:02d}.npz" for i in range(4)}, "everyone dances"
    assert len({item.key for item in batch.items}) == len(batch.items)
    for item, scene in zip(batch.items, scenes, strict=True):
        assert re.fullmatch(r"[a-z0-9_-]+-[0-9a-f]{8}-\d{8}", item.key)
        assert len(scene.performers) == 2
        assert len(scene.cameras) == 1
        assert scene_to_json(scene) == item.part
        assert item.frames == pytest.approx(scene.duration_s * 30, abs=1)
        assert scene.performers[0].clothes_seed != scene.performers[1].clothes_seed
        names = [read.source for read in motion.motions_of(item)]
        assert names == [p.motion for p in scene.performers]
        assert item.artifacts["body"].key.startswith("duetflow-anny-")
    by_pair = {}
    for item in batch.items:
        by_pair.setdefault(item.source, []).append(motion.sha256_of_scene(item))
    assert all(len(set(digests)) == 1 and len(digests) == 2 for digests in by_pair.values()), "two cameras, one digest"
    assert len({digests[0] for digests in by_pair.values()}) == len(by_pair)


def test_a_run_again_plans_the_same_and_another_seed_another(tmp_path, env):
    files = dances(tmp_path / "in", 5)
    parts = [[item.part for item in run(files, tmp_path / "in", env, seed=seed).items] for seed in (0, 0, 1)]
    assert parts[0] == parts[1]
    assert parts[0] != parts[2]


def test_one_more_file_changes_few_pairs():
    digests = [f"{i:064x}" for i in range(200)]
    before = {(digests[i], digests[j]) for i, j in compose.partners(digests[:-1], 0, 1)}
    after = {(digests[i], digests[j]) for i, j in compose.partners(digests, 0, 1)}
    assert len(before - after) <= 4
    assert 100 <= len(after) <= 200
    # The order in which the files come is of no account.
    shuffled = list(np.random.default_rng(0).permutation(digests))
    assert {(shuffled[i], shuffled[j]) for i, j in compose.partners(shuffled, 0, 1)} == after


def test_more_partners_and_a_motion_alone():
    digests = [f"{i:064x}" for i in range(6)]
    pairs = compose.partners(digests, 3, 5)
    assert len(pairs) == 15, "all of them"
    assert compose.partners(digests[:1], 0, 1) == [(0, 0)]


def test_a_motion_alone_dances_a_canon_with_itself(tmp_path, env):
    batch = run(dances(tmp_path / "in", 1), tmp_path / "in", env, cameras=1)
    (item,) = batch.items
    first, second = motion.scene_of(item).performers
    assert second.start_s - first.start_s == pytest.approx(399 / 120 / 3, abs=0.01)


def test_each_renders_them_alone(tmp_path, env):
    batch = run(dances(tmp_path / "in", 3), tmp_path / "in", env, compose="each", cameras=1)
    assert [len(motion.scene_of(item).performers) for item in batch.items] == [1, 1, 1]


def test_several_people_of_a_file_stay_together_where_the_file_has_them(tmp_path, env):
    write_set("gdance", tmp_path / "in")
    path = tmp_path / "in" / "gdance.pkl"
    batch = run([path], tmp_path / "in", env, min_s=0.1, cameras=1)
    (item,) = batch.items
    performers = motion.scene_of(item).performers
    assert [(p.person, p.position, p.heading_deg) for p in performers] == [(i, None, None) for i in range(3)]
    short = run([path], tmp_path / "in", env, min_s=2.0)
    assert [(r.source, r.fault) for r in short.rejects] == [("gdance.pkl", False)]
    assert short.rejects[0].reason == "want at least min_s = 2 s of motion of 3 people, got 0.37 s"


def test_long_motions_are_cut_and_short_ones_repeated(tmp_path, env):
    long = run(dances(tmp_path / "long", 2, frames=1500), tmp_path / "long", env, max_s=5.0, cameras=1)
    scenes = [motion.scene_of(item) for item in long.items]
    assert [scene.performers[0].start_s for scene in scenes] == pytest.approx([0.0, 4.164, 8.328], abs=0.01)
    assert all(scene.duration_s <= 5.0 for scene in scenes)
    short = run(dances(tmp_path / "short", 2, frames=60), tmp_path / "short", env, min_s=3.0, cameras=1)
    assert [motion.scene_of(item).duration_s for item in short.items] == [3.0]


@pytest.mark.parametrize(
    ("looks", "match", "want"),
    [
        ("human_robot", False, ["dressed", "robot"]),
        ("plain", False, ["plain", "plain"]),
        ("dressed", True, ["dressed"] * 2),
    ],
)
def test_looks(looks, match, want, tmp_path, env):
    batch = run(dances(tmp_path / "in", 2), tmp_path / "in", env, looks=looks, match=match, cameras=1)
    performers = motion.scene_of(batch.items[0]).performers
    assert [p.look for p in performers] == want
    alike = [(p.shape_seed, p.clothes_seed, p.gender) for p in performers]
    assert (alike[0] == alike[1]) == match


def test_duets_meet_and_do_not_stand_in_each_other(shared, env):
    files = sorted((shared / "motion").glob("*.npz"))
    batch = run(files, shared / "motion", env, cameras=1)
    nearest = []
    for item in batch.items:
        scene, reads = motion.scene_of(item), motion.motions_of(item)
        tracks = [
            compose._turned(compose._path(read, p.start_s, scene.duration_s), p.position, p.heading_deg)
            for p, read in zip(scene.performers, reads, strict=True)
        ]
        nearest.append(np.linalg.norm(tracks[0] - tracks[1], axis=1).min())
    assert min(nearest) > 0.4
    assert np.median(nearest) < 0.9


# Scene files

SCENE = "performers:\n  - motion: a/walk_poses.npz\n    shape_seed: 1\n  - motion: duo.pkl\n    person: 1\n"


def scene_folder(root: Path) -> Path:
    write_set("amass", root / "a")
    write_set("interhuman", root)
    (root / "interhuman.pkl").rename(root / "duo.pkl")
    (root / "meeting.yaml").write_text(SCENE + "cameras: [{kind: pan}, {kind: static}]\n")
    return root / "meeting.yaml"


def test_a_scene_file_brings_its_motions(tmp_path, env):
    path = scene_folder(tmp_path / "in")
    batch = run([path], tmp_path / "in", env)
    assert [motion.scene_of(item).cameras[0].kind for item in batch.items] == ["pan", "static"]
    assert [item.key.split("-")[:2] for item in batch.items] == [["meeting", "c0"], ["meeting", "c1"]]
    assert {item.source for item in batch.items} == {"meeting.yaml"}
    reads = motion.motions_of(batch.items[0])
    assert [(read.layout, read.source) for read in reads] == [("amass", "a/walk_poses.npz"), ("interhuman", "duo.pkl")]


def test_a_changed_motion_changes_the_scene_that_names_it(tmp_path, env):
    path = scene_folder(tmp_path / "in")
    parts = [motion.source_item(path, "meeting.yaml", env.store).part]
    np.savez(tmp_path / "in" / "a" / "walk_poses.npz", **made.amass(Dance(frames=20)))
    parts.append(motion.source_item(path, "meeting.yaml", env.store).part)
    path.write_text(path.read_text() + "seed: 9\n")
    parts.append(motion.source_item(path, "meeting.yaml", env.store).part)
    assert len(set(parts)) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SCENE.replace("person: 1", "person: 2"), "performers[1].person: want below 2, the people in duo.pkl, got 2"),
        (SCENE.replace("person: 1", "start_s: 9"), "performers[1].start_s: want below 0.18 s, the length of duo.pkl"),
        (SCENE.replace("duo", "solo"), "want a motion file, got nothing there"),
        (SCENE.replace("a/walk_poses.npz", "../walk.npz"), "want a path inside the scene file's folder"),
        (SCENE.replace("motion: duo.pkl", "dance: duo.pkl"), "performers[1]: 'dance' is not a field"),
        ("performers: [{motion: a}]", "want a motion file, or a folder of Inter-X or Hi4D files"),
        ("performers: [{motion: meeting.yaml}]", "meeting.yaml: want a motion file (.npz, .pkl, .npy), got .yaml"),
    ],
)  # fmt: skip
def test_a_scene_that_is_off_is_a_reject_that_says_how(text, reason, tmp_path, env):
    path = scene_folder(tmp_path / "in")
    (tmp_path / "in" / "a").mkdir(exist_ok=True)
    if "motion: a}" in text:
        (tmp_path / "in" / "a" / "walk_poses.npz").unlink()
    path.write_text(text)
    batch = run([path], tmp_path / "in", env)
    assert not batch.items
    (reject,) = batch.rejects
    assert (reject.source, reject.stage, reject.fault) == ("meeting.yaml", "motion", True)
    assert reason in reject.reason


def test_damaged_motions_are_rejects_and_the_others_go_on(tmp_path, env):
    files = dances(tmp_path / "in", 2)
    (tmp_path / "in" / "broken.npz").write_bytes(files[0].read_bytes()[:1000])
    batch = run([*files, tmp_path / "in" / "broken.npz"], tmp_path / "in", env, cameras=1)
    assert len(batch.items) == 1
    assert [r.source for r in batch.rejects] == ["broken.npz"]
    assert "want an npz file" in batch.rejects[0].reason


def test_the_second_run_reuses_what_the_first_read(tmp_path, env):
    files = dances(tmp_path / "in", 2)
    costs = [run(files, tmp_path / "in", env).costs[0] for _ in range(2)]
    assert [(c.ran, c.reused) for c in costs] == [(2, 0), (0, 2)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_s": 5.0, "max_s": 4.0}, "want 0 < min_s <= max_s, got 5.0 and 4.0"),
        ({"cameras": 0}, "want partners and cameras of 1 or more, got 1 and 0"),
        ({"seed": -1}, "motion.seed: want 0 or more, got -1"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        motion.Config(**settings)


def test_a_missing_folder_of_bodies_ends_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"motion\.body_models: want an official body model in .*nowhere"):
        motion.check(motion.Config(body_models=str(tmp_path / "nowhere")))


# The demo


def test_the_demo_is_two_motions_a_scene_through_the_ordinary_readers(tmp_path, env):
    scenes = motion.write_demo_motions(tmp_path / "demo", seed=0)
    bytes_of = {p.name: p.read_bytes() for p in (tmp_path / "demo").iterdir()}
    motion.write_demo_motions(tmp_path / "again", seed=0)
    assert {p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()} == bytes_of
    motion.write_demo_motions(tmp_path / "other", seed=1)
    assert {p.name: p.read_bytes() for p in (tmp_path / "other").iterdir()} != bytes_of
    batch = run(scenes, tmp_path / "demo", env)
    assert not batch.rejects
    casts = {item.source: motion.scene_of(item).performers for item in batch.items}
    assert {name: [p.look for p in cast] for name, cast in casts.items()} == {
        "strangers.json": ["dressed", "dressed"],
        "twins.json": ["dressed", "dressed"],
        "robot.json": ["dressed", "robot"],
    }
    twins = casts["twins.json"]
    assert (twins[0].shape_seed, twins[0].clothes_seed) == (twins[1].shape_seed, twins[1].clothes_seed)
    for item in batch.items:
        for i in range(2):
            read = load_record(Motion, item.folder(f"motion.{i}") / motion.FILE)
            assert (read.layout, read.fps) == ("amass", 60)
            assert 4.0 < compose.length_s(read) < 6.6

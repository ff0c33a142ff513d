"""The shard stage: who goes where, what a second run leaves alone, and how a stopped run ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from datasets.index import read_dataset
from datasets.lock import BusyError, building
from datasets.members import Bundle, ShardError, decode_sample
from datasets.shards import read_sample, read_sidecar
from datasets.store import Store
from datasets.verify import verify
from tasks.batch import Batch, Reject
from tasks.ops.shard_plan import Entry, balance, plan, split_groups, split_of
from tasks.shard import Config, Summary, commit_dataset, plan_shards, write_shard
from tests.build_samples import EXTRA, bundle, equal, gridded, judged, sha_of
from tests.tiny_runs import digests

# Every source in one split, so that what happens to shards does not hang on a hash; a shard holds about two samples.
ONE_SPLIT = Config(target_bytes=60_000, val_fraction=0, test_fraction=0)


def build(batch: Batch, out: Path, config: Config = ONE_SPLIT) -> Summary:
    with building(out):
        planned = plan_shards([batch], config, out, configuration="c0ffee")
        return commit_dataset(planned, [write_shard(job, out) for job in planned.jobs], out)


def tree(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def shards_of(out: Path) -> dict[str, list[str]]:
    """Shard -> keys, from the sidecars."""
    return {
        p.relative_to(out).as_posix(): [one.key for one in read_sidecar(p).samples] for p in sorted(out.rglob("*.tar"))
    }


def dances(*names: str, **changes: object) -> list[Bundle]:
    return [bundle(source=f"{name}.mp4", **changes) for name in names]  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(root=str(tmp_path / "store"))


def test_a_dataset_from_both_routes(store: Store, tmp_path: Path) -> None:
    footage = [*dances("a", "b"), bundle(source="c.mp4", verdict="review")]
    scene = bundle(source="duet.npz", extra=EXTRA)
    late = Reject(source="z.mp4", clip="", stage="probe", reason="no frames | none", fault=True)
    batch = judged(store, [*footage, scene], motions={scene.clip.key: ["walk", "kick"]})
    summary = build(replace(batch, rejects=(late,)), tmp_path / "out")
    assert (summary.samples, summary.accepted, summary.review, summary.rejected) == (4, 3, 1, 1)
    assert summary.written == summary.shards == len(list((tmp_path / "out").rglob("*.tar")))
    rows = {row["key"]: row for row in pq.read_table(tmp_path / "out" / "index.parquet").to_pylist()}
    for one in [*footage, scene]:
        row = rows[one.clip.key]
        with (tmp_path / "out" / row["shard"]).open("rb") as file:
            read = decode_sample(read_sample(file, row["key"], row["offset"], row["size"]))
        assert equal(read, gridded(one))
        assert (row["num_people"], row["num_frames"], row["fps"], row["source"]) == (
            2,
            20,
            "30000/1001",
            one.clip.source,
        )
        assert (row["width"], row["height"], row["kinds"]) == (128, 96, ["human", "robot"])
        assert (row["score_coverage"], row["verdict"]) == (0.75, one.sample.verdict)
        assert row["shard"].startswith("review/" if one.sample.verdict == "review" else "shards/")
    rejects = pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()
    assert rejects == [{"source": "z.mp4", "clip": "", "stage": "probe", "reason": "no frames | none", "fault": True}]
    card = (tmp_path / "out" / "README.md").read_text()
    for said in (
        "license: other",
        "CC BY 4.0",
        "no frames \\| none",
        f"| rtmdet-nano | {'d' * 64} |",
        "d" * 64,
        "robots in clips | 3 | 1",
    ):
        assert said in card


def test_nothing_accepted_is_a_dataset_too(store: Store, tmp_path: Path) -> None:
    assert build(Batch(items=()), tmp_path / "out").samples == 0
    assert pq.read_table(tmp_path / "out" / "index.parquet").num_rows == 0


def test_two_runs_give_equal_bytes_and_the_second_writes_nothing(store: Store, tmp_path: Path) -> None:
    batch = judged(store, dances("a", "b", "c", "d", "e"))
    build(batch, tmp_path / "one")
    build(replace(batch, items=batch.items[::-1]), tmp_path / "two")
    first = tree(tmp_path / "one")
    assert first == tree(tmp_path / "two")
    assert not any(str(tmp_path).encode() in data for name, data in first.items() if not name.endswith(".tar"))
    again = build(batch, tmp_path / "one")
    assert (again.written, again.reused, again.generation) == (0, again.shards, 1)
    assert tree(tmp_path / "one") == first


class Killed(BaseException):
    """Stands for kill -9 at one moment."""


def test_a_run_stopped_at_any_rename_ends_as_an_undisturbed_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = judged(store, dances("a", "b", "c", "d")), judged(store, dances("b", "c", "d", "e", "f"))
    build(before, tmp_path / "base")
    shutil.copytree(tmp_path / "base", tmp_path / "whole")
    build(after, tmp_path / "whole")
    rename, done = os.replace, 0
    for stop in range(100):
        out, calls = tmp_path / f"stopped-{stop}", iter(range(stop + 1))
        shutil.copytree(tmp_path / "base", out)

        def counted(source, target, calls=calls) -> None:
            if next(calls, None) is None:
                raise Killed
            rename(source, target)

        monkeypatch.setattr(os, "replace", counted)
        try:
            build(after, out)
            done = stop
        except Killed:
            # What is committed is whole at every moment: each row's sample can be read.
            for row in pq.read_table(out / "index.parquet").to_pylist():
                with (out / row["shard"]).open("rb") as file:
                    assert read_sample(file, row["key"], row["offset"], row["size"])
            (out / "shards" / ".train-000009.tar.77.0a1b2c3d").write_bytes(b"half")
            (out / "shards" / "train-000008.tar").write_bytes(b"of a plan that never was")
        monkeypatch.setattr(os, "replace", rename)
        build(after, out)
        assert tree(out) == tree(tmp_path / "whole"), f"stopped at rename {stop}"
        if done:
            break
    assert done >= 6


CHANGES = [
    pytest.param(dances("a", "b", "c", "d", "e"), {0, 1}, 1, id="one more: only appended"),
    pytest.param(dances("a", "b", "c"), {0}, 1, id="one gone: its shard alone is rewritten"),
    pytest.param(dances("a", "b"), {0}, 0, id="a whole shard gone"),
    pytest.param([*dances("a", "b", "c"), bundle(source="d.mp4", seed=7)], {0}, 1, id="one changed"),
    pytest.param([*dances("a", "b", "c"), bundle(source="d.mp4", verdict="review")], {0}, 2, id="a verdict changed"),
    pytest.param(dances("d", "c", "b", "a"), {0, 1}, 0, id="nothing but the order changed"),
]


@pytest.mark.parametrize(("after", "stay", "written"), CHANGES)
def test_a_change_rewrites_only_what_it_touches(
    store: Store, tmp_path: Path, after: Sequence[Bundle], stay: set[int], written: int
) -> None:
    out = tmp_path / "out"
    build(judged(store, dances("a", "b", "c", "d")), out)
    assert [len(keys) for keys in shards_of(out).values()] == [2, 2]
    stamps = {path: (out / path).stat().st_mtime_ns for path in shards_of(out)}
    summary = build(judged(store, after), out)
    assert summary.written == written
    untouched = {f"shards/train-{at:06d}.tar" for at in stay}
    now = shards_of(out)
    assert {path for path in now if path in stamps} == untouched
    assert all((out / path).stat().st_mtime_ns == stamps[path] for path in untouched)
    assert sorted(key for keys in now.values() for key in keys) == sorted(one.clip.key for one in after)
    assert {p.with_suffix(".tar") for p in out.glob("[sr][he]*/*.json")} == set(out.rglob("*.tar"))
    assert summary.generation == (1 if written == 0 and len(after) == 4 else 2)


def test_reshard_compacts(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for names in ("a", "ab", "abc", "abcd"):
        build(judged(store, dances(*names)), out)
    assert [len(keys) for keys in shards_of(out).values()] == [1, 1, 1, 1]
    config = replace(ONE_SPLIT, reshard=True)
    assert build(judged(store, dances(*"abcd")), out, config).shards == 2
    again = build(judged(store, dances(*"abcd")), out, config)
    assert (again.written, again.generation) == (0, 5)


def flipped(path: Path) -> None:
    """A bit of its middle, written a moment after all else was."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def decayed(path: Path) -> None:
    """A bit that no time tells of, found by verify."""
    before = path.stat()
    flipped(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert any(problem.file == "shards/train-000000.tar" for problem in verify(path.parent.parent).problems)


@pytest.mark.parametrize(
    ("names", "damage", "written"),
    [
        pytest.param(["shards/train-000000.tar"], lambda path: os.truncate(path, 1000), 1, id="a shard cut short"),
        pytest.param(["shards/train-000000.tar"], flipped, 1, id="a bit of a shard"),
        pytest.param(["shards/train-000000.tar"], decayed, 1, id="a bit of a shard that verify found"),
        pytest.param(["shards/train-000000.tar"], Path.unlink, 1, id="a shard gone"),
        pytest.param(["shards/train-000000.tar"], Path.touch, 0, id="a shard only touched"),
        pytest.param(["shards/train-000000.json"], flipped, 1, id="a bit of a sidecar"),
        pytest.param(["shards/train-000000.json"], Path.unlink, 1, id="a sidecar gone"),
        pytest.param(["shards/train-000000.json", "shards/train-000000.tar"], Path.unlink, 1, id="both of them"),
        pytest.param(["index.parquet"], Path.unlink, 0, id="the index gone"),
        pytest.param(["rejects.parquet"], flipped, 0, id="the rejects"),
        pytest.param(["dataset.json"], flipped, 0, id="a bit of what was committed"),
        pytest.param(["dataset.json"], Path.unlink, 0, id="what was committed gone"),
        pytest.param(["dataset.json", "shards/train-000001.tar"], flipped, 1, id="that and a shard"),
    ],
)
def test_what_is_damaged_is_made_again_as_it_was(
    store: Store, tmp_path: Path, names: list[str], damage: Callable[[Path], None], written: int
) -> None:
    out, batch = tmp_path / "out", judged(store, dances("a", "b", "c", "d"))
    build(judged(store, dances("a", "b", "c")), out)
    build(batch, out)
    before = digests(out)
    for name in names:
        damage(out / name)
    summary = build(batch, out)
    assert (summary.written, summary.generation) == (written, 2)
    assert digests(out) == before
    assert build(batch, out).written == 0
    assert not verify(out).problems


def test_a_dataset_of_another_format_is_left_alone(store: Store, tmp_path: Path) -> None:
    out, batch = tmp_path / "out", judged(store, dances("a"))
    build(batch, out)
    path = out / "dataset.json"
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(ShardError, match="format version 1"):
        build(batch, out)


def test_an_item_that_cannot_ship_is_a_reject_and_the_rest_goes_on(store: Store, tmp_path: Path) -> None:
    batch = judged(store, [*dances("a", "b"), bundle(source="c.mp4", verdict="rejected")])
    same = replace(batch.items[0], source="copy/a.mp4")
    Path(batch.items[1].artifacts["identify"].path, "cast.npz").write_bytes(b"damaged")
    summary = build(replace(batch, items=(*batch.items, same)), tmp_path / "out")
    assert (summary.samples, summary.rejected) == (1, 3)
    rejects = {row["source"]: row for row in pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()}
    assert (rejects["b.mp4"]["stage"], rejects["b.mp4"]["fault"]) == ("shard", True)
    assert (rejects["c.mp4"]["stage"], rejects["c.mp4"]["reason"]) == ("judge", "swap suspicion 0.7: want at most 0.5")
    assert rejects["copy/a.mp4"]["reason"] == "the same clip as in a.mp4"


def test_a_plan_with_a_shard_missing_is_not_committed(store: Store, tmp_path: Path) -> None:
    planned = plan_shards([judged(store, dances("a"))], ONE_SPLIT, tmp_path)
    with pytest.raises(ShardError, match="train-000000"):
        commit_dataset(planned, [], tmp_path)
    assert read_dataset(tmp_path) is None


def test_a_second_build_in_the_folder_is_told_so(tmp_path: Path) -> None:
    with building(tmp_path), pytest.raises(BusyError, match="--out"), building(tmp_path):
        pass
    with building(tmp_path):
        pass


def test_no_footage_and_no_motion_is_in_two_splits(store: Store, tmp_path: Path) -> None:
    clips = [bundle(source=f"{at}.mp4", start=start, frames=5) for at in range(12) for start in (0, 100)]
    pairs = [("m0", "m1"), ("m2", "m1"), ("m3", "m2"), ("m4", "m5")]
    scenes = [bundle(source=f"{a} {b}.npz", frames=5) for a, b in pairs]
    motions = {one.clip.key: list(pair) for one, pair in zip(scenes, pairs, strict=True)}
    config = Config(val_fraction=0.3, test_fraction=0.3, seed=1)
    build(judged(store, [*clips, *scenes], motions=motions), tmp_path / "out", config)
    rows = {row["key"]: row for row in pq.read_table(tmp_path / "out" / "index.parquet").to_pylist()}
    assert {row["split"] for row in rows.values()} == {"train", "val", "test"}
    assert all(f"/{row['split']}-" in row["shard"] for row in rows.values())
    by_source = {(row["source"], row["split"]) for row in rows.values()}
    assert len(by_source) == 16
    tied = [rows[one.clip.key] for one in scenes[:3]]
    assert len({row["split"] for row in tied}) == len({row["split_group"] for row in tied}) == 1
    assert tied[0]["split_group"] == min(sha_of(name) for name in ("m0", "m1", "m2", "m3"))


def test_the_split_keeps_to_its_fractions_and_changes_with_the_seed() -> None:
    splits = [split_of(f"group {at}", 0, 0.1, 0.2) for at in range(2000)]
    assert 160 < splits.count("val") < 240
    assert 340 < splits.count("test") < 460
    assert splits != [split_of(f"group {at}", 1, 0.1, 0.2) for at in range(2000)]
    with pytest.raises(ValueError, match="fractions"):
        split_of("a", 0, 0.7, 0.7)


def entries(**bytes_by_key: int) -> list[Entry]:
    return [Entry(key=k, digest=k, bytes=b, verdict="accepted", split="train") for k, b in bytes_by_key.items()]


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        pytest.param([10] * 6, ["abc", "def"], id="equal samples"),
        pytest.param([30, 10, 10, 10], ["a", "bcd"], id="a big one first"),
        pytest.param([1, 90, 1], ["a", "b", "c"], id="one over the target"),
        pytest.param([0, 0], ["ab"], id="no bytes at all"),
    ],
)
def test_shards_are_balanced_by_bytes(sizes: list[int], runs: list[str]) -> None:
    some = entries(**dict(zip("abcdef", sizes, strict=False)))
    assert ["".join(entry.key for entry in run) for run in balance(some, 30)] == runs


def test_a_plan_does_not_hang_on_order_and_refuses_a_key_twice() -> None:
    some = entries(a=1, b=1, c=1)
    assert plan(some, {}, target_bytes=2) == plan(some[::-1], {}, target_bytes=2)
    with pytest.raises(ValueError, match="twice"):
        plan([*some, some[0]], {}, target_bytes=2)
    with pytest.raises(ValueError, match="target_bytes"):
        plan(some, {}, target_bytes=0)


def test_groups_are_tied_through_others() -> None:
    groups = split_groups({"x": ["d", "c"], "y": ["b", "a"], "z": ["c", "b"], "w": ["e"]})
    assert groups == {"x": "a", "y": "a", "z": "a", "w": "e"}
    with pytest.raises(ValueError, match="part"):
        split_groups({"x": []})

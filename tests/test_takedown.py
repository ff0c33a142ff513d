"""A takedown: nothing of the source is left, the rest is as it was, and it can be killed at any moment."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from datasets import remote
from datasets.corrections import Correction, append_correction, read_corrections
from datasets.diff import main as diff
from datasets.folder import open_folder
from datasets.index import LOCK, read_dataset
from datasets.lock import building
from datasets.store import Store
from datasets.takedowns import TakedownError, standing
from datasets.verify import verify
from datasets.versions import notes, read_version
from flows.takedown import main, take_down
from tasks.batch import Batch, Reject
from tasks.report_page import funnel_of
from tests.build_samples import bundle, judged, sha_of, small_npz
from tests.s3_server import S3
from tests.test_incremental import traces
from tests.test_shard_task import ONE_SPLIT, build, shards_of, tree

WHEN = "2026-01-02T03:04:05+00:00"
SCENE = json.dumps({"performers": [{"motion": "kick.npz"}, {"motion": "other/spin.npz"}]})
MEETING = bundle(source="meeting.yaml", extra={"scene.npz": small_npz(json=np.frombuffer(SCENE.encode(), np.uint8))})
FOOTAGE = [bundle(source="a.mp4"), bundle(source="a.mp4", start=100), bundle(source="day 2/b.mp4")]
FOOTAGE += [bundle(source="c.mp4"), bundle(source="a.mp4", start=200, verdict="review")]
DUETS = [
    bundle(source="walk.npz + kick.npz"),
    bundle(source="kick.npz + jump.npz"),
    bundle(source="walk.npz + jump.npz"),
]
MOTIONS = {one.clip.key: one.clip.source.split(" + ") for one in DUETS} | {
    MEETING.clip.key: ["kick.npz", "other/spin.npz"]
}
REJECTED = (
    Reject(source="copy of a.mp4", clip="", stage="probe", reason="same bytes as a.mp4", fault=False),
    Reject(source="empty.mp4", clip="", stage="probe", reason="no frames", fault=False),
    Reject(source="a.mp4", clip=f"a-{sha_of('a.mp4')[:8]}-00000300", stage="judge", reason="nobody stays", fault=False),
)
KICKED = {DUETS[0].clip.key, DUETS[1].clip.key, MEETING.clip.key}
FILMED = {one.clip.key for one in FOOTAGE if one.clip.source == "a.mp4"}
ALL = {one.clip.key for one in (*FOOTAGE, *DUETS, MEETING)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two generations from both routes, with a page and a person's words, and its store."""
    folder = tmp_path_factory.mktemp("takedown")
    store = Store(root=str(folder / "store"))
    first = judged(store, [*FOOTAGE[:3], DUETS[0]], motions=MOTIONS)
    build(first, folder / "out", ONE_SPLIT)
    # One that was rejected: no table has its key, only the manifests tell whose it is.
    judged(store, [bundle(source="a.mp4", start=300, verdict="rejected")])
    batch = judged(store, [*FOOTAGE, *DUETS, MEETING], motions=MOTIONS)
    build(Batch(items=batch.items, rejects=REJECTED), folder / "out", ONE_SPLIT)
    store.make(
        "motion", "0" * 32, lambda out: None, about={"part": f"{sha_of('meeting.yaml')} meeting.yaml", "inputs": []}
    )
    for name in ("a.mp4", "c.mp4"):
        store.note(f"{name:>032}", {"seen": [f"/data/{name}", 1, 2], "sha256": sha_of(name)})
    for key in (FOOTAGE[0].clip.key, FOOTAGE[3].clip.key):
        append_correction(
            folder / "out" / "corrections.jsonl", lambda _, key=key: Correction(word="accept", clip=key, key=key)
        )
    _page(folder / "out" / "report")
    return folder


def _page(report: Path) -> None:
    """A page as tasks.report_page leaves it, with the media of two clips."""
    clips = [
        {
            "key": one.clip.key,
            "source": one.clip.source,
            "verdict": "accepted",
            "folder": f"media/{one.clip.key}-0a1b2c3d",
        }
        for one in (FOOTAGE[0], FOOTAGE[3])
    ]
    for clip in clips:
        (report / clip["folder"]).mkdir(parents=True)
        (report / clip["folder"] / "clip.js").write_text(f"DUET.loaded({json.dumps(clip)});\n")
    rejects = [
        {"source": r.source, "clip": r.clip, "stage": r.stage, "reason": r.reason, "fault": r.fault} for r in REJECTED
    ]
    steps = [asdict(step) for step in funnel_of(9, ["accepted"] * 2, REJECTED)]
    run = {"title": "t", "funnel": steps}
    for name, value in (("run", run), ("clips", clips), ("rejects", rejects)):
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        (report / f"{name}.js").write_text(f"window.DUET=window.DUET||{{}};DUET.{name}={text};\n")


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    """A copy to take from."""
    shutil.copytree(whole, tmp_path / "place")
    return tmp_path / "place"


def took(place: Path, *given: str, store: str = "store", write: bool = True) -> dict[str, object]:
    with building(place / "out"):
        _, removed = take_down(str(place / "out"), given, store=str(place / store), when=WHEN, write=write)
    return {name: getattr(removed, name) for name in type(removed).__dataclass_fields__}


def keys(place: Path) -> set[str]:
    return {row["key"] for row in read_version(place / "out").rows}


CASES = [
    pytest.param("a.mp4", FILMED, ("a.mp4", f"a-{sha_of('a.mp4')[:8]}"), id="footage by name"),
    pytest.param("b.mp4", {FOOTAGE[2].clip.key}, ("b.mp4",), id="footage by the end of its name"),
    pytest.param(sha_of("a.mp4")[:8], FILMED, ("a.mp4",), id="footage by eight digits"),
    pytest.param("kick.npz", KICKED, ("kick",), id="a motion: its duets, and the scene that uses it"),
    pytest.param("other/spin.npz", {MEETING.clip.key}, ("spin",), id="a motion that only a scene uses"),
    pytest.param("meeting.yaml", {MEETING.clip.key}, ("meeting",), id="a scene"),
]


@pytest.mark.parametrize(("given", "gone", "words"), CASES)
def test_a_source_goes_and_nothing_else(place: Path, given: str, gone: set[str], words: tuple[str, ...]) -> None:
    before = shards_of(place / "out")
    took(place, given)
    assert keys(place) == ALL - gone
    for word in (*words, *([sha_of(given)] if len(given) < 64 else [])):
        assert traces(place, word) == []
    assert verify(place / "out").problems == ()
    for path, inside in before.items():
        assert (path in shards_of(place / "out")) == gone.isdisjoint(inside), "only shards that held some are rewritten"


def test_everything_that_speaks_of_it_changes_and_says_so(place: Path, whole: Path) -> None:
    removed = took(place, "a.mp4")
    out = place / "out"
    assert set(removed["clips"]) == FILMED
    assert (removed["versions"], removed["generation"], removed["rejects"]) == ([1, 2], 3, 2)
    assert (removed["words"], removed["report"], removed["notes"]) == (1, 1, 1)
    assert removed["bytes"] == _weight(whole / "out") - _weight(out)
    rejects = {(row["source"], row["reason"].split(":")[0]) for row in read_version(out).rejects}
    (one,) = standing(open_folder(out)).values()
    assert rejects == {("empty.mp4", "no frames"), (f"takedown {one.id}", "taken down")}
    assert one.done
    assert [word.key for word in read_corrections(out / "corrections.jsonl")] == [FOOTAGE[3].clip.key]
    old = read_version(f"{out}@1")
    assert {row["key"] for row in old.rows} == {FOOTAGE[2].clip.key, DUETS[0].clip.key}
    assert old.info.counts["samples"] == 2
    assert list(notes(open_folder(out), 1)) == [{"takedown": one.id, "clips": 2, "rejects": 0}]
    assert '"count":9' in (out / "report" / "run.js").read_text()
    assert one.id in (out / "report" / "rejects.js").read_text()


def _weight(out: Path) -> int:
    return sum(path.stat().st_size for path in out.rglob("*.tar"))


def test_the_next_build_changes_nothing_and_refuses_the_source(place: Path) -> None:
    took(place, "a.mp4")
    before = tree(place / "out")
    batch = judged(Store(root=str(place / "store")), [*FOOTAGE[2:4], *DUETS, MEETING], motions=MOTIONS)
    (one,) = standing(open_folder(place / "out")).values()
    refused = Reject(
        source=f"takedown {one.id}",
        clip="",
        stage="probe",
        reason=read_version(place / "out").rejects[1]["reason"],
        fault=False,
    )
    build(Batch(items=batch.items, rejects=(REJECTED[1], refused)), place / "out", ONE_SPLIT)
    assert tree(place / "out") == before


def test_a_dry_run_says_the_same_and_changes_nothing(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = tree(place)
    command = [str(place / "out"), "a.mp4", "--store", str(place / "store")]
    assert main([*command, "--dry-run", "--json"]) == 0
    dry = json.loads(capfd.readouterr().out)
    assert {name: data for name, data in tree(place).items() if not name.endswith(".lock")} == {
        name: data for name, data in before.items() if not name.endswith(".lock")
    }
    assert main([*command, "--dry-run"]) == 0
    assert capfd.readouterr().out.startswith(f"a.mp4  {sha_of('a.mp4')[:16]}\n"), "it has no id yet"
    assert main([*command, "--json"]) == 0
    real = json.loads(capfd.readouterr().out)
    for name in (
        "clips",
        "versions",
        "words",
        "artifacts",
        "artifact_bytes",
        "notes",
        "rejects",
        "shards_rewritten",
        "shards_removed",
        "bytes",
        "report",
    ):
        assert dry[name] == real[name], name
    assert real["report"] == 1


def test_without_the_store_the_file_itself_tells(place: Path, tmp_path: Path) -> None:
    shutil.rmtree(place / "store")
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "kick.npz"
    file.write_text("kick.npz")
    with pytest.raises(Exception, match="give the file"):
        took(place, "kick.npz")
    took(place, str(file))
    assert keys(place) == ALL - KICKED
    assert traces(place, "kick") == []
    assert list(standing(open_folder(place / "out"))) == [sha_of("kick.npz")]


def test_where_no_store_is_found_it_says_that_artifacts_stay(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)  # no out/.store here
    assert main([str(place / "out"), "a.mp4"]) == 0
    assert "\nstore    not found: what was made from it stays there" in capfd.readouterr().out
    assert main([str(place / "out"), "a.mp4", "--store", "store", "--json"]) == 0, "and they can be taken afterwards"
    told = json.loads(capfd.readouterr().out)
    assert told["store"]
    assert told["artifacts"] > 0
    assert traces(place, "a.mp4") == []


def test_a_damaged_shard_gives_what_it_can(place: Path) -> None:
    shared = {FOOTAGE[2].clip.key, DUETS[0].clip.key}
    (name,) = (name for name, inside in shards_of(place / "out").items() if set(inside) == shared)
    os.truncate(place / "out" / name, 700)
    removed = took(place, "kick.npz")
    assert removed["remade"] == [FOOTAGE[2].clip.key]
    assert keys(place) == ALL - KICKED - {FOOTAGE[2].clip.key}
    assert verify(place / "out").problems == ()


class Killed(BaseException):
    """Stands for kill -9 at one moment."""


def _killed(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[None]:
    left = iter(range(after))
    for name in ("replace", "unlink", "rmdir"):
        real = getattr(os, name)

        def counted(*arguments: object, real: object = real, **named: object) -> object:
            if next(left, None) is None:
                raise Killed
            return real(*arguments, **named)  # type: ignore[operator]

        monkeypatch.setattr(os, name, counted)
    yield


def test_killed_at_any_moment_the_same_command_ends_it(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "undisturbed")
    took(tmp_path / "undisturbed", "kick.npz", "a.mp4")
    want = tree(tmp_path / "undisturbed")
    step = int(os.environ.get("DUET_TAKEDOWN_STEP", "9"))
    for after in range(0, 1000, step):
        place = tmp_path / f"killed-{after}"
        shutil.copytree(whole, place)
        with monkeypatch.context() as patch:
            killing = _killed(patch, after)
            next(killing)
            try:
                took(place, "kick.npz", "a.mp4")
                assert after > 100, "that many steps were to be interrupted"
                return
            except Killed:
                pass
        # Half done it is a whole dataset still, or again, that builds can go on with.
        assert read_dataset(place / "out") is not None
        if after % 2 and standing(open_folder(place / "out")):
            took(place)
        else:
            took(place, "kick.npz", "a.mp4")
        got = tree(place)
        assert {name for name in {*got, *want} if got.get(name) != want.get(name)} == set(), f"killed after {after}"
        shutil.rmtree(place)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nobody.mp4"], "got none; is --store"),
        (["d.mp4"], "did you mean"),
        (["12345678"], "got 0"),
        (["12"], "want a source of this dataset"),
        ([], "nothing was left unfinished"),
        (["a.mp4", "--undo"], "want a takedown that stands"),
        (["a.mp4", "--store", "mistyped"], "--store mistyped: want the store that the dataset was built with"),
    ],
)
def test_what_cannot_be_taken_down_is_said(
    place: Path, capfd: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    before = tree(place / "out")
    assert main([str(place / "out"), "--store", str(place / "store"), *given]) == 2
    assert said in capfd.readouterr().err
    assert tree(place / "out") == before


def test_a_takedown_can_be_taken_back(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = str(place / "out")
    took(place, "c.mp4")
    assert main([out, "--list"]) == 0
    assert "c.mp4" in capfd.readouterr().out
    assert main([out, "c.mp4", "--undo"]) == 0
    assert standing(open_folder(out)) == {}
    took(place, sha_of("c.mp4"))
    assert len(standing(open_folder(out))) == 1


def test_a_word_can_be_said_again_after_others_were_taken_out(place: Path) -> None:
    path, key = place / "out" / "corrections.jsonl", FOOTAGE[3].clip.key
    stayed = read_corrections(path)[1]
    took(place, "a.mp4")
    again = append_correction(path, lambda _: Correction(word="accept", clip=key, key=key))
    assert read_corrections(path) == (stayed, again)
    assert again.id != stayed.id


def test_what_was_never_here_is_kept_out_and_changes_nothing(place: Path) -> None:
    before = tree(place)
    took(place, "5" * 64)
    assert list(standing(open_folder(place / "out"))) == ["5" * 64]
    assert {name for name, data in tree(place).items() if before.get(name) != data} == {"out/takedowns.jsonl"}


def test_a_takedown_waits_for_no_build(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with building(place / "out"):
        assert main([str(place / "out"), "a.mp4", "--store", str(place / "store")]) == 2
    assert "want one build at a time" in capfd.readouterr().err
    assert keys(place) == ALL


def test_a_damaged_list_stops_everything(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    took(place, "c.mp4")
    path = place / "out" / "takedowns.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(TakedownError, match="line 2"):
        standing(open_folder(place / "out"))
    assert main([str(place / "out"), "a.mp4"]) == 2
    assert "restore the file" in capfd.readouterr().err


def test_verify_names_a_damaged_version_and_a_takedown_that_is_not_finished(place: Path) -> None:
    took(place, "c.mp4")
    out = place / "out"
    table = out / "versions" / "000001" / "index.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    path = out / "takedowns.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    said = sorted(str(problem) for problem in verify(out).problems)
    assert [one.split(":")[0] for one in said] == ["takedowns.jsonl", "versions/000001"]
    assert "python -m flows.takedown" in said[0]
    assert "remove the folder" in said[1]
    took(place)
    assert list((out / "versions" / "000001").glob("*")) == [], "nobody can tell what it shows"
    assert verify(out).problems == ()


def test_at_addresses_it_is_the_same(place: Path, s3: S3, capfd: pytest.CaptureFixture[str]) -> None:
    bucket = s3.bucket()
    for name, data in tree(place).items():
        # At an address the lock is a lease: one that nobody renews is waited for, a minute.
        if name != f"out/{LOCK}":
            remote.put(f"{bucket}/{name}", data)
    assert main([f"{bucket}/out", "kick.npz", "--store", f"{bucket}/store", "--json"]) == 0
    assert set(json.loads(capfd.readouterr().out)["clips"]) == KICKED
    there = {name: remote.read(f"{bucket}/{name}") for name, _ in remote.listing(bucket)}
    assert not [
        n for n, data in there.items() if "kick" in n or (b"kick" in data and not n.endswith("takedowns.jsonl"))
    ]
    assert verify(f"{bucket}/out").problems == ()
    assert diff([f"{bucket}/out"]) == 1
    assert f"{bucket}/out@2 (generation 2) -> {bucket}/out@3 (generation 3)" in capfd.readouterr().out
    assert diff([f"{bucket}/out@3", f"{bucket}/out"]) == 0
    took(place, "kick.npz")
    here = {f"{top}/{name}" for top in ("out", "store") for name in tree(place / top)}
    assert {name for name in here ^ set(there) if "/." not in name} == set()

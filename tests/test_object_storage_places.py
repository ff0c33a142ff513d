"""OUT, its lease, a person's words and sources at s3:// addresses, against a real server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from datasets import remote, remote_source
from datasets.corrections import Correction, append_correction, file_in, read_corrections
from datasets.export import main as export_command
from datasets.folder import Folder, LocalFolder, open_folder
from datasets.lock import BusyError, building
from datasets.members import ShardError
from datasets.sample_list import list_samples
from datasets.shards import finished, read_sidecar, write_shard
from datasets.store import Store
from datasets.stream import ShardStream
from datasets.verify import verify
from flows.errors import UsageError
from flows.sources import find_sources
from tests.build_samples import bundle, judged
from tests.s3_server import S3, asked, mirrored
from tests.test_shard_task import build, dances
from tests.tiny_runs import ROOT, tiny_motion


def held(out: str) -> subprocess.Popen[bytes]:
    """Another process that holds OUT."""
    code = (
        f"import sys, time; from datasets.lock import building\n"
        f"with building({out!r}): sys.stdout.write('held\\n'); sys.stdout.flush(); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    return other


def test_a_living_holder_is_seen_and_a_dead_one_is_followed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETFLOW_LEASE_S", "3")
    other = held(f"{bucket}/out")
    try:
        with pytest.raises(BusyError, match="one build at a time"), building(f"{bucket}/out"):
            pytest.fail("it is held")
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert remote.stat(f"{bucket}/out/.lock") is not None, "the killed one left it"
        started = time.monotonic()
        with building(f"{bucket}/out"):
            assert 1 < time.monotonic() - started < 15, "waited until it was silent for long enough"
        assert remote.stat(f"{bucket}/out/.lock") is None
    finally:
        other.kill()
        other.wait()


def test_of_many_that_want_it_one_gets_it(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETFLOW_LEASE_S", "2")
    got, told = [], []
    begin = threading.Barrier(4)

    def attempt() -> None:
        begin.wait()
        try:
            with building(f"{bucket}/out"):
                got.append(1)
                time.sleep(1.5)
        except BusyError:
            told.append(1)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(told)) == (1, 3)


def _lose(out: str, stopped: threading.Event) -> None:
    with building(out):
        remote.put(f"{out}/.lock", b'{"who": "another"}')
        assert stopped.wait(10)


def test_who_lost_it_is_stopped(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETFLOW_LEASE_S", "1")
    stopped = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        with pytest.raises(BusyError, match="another run took it over"):
            _lose(f"{bucket}/out", stopped)
        assert remote.read(f"{bucket}/out/.lock") == b'{"who": "another"}', "theirs stays"
    finally:
        signal.signal(signal.SIGTERM, before)


# OUT


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "local":
        return LocalFolder(tmp_path / "out")
    return open_folder(f"{request.getfixturevalue('bucket')}/out")


def test_a_folder_is_the_same_wherever_it_lies(folder: Folder) -> None:
    assert list(folder.names()) == []
    folder.write("b/x.json", b"{}")
    aside = folder.aside("a.tar")
    aside.write_bytes(b"0123456789")
    folder.put("a.tar", aside)
    assert not aside.exists()
    assert folder.sizes() == {"a.tar": 10, "b/x.json": 2}
    assert folder.sizes("b") == {"b/x.json": 2}
    assert (folder.size("a.tar"), folder.size("none"), folder.part("a.tar", 2, 3)) == (10, None, b"234")
    with folder.open("a.tar") as file:
        file.seek(8)
        assert file.read() == b"89"
    folder.remove("a.tar")
    folder.remove("a.tar")
    assert list(folder.names()) == ["b/x.json"]
    for read in (folder.read, folder.open, lambda name: folder.part(name, 0, 1)):
        with pytest.raises(FileNotFoundError):
            read("none")


def test_whatever_is_put_last_the_older_dataset_or_the_new_one_is_whole(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = Store(str(tmp_path / "store"))
    older, newer = judged(local, dances("a", "b", "c")), judged(local, dances("b", "c", "d", "e"))
    build(older, f"{bucket}/before")
    first = {name: remote.read(f"{bucket}/before/{name}") for name, _ in remote.listing(f"{bucket}/before")}

    def begun(out: str) -> str:
        for name, data in first.items():
            remote.put(f"{out}/{name}", data)
        return out

    build(newer, begun(f"{bucket}/undisturbed"))
    wanted = {name: remote.stat(f"{bucket}/undisturbed/{name}") for name, _ in remote.listing(f"{bucket}/undisturbed")}
    keys = [set(keys_in(f"{bucket}/{one}")) for one in ("before", "undisturbed")]
    steps, killed = -1, ["begin"]
    while killed:
        steps += 1
        out = begun(f"{bucket}/out{steps}")
        with monkeypatch.context() as broken:
            killed = _kill_after(broken, steps)
            with suppress(Killed):
                build(newer, out)
        # Every sample that the index names is there whole: of the dataset before, or of the new one.
        assert set(keys_in(out)) in keys
        assert len(list(ShardStream(out, split=None, window=2))) == len(keys_in(out))
        if steps % 3 == 0:
            build(newer, out)
            assert {name: remote.stat(f"{out}/{name}") for name, _ in remote.listing(out)} == wanted
    assert steps > 8, "puts and removals of shards, sidecars, versions, tables, old shards"
    assert not verify(f"{bucket}/undisturbed").problems


class Killed(BaseException):
    """What no handler catches, as kill -9."""


def _kill_after(broken: pytest.MonkeyPatch, steps: int) -> list[str]:
    """Let so many objects be changed, then end. Gives a list that holds what was being done."""
    killed: list[str] = []
    left = [steps]

    def guarded(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **named: Any) -> Any:
            if not any(str(one).endswith("/.lock") for one in arguments):
                if not left[0]:
                    killed.append(name)
                    raise Killed
                left[0] -= 1
            return change(*arguments, **named)

        return instead

    for name in ("put", "send", "remove"):
        broken.setattr(remote, name, guarded(name, getattr(remote, name)))
    return killed


def keys_in(out: str) -> list[str]:
    return [ref.key for ref in list_samples(out, split=None, include_review=True)]


SAMPLES = [("duet-0a1b2c3d-00000000", "made", {"json": b"{}", "mp4": b"video"})]


def test_a_shard_is_whole_or_none(folder: Folder, tmp_path: Path) -> None:
    made = write_shard("shards/train-000000.tar", SAMPLES, folder)
    write_shard(tmp_path / "here" / "train-000000.tar", SAMPLES)
    assert folder.read("shards/train-000000.tar") == (tmp_path / "here" / "train-000000.tar").read_bytes()
    assert finished("shards/train-000000.tar", made.made_from, folder) == made

    def killed(name: str, data: bytes) -> None:
        raise KeyboardInterrupt

    class Broken(type(folder)):  # type: ignore[misc]
        write = staticmethod(killed)

    other = [("duet-0a1b2c3d-00000024", "made", {"json": b"{}"})]
    with pytest.raises(KeyboardInterrupt):
        write_shard("shards/train-000000.tar", other, Broken(*(getattr(folder, f) for f in folder.__slots__)))
    assert finished("shards/train-000000.tar", made.made_from, folder) is None
    with pytest.raises(ShardError, match="got no such file"):
        read_sidecar("shards/train-000000.tar", folder)


def test_words_said_at_the_same_time_are_all_kept(bucket: str) -> None:
    file = file_in(f"{bucket}/out")
    assert read_corrections(file) == ()

    def say(number: int) -> None:
        append_correction(file, lambda words: Correction(word="accept", clip=f"{number}" * 32, key="k"))

    threads = [threading.Thread(target=say, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    words = read_corrections(file)
    assert [word.nth for word in words] == [0, 1, 2, 3, 4]
    assert {word.clip[0] for word in words} == set("01234")


def test_a_dataset_at_an_address_is_reviewed_and_exported(
    bucket: str, tmp_path: Path, review: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    doubtful = bundle(source="b.mp4", verdict="review")
    build(judged(Store(str(tmp_path / "store")), [*dances("a"), doubtful]), f"{bucket}/out")
    listed = json.loads(review(f"{bucket}/out", "--json").out)
    assert [clip["key"] for clip in listed["clips"]] == [doubtful.clip.key]
    assert review(f"{bucket}/out", "accept", doubtful.clip.key).code == 0
    (word,) = read_corrections(file_in(f"{bucket}/out"))
    assert (word.word, word.key) == ("accept", doubtful.clip.key)
    refused = review("s3://key:hunter2secret@bucket/out")
    assert refused.code == 2
    assert "hunter2" not in refused.err
    assert export_command([f"{bucket}/out", "--to", "mot"]) == 2
    assert "want --out DIR" in capfd.readouterr().err
    assert export_command([f"{bucket}/out", "--to", "mot", "--out", str(tmp_path / "mot")]) == 0
    assert len(list((tmp_path / "mot").glob("*/gt/gt.txt"))) == 1


# Sources


def tree(folder: Path) -> None:
    """Videos, notes, motions of one file, of a pair and of a folder, and a scene that uses one of them."""
    for name in ("b/z.mp4", "a.MOV", "b.mp4", ".hidden/x.mp4", "b/.x.mp4", "out/made.mp4", "notes.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    for i in range(3):
        tiny_motion(folder / "motion" / f"m{i}.npz", i)
    (folder / "motion" / "duet.json").write_text(json.dumps({"performers": [{"motion": "m1.npz"}]}))
    (folder / "motion" / "notes.json").write_text('{"about": "nothing"}')
    (folder / "motion" / "broken.npz").write_bytes(b"PK")


def test_sources_at_an_address_are_those_of_the_same_folder_here(s3: S3, bucket: str, tmp_path: Path) -> None:
    tree(tmp_path / "in")
    mirrored(tmp_path / "in", f"{bucket}/in")
    here = find_sources([str(tmp_path / "in")], leave_out=[tmp_path / "in" / "out"])
    with asked(s3, bucket[5:]) as count:
        there = find_sources([f"{bucket}/in/"], leave_out=[f"{bucket}/in/out"])
    assert [(one.name, one.kind) for one in there] == [(one.name, one.kind) for one in here]
    assert [one.path for one in there if one.kind == "video"] == [
        f"{bucket}/in/{n}" for n in ("a.MOV", "b/z.mp4", "b.mp4")
    ]
    assert count == {"LIST": 1, "GET": 6}, "no video is read; motions and scenes are looked into"
    with asked(s3, bucket[5:]) as count:
        find_sources([f"{bucket}/in/"], kinds=["motion", "scene"])
    assert "GET" not in count, "what was looked into is still here"


def test_a_list_at_an_address_names_what_is_beside_it(bucket: str, tmp_path: Path) -> None:
    tree(tmp_path / "in")
    mirrored(tmp_path / "in", f"{bucket}/in")
    remote.put(f"{bucket}/in/list.txt", b"# some\nb.mp4\nb\n")
    assert [one.name for one in find_sources([f"{bucket}/in/list.txt"])] == ["b.mp4", "b/z.mp4"]
    remote.put(f"{bucket}/in/list.txt", b"none.mp4\n")
    with pytest.raises(UsageError, match=r"list\.txt, line 1: .* got no such file or folder: none\.mp4"):
        find_sources([f"{bucket}/in/list.txt"])
    with pytest.raises(UsageError, match="got no such file or folder"):
        find_sources([f"{bucket}/nowhere"])


def test_a_source_that_changes_meanwhile_is_an_error_not_a_mixture(bucket: str) -> None:
    address = f"{bucket}/a.mp4"
    remote.put(address, b"one")
    seen = remote_source.stat(address)
    assert seen is not None
    remote.put(address, b"two")
    with pytest.raises(OSError, match="another writer was faster"):
        remote_source.copied({address: seen}, address)
    remote_source.forget()
    now = remote_source.stat(address)
    assert now is not None
    assert remote_source.copied({address: now}, address).read_bytes() == b"two"

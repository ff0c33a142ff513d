"""s3:// addresses against a real server: objects, local copies, the store."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datasets import remote, remote_scratch, remote_source
from datasets.store import MANIFEST, Store, local_file, local_folder, manifest_of, size_in
from tests.s3_server import S3, SECRET, asked
from tests.tiny_runs import ROOT


def test_an_object_is_put_once_or_only_in_place_of_what_was_seen(bucket: str) -> None:
    first = remote.put(f"{bucket}/a", b"one", new=True)
    with pytest.raises(remote.ChangedError):
        remote.put(f"{bucket}/a", b"two", new=True)
    second = remote.put(f"{bucket}/a", b"two", replaces=first)
    with pytest.raises(remote.ChangedError):
        remote.put(f"{bucket}/a", b"three", replaces=first)
    assert (remote.read(f"{bucket}/a"), remote.stat(f"{bucket}/a")) == (b"two", remote.Stat(3, second))
    assert remote.read(f"{bucket}/a", 1, 1) == b"w"
    assert remote.stat(f"{bucket}/b") is None


def test_a_listing_is_one_request_a_page(s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("in/b", "in/a", "in/c/d", "in.txt", "other/x"):
        remote.put(f"{bucket}/{name}", name.encode())
    with asked(s3, bucket[5:]) as count:
        assert [(name, one.size) for name, one in remote.listing(f"{bucket}/in")] == [("a", 4), ("b", 4), ("c/d", 6)]
        assert [name for name, _ in remote.listing(f"{bucket}/in", folder=False)] == ["a", "b"]
        assert [name for name, _ in remote.listing(f"{bucket}/in", beginning="c")] == ["c/d"]
        assert remote.top_names(bucket) == {"in", "in.txt", "other"}
    assert count == {"LIST": 4}
    monkeypatch.setattr(remote, "PAGE", 2)
    with asked(s3, bucket[5:]) as count:
        assert len(list(remote.listing(bucket))) == 5
    assert count == {"LIST": 3}


def test_names_that_would_lead_out_of_a_folder_are_never_listed_or_copied(bucket: str, tmp_path: Path) -> None:
    for name in ("in/a.mp4", "in/../../b.mp4", "in//c.mp4", "in/./d.mp4"):
        remote._call(f"{bucket}/x", "put_object", Key=name, Body=b"x")
    assert [name for name, _ in remote.listing(f"{bucket}/in")] == ["a.mp4"]
    with pytest.raises(OSError, match="plain parts"):
        remote_source.copied({f"{bucket}/in/../../b.mp4": remote.Stat(1, "")}, f"{bucket}/in/../../b.mp4")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        pytest.param("s3://key:hunter2secret@bucket/x", "credentials", id="user and password"),
        pytest.param("s3://bucket/x?X-Amz-Signature=hunter2secret", "credentials", id="a signed address"),
        pytest.param("https://host/x", "s3://BUCKET/NAME", id="another scheme"),
        pytest.param("s3:///x", "bucket", id="no bucket"),
        pytest.param("s3://bucket/../x", "plain name", id="dots"),
        pytest.param("s3://bucket//x", "plain name", id="an empty part"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(address: str, said: str) -> None:
    with pytest.raises(remote.AddressError, match=said) as refusal:
        remote.check_address(address, "--out")
    assert "hunter2" not in str(refusal.value)


def test_without_s3fs_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(remote.AddressError, match=r"pip install '\.\[s3\]'"):
        remote.check_address("s3://bucket/x", "--out")


def test_errors_name_the_address_and_no_credential(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=f"{bucket}/none"):
        remote.read(f"{bucket}/none")
    with pytest.raises(FileNotFoundError, match="no such bucket"):
        list(remote.listing("s3://no-bucket-of-ours"))

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError(f"signed with {SECRET} for http://me:hunter2@host/x")

    monkeypatch.setattr(remote, "_filesystem", refuse)
    with pytest.raises(OSError, match="signed with \\(AWS_SECRET_ACCESS_KEY\\) for http://host/x") as error:
        remote.stat(f"{bucket}/x")
    assert error.value.__cause__ is None


# The store


def fill(out: Path) -> None:
    (out / "0").mkdir()
    (out / "record.npz").write_bytes(b"record")
    (out / "0" / "clip.mp4").write_bytes(b"clip" * 1000)


def test_an_artifact_is_made_once_and_read_on_another_machine_file_by_file(
    s3: S3, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, key, of = Store(f"{bucket}/store"), "ab" * 16, bucket[5:]
    with asked(s3, of) as count:
        assert store.find("shots", key) is None
    assert count == {"GET": 1}, "what is not there is one request"
    made, reused = store.make("shots", key, fill, about={"item": "x"})
    assert not reused
    with asked(s3, of) as count:
        assert local_file(made, "record.npz").read_bytes() == b"record"
        assert (local_folder(made) / "0" / "clip.mp4").stat().st_size == 4000
    assert not count, "who made it has it"
    monkeypatch.setenv("DUETFLOW_SCRATCH", str(tmp_path / "another machine"))
    with asked(s3, of) as count:
        assert store.make("shots", key, lambda out: pytest.fail("it is there"))[1]
    assert count == {"GET": 1, "LIST": 1}
    with asked(s3, of) as count:
        assert size_in(made, "0/clip.mp4") == 4000
        assert size_in(made, "other") is None
        assert local_file(made, "record.npz").read_bytes() == b"record"
    assert count == {"GET": 1}, "one file is wanted, one is fetched"
    inner = type(made)(key=f"{key}.0", path=f"{made.path}/0")
    assert (local_folder(inner) / "clip.mp4").read_bytes() == b"clip" * 1000
    assert manifest_of(inner)["about"] == {"item": "x"}
    with asked(s3, of) as count:
        assert {p.name for p in local_folder(made).rglob("*") if p.is_file()} == {MANIFEST, "record.npz", "clip.mp4"}
    assert not count, "what was fetched stays"


def test_an_artifact_without_its_manifest_is_none_and_is_made_again(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, key = Store(f"{bucket}/store"), "cd" * 16
    with monkeypatch.context() as broken:
        broken.setattr(remote, "put", lambda *_, **__: (_ for _ in ()).throw(OSError("killed here")))
        with pytest.raises(OSError, match="killed here"):
            store.make("shots", key, fill)
    assert [name for name, _ in remote.listing(store.place("shots", key))] == ["0/clip.mp4", "record.npz"]
    assert store.find("shots", key) is None
    made, reused = store.make("shots", key, fill)
    assert not reused
    assert store.find("shots", key) == made


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda at: remote.remove(f"{at}/record.npz"), id="a file gone"),
        pytest.param(lambda at: remote.put(f"{at}/record.npz", b"short"), id="a file of another size"),
        pytest.param(lambda at: remote.put(f"{at}/{MANIFEST}", b'{"files": 3}'), id="a manifest of something else"),
        pytest.param(lambda at: remote.put(f"{at}/{MANIFEST}", b"\xff\xfe"), id="a manifest of no text"),
    ],
)
def test_a_damaged_artifact_is_made_again(bucket: str, damage) -> None:
    store, key = Store(f"{bucket}/store"), "ef" * 16
    made, _ = store.make("shots", key, fill)
    damage(made.path)
    assert store.find("shots", key) is None
    again, reused = store.make("shots", key, fill)
    assert not reused
    assert local_file(again, "record.npz").read_bytes() == b"record"
    assert store.find("shots", key) == again


def test_a_file_that_is_not_what_its_manifest_says_is_an_error(bucket: str) -> None:
    store, key = Store(f"{bucket}/store"), "12" * 16
    made, _ = store.make("shots", key, fill)
    shutil.rmtree(remote_scratch.scratch())
    remote.put(f"{made.path}/record.npz", b"other bytes")
    with pytest.raises(OSError, match="want the 6 bytes that its manifest lists, got 11"):
        local_file(made, "record.npz")


# Local copies


def test_copies_are_bounded_and_the_longest_unused_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETFLOW_SCRATCH", str(tmp_path / "s"))
    places, now = [], time.time()
    for i, age in enumerate((9000, 7000, 5000, 10)):
        place = remote_scratch.entry("artifacts", str(i))
        place.mkdir(parents=True)
        (place / "file").write_bytes(bytes(1000))
        os.utime(place, (now - age, now - age))
        places.append(place)
    assert remote_scratch.make_room(2500, now) == 2000
    assert [place.exists() for place in places] == [False, False, True, True]
    assert remote_scratch.make_room(0, now) == 1000
    assert places[3].exists(), "what is in use stays, also beyond the bound"


@pytest.mark.parametrize("told", ["none", "0", "-1", "nan"])
def test_a_bound_that_is_none_is_refused(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETFLOW_SCRATCH_GB", told)
    with pytest.raises(ValueError, match="DUETFLOW_SCRATCH_GB"):
        remote_scratch.bound()


def test_a_store_out_of_reach_is_one_plain_error(s3: S3) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "datasets.verify", "s3://bucket/out"],
        env={**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Could not connect" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stderr

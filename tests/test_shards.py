"""The shard format: what is written comes back, equal input gives equal bytes, and damage has a name."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets import tar
from datasets.masks import Masks
from datasets.members import MEMBERS, Bundle, ShardError, decode_sample, encode_pose, encode_sample
from datasets.shards import finished, read_sample, read_sidecar, scan_samples, shard_digest, sidecar_path, write_shard
from tests.build_samples import EXTRA, bundle, equal, gridded


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(bundle(), id="footage, two people"),
        pytest.param(bundle(people=3, extra=EXTRA), id="motion, three people and every optional member"),
        pytest.param(bundle(verdict="review", people=1), id="in review, with a reason"),
    ],
)
def test_a_sample_comes_back_as_it_was(one: Bundle) -> None:
    one = gridded(one)
    assert equal(decode_sample(encode_sample(one)), one)


def test_poses_are_stored_to_a_64th_of_a_pixel() -> None:
    one = bundle()
    stored = np.load(io.BytesIO(encode_pose(one.people)), allow_pickle=False)["keypoint"]
    assert stored.dtype == np.float32
    assert 0 < np.abs(stored - one.people.keypoint).max() <= 1 / 128


def test_the_json_says_what_the_format_lists() -> None:
    about = json.loads(encode_sample(bundle(verdict="review"))["json"])
    assert about["fps"] == "30000/1001"
    assert about["format"] == 1
    assert about["scores"] == {"coverage": 0.75, "blur": None, "people": 2.0}
    assert about["source"]["licence"] == "CC BY 4.0"
    assert [(one["index"], one["kind"], one["reference_frame"]) for one in about["people"]] == [
        (0, "human", 3),
        (1, "robot", 3),
    ]
    assert about["events"][0]["kind"] == "crossing"
    assert about["reasons"] == ["swap suspicion 0.7: want at most 0.5"]
    assert {"audio", "frames", "key", "provenance", "size", "skeleton", "verdict"} <= set(about)


def short_mask(one: Bundle) -> Bundle:
    return replace(one, people=replace(one.people, mask=Masks.from_counts([b""] * 40, size=(96, 126))))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda b: replace(b, sample=replace(b.sample, key="other")), "json", id="two keys"),
        pytest.param(lambda b: replace(b, clip=replace(b.clip, frames=21)), "pose.npz", id="a frame without people"),
        pytest.param(short_mask, "mask.npz", id="masks of another size"),
        pytest.param(
            lambda b: replace(b, sample=replace(b.sample, coverage=(1.0,))), "coverage", id="one coverage of two"
        ),
        pytest.param(
            lambda b: replace(b, sample=replace(b.sample, verdict="rejected")), "verdict", id="a rejected clip"
        ),
        pytest.param(
            lambda b: replace(b, sample=replace(b.sample, reference_frame=20)), "reference", id="past the end"
        ),
        pytest.param(lambda b: replace(b, extra={"notes.txt": b""}), "notes.txt", id="an unknown member"),
        pytest.param(lambda b: replace(b, video=b"not a video"), "mp4", id="no video"),
    ],
)
def test_parts_that_do_not_fit_are_refused(spoil, said: str) -> None:
    with pytest.raises(ShardError, match=said):
        encode_sample(spoil(bundle()))


# Only decoding shows an mp4 or png that was cut: tests/test_verify.py does.
@pytest.mark.parametrize(
    ("member", "damage"),
    [
        *itertools.product(("json", "pose.npz", "mask.npz", "mp4", "ref.png"), ("gone", "empty", "other")),
        *itertools.product(("json", "pose.npz", "mask.npz"), ("cut",)),
    ],
)
def test_a_damaged_member_is_named(member: str, damage: str) -> None:
    members = dict(encode_sample(bundle()))
    data = members.pop(member)
    if damage != "gone":
        members[member] = {"empty": b"", "cut": data[:40], "other": b"\x80\x04N." * 9}[damage]
    with pytest.raises(ShardError, match=member.replace(".", "\\.")):
        decode_sample(members)


def test_a_pickle_is_never_opened() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.array([{"a": 1}], object) for name in ("rle", "offset", "size")})
    members = {**encode_sample(bundle()), "mask.npz": buffer.getvalue()}
    with pytest.raises(ShardError, match=r"mask\.npz"):
        decode_sample(members)


def samples(*bundles: Bundle) -> list:
    return [(one.clip.key, f"made from {one.clip.key}", encode_sample(one)) for one in bundles]


def test_equal_samples_give_equal_shards_that_tar_can_read(tmp_path: Path) -> None:
    bundles = bundle(source="one.mp4", extra=EXTRA), bundle(source="two.mp4")
    first = write_shard(tmp_path / "a" / "train-000000.tar", samples(*bundles))
    second = write_shard(tmp_path / "b" / "train-000000.tar", samples(*bundles))
    assert (tmp_path / "a" / "train-000000.tar").read_bytes() == (tmp_path / "b" / "train-000000.tar").read_bytes()
    assert first == second == read_sidecar(tmp_path / "a" / "train-000000.tar")
    with tarfile.open(tmp_path / "a" / "train-000000.tar", "r:") as archive:
        infos = archive.getmembers()
        assert [i.name for i in infos[: len(MEMBERS)]] == [f"{bundles[0].clip.key}.{name}" for name in MEMBERS]
        assert {(i.mtime, i.uid, i.gid, i.type) for i in infos} == {(0, 0, 0, tarfile.REGTYPE)}
        assert archive.extractfile(infos[len(MEMBERS)]).read() == encode_sample(bundles[1])["json"]  # type: ignore[union-attr]


def test_one_sample_is_read_without_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "train-000000.tar"
    sidecar = write_shard(path, samples(bundle(source="one.mp4"), bundle(source="two.mp4")))
    place = sidecar.samples[1]
    with path.open("rb") as file:
        assert [key for key, _ in scan_samples(file)] == [one.key for one in sidecar.samples]
        assert list(read_sample(file, place.key, place.offset, place.size, ["json", "ref.png"])) == ["json", "ref.png"]
        assert equal(
            decode_sample(read_sample(file, place.key, place.offset, place.size)), gridded(bundle(source="two.mp4"))
        )
        with pytest.raises(ShardError, match="rebuild the index"):
            read_sample(file, place.key, 0, place.size)


def test_a_shard_counts_only_when_it_is_whole_and_made_from_the_same(tmp_path: Path) -> None:
    path = tmp_path / "train-000000.tar"
    made_from = write_shard(path, samples(bundle())).made_from
    assert finished(path, made_from) is not None
    assert finished(path, shard_digest([("x", "y")])) is None
    path.write_bytes(path.read_bytes()[:-512])
    assert finished(path, made_from) is None
    write_shard(path, samples(bundle()))
    sidecar_path(path).write_text("{}")
    assert finished(path, made_from) is None


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="KEY"):
        write_shard(tmp_path / "train-000000.tar", [*samples(bundle()), ("KEY", "", {"json": b""})])
    assert list(tmp_path.iterdir()) == []


def archive(*files: tuple[str, bytes], end: bytes = tar.END, **changes: object) -> bytes:
    """A tar of these files by Python's own writer, the last one with changes to its header."""
    out = b""
    for at, (name, data) in enumerate(files):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        for field, value in changes.items() if at == len(files) - 1 else ():
            setattr(info, field, value)
        out += info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)
    return out + end


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(archive(("../../etc/passwd", b"")), "KEY.MEMBER", id="a path that climbs out"),
        pytest.param(archive(("/abs.json", b"")), "key", id="an absolute path"),
        pytest.param(archive(("a.json", b""), type=tarfile.SYMTYPE, linkname="/etc"), "regular file", id="a link"),
        pytest.param(
            archive(("a.json", b""), ("b.json", b""), ("a.mp4", b"")), "side by side", id="a sample in two places"
        ),
        pytest.param(archive(("a.json", b""), ("a.json", b"")), "once", id="a member twice"),
        pytest.param(archive(("A.json", b"")), "a-z0-9", id="a key in capitals"),
        pytest.param(archive(("a.json", b"{}"), size=1 << 32), "end of the file", id="a size that lies"),
        pytest.param(archive(("a.json", b"{}"), end=b""), "zeros", id="no end"),
        pytest.param(archive(("a.json", b"{}"))[:-512], "zeros", id="half an end"),
        pytest.param(archive(("a.json", b"{}"))[:-700], "header", id="less than half an end"),
        pytest.param(archive(("a.json", b"{}")) + b"more", "zeros", id="something after the end"),
        pytest.param(b"\x00" * 100, "header", id="too short"),
        pytest.param(b"not a tar".ljust(1024), "USTAR", id="not a tar"),
    ],
)
def test_a_tar_that_lies_is_an_error_with_a_place(data: bytes, said: str) -> None:
    with pytest.raises(ShardError, match=said):
        list(scan_samples(io.BytesIO(data)))


def test_every_flipped_header_bit_shows() -> None:
    good = tar.pack("a.json", b"{}") + tar.END
    for at in range(0, 512 * 8, 7):
        bad = bytearray(good)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(ShardError):
            list(scan_samples(io.BytesIO(bytes(bad))))

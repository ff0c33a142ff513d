"""face.npz: what is written comes back, a sample without it is as it always was, damage has a name, the stream asks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.faces import decode_faces, encode_faces
from datasets.masks import Masks
from datasets.members import ShardError, decode_sample, encode_sample
from datasets.records import Faces
from datasets.shards import read_sample, scan_samples, write_shard
from datasets.store import Store
from datasets.stream import ShardStream
from datasets.verify import verify
from datasets.verify_sample import check_sample
from tasks.shard import Config
from tests.build_samples import bundle, judged
from tests.face_samples import faces_of, with_faces
from tests.test_shard_task import build

FRAMES = 20


def test_faces_come_back_as_they_were() -> None:
    faces = faces_of(bundle(people=3).people, faceless=(1,))
    again = decode_faces({"face.npz": encode_faces(faces)})
    assert np.array_equal(again.box, faces.box)
    assert np.array_equal(again.score, faces.score)
    assert again.embedding.tobytes() == faces.embedding.tobytes()
    assert again.mask.rle.tobytes() == faces.mask.rle.tobytes()
    assert again.mask.size == (96, 128)
    assert encode_faces(again) == encode_faces(faces)


def test_a_sample_ships_its_faces_after_what_it_always_had(tmp_path: Path) -> None:
    one = with_faces()
    members = encode_sample(one)
    assert list(members) == ["json", "mp4", "pose.npz", "mask.npz", "ref.png", "face.npz"]
    assert decode_sample(members).extra == one.extra
    assert check_sample(members)[1] == []
    # Everything else is the same, byte for byte, with and without.
    plain = encode_sample(bundle())
    assert {name: members[name] for name in plain} == plain
    write_shard(tmp_path / "train-000000.tar", [(one.clip.key, "made", members)])
    with (tmp_path / "train-000000.tar").open("rb") as file:
        key, entries = next(scan_samples(file))
        size = entries[-1].stop - entries[0].offset
        assert read_sample(file, key, entries[0].offset, size, ["face.npz"]) == {"face.npz": members["face.npz"]}


def test_a_shard_without_faces_keeps_the_bytes_it_had_before_there_were_any(tmp_path: Path) -> None:
    footage = ("json", "mp4", "pose.npz", "mask.npz", "ref.png")
    motion = (*footage, "smpl.npz", "scene.npz", "amodal.npz", "depth.mkv")
    samples = [
        (key, f"made {key}", {n: f"{key} {n}".encode() * 99 for n in names})
        for key, names in (("a-00000000-00000000", footage), ("b-00000000-00000000", motion))
    ]
    sidecar = write_shard(tmp_path / "train-000000.tar", samples)
    # Of the release before face.npz.
    assert sidecar.sha256 == "fcd7126b380e52ed8ec0abe75a7a54ef4186bc05d78f5659d4caf81b2db21cde"


def change(name: str, value: Callable[[np.ndarray], np.ndarray]) -> Callable[[Faces], Faces]:
    return lambda faces: replace(faces, **{name: value(getattr(faces, name).copy())})


def put(at: tuple[int, ...], number: float) -> Callable[[np.ndarray], np.ndarray]:
    def spoil(array: np.ndarray) -> np.ndarray:
        array[at] = number
        return array

    return spoil


def beside_the_body(faces: Faces) -> Faces:
    everything = Masks.encode([np.ones((96, 128), bool)], size=(96, 128)).counts(0)
    counts = [faces.mask.counts(i) for i in range(2 * FRAMES)]
    return replace(faces, mask=Masks.from_counts([*counts[:27], everything, *counts[28:]], size=(96, 128)))


def cut_short(faces: Faces) -> Faces:
    counts = [faces.mask.counts(i) for i in range(2 * FRAMES)]
    return replace(faces, mask=Masks.from_counts([counts[0][:-2], *counts[1:]], size=(96, 128)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(change("score", put((0, 3), np.nan)), "finite", id="a score that is no number"),
        pytest.param(change("score", put((0, 3), 1.5)), "score: want 0 to 1", id="a score above 1"),
        pytest.param(change("score", put((1, 4), 0)), "score is 0.*person 1, frame 4", id="a box of no face"),
        pytest.param(change("embedding", lambda e: e * 2), "length 1 or 0, got 2.0", id="no unit vector"),
        pytest.param(beside_the_body, "person's own mask.*person 1, frame 7", id="a face beside its body"),
        pytest.param(cut_short, "rle", id="a mask cut short"),
        pytest.param(lambda _: faces_of(bundle(people=1).people), "people and frames", id="another cast"),
        pytest.param(lambda _: faces_of(bundle(size=(64, 64)).people), "people and frames", id="another size"),
    ],
)
def test_faces_that_do_not_fit_are_named(spoil: Callable[[Faces], Faces], said: str) -> None:
    one = bundle()
    spoilt = encode_faces(spoil(faces_of(one.people)))
    _, problems = check_sample({**encode_sample(one), "face.npz": spoilt})
    assert [member for member, _ in problems] == ["face.npz"]
    (what,) = (what for _, what in problems)
    assert re.search(said, what), what


@pytest.mark.parametrize("data", [b"", b"PK", b"\x80\x04N."])
def test_a_damaged_member_is_named(data: bytes) -> None:
    with pytest.raises(ShardError, match=r"face\.npz"):
        decode_faces({"face.npz": data})
    with pytest.raises(ShardError, match=r"face\.npz"):
        decode_faces({})


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes with faces, one person of the second without any, and a clip that has no member."""
    folder = tmp_path_factory.mktemp("faces")
    scenes = [with_faces(source="a.npz"), with_faces(source="b.npz", people=3, faceless=(1,))]
    clips = [*scenes, bundle(source="c.mp4")]
    motions = {one.clip.key: [one.clip.source] for one in scenes}
    batch = judged(Store(root=str(folder / "store")), clips, motions=motions)
    build(batch, folder / "out", Config(val_fraction=0, test_fraction=0))
    return folder / "out"


def test_a_dataset_with_faces_verifies(out: Path) -> None:
    assert verify(out).problems == ()


def test_the_stream_gives_faces_only_when_asked(out: Path) -> None:
    bare = {sample["key"]: sample for sample in ShardStream(out, window=4, stride=3)}
    assert not any("face_mask" in sample or "face_embedding" in sample for sample in bare.values())
    seen = 0
    for sample in ShardStream(out, window=4, stride=3, faces=True):
        plain, people = bare[sample["key"]], len(sample["kind"])
        assert all(np.array_equal(sample[name], plain[name]) for name in plain)
        assert sample["face_mask"].shape == (people, 4, 96, 128)
        assert sample["face_embedding"].shape == (people, 512)
        if sample["key"].startswith("c-"):
            assert not sample["face_mask"].any()
            assert not sample["face_embedding"].any()
            continue
        truth = faces_of(bundle(people=people).people, faceless=(1,) if people == 3 else ())
        for p, (at, frame) in ((p, pair) for p in range(people) for pair in enumerate(sample["frame"])):
            assert np.array_equal(sample["face_mask"][p, at], truth.mask.decode(p * FRAMES + int(frame)))
            seen += bool(sample["face_mask"][p, at].any())
        assert np.array_equal(sample["face_embedding"], truth.embedding)
    assert seen > 12


def test_faces_are_cut_and_scaled_as_bodies_are(out: Path) -> None:
    for sample in ShardStream(out, window=6, size=(48, 48), faces=True):
        assert sample["face_mask"].shape == sample["mask"].shape
        assert not (sample["face_mask"] & ~sample["mask"]).any()

"""The stream: right pixels, every sample once, an order that repeats, and resuming to the exact sample."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets.masks import Masks
from datasets.members import ShardError
from datasets.sample_list import share_of, visit_order
from datasets.store import Store
from datasets.stream import ShardStream
from datasets.view import view_of
from datasets.window_masks import grid_of, sample_masks
from tasks.shard import Config
from tests.build_samples import STAMP, bundle, judged
from tests.conftest import ROOT
from tests.test_shard_task import build

FRAMES = 20


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven samples of one to three people in several shards of the train split, and one in review."""
    folder = tmp_path_factory.mktemp("stream")
    clips = [bundle(source=f"s{at}.mp4", people=1 + at % 3, frames=FRAMES) for at in range(11)]
    review = bundle(source="r.mp4", verdict="review", frames=FRAMES)
    batch = judged(Store(root=str(folder / "store")), [*clips, review])
    build(batch, folder / "out", Config(target_bytes=90_000, val_fraction=0, test_fraction=0))
    assert len(list((folder / "out" / "shards").glob("*.tar"))) >= 3
    return folder / "out"


def keys(samples: Iterable[dict[str, Any]]) -> list[str]:
    return [sample["key"] for sample in samples]


def shown(sample: dict[str, Any]) -> tuple[str, int]:
    """What a sample is, and which window of it."""
    return sample["key"], int(sample["frame"][0])


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_window_shows_the_frames_it_says(out: Path) -> None:
    stream = ShardStream(out, window=4, stride=3)
    sample = next(iter(stream))
    people = len(sample["kind"])
    assert sample["video"].shape == (4, 96, 128, 3)
    assert sample["mask"].shape == (people, 4, 96, 128)
    assert sample["keypoint"].shape == (people, 4, 17, 2)
    assert np.diff(sample["frame"]).tolist() == [3, 3, 3]
    # The grey of the top left corner tells each frame of the clip from any other.
    grey = sample["video"][:, 4 : STAMP - 4, 4 : STAMP - 4].mean(axis=(1, 2, 3))
    assert np.abs(grey - (20 + 4 * sample["frame"])).max() < 2
    assert not (sample["mask"].sum(axis=0) > 1).any()
    whole = bundle(source=f"{sample['key'][:2].rstrip('-')}.mp4", people=people, frames=FRAMES).people
    for person, (at, frame) in itertools.product(range(people), enumerate(sample["frame"])):
        assert np.array_equal(sample["mask"][person, at], whole.mask_at(person, int(frame)))
    assert np.abs(sample["keypoint"] - whole.keypoint[:, sample["frame"]]).max() <= 1 / 128
    assert np.array_equal(sample["flag"], whole.flag[:, sample["frame"]])
    assert sample["fps"] == np.float32(Fraction(30000, 1001))


@pytest.mark.parametrize(
    ("size", "fit"),
    [
        pytest.param((48, 64), "crop", id="half"),
        pytest.param((48, 48), "crop", id="half, the sides cut off"),
        pytest.param((64, 60), "stretch", id="stretched"),
        pytest.param((192, 256), "crop", id="twice"),
    ],
)
def test_pixels_masks_and_poses_stay_on_each_other_at_training_size(out: Path, size: tuple[int, int], fit: Any) -> None:
    stream = ShardStream(out, window=FRAMES, size=size, fit=fit, shuffle_buffer=0, reference=True)
    seen = 0
    for sample in stream:
        assert sample["video"].shape == (FRAMES, *size, 3)
        assert sample["reference"].shape == (*size, 3)
        # The shirts differ from floor and wall: the middle of a person's mask has the shirt's strongest channel.
        for person, channel in enumerate((0, 2, 1)[: len(sample["kind"])]):
            hips = sample["keypoint"][person, :, 11:13].mean(axis=1)
            chest = hips * 0.4 + sample["keypoint"][person, :, 5:7].mean(axis=1) * 0.6
            for at, (x, y) in enumerate(chest.astype(int)):
                around = sample["mask"][person, at, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
                if around.size == 25 and around.all():
                    pixel = sample["video"][at, y, x].astype(int)
                    assert pixel[channel] > np.delete(pixel, channel).max() + 20
                    seen += 1
        inside = ((sample["keypoint"] >= 0) & (sample["keypoint"] < size[::-1])).all(axis=-1)
        assert not sample["flag"][~inside].any()
        assert (sample["box"] >= 0).all()
        assert (sample["box"] <= [size[1], size[0]] * 2).all()
    assert seen > 150


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_masks_at_any_size_are_the_full_masks_at_the_grid(data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    full = rng.random((5, *size)) < rng.choice([0, 0.05, 0.5, 0.95, 1], (5, 1, 1))
    scaled = data.draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    crop = tuple(data.draw(st.integers(1, n)) for n in scaled)
    offset = tuple(data.draw(st.integers(0, n - m)) for n, m in zip(scaled, crop, strict=True))
    grid = grid_of(size, scaled=scaled, offset=offset, crop=crop)  # type: ignore[arg-type]
    index = np.array([3, 0, 4, 4, 1])
    got = sample_masks(Masks.encode(full, size=size), index, grid)
    assert np.array_equal(got, full[index][:, grid.row][:, :, grid.column])


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param(b"\x00\x01", id="no counts"),
        pytest.param(b"0a", id="a count cut short"),
        pytest.param(b"09", id="too few pixels"),
        pytest.param(b"ooooooooooo0", id="a count too long"),
    ],
)
def test_damaged_runs_are_an_error(counts: bytes) -> None:
    masks = Masks.from_counts([b"", counts], size=(8, 8))
    with pytest.raises(ValueError, match="rle"):
        sample_masks(masks, np.array([0, 1]), grid_of((8, 8), scaled=(8, 8), offset=(0, 0), crop=(8, 8)))


def test_a_view_scales_points_as_it_scales_pixels() -> None:
    view = view_of((480, 832), (256, 256), "crop")
    assert np.allclose(view.points(np.array([[416.0, 240.0]])), [[128, 128]], atol=0.1)
    assert view.boxes(np.array([0.0, 0.0, 832.0, 480.0])).tolist() == [0, 0, 256, 256]


def test_order_repeats_and_changes_with_the_epoch(out: Path) -> None:
    stream, other = ShardStream(out, seed=5), ShardStream(out, seed=5)
    first = [shown(sample) for sample in stream]
    assert len(set(first)) == 11
    assert [shown(sample) for sample in other] == first
    other.set_epoch(1)
    second = [shown(sample) for sample in other]
    assert [key for key, _ in second] != [key for key, _ in first]
    assert sorted(second) != sorted(first)
    assert sorted(key for key, _ in second) == sorted(key for key, _ in first)
    assert keys(ShardStream(out, seed=6)) != [key for key, _ in first]
    assert keys(ShardStream(out, shuffle_buffer=0)) == sorted(key for key, _ in first)


@pytest.mark.parametrize(("world", "workers"), [(1, 1), (2, 1), (1, 3), (2, 2), (4, 4)])
def test_ranks_and_workers_share_without_overlap(out: Path, world: int, workers: int) -> None:
    parts = [
        [ref.key for ref in ShardStream(out, rank=r, world_size=world, worker=w, num_workers=workers).share()]
        for r, w in itertools.product(range(world), range(workers))
    ]
    assert sorted(key for part in parts for key in part) == sorted(keys(ShardStream(out)))
    even = [len(ShardStream(out, rank=r, world_size=world, even=True).share()) for r in range(world)]
    assert len(set(even)) == 1


def test_a_small_buffer_keeps_reads_near_each_other() -> None:
    shards = [f"{at:02d}" for at in range(20) for _ in range(50)]
    order = visit_order(shards, seed=0, epoch=0, buffer=50)
    assert sorted(order) == list(range(1000))
    assert len({int(at) // 50 for at in order[:100]}) == 2
    assert len({int(at) // 50 for at in visit_order(shards, seed=0, epoch=0, buffer=1000)[:100]}) > 10
    assert len(share_of(order, rank=2, world_size=3, worker=0, num_workers=1, even=True)) == 333


@pytest.mark.parametrize("stop", [0, 1, 4, 10, 11])
def test_resumes_to_the_exact_sample(out: Path, stop: int) -> None:
    whole = ShardStream(out, seed=3, size=(32, 32), window=4)
    whole.set_epoch(2)
    samples = list(whole)
    stopped = ShardStream(out, seed=3, size=(32, 32), window=4)
    stopped.set_epoch(2)
    list(itertools.islice(stopped, stop))
    state = json.loads(json.dumps(stopped.state_dict()))
    resumed = ShardStream(out, seed=3, size=(32, 32), window=4)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    rest = list(resumed)
    assert len(rest) == 11 - stop
    assert all(same(a, b) for a, b in zip(rest, samples[stop:], strict=True))
    assert len(list(resumed)) == 11, "the iteration after a resumed one is a whole epoch"


def test_the_state_of_another_stream_is_refused(out: Path) -> None:
    with pytest.raises(ValueError, match="same arguments"):
        ShardStream(out, seed=1).load_state_dict(ShardStream(out, seed=2).state_dict())


def test_review_and_splits_come_only_when_asked_for(out: Path) -> None:
    assert len(ShardStream(out).refs) == 11
    assert len(ShardStream(out, include_review=True).refs) == 12
    assert len(ShardStream(out, split=None).refs) == 11
    with pytest.raises(ShardError, match="'val'"):
        ShardStream(out, split="val")


def test_shards_alone_are_enough(out: Path) -> None:
    shards = sorted((out / "shards").glob("*.tar"))
    listed = ShardStream(shards, shuffle_buffer=0)
    by_index = ShardStream(out, shuffle_buffer=0)
    assert [(r.key, r.offset, r.size, r.frames) for r in listed.refs] == [
        (r.key, r.offset, r.size, r.frames) for r in by_index.refs
    ]
    assert same(next(iter(listed)), next(iter(by_index)))
    assert 0 < len(ShardStream(shards[0]).refs) < 11
    key = listed.refs[4].key
    assert listed.read(listed.find(key), [19, 0, 7])["frame"].tolist() == [19, 0, 7]
    with pytest.raises(KeyError, match="nobody"):
        listed.find("nobody")


def test_an_address_that_fsspec_opens_does_too(out: Path) -> None:
    import fsspec

    fsspec.filesystem("memory").put(str(out), "/moved", recursive=True)
    assert keys(ShardStream("memory://moved", seed=9)) == keys(ShardStream(out, seed=9))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        pytest.param({"window": 0}, ValueError, "window", id="no window"),
        pytest.param({"stride": 0}, ValueError, "stride", id="no stride"),
        pytest.param({"rank": 2, "world_size": 2}, ValueError, "rank", id="a rank too many"),
        pytest.param({"worker": -1}, ValueError, "worker", id="a worker below 0"),
        pytest.param({"fit": "pad"}, ValueError, "crop", id="an unknown fit"),
        pytest.param({"even": "fill"}, ValueError, "pad", id="an unknown way to even out"),
        pytest.param({"window": 21}, ShardError, "21 frames", id="every clip too short"),
    ],
)
def test_bad_arguments_are_told(out: Path, arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        ShardStream(out, **arguments)


def test_a_missing_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no such file"):
        ShardStream(tmp_path)
    with pytest.raises(ShardError, match="no such file"):
        ShardStream(tmp_path / "train-000000.tar")


@pytest.mark.parametrize(("ranks", "workers"), [(2, 3), (3, 1), (16, 1), (1, 2)])
def test_padding_gives_ranks_equally_many_and_is_marked(out: Path, ranks: int, workers: int) -> None:
    for epoch in range(2):
        counts, fresh = [], []
        for rank in range(ranks):
            seen = []
            for worker in range(workers):
                part = ShardStream(
                    out, size=(16, 16), window=1, rank=rank, world_size=ranks, worker=worker, num_workers=workers,
                    even="pad",
                )  # fmt: skip
                part.set_epoch(epoch)
                seen += list(part)
            counts.append(len(seen))
            fresh += [sample["key"] for sample in seen if not sample["padding"]]
        # Every sample once, and beside that only what is marked.
        assert sorted(fresh) == sorted(ref.key for ref in part.refs)
        assert set(counts) == {-(-11 // ranks)}


def damage(out: Path, folder: Path, member: str) -> Path:
    """A copy of the dataset in which one sample's member is zeros."""
    import shutil

    copy = folder / "damaged"
    shutil.copytree(out, copy)
    shard = sorted((copy / "shards").glob("*.tar"))[1]
    from datasets.shards import scan_samples

    with shard.open("r+b") as file:
        _, entries = next(scan_samples(file))
        entry = next(one for one in entries if one.name.endswith(f".{member}"))
        file.seek(entry.data)
        file.write(bytes(entry.size))
    return copy


@pytest.mark.parametrize("ranks", [2, 11])
def test_another_sample_takes_a_damaged_ones_place_where_ranks_step_together(
    out: Path, tmp_path: Path, ranks: int
) -> None:
    copy, counts, fresh, skipped = damage(out, tmp_path, "pose.npz"), [], [], 0
    for rank in range(ranks):
        part = ShardStream(
            copy, size=(16, 16), window=1, rank=rank, world_size=ranks, even="pad", on_error="skip", shuffle_buffer=0
        )
        seen = list(part)
        counts.append(len(seen))
        fresh += [sample["key"] for sample in seen if not sample["padding"]]
        skipped += part.skipped
    assert set(counts) == {-(-11 // ranks)}
    assert len(fresh) == len(set(fresh)) == 10
    assert skipped == 1


@pytest.mark.parametrize("member", ["json", "mp4", "pose.npz", "mask.npz"])
def test_a_damaged_sample_is_an_error_or_counted(out: Path, tmp_path: Path, member: str) -> None:
    copy = damage(out, tmp_path, member)
    with pytest.raises(ShardError, match=rf"train-000001\.tar: .*{member}"):
        list(ShardStream(copy))
    stream = ShardStream(copy, on_error="skip")
    assert len(list(stream)) == 10
    assert stream.skipped == 1


def test_plain_webdataset_reads_the_same_tars(out: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    shards = sorted(str(path) for path in (out / "shards").glob("*.tar"))
    read = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert sorted(sample["__key__"] for sample in read) == sorted(keys(ShardStream(out)))
    for sample in read:
        about = json.loads(sample["json"])
        pose = np.load(io.BytesIO(sample["pose.npz"]), allow_pickle=False)
        assert pose["keypoint"].shape == (len(about["people"]), about["frames"], 17, 2)
        mask = np.load(io.BytesIO(sample["mask.npz"]), allow_pickle=False)
        assert len(mask["offset"]) == len(about["people"]) * about["frames"] + 1
        assert Image.open(io.BytesIO(sample["ref.png"])).size == tuple(about["size"][::-1])


def test_the_stream_needs_no_torch() -> None:
    code = "import sys, datasets.stream, datasets.verify; sys.exit('torch' in sys.modules or 'prefect' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

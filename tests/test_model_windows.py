"""Training examples: which frames they show, whose is whose after shuffling and mirroring, batches, exact resuming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from datasets.skeleton import SKELETONS  # noqa: E402
from datasets.store import Store  # noqa: E402
from datasets.stream import ShardStream  # noqa: E402
from model.stream import ShardLoader, TorchShardStream  # noqa: E402
from model.windows import (  # noqa: E402
    WindowAndReference,
    WindowConfig,
    as_floats,
    collate_examples,
    example,
    example_stream,
    mirrored,
    random_example,
)
from tasks.shard import Config  # noqa: E402
from tests.build_samples import STAMP, bundle, judged  # noqa: E402
from tests.face_samples import faces_of, with_faces  # noqa: E402
from tests.test_shard_task import build  # noqa: E402

FRAMES = 20
CONFIG = WindowConfig(frames=4, size=(48, 64), stride=(1, 3))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of one to three people, some of them with faces."""
    folder = tmp_path_factory.mktemp("windows")
    scenes = [with_faces(source=f"f{at}.npz", people=2 + at, faceless=(1,) if at else ()) for at in range(2)]
    clips = [*scenes, *(bundle(source=f"s{at}.mp4", people=1 + at % 3) for at in range(7))]
    batch = judged(Store(root=str(folder / "store")), clips, motions={one.clip.key: ["walk"] for one in scenes})
    build(batch, folder / "out", Config(target_bytes=90_000, val_fraction=0, test_fraction=0))
    return folder / "out"


def stand(frames: int, people: int = 2) -> np.ndarray:
    return np.ones((people, frames), np.float32)


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("stride", [(1, 1), (1, 4), (2, 3)])
def test_windows_are_evenly_spaced_and_the_reference_lies_outside(frames: int, stride: tuple[int, int]) -> None:
    draw = WindowAndReference(frames=frames, stride=stride)
    for length in (draw.span, draw.span + 1, 40):
        strides, starts, sides = set(), set(), set()
        for seed in range(150):
            *window, reference = draw(stand(length), rng=np.random.default_rng(seed)).tolist()
            steps = set(np.diff(window).tolist())
            assert len(window) == frames
            assert len(steps) <= 1
            assert 0 <= window[0] <= window[-1] < length
            assert 0 <= reference < length
            assert not window[0] <= reference <= window[-1]
            strides |= steps
            starts.add(window[0])
            sides.add(reference < window[0])
        assert strides <= set(range(stride[0], stride[1] + 1))
        assert len(starts) > 1
        assert sides == {False, True}
        if length == 40 and frames > 1:
            assert strides == set(range(stride[0], stride[1] + 1))


def test_the_reference_shows_whom_the_window_shows() -> None:
    draw, visible = WindowAndReference(frames=4, stride=(1, 1)), stand(30, people=3)
    visible[0, :10] = 0.2  # hardly seen at first
    visible[1, 25:] = 0  # gone at last
    visible[2] = 0  # never there: nobody waits for them
    for seed in range(100):
        *window, reference = draw(visible, rng=np.random.default_rng(seed)).tolist()
        needed = [p for p in (0, 1) if visible[p, window].max() > 0]
        assert all(visible[p, reference] >= 0.5 for p in needed)


def stream(out: Path, config: WindowConfig = CONFIG, **arguments: Any):
    return example_stream(out, config, seed=3, **arguments)


def test_an_example_is_what_the_clip_shows(out: Path) -> None:
    bare = ShardStream(out, size=CONFIG.size, faces=True)
    flips, orders, seen = set(), set(), 0
    for epoch in range(3):
        examples = stream(out)
        examples.set_epoch(epoch)
        for one in examples:
            people = one["there"].shape[1]
            assert one["video"].shape == (4, 3, 48, 64)
            assert one["pose"].shape == (4, people, 3, 48, 64)
            assert one["body"].shape == one["face"].shape == (4, people, 1, 48, 64)
            assert one["reference"].shape == (3, 48, 64)
            assert one["reference_body"].shape == (people, 1, 48, 64)
            # The grey of the top left corner of the clip tells its frames, in a mirrored one that of the top right.
            corner = np.s_[..., 2:5, -5:-2] if one["mirrored"] else np.s_[..., 2:5, 2:5]
            assert STAMP == 16
            told = 20 + 4 * np.append(one["frame"], one["reference_frame"])
            grey = np.concatenate([one["video"], one["reference"][None]])[corner].mean(axis=(1, 2, 3))
            assert np.abs(grey - told).max() < 3
            # Everyone's own mask, wherever they stand now.
            truth = bare.read(bare.find(one["key"]), np.append(one["frame"], one["reference_frame"]))
            turn = np.s_[..., ::-1] if one["mirrored"] else np.s_[...]
            for at, person in enumerate(one["person"]):
                assert np.array_equal(one["body"][:, at, 0], truth["mask"][person, :-1][turn])
                assert np.array_equal(one["face"][:, at, 0], truth["face_mask"][person, :-1][turn])
                assert np.array_equal(one["reference_body"][at, 0], truth["mask"][person, -1][turn])
                assert np.array_equal(one["embedding"][at], truth["face_embedding"][person])
                seen += bool(one["face"][:, at].any())
            assert one["fps"] == np.float32(truth["fps"] / (one["frame"][1] - one["frame"][0]))
            flips.add(bool(one["mirrored"]))
            orders.add(tuple(one["person"].tolist()))
    assert flips == {False, True}
    assert {(0, 1), (1, 0)} < orders
    assert seen > 4


def sample_of(out: Path, people: int = 2) -> dict[str, Any]:
    shards = ShardStream(out, size=(96, 128), faces=True)
    key = next(ref.key for ref in shards.refs if ref.key.startswith("f0-" if people == 2 else "f1-"))
    return shards.read(shards.find(key), [2, 6, 10, 17])


def test_a_mirrored_sample_swaps_left_and_right_throughout(out: Path) -> None:
    sample = sample_of(out)
    sample["flag"] = sample["flag"].copy()
    sample["flag"][0, :, 9], sample["score"][0, :, 10] = 1, 0.4  # a hidden left wrist, an unsure right one
    turned, names = mirrored(sample), SKELETONS["coco17"].joints
    left, right = names.index("left_wrist"), names.index("right_wrist")
    assert np.allclose(turned["keypoint"][:, :, left, 0], 128 - sample["keypoint"][:, :, right, 0], atol=1e-4)
    assert np.array_equal(turned["keypoint"][:, :, left, 1], sample["keypoint"][:, :, right, 1])
    assert (turned["flag"][0, :, right] == 1).all()
    assert (turned["score"][0, :, left] == np.float32(0.4)).all()
    # Boxes stay around their masks, and joints on them.
    before, after = example(sample), example(turned)
    for t, p in np.ndindex(after["there"].shape):
        x0, _, x1, _ = turned["box"][p, t]
        columns = np.flatnonzero(after["body"][t, p, 0].any(axis=0))
        if len(columns):
            assert abs(columns[0] - x0) <= 1
            assert abs(columns[-1] + 1 - x1) <= 1
    # The drawn skeleton is the mirrored one, but for the colours of its sides.
    was, now = before["pose"].any(axis=2), after["pose"].any(axis=2)[..., ::-1]
    assert (was & now).sum() / (was | now).sum() > 0.97
    assert not np.array_equal(before["pose"], after["pose"][..., ::-1])
    again = mirrored(turned)
    for name in ("video", "mask", "face_mask", "keypoint", "score", "flag", "box"):
        assert np.allclose(again[name], sample[name], atol=1e-4)


def test_poses_lie_on_their_masks(out: Path) -> None:
    one = example(sample_of(out))
    drawn, body = one["pose"].any(axis=2), one["body"][:, :, 0].astype(bool)
    for t, p in np.ndindex(one["there"].shape):
        # The one in front is wholly seen; the other is covered where they cross.
        if p == 1:
            assert (drawn[t, p] & body[t, p]).sum() > 0.7 * drawn[t, p].sum()


@pytest.mark.parametrize(
    ("spoil", "gone"),
    [
        pytest.param({"present": False}, True, id="not in the shot"),
        pytest.param({"mask": False, "score": 0}, True, id="in the shot, nothing of them in the picture"),
        pytest.param({"mask": False}, False, id="hidden, with a pose"),
        pytest.param({"score": 0}, False, id="a mask and no pose"),
    ],
)
def test_who_is_out_of_the_picture_is_not_there(out: Path, spoil: dict[str, Any], gone: bool) -> None:
    sample = sample_of(out)
    for name, value in spoil.items():
        sample[name] = sample[name].copy()
        sample[name][1, 1] = value
    one = example(sample)
    assert one["there"][1].tolist() == [True, not gone]
    assert one["there"][[0, 2]].all()
    assert one["pose"][1, 1].any() == (not gone and "score" not in spoil)


def test_people_are_shuffled_whole(out: Path) -> None:
    sample = sample_of(out, people=3)
    plain, turned = example(sample), example(sample, order=np.array([2, 0, 1]))
    for name in ("pose", "body", "face", "there"):
        assert np.array_equal(turned[name], plain[name][:, [2, 0, 1]])
    for name in ("embedding", "reference_body", "person"):
        assert np.array_equal(turned[name], plain[name][[2, 0, 1]])
    assert np.array_equal(turned["video"], plain["video"])
    assert np.array_equal(plain["embedding"], faces_of(bundle(people=3).people, faceless=(1,)).embedding)
    assert not random_example(sample, np.random.default_rng(0), mirror=False)["mirrored"]


def test_a_batch_pads_people_who_are_nowhere_there(out: Path) -> None:
    batch = next(iter(ShardLoader(stream(out), batch_size=9, collate_fn=collate_examples)))
    assert sorted((batch["person"] >= 0).sum(dim=1).tolist()) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    added = batch["person"] < 0
    assert not batch["there"].transpose(1, 2)[added].any()
    for name in ("pose", "body", "face"):
        assert not batch[name].transpose(1, 2)[added].any()
    assert batch["body"].dtype == torch.uint8
    floats = as_floats(batch)
    for name, low in (("video", -1), ("reference", -1), ("pose", -1), ("body", 0), ("face", 0), ("reference_body", 0)):
        assert floats[name].dtype == torch.float32
        assert floats[name].shape == batch[name].shape
        assert floats[name].min() >= low
        assert floats[name].max() <= 1
    assert (floats["pose"].transpose(1, 2)[added] == -1).all()
    assert floats["pose"].max() > 0.5
    assert floats["fps"].dtype == torch.float32


def test_resuming_gives_the_very_examples_that_were_next(out: Path) -> None:
    def loader(workers: int) -> ShardLoader:
        return ShardLoader(stream(out), batch_size=2, num_workers=workers, collate_fn=collate_examples)

    whole = loader(2)
    whole.set_epoch(1)
    batches, states = [], []
    for batch in whole:
        batches.append(batch)
        states.append(json.loads(json.dumps(whole.state_dict())))
    assert sum(len(batch["key"]) for batch in batches) == 9
    for done in (0, 2):
        again = loader(2)
        again.load_state_dict(states[done])
        rest = list(again)
        assert len(rest) == len(batches) - done - 1
        for one, other in zip(rest, batches[done + 1 :], strict=True):
            assert one.keys() == other.keys()
            for name in one:
                same = one[name] == other[name]
                assert same if isinstance(same, bool) else same.all(), name


def test_the_plain_batch_pads_faces_too(out: Path) -> None:
    batch = next(iter(ShardLoader(TorchShardStream(out, window=2, size=(16, 16), faces=True), batch_size=9)))
    assert batch["face_mask"].shape == (9, 3, 2, 16, 16)
    assert batch["face_embedding"].shape == (9, 3, 512)
    assert not batch["face_embedding"][~batch["person"]].any()
    assert batch["face_embedding"].any(dim=2).sum() == 4


def test_padding_is_marked_in_batches(out: Path) -> None:
    examples = stream(out, rank=1, world_size=2, even="pad")
    marks = [batch["padding"] for batch in ShardLoader(examples, batch_size=2, collate_fn=collate_examples)]
    assert torch.cat(marks).tolist() == [False] * 4 + [True]
    assert "padding" not in next(iter(stream(out)))


def test_other_windows_are_another_stream(out: Path) -> None:
    one, other = stream(out), stream(out, WindowConfig(frames=4, size=(48, 64), stride=(1, 4)))
    assert one.stream.fingerprint() != other.stream.fingerprint()
    state = ShardLoader(one, collate_fn=collate_examples).state_dict()
    with pytest.raises(ValueError, match="made with"):
        ShardLoader(other, collate_fn=collate_examples).load_state_dict(state)


def test_short_clips_are_left_out_and_counted(out: Path) -> None:
    assert stream(out, WindowConfig(frames=10, stride=(2, 2), size=(48, 64))).stream.too_short == 0
    with pytest.raises(ValueError, match="21 frames or more"):
        stream(out, WindowConfig(frames=20, stride=(1, 1), size=(48, 64)))


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"stride": (0, 2)}, {"stride": (3, 2)}])
def test_windows_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="windows: want"):
        WindowConfig(**wrong)

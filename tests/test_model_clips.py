"""model/clips.py and model/side_by_side.py: which frames an example of a clip shows, and the video that shows it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from datasets.condition import person_color  # noqa: E402
from datasets.store import Store  # noqa: E402
from datasets.stream import ShardStream  # noqa: E402
from datasets.video import clip_facts, read_frames  # noqa: E402
from model.clips import clip_example, window_fps  # noqa: E402
from model.side_by_side import HEIGHT, columns_of, people_pictures, write_side_by_side, write_video  # noqa: E402
from tasks.shard import Config  # noqa: E402
from tests.build_samples import FPS, bundle, judged  # noqa: E402
from tests.face_samples import with_faces  # noqa: E402
from tests.test_shard_task import build  # noqa: E402

SIZE = (48, 64)
FACED = with_faces(source="f.npz")
PLAIN, DOUBTED = bundle(source="p.mp4", people=3), bundle(source="r.mp4", verdict="review")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    batch = judged(Store(root=str(folder / "store")), [FACED, PLAIN, DOUBTED], motions={FACED.clip.key: ["walk"]})
    build(batch, folder / "out", Config(target_bytes=90_000, val_fraction=0.4, test_fraction=0.3))
    return folder / "out"


def shows(pictures: np.ndarray, frames: list[int]) -> bool:
    """Whether pictures (T, 3, H, W) are these frames of a drawn clip, by the grey of their corner."""
    return bool(np.abs(pictures[..., 2:5, 2:5].mean(axis=(1, 2, 3)) - 20 - 4 * np.array(frames)).max() < 3)


@pytest.mark.parametrize(
    ("arguments", "frames", "reference"),
    [
        pytest.param({}, list(range(20)), 3, id="all of it"),
        pytest.param({"frames": 5}, [0, 1, 2, 3, 4], 3, id="the first few"),
        pytest.param({"frames": 4, "stride": 3, "start": 2}, [2, 5, 8, 11], 3, id="every third from the second on"),
        pytest.param({"stride": 6}, [0, 6, 12, 18], 3, id="as many as there are"),
        pytest.param({"frames": 1, "reference": 19}, [0], 19, id="one, beside another reference"),
    ],
)
@pytest.mark.parametrize("one", [FACED, PLAIN, DOUBTED], ids=["motion", "footage", "in review"])
def test_an_example_shows_the_frames_asked_for(one, arguments, frames, reference, out: Path) -> None:
    found = clip_example(out, one.clip.key, size=SIZE, **arguments)
    assert found["frame"].tolist() == frames
    assert shows(found["video"], frames)
    assert found["reference_frame"] == reference
    assert shows(found["reference"][None], [reference])
    people = one.people.num_people
    assert found["person"].tolist() == list(range(people))
    assert found["body"].shape == (len(frames), people, 1, *SIZE)
    assert not found["mirrored"]
    assert window_fps(float(found["fps"])) == FPS / (frames[1] - frames[0] if len(frames) > 1 else 1)
    bare = ShardStream(out, split=None, include_review=True, window=1, size=SIZE, faces=True)
    truth = bare.read(bare.find(one.clip.key), [*frames, reference])
    assert np.array_equal(found["body"][:, :, 0], truth["mask"][:, :-1].swapaxes(0, 1))
    assert np.array_equal(found["reference_body"][:, 0], truth["mask"][:, -1])
    assert np.array_equal(found["embedding"], truth["face_embedding"])
    assert found["embedding"].any() == (one is FACED)


def test_named_shards_do_as_well_as_their_folder(out: Path) -> None:
    key = PLAIN.clip.key
    shards = sorted((out / "shards").glob("*.tar"))
    whole, named = (clip_example(source, key, size=SIZE, frames=3) for source in (out, shards))
    assert all(np.array_equal(whole[name], named[name]) for name in whole)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"key": "nobody"}, f"nobody: want the key of a sample in .*there are 3, such as .*{FACED.clip.key}"),
        ({"frames": 21}, r"want 1..20 frames \(from 0 on, stride 1\), got 21"),
        ({"frames": 0}, "want 1..20 frames"),
        ({"frames": 8, "stride": 3}, r"want 1..7 frames \(from 0 on, stride 3\), got 8"),
        ({"start": 20}, "want a start within 0..19, got 20"),
        ({"stride": 0}, "stride: want 1 or more, got 0"),
        ({"reference": 20}, "want a reference frame within 0..19, got 20"),
    ],
    ids=str,
)
def test_what_is_not_there_is_said(arguments, said, out: Path) -> None:
    with pytest.raises(ValueError, match=said):
        clip_example(out, **{"key": FACED.clip.key, "size": SIZE, **arguments})


def flat(color: tuple[int, int, int], frames: int = 3, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.uint8), (frames, *size, 3))


def test_columns_stand_beside_each_other_under_their_titles(tmp_path: Path) -> None:
    moving = np.concatenate([flat((0, 0, 200), 1), flat((200, 0, 0), 2)])
    columns = {"still": flat((0, 200, 0), 1), "moving": moving, "wide": flat((90, 90, 90), 3, (32, 48))}
    write_side_by_side(tmp_path / "new" / "three.mp4", columns, 29.97002997)
    path = tmp_path / "new" / "three.mp4"
    frames = np.stack(list(read_frames(path))).astype(int)
    assert [one.name for one in path.parent.iterdir()] == ["three.mp4"]
    assert clip_facts(path).fps == Fraction(30000, 1001)
    assert frames.shape[2] == 2 * HEIGHT + HEIGHT * 3 // 2 + 4 * 8
    strip = frames.shape[1] - HEIGHT
    assert 20 <= strip <= 60
    y, half = strip + HEIGHT // 2, HEIGHT // 2
    for t in range(3):
        colors = [frames[t, y, x] for x in (8 + half, 16 + 3 * half, 24 + 4 * half + 3 * half // 2)]
        want = [(0, 200, 0), (0, 0, 200) if t == 0 else (200, 0, 0), (90, 90, 90)]
        assert np.abs(np.array(colors) - np.array(want)).max() < 12
    # Each title is dark ink inside its own column, whole: none at the edges of the strip or of the column.
    ink = frames[0, :strip].min(axis=2) < 100
    edges = (8, 16 + HEIGHT, 24 + 2 * HEIGHT), (8 + HEIGHT, 16 + 2 * HEIGHT, 24 + 2 * HEIGHT + HEIGHT * 3 // 2)
    assert not ink[[0, 1, -2, -1]].any()
    for left, right in zip(*edges, strict=True):
        assert ink[:, left:right].sum() > 50
        assert not ink[:, right : right + 8].any()


def test_a_long_title_is_made_to_fit(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    write_side_by_side(
        path, {"the full model, guidance 1.5, seed 0": flat((90, 90, 90)), "truth": flat((90, 90, 90))}, 25
    )
    frame = next(iter(read_frames(path))).astype(int)
    ink = frame[: frame.shape[0] - HEIGHT].min(axis=2) < 100
    assert ink[:, 8 : 8 + HEIGHT].any()
    assert not ink[:, :8].any()
    assert not ink[:, 8 + HEIGHT : 16 + HEIGHT].any()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "want one column or more, got none"),
        ({"a": flat((1, 2, 3), 3), "b": flat((1, 2, 3), 2)}, "want columns of one length, got {'a': 3, 'b': 2}"),
        ({"a": np.zeros((3, 8, 8, 3), np.float32)}, r"'a': want \(T, H, W, 3\) uint8, got .* float32"),
        ({"a": np.zeros((8, 8, 3), np.uint8)}, r"'a': want \(T, H, W, 3\)"),
        ({"a": np.zeros((0, 8, 8, 3), np.uint8)}, r"'a': want \(T, H, W, 3\)"),
    ],
    ids=["none", "lengths", "floats", "one picture", "empty"],
)
def test_columns_that_cannot_be_shown_leave_no_file(columns, said, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        write_side_by_side(tmp_path / "bad.mp4", columns, 25)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([], "bad.mp4: want at least one frame, got none"),
        ([(32, 32), (32, 34)], r"frame 1: want \(32, 32, 3\) uint8 RGB, got \(32, 34, 3\)"),
        ([(31, 32)], "want even sides"),
    ],
    ids=["none", "another size", "odd"],
)
def test_a_video_is_whole_or_not_there(sizes, said, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"before")
    with pytest.raises(ValueError, match=said):
        write_video(tmp_path / "bad.mp4", (np.zeros((*size, 3), np.uint8) for size in sizes), 25)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.mp4"]
    assert (tmp_path / "bad.mp4").read_bytes() == b"before"


def test_everyone_keeps_their_colour_whatever_their_place(out: Path) -> None:
    found = clip_example(out, PLAIN.clip.key, size=SIZE, frames=2)
    found["pose"] = np.zeros_like(found["pose"])
    pictures = people_pictures(found)
    for person in range(3):
        inside = pictures[found["body"][:, person, 0] > 0]
        assert len(inside) > 20
        assert (inside == (np.array(person_color(person)) * 0.6).astype(np.uint8)).all()
    order = [2, 0, 1]
    turned = {**found, "person": found["person"][order]}
    turned |= {name: found[name][:, order] for name in ("pose", "body")}
    assert np.array_equal(people_pictures(turned), pictures)


def test_the_columns_of_an_example(out: Path) -> None:
    found = clip_example(out, PLAIN.clip.key, size=SIZE, frames=4)
    generated = np.zeros((4, *SIZE, 3), np.uint8)
    columns = columns_of(found, generated)
    assert list(columns) == ["reference", "pose and mask", "generated", "truth"]
    assert np.array_equal(columns["truth"][2, ..., 1], found["video"][2, 1])
    assert np.array_equal(columns["reference"][0, ..., 0], found["reference"][0])
    # Poses are drawn, too.
    assert (columns["pose and mask"] != people_pictures({**found, "pose": np.zeros_like(found["pose"])})).any()

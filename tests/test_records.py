"""Records, masks, npz and store: what is checked, what comes back equal, what a kill leaves."""

from __future__ import annotations

import io
import os
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.npz import read_npz, write_npz
from datasets.records import Clip, Detections, Event, People, Sample, load_record, save_record
from datasets.skeleton import SKELETONS
from datasets.store import Store, content_key


def people(num_people: int = 2, num_frames: int = 3) -> People:
    """People of noughts whose masks are one pixel each."""
    p, t = num_people, num_frames
    pixel = np.zeros((4, 5), bool)
    pixel[1, 2] = True
    return People(
        box=np.zeros((p, t, 4), np.float32),
        keypoint=np.zeros((p, t, 17, 2), np.float32),
        score=np.zeros((p, t, 17), np.float32),
        flag=np.zeros((p, t, 17), np.uint8),
        mask=Masks.encode([pixel] * (p * t), size=(4, 5)),
        present=np.ones((p, t), bool),
        visible=np.ones((p, t), np.float32),
        confidence=np.ones((p, t), np.float32),
        skeleton="coco17",
        events=(Event(kind="crossing", start=0, stop=2, people=(0, 1), note="drawn"),),
    )


def test_a_record_comes_back_equal_and_in_equal_bytes(tmp_path):
    record = people()
    for name in ("a", "b"):
        save_record(record, tmp_path / name)
    back = load_record(People, tmp_path / "a")
    assert back.events == record.events
    assert back.mask_at(1, 2)[1, 2]
    np.testing.assert_array_equal(back.box, record.box)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_fractions_and_mappings_come_back(tmp_path):
    clip = Clip(
        key="a-00000000-00000000", source="a b.mp4", sha256="0" * 64, file="x.mp4", start=0, frames=30,
        fps=Fraction(30000, 1001), size=(4, 6), audio=False, licence="",
    )  # fmt: skip
    save_record(clip, tmp_path / "clip")
    assert load_record(Clip, tmp_path / "clip").fps == Fraction(30000, 1001)
    sample = Sample(
        key="k", verdict="review", reasons=("r",), scores={"blur": 0.5}, reference_frame=1, coverage=(0.5, 1.0),
        provenance={"bind": "x"},
    )  # fmt: skip
    save_record(sample, tmp_path / "sample")
    assert load_record(Sample, tmp_path / "sample").scores == {"blur": 0.5}
    with pytest.raises(ValueError, match="want a Clip record"):
        load_record(Clip, tmp_path / "sample")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"box": np.zeros((3, 4), np.float64)}, r"detections.box: want \(3, 4\) float32", id="float64"),
        pytest.param({"score": np.zeros(2, np.float32)}, r"detections.score: want \(3,\)", id="one score short"),
        pytest.param({"frame": np.array([0, 2, 1], np.int32)}, "want ascending frames", id="frames out of order"),
    ],
)
def test_a_record_says_what_is_off(change, message):
    good = {
        "frame": np.arange(3, dtype=np.int32),
        "box": np.zeros((3, 4), np.float32),
        "score": np.zeros(3, np.float32),
    }
    with pytest.raises(ValueError, match=message):
        Detections(**{**good, **change})


def test_records_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        people().box[0, 0, 0] = 1


def test_masks_round_trip_select_and_areas():
    rng = np.random.default_rng(0)
    drawn = [rng.random((7, 9)) < share for share in (0.0, 0.3, 1.0)]
    masks = Masks.encode(drawn, size=(7, 9))
    for i, mask in enumerate(drawn):
        np.testing.assert_array_equal(masks.decode(i), mask)
    np.testing.assert_array_equal(masks.areas(), [m.sum() for m in drawn])
    picked = masks.select([2, -1, 1])
    np.testing.assert_array_equal(picked.areas(), [63, 0, drawn[1].sum()])


def test_areas_of_more_masks_than_pycocotools_takes_at_once():
    drawn = [np.arange(40).reshape(4, 10) < i % 41 for i in range(600)]
    masks = Masks.encode(drawn, size=(4, 10))
    np.testing.assert_array_equal(masks.areas(), [m.sum() for m in drawn])


@pytest.mark.parametrize("offset", [[0, 5], [0, 3, 2, 4], [1, 4]])
def test_masks_refuse_offsets_that_lie(offset):
    with pytest.raises(ValueError, match=r"masks\.offset"):
        Masks(rle=np.zeros(4, np.uint8), offset=np.array(offset, np.int64), size=(2, 2))


def test_npz_never_unpickles():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(ValueError, match="plain numpy array"):
        read_npz(io.BytesIO(buffer.getvalue()))
    with pytest.raises(TypeError, match="dtype object"):
        write_npz(io.BytesIO(), {"a": np.array([{}], dtype=object)})


def test_npz_refuses_a_zip_bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(1 << 20))
    with pytest.raises(ValueError, match="at most 1000 bytes"):
        read_npz(io.BytesIO(buffer.getvalue()), max_bytes=1000)


@pytest.mark.parametrize("name", SKELETONS)
def test_mirroring_twice_is_nothing(name):
    skeleton = SKELETONS[name]
    assert len(skeleton.sigma) == len(skeleton.mirror) == len(skeleton.joints)
    assert [skeleton.mirror[j] for j in skeleton.mirror] == list(range(len(skeleton.joints)))
    assert max(max(limb) for limb in skeleton.limbs) < len(skeleton.joints)


def write_word(word: str):
    """A writer that puts one word into one file."""
    return lambda folder: (folder / "word").write_text(word) and None


def test_store_makes_once_and_then_reuses(tmp_path):
    store = Store(str(tmp_path))
    made, reused = store.make("probe", "ab" * 16, write_word("one"))
    again, reused_again = store.make("probe", "ab" * 16, write_word("two"))
    assert (reused, reused_again) == (False, True)
    assert made == again
    assert (store.path("probe", "ab" * 16) / "word").read_text() == "one"


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    store = Store(str(tmp_path))

    def write(folder):
        (folder / "half").write_text("x")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        store.make("probe", "ab" * 16, write)
    assert store.find("probe", "ab" * 16) is None
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest"])
def test_a_damaged_artifact_is_made_again(tmp_path, damage):
    store = Store(str(tmp_path))
    made, _ = store.make("probe", "ab" * 16, write_word("one"))
    folder = store.path("probe", made.key)
    if damage == "truncate":
        (folder / "word").write_text("o")
    elif damage == "remove":
        (folder / "word").unlink()
    else:
        (folder / "artifact.json").write_text('{"fil')
    assert store.find("probe", made.key) is None
    _, reused = store.make("probe", made.key, write_word("one"))
    assert not reused
    assert (folder / "word").read_text() == "one"


def test_sweep_takes_what_a_killed_writer_left(tmp_path):
    left = tmp_path / ".tmp" / "key.1.2"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    (tmp_path / ".tmp" / "live").mkdir()
    assert Store(str(tmp_path)).sweep(older_than_s=3600, now_s=time.time()) == 1
    assert [p.name for p in (tmp_path / ".tmp").iterdir()] == ["live"]


@pytest.mark.parametrize(
    "change",
    [{"stage": "track"}, {"version": 2}, {"config": {"a": 2}}, {"inputs": ["y"]}, {"weights": {"w": "1"}}],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_key_counts(change):
    base = {"stage": "probe", "version": 1, "config": {"a": 1}, "inputs": ["x"], "weights": {"w": "0"}}
    assert content_key(**base) != content_key(**{**base, **change})


def test_threads_read_headers_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy parses them with ast.literal_eval, two of which at a time fail on CPython 3.11."""
    buffer = io.BytesIO()
    write_npz(buffer, {"a": np.zeros(3), "b": np.ones(2)})
    read, inside, most = np.lib.format.read_array, [0], [0]

    def watched(*arguments: object, **named: object) -> np.ndarray:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        inside[0] -= 1
        return read(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(np.lib.format, "read_array", watched)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read_npz(io.BytesIO(buffer.getvalue())), range(4)))
    assert len(found) == 4
    assert most == [1]

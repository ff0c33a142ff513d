"""Export: each form is what its own tools read, comes back exactly, and is there whole or not at all."""

from __future__ import annotations

import configparser
import contextlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from datasets import export as exporting
from datasets.condition import draw_pose
from datasets.export import export, main
from datasets.export_coco import _clip
from datasets.export_parts import face_mask
from datasets.masks import Masks
from datasets.members import Bundle, decode_sample
from datasets.perception_beside import beside, read_beside
from datasets.perception_coco import read_coco
from datasets.perception_mot import read_mot
from datasets.sample_list import list_samples
from datasets.shards import read_sample
from datasets.store import Store
from datasets.verify import verify
from datasets.video import read_frames
from tasks.shard import Config
from tests.build_samples import bundle, judged
from tests.test_shard_task import build

FRAMES = 20


def absent(one: Bundle) -> Bundle:
    """The first person comes in at frame 4 and is hidden in frames 9 to 11."""
    people = one.people
    present, visible = people.present.copy(), people.visible.copy()
    present[0, :4], visible[0, :4], visible[0, 9:12] = False, 0, 0
    gone = np.zeros(present.size, bool)
    gone[: people.num_frames] = ~present[0] | (visible[0] == 0)
    mask = people.mask.select(np.where(gone, -1, np.arange(len(people.mask))))
    box = people.box.copy()
    box[0, :4] = 0
    return replace(one, people=replace(people, present=present, visible=visible, mask=mask, box=box))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two accepted samples, one of them upright and of three people, and one in review."""
    folder = tmp_path_factory.mktemp("export")
    wide, high = absent(bundle(source="a.mp4", frames=FRAMES)), bundle(source="b.mp4", people=3, size=(128, 96), seed=1)
    review = bundle(source="r.mp4", verdict="review", frames=FRAMES, seed=2)
    build(
        judged(Store(root=str(folder / "store")), [wide, high, review]),
        folder / "out",
        Config(val_fraction=0, test_fraction=0),
    )
    return folder / "out"


def bundles(dataset: Path) -> dict[str, Bundle]:
    found = {}
    for ref in list_samples(str(dataset), split=None, include_review=True):
        with open(ref.shard, "rb") as file:
            found[ref.key] = decode_sample(read_sample(file, ref.key, ref.offset, ref.size))
    return found


def rows_of(one: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """(frame, person) of everyone present, by frame."""
    frame, person = np.nonzero(one.people.present.T)
    return frame, person


def seen_counts(one: Bundle) -> dict[tuple[int, int], bytes]:
    """(frame, id) -> run lengths of the masks that are not empty."""
    people = one.people
    at = [(t, p) for p in range(people.num_people) for t in range(people.num_frames)]
    counts = {(t, p + 1): people.mask.counts(p * people.num_frames + t) for t, p in at}
    return {where: text for where, text in counts.items() if text}


def brought_counts(masks) -> dict[tuple[int, int], bytes]:
    return {
        (int(t), int(who)): masks.mask.counts(i) for i, (t, who) in enumerate(zip(masks.frame, masks.id, strict=True))
    }


def test_coco_comes_back_exactly(dataset, tmp_path):
    export(dataset, "coco", tmp_path / "coco")
    accepted = {key: one for key, one in bundles(dataset).items() if one.sample.verdict == "accepted"}
    assert len(accepted) == 2
    for key, one in accepted.items():
        video = tmp_path / "coco" / f"{key}.mp4"
        assert video.read_bytes() == one.video
        back = read_beside(beside(video))
        t, p = rows_of(one)
        people = one.people
        np.testing.assert_array_equal(back.keypoints.frame, t)
        np.testing.assert_array_equal(back.keypoints.id, p + 1)
        np.testing.assert_array_equal(back.keypoints.keypoint, people.keypoint[p, t])
        np.testing.assert_array_equal(back.keypoints.score, people.score[p, t])
        np.testing.assert_array_equal(back.keypoints.flag, people.flag[p, t])
        np.testing.assert_array_equal(back.keypoints.annotated, np.arange(one.clip.frames))
        boxed = (people.box[p, t, 2:] > people.box[p, t, :2]).all(axis=1)
        np.testing.assert_array_equal(back.boxes.box, people.box[p, t][boxed])
        np.testing.assert_array_equal(back.boxes.visible, people.visible[p, t][boxed])
        assert brought_counts(back.masks) == seen_counts(one)
        assert back.masks.size == back.boxes.size == one.clip.size


def test_coco_of_all_clips_is_read_by_pycocotools(dataset, tmp_path):
    done = export(dataset, "coco", tmp_path / "coco", frames=True, verdict=None)
    assert done.clips == 3
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(tmp_path / "coco" / "annotations.json")
    held = bundles(dataset)
    assert len(coco.getImgIds()) == sum(one.clip.frames for one in held.values())
    assert len(coco.getAnnIds()) == sum(int(one.people.present.sum()) for one in held.values())
    assert {row["name"] for row in coco.loadCats(coco.getCatIds())} == {"person", "robot"}
    for image in coco.loadImgs(coco.getImgIds())[::7]:
        one, t = held[image["video"]], image["frame_id"]
        picture = cv2.imread(str(tmp_path / "coco" / image["file_name"]))[..., ::-1]
        np.testing.assert_array_equal(picture, list(read_frames(one.video))[t])
        for row in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            person = row["track_id"] - 1
            np.testing.assert_array_equal(coco.annToMask(row).astype(bool), one.people.mask_at(person, t))
            assert row["kind"] == one.cast.kind[person]
            assert row["category_id"] == {"human": 1, "robot": 2}[one.cast.kind[person]]


def test_whole_body_keypoints_come_back_as_coco_wholebody_has_them(tmp_path):
    one = bundle(frames=4)
    rng = np.random.default_rng(5)
    shape = (2, 4, 133)
    people = replace(
        one.people,
        keypoint=(rng.integers(0, 128 * 64, (*shape, 2)) / 64).astype(np.float32),
        score=(rng.integers(0, 4097, shape) / 4096).astype(np.float32),
        flag=rng.integers(0, 3, shape).astype(np.uint8),
        skeleton="coco133",
    )
    plain = json.loads(json.dumps(_clip(replace(one, people=people))))
    row = plain["annotations"][0]
    assert [len(row[name]) for name in ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")] == [
        3 * n for n in (17, 6, 68, 21, 21)
    ]
    back = read_coco(plain, tmp_path / "x.coco.json").keypoints
    assert back.skeleton == "coco133"
    t, p = np.nonzero(people.present.T)
    for name in ("keypoint", "score", "flag"):
        np.testing.assert_array_equal(getattr(back, name), getattr(people, name)[p, t])


def test_mot_comes_back_exactly(dataset, tmp_path):
    export(dataset, "mot", tmp_path / "mot")
    accepted = {key: one for key, one in bundles(dataset).items() if one.sample.verdict == "accepted"}
    assert (tmp_path / "mot" / "seqmap.txt").read_text().split() == ["name", *sorted(accepted)]
    for key, one in accepted.items():
        sequence = tmp_path / "mot" / key
        info = configparser.ConfigParser()
        info.optionxform = str  # type: ignore[assignment,method-assign]
        info.read(sequence / "seqinfo.ini")
        assert dict(info["Sequence"]) == {
            "name": key, "imDir": "img1", "frameRate": "29.97003", "seqLength": str(one.clip.frames),
            "imWidth": str(one.clip.size[1]), "imHeight": str(one.clip.size[0]), "imExt": ".png",
        }  # fmt: skip
        shutil.copy(sequence / "gt" / "gt.txt", sequence / f"{key}.mot.txt")
        back = read_beside(beside(sequence / f"{key}.mp4")).boxes
        people = one.people
        t, p = np.nonzero((people.present & (people.box[..., 2:] > people.box[..., :2]).all(axis=-1)).T)
        np.testing.assert_array_equal(back.frame, t)
        np.testing.assert_array_equal(back.id, p + 1)
        np.testing.assert_array_equal(back.box, people.box[p, t])
        np.testing.assert_allclose(back.visible, people.visible[p, t], atol=1e-6)
        np.testing.assert_array_equal(back.score, (people.visible[p, t] >= 0.1).astype(np.float32))


def test_hidden_rows_are_not_to_be_scored(dataset, tmp_path):
    export(dataset, "mot", tmp_path / "mot")
    key = next(key for key in bundles(dataset) if key.startswith("a-"))
    boxes = read_mot(tmp_path / "mot" / key / "gt" / "gt.txt")
    hidden = boxes.frame[(boxes.id == 1) & (boxes.score == 0)]
    assert hidden.tolist() == [9, 10, 11]
    assert not (boxes.frame[boxes.id == 1] < 4).any()


def test_stableanimator_tree(dataset, tmp_path):
    export(dataset, "stableanimator", tmp_path / "tree")
    held = bundles(dataset)
    clips = json.loads((tmp_path / "tree" / "clips.json").read_text())
    assert {name.split("/")[0]: key[0] for name, key in clips.items()} == {"rec": "a", "vec": "b"}
    listed = (tmp_path / "tree" / "video_vec_path.txt").read_text().split()
    assert listed == ["vec/00001/01", "vec/00001/02", "vec/00001/03"]
    assert (tmp_path / "tree" / "video_rec_path.txt").read_text().split() == ["rec/00001/01", "rec/00001/02"]
    for name, key in clips.items():
        one = held[key]
        frames = list(read_frames(one.video))
        for p in range(one.people.num_people):
            folder = tmp_path / "tree" / name / f"{p + 1:02d}"
            files = [f"frame_{t}.png" for t in range(one.clip.frames)]
            assert all(
                sorted(x.name for x in (folder / part).iterdir()) == sorted(files) for part in ("images", "faces")
            )
            for t in (0, 10, one.clip.frames - 1):
                picture = cv2.imread(str(folder / "images" / files[t]), cv2.IMREAD_UNCHANGED)[..., ::-1]
                np.testing.assert_array_equal(picture, frames[t])
                people = one.people
                pose = cv2.imread(str(folder / "poses" / files[t]))[..., ::-1]
                score = people.score[p, t] * people.present[p, t]
                drawn = draw_pose(people.keypoint[p, t], score, people.flag[p, t], "coco17", one.clip.size)
                np.testing.assert_array_equal(pose, drawn)
                face = cv2.imread(str(folder / "faces" / files[t]), cv2.IMREAD_UNCHANGED)
                assert face.ndim == 2
                assert not (face.astype(bool) & ~people.mask_at(p, t)).any()
        assert (frames[0] != frames[10]).any()


def test_stableanimator_masks_come_back_exactly(dataset, tmp_path):
    export(dataset, "stableanimator", tmp_path / "tree")
    for name, key in json.loads((tmp_path / "tree" / "clips.json").read_text()).items():
        one = bundles(dataset)[key]
        video = tmp_path / f"{key}.mp4"
        video.write_bytes(one.video)
        (tmp_path / f"{key}.masks").symlink_to(tmp_path / "tree" / name)
        back = read_beside(beside(video))
        assert brought_counts(back.masks) == seen_counts(one)
        assert back.masks.annotated.tolist() == list(range(one.clip.frames))
        assert back.masks.names == {str(p + 1): f"{p + 1:02d}" for p in range(one.people.num_people)}


@pytest.mark.parametrize(
    ("keypoint", "score", "want"),
    [
        pytest.param([[50, 20], [52, 18], [48, 18], [55, 19], [45, 19]], [1] * 5, True, id="a head"),
        pytest.param([[50, 20], [0, 0], [0, 0], [0, 0], [0, 0]], [1, 0, 0, 0, 0], False, id="one joint says no size"),
        pytest.param([[50, 20], [52, 18], [48, 18], [55, 19], [45, 19]], [0.1] * 5, False, id="unsure"),
        pytest.param([[50, np.nan], [52, 18], [48, 18], [55, 19], [45, 19]], [1] * 5, False, id="no numbers"),
    ],
)
def test_face_mask(keypoint, score, want):
    mask = np.zeros((100, 100), bool)
    mask[10:90, 30:70] = True
    full = np.zeros((17, 2))
    full[:5] = keypoint
    sure = np.zeros(17)
    sure[:5] = score
    face = face_mask(full, sure, mask)
    assert face.any() == want
    if want:
        assert face[19, 50]
        assert face[19, 40:60].sum() >= 15
        assert not face[40:].any()


def test_a_killed_export_leaves_nothing(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting.MotWriter, "close", lambda self: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        export(dataset, "mot", tmp_path / "mot")
    assert list(tmp_path.iterdir()) == []


def test_equal_exports_have_equal_bytes(dataset, tmp_path):
    for form in exporting.FORMS:
        for name in ("one", "two"):
            export(dataset, form, tmp_path / name / form, keys=[next(iter(bundles(dataset)))])
        one, two = (
            {p.relative_to(top): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}
            for top in (tmp_path / "one" / form, tmp_path / "two" / form)
        )
        assert one == two
        assert one


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["{out}", "--to", "coco", "--key", "nobody"], 2, "want the key of a clip", id="no such key"),
        pytest.param(["{out}", "--to", "mot", "--split", "test"], 2, "want clips of split test", id="an empty split"),
        pytest.param(["{tmp}/nothing", "--to", "mot"], 2, "want a dataset folder", id="no dataset"),
        pytest.param(
            ["{out}", "--to", "coco", "--out", "{tmp}/full"], 2, "got one with files", id="does not overwrite"
        ),
        pytest.param(
            ["{out}", "--to", "coco", "--out", "{out}/x"], 2, "outside the dataset", id="not into the dataset"
        ),
    ],
)
def test_refusals(dataset, tmp_path, capsys, arguments, code, said):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert main([word.format(out=dataset, tmp=tmp_path) for word in arguments]) == code
    assert said in capsys.readouterr().err
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]
    assert not verify(dataset).problems


def test_the_command(dataset, tmp_path, capsys):
    copy = tmp_path / "mine"
    shutil.copytree(dataset, copy)
    assert main([str(copy), "--to", "mot", "--verdict", "review", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "out": str(tmp_path / "mine-mot"),
        "form": "mot",
        "clips": 1,
        "people": 2,
        "frames": FRAMES,
    }
    assert "[    1 of 1] r-" in err
    assert len(list((tmp_path / "mine-mot").glob("r-*/gt/gt.txt"))) == 1


def test_a_damaged_dataset_is_said(dataset, tmp_path, capsys):
    copy = tmp_path / "mine"
    shutil.copytree(dataset, copy)
    shard = next(copy.glob("shards/*.tar"))
    data = bytearray(shard.read_bytes())
    data[600:700] = bytes(100)
    shard.write_bytes(data)
    assert main([str(copy), "--to", "coco"]) == 1
    assert "datasets.verify" in capsys.readouterr().err
    assert not (tmp_path / "mine-coco").exists()


def test_a_mask_of_nothing_is_text_that_coco_reads():
    from datasets.export_parts import run_lengths

    masks = Masks.from_counts([b""], size=(4, 6))
    assert run_lengths(masks, 0)
    assert Masks.from_counts([run_lengths(masks, 0).encode()], size=(4, 6)).decode(0).sum() == 0

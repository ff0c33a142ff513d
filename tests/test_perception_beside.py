"""What stands beside a video, by its names; and which file's boxes count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.perception import PerceptionError
from datasets.perception_beside import beside, boxes_of_keypoints, boxes_of_masks, read_beside
from datasets.perception_coco import read_coco
from datasets.perception_sav import read_sav
from tests.perception_files import disc, joints, note, rle, sav, whole

NAME = Path("clip.coco.json")


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def test_what_stands_beside_a_video(tmp_path):
    write(tmp_path, "a.mot.txt", "1,1,0,0,2,2\n")
    write(tmp_path, "a.keypoints.json", whole(note(0, keypoints=joints())))
    write(tmp_path, "a.masks.json", sav())
    write(tmp_path, "b.mot.txt", "1,1,0,0,2,2\n")
    write(tmp_path, "a_manual.json", {"written": "by hand"})
    files = beside(tmp_path / "a.mp4")
    assert [path.name for path in files] == ["a.mot.txt", "a.keypoints.json", "a.masks.json"]
    assert not beside(tmp_path / "c.mp4")
    brought = read_beside(files)
    assert {kind: path.name for kind, path in brought.origin.items()} == {
        "boxes": "a.mot.txt", "keypoints": "a.keypoints.json", "masks": "a.masks.json",
    }  # fmt: skip
    assert not brought.derived


def test_sav_files_under_their_own_names(tmp_path):
    write(tmp_path, "sav_000001_manual.json", sav())
    write(tmp_path, "sav_000001_auto.json", sav())
    assert beside(tmp_path / "sav_000001.mp4").masks == tmp_path / "sav_000001_manual.json"


def test_two_forms_of_one_kind(tmp_path):
    write(tmp_path, "a.masks.json", sav())
    (tmp_path / "a.masks").mkdir()
    with pytest.raises(PerceptionError, match=r"a.mp4: want masks in one form, got a.masks and a.masks.json"):
        beside(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("files", "origin", "derived", "ids"),
    [
        pytest.param({"a.masks.json": sav()}, "a.masks.json", True, True, id="round masks"),
        pytest.param(
            {"a.keypoints.json": whole(note(0, keypoints=joints()))}, "a.keypoints.json", True, False, id="round joints"
        ),
        pytest.param({"a.mot.txt": "1,-1,0,0,2,2\n", "a.masks.json": sav()}, "a.masks.json", True, True, id="ids win"),
        pytest.param(
            {"a.mot.txt": "1,5,0,0,2,2\n", "a.masks.json": sav()}, "a.mot.txt", False, True, id="the first of them"
        ),
        pytest.param(
            {"a.mot.txt": "1,-1,0,0,2,2\n", "a.keypoints.json": whole(note(0, keypoints=joints()))},
            "a.mot.txt",
            False,
            False,
            id="no ids anywhere",
        ),
        pytest.param(
            {"a.coco.json": whole(note(0, track_id=1, bbox=[1, 1, 2, 2], segmentation=rle(disc())))},
            "a.coco.json",
            False,
            True,
            id="bbox goes before masks",
        ),
    ],
)
def test_where_boxes_are_from(tmp_path, files, origin, derived, ids):
    for name, content in files.items():
        write(tmp_path, name, content)
    brought = read_beside(beside(tmp_path / "a.mp4"))
    assert brought.origin["boxes"].name == origin
    assert brought.derived == derived
    assert brought.boxes.has_ids == ids


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("a.keypoints.json", "{", "a.keypoints.json: want JSON", id="no JSON"),
        pytest.param("a.keypoints.json", "[" * 100_000, "a.keypoints.json: want JSON", id="nested without end"),
        pytest.param(
            "a.keypoints.json", whole(note(0, bbox=[1, 1, 2, 2])), "want annotations with keypoints", id="no keypoints"
        ),
        pytest.param(
            "a.masks.json", whole(note(0, bbox=[1, 1, 2, 2])), "want annotations with RLE, or SA-V", id="no masks"
        ),
        pytest.param("a.coco.json", whole(), "want annotations with bbox, keypoints or RLE", id="nothing in it"),
    ],
)
def test_files_that_hold_nothing_of_their_kind(tmp_path, name, content, said):
    write(tmp_path, name, content)
    with pytest.raises(PerceptionError, match=said):
        read_beside(beside(tmp_path / "a.mp4"))


def test_boxes_round_masks_and_joints():
    masks = read_sav(sav(), NAME)
    assert boxes_of_masks(masks).box[0].tolist() == [3, 2, 10, 9]
    poses = read_coco(whole(note(0, keypoints=joints()), note(1, keypoints=joints(0))), NAME).keypoints
    boxes = boxes_of_keypoints(poses)
    assert boxes.frame.tolist() == [0]
    np.testing.assert_allclose(boxes.box[0], [-3.2, -3.2, 19.2, 35.2], rtol=1e-5)

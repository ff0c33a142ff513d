"""Whole runs over brought files: no weights at all, and what an export took away brought back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from datasets.export import export
from datasets.members import Bundle, decode_sample
from datasets.sample_list import list_samples
from datasets.shards import read_sample
from datasets.verify import verify
from tests.brought_video import add_boxes, add_keypoints, add_masks, drawn
from tests.tiny_runs import run_here

pytestmark = pytest.mark.usefixtures("here")
SETTINGS = ("identify.looks=0", "shots.max_s=1", "shots.min_s=0.1", "judge.min_height=0.1", "judge.min_coverage=0")


def bundles(dataset: Path) -> dict[str, Bundle]:
    found = {}
    for ref in list_samples(str(dataset), split=None, include_review=True):
        with open(ref.shard, "rb") as file:
            found[ref.key] = decode_sample(read_sample(file, ref.key, ref.offset, ref.size))
    return found


def build(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Path:
    """A dataset made of a video with everything beside it, and of one whose file is bad; there are no weights."""
    folder = tmp_path / "in"
    truth = drawn(folder)
    for add in (add_boxes, add_keypoints, add_masks):
        add(folder, truth)
    drawn(folder, frames=30, name="bad")
    (folder / "bad.mot.txt").write_text("1,1,5,5,nan,4\n")
    (tmp_path / "none").mkdir()
    done = run_here(
        capfd, folder, "--preset", "light", "--weights", tmp_path / "none", "--out", tmp_path / "out", "--store",
        tmp_path / "store", "--max-failed-fraction", 0.6, settings=SETTINGS,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.summary["samples"] == 2
    assert done.summary["stages"]["bring"]["ran"] == 3
    return tmp_path / "out"


def test_from_files_to_shards_and_back(tmp_path, capfd):
    built = build(tmp_path, capfd)
    assert not verify(built).problems
    (reject,) = pq.read_table(built / "rejects.parquet").to_pylist()
    assert (reject["source"], reject["stage"], reject["fault"]) == ("bad.mp4", "bring", True)
    assert reject["reason"] == "bad.mot.txt, line 1, w: want a number, got 'nan'"
    before = bundles(built)
    export(built, "coco", tmp_path / "coco", verdict=None)
    done = run_here(
        capfd, tmp_path / "coco", "--preset", "light", "--weights", tmp_path / "none", "--out", tmp_path / "back",
        "--store", tmp_path / "store", settings=SETTINGS,
    )  # fmt: skip
    assert done.code == 0, done.err
    after = {key.removesuffix("-00000000").rpartition("-")[0]: one for key, one in bundles(tmp_path / "back").items()}
    assert set(after) == set(before)
    for key, one in before.items():
        same_people(after[key], one)
    assert not verify(tmp_path / "back").problems


def same_people(back: Bundle, one: Bundle) -> None:
    """What is to be seen is the same; masks, boxes and joints to the last bit."""
    assert back.people.num_people == one.people.num_people
    np.testing.assert_array_equal(back.people.mask.rle, one.people.mask.rle)
    np.testing.assert_array_equal(back.people.mask.offset, one.people.mask.offset)
    seen = one.people.visible >= 0.1
    for name in ("box", "keypoint", "score", "flag", "present"):
        np.testing.assert_array_equal(getattr(back.people, name)[seen], getattr(one.people, name)[seen])

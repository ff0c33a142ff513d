"""Who is who and where joints are, of made-up findings whose figures can be told by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import Artifact, People, save_record
from datasets.store import Store
from tasks import coherence
from tasks.backends.trackeval import scores
from tasks.batch import Env, Item
from tests.draw_people import Figure, draw_clip

FRAMES, SIZE = 20, (120, 200)
APART = (
    Figure(start=(0.2, 0.95), stop=(0.25, 0.95), height=0.8),
    Figure(start=(0.8, 0.9), stop=(0.75, 0.9), height=0.75, shirt=(60, 90, 220)),
)


def apart() -> People:
    """Two people who never meet."""
    return draw_clip(APART, frames=FRAMES, size=SIZE)[0]


def rearranged(people: People, who: np.ndarray) -> People:
    """Row p of frame t shows the person `who[p, t]`; -1 nobody."""
    rows, frames = np.where(who < 0, 0, who), np.arange(people.num_frames)[None]
    there = who >= 0
    return replace(
        people,
        box=people.box[rows, frames], keypoint=people.keypoint[rows, frames], score=people.score[rows, frames],
        flag=people.flag[rows, frames], confidence=people.confidence[rows, frames],
        mask=people.mask.select(np.where(there, rows * people.num_frames + frames, -1).ravel()),
        present=people.present[rows, frames] & there, visible=np.where(there, people.visible[rows, frames], 0),
    )  # fmt: skip


def measured(folder: Path, truth: People, found: People | None) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """TrackEval's figures and the joints' table."""
    artifacts = {}
    for stage, people in (("shots", truth), ("refine", found)):
        if people is not None:
            (folder / stage).mkdir()
            save_record(people, folder / stage / "people.npz")
            artifacts[stage] = Artifact(key=stage, path=str(folder / stage))
    item = Item(key="one", source="one.mp4", path="", artifacts=artifacts)
    stage = coherence.STAGE if found is not None else coherence.NOBODY
    item, _ = stage.make(item, coherence.Config(), Env(store=Store(str(folder / "store"))))
    return scores({"one": coherence.tallies_in(item)["box"]}), coherence.joints_in(item)


STRAIGHT = np.tile(np.arange(2)[:, None], (1, FRAMES))
SWAPPED = np.where(np.arange(FRAMES) < FRAMES // 2, STRAIGHT, 1 - STRAIGHT)
HALF = np.where((np.arange(FRAMES) < FRAMES // 2) | (STRAIGHT == 0), STRAIGHT, -1)


def test_the_truth_itself_is_perfect(tmp_path):
    found, table = measured(tmp_path, apart(), apart())
    assert (found["HOTA"], found["IDF1"], found["MOTA"], found["IDSW"]) == (1, 1, 1, 0)
    assert table["oks"].min() == pytest.approx(1)
    assert table["distance"].max() == 0
    assert table["pose_ssim"].min() > 0.9999
    assert len(table["oks"]) == 2 * FRAMES


def test_which_number_somebody_has_does_not_matter(tmp_path):
    found, table = measured(tmp_path, apart(), rearranged(apart(), STRAIGHT[::-1]))
    assert found["IDF1"] == 1
    assert table["oks"].min() == pytest.approx(1)


def test_a_swap_costs_all_that_follows(tmp_path):
    found, table = measured(tmp_path, apart(), rearranged(apart(), SWAPPED))
    assert found["IDF1"] == pytest.approx(0.5)
    assert found["IDSW"] == 2
    assert found["MOTA"] == pytest.approx(1 - 2 / (2 * FRAMES))
    after = table["frame"] >= FRAMES // 2
    assert table["oks"][~after].min() == pytest.approx(1)
    assert table["oks"][after].max() < 0.01, "the other one's joints are far away"
    assert table["distance"][after].min() > 50
    assert table["pose_ssim"][FRAMES // 2 :].mean() < table["pose_ssim"][: FRAMES // 2].mean()


def test_who_is_lost_counts_nothing_for_oks_and_is_left_out_of_the_distance(tmp_path):
    found, table = measured(tmp_path, apart(), rearranged(apart(), HALF))
    assert found["MOTA"] == pytest.approx(0.75)
    assert table["oks"].mean() == pytest.approx(0.75)
    assert (table["own"] < 0).mean() == pytest.approx(0.25)
    assert np.isnan(table["distance"][table["own"] < 0]).all()
    assert np.nanmax(table["distance"]) == 0
    assert table["pose_ssim"][-1] < 0.99 < table["pose_ssim"][0]


def test_nobody_found_is_all_missed(tmp_path):
    found, table = measured(tmp_path, apart(), None)
    assert (found["HOTA"], found["IDF1"], found["MOTA"]) == (0, 0, 0)
    assert table["oks"].max() == 0
    assert table["joints"].max() == 0


def test_one_too_many_costs_where_they_stand(tmp_path):
    both = apart()
    one = rearranged(both, STRAIGHT[:1])
    found, table = measured(tmp_path, one, both)
    assert found["MOTA"] == 0, "as many too many as there are"
    assert found["IDF1"] == pytest.approx(2 / 3)
    assert table["oks"].min() == pytest.approx(1)
    assert table["pose_ssim"].max() < 0.99


def test_joints_a_few_pixels_off_are_so_many_pixels_off(tmp_path):
    both = apart()
    moved = replace(both, keypoint=both.keypoint + np.float32([3, 4]))
    _, table = measured(tmp_path, both, moved)
    assert np.allclose(table["distance"], 5, atol=1e-4), "no alignment"
    assert table["pose_ssim"].min() > 0.999, "one similarity transform undoes it"
    assert 0.05 < table["oks"].mean() < 0.999


def test_joints_that_nobody_knows_do_not_count(tmp_path):
    both = apart()
    flag, keypoint = both.flag.copy(), both.keypoint.copy()
    flag[0, :, 9] = 0
    keypoint[0, :, 9] += 80
    _, table = measured(tmp_path, replace(both, flag=flag), replace(both, keypoint=keypoint))
    assert table["distance"].max() == 0
    assert table["oks"].min() == pytest.approx(1)
    assert (table["joints"] == np.where(table["person"] == 0, 16, 17)).all()
    assert table["pose_ssim"].min() > 0.999


def test_empty_masks_are_no_trouble(tmp_path):
    both = apart()
    bare = replace(both, mask=Masks.from_counts([b""] * (2 * FRAMES), size=SIZE))
    found, _ = measured(tmp_path, both, bare)
    assert found["IDF1"] == 1, "identity goes by boxes"

"""What is brought beside a video is taken exactly, the rest is computed, and only what changed is made again."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import Detections, People, Poses, Segments, Tracklets, load_record
from datasets.store import Store
from tasks import bring, probe
from tasks.batch import Batch, Env
from tasks.clips import cast_of, people_of
from tasks.judge import sample_of
from tests import fenced_calls, tiny_weights
from tests.brought_video import ESTIMATOR, FRAMES, Route, add_boxes, add_keypoints, add_masks, costs, drawn

ALL = (add_boxes, add_keypoints, add_masks)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, People]:
    """A folder with the video alone, and the truth."""
    return tmp_path, drawn(tmp_path / "in")


def test_all_is_brought_and_no_weights_are_there(place):
    folder, truth = place
    for add in ALL:
        add(folder / "in", truth)
    done = Route(folder, max_s=1).run(folder / "in" / "two.mp4")
    assert not done.rejects
    assert [item.key[-8:] for item in done.items] == ["00000000", "00000025"]
    for item, start in zip(done.items, (0, 25), strict=True):
        people, frames = people_of(item), slice(start, start + 25)
        assert people.num_people == 2
        seen = truth.visible[:, frames] >= 0.1
        np.testing.assert_array_equal(people.box[seen], truth.box[:, frames][seen])
        np.testing.assert_array_equal(people.keypoint[seen], truth.keypoint[:, frames][seen])
        for p in range(2):
            masks = [people.mask_at(p, t) for t in range(25)]
            np.testing.assert_array_equal(masks, [truth.mask_at(p, t) for t in range(start, start + 25)])
        assert cast_of(item).identity == ("p0001", "p0002")
        assert cast_of(item).identity_confidence.tolist() == [1, 1]
        said = {name: text for name, text in sample_of(item).provenance.items() if name.startswith("perception.")}
        assert {name: text.split()[:2] for name, text in said.items()} == {
            "perception.detect": ["given:", "two.mot.txt"],
            "perception.track": ["given:", "two.mot.txt"],
            "perception.pose": ["given:", "two.keypoints.json"],
            "perception.segment": ["given:", "two.masks"],
        }
        assert all(len(text.split()[2]) == 64 for text in said.values())


def test_boxes_alone_spare_the_detector_and_looks(place):
    folder, truth = place
    add_boxes(folder / "in", truth)
    weights = tiny_weights.write(folder / "weights", [ESTIMATOR])
    (item,) = Route(folder, weights=weights).run(folder / "in" / "two.mp4", until="segment").items
    found = load_record(Detections, item.folder("detect") / "detections.npz")
    assert len(found.frame) == int((truth.visible >= 0.1).sum())
    tracklets = load_record(Tracklets, item.folder("track") / "tracklets.npz")
    for t, box, name in zip(tracklets.frame, tracklets.box, tracklets.tracklet, strict=True):
        np.testing.assert_array_equal(box, truth.box[name, t])
    assert load_record(Poses, item.folder("pose") / "poses.npz").score.any()
    segments = load_record(Segments, item.folder("segment") / "segments.npz")
    assert (segments.mask.areas() > 0).mean() > 0.9


def test_detections_without_ids_are_tracked(place):
    folder, truth = place
    add_boxes(folder / "in", truth, ids=False)
    weights = tiny_weights.write(folder / "weights", ["reid-0248"])
    (item,) = Route(folder, weights=weights).run(folder / "in" / "two.mp4", until="track").items
    tracklets = load_record(Tracklets, item.folder("track") / "tracklets.npz")
    assert len(tracklets.frame) == int((truth.visible >= 0.1).sum())
    assert tracklets.embedding.any()
    assert "brought_boxes" in item.artifacts


def test_masks_alone_say_who_and_where(place):
    folder, truth = place
    add_masks(folder / "in", truth, names=("her", "him"))
    weights = tiny_weights.write(folder / "weights", [ESTIMATOR])
    (item,) = Route(folder, weights=weights).run(folder / "in" / "two.mp4", until="segment").items
    segments = load_record(Segments, item.folder("segment") / "segments.npz")
    tracklets = load_record(Tracklets, item.folder("track") / "tracklets.npz")
    assert set(tracklets.tracklet.tolist()) == {0, 1}
    for i in range(len(segments.frame)):
        np.testing.assert_array_equal(
            segments.mask.decode(i), truth.mask_at(int(segments.tracklet[i]), int(segments.frame[i]))
        )
    seen = int((truth.mask.areas() > 0).sum())
    assert len(segments.frame) == len(tracklets.frame) == seen


def test_masks_of_other_names_find_their_people(place):
    """The folder names say nothing of the ids in the boxes: who is who follows from where they are."""
    folder, truth = place
    add_boxes(folder / "in", truth)
    add_keypoints(folder / "in", truth)
    add_masks(folder / "in", truth, names=("zoe", "adam"))
    (item,) = Route(folder).run(folder / "in" / "two.mp4", until="segment").items
    segments = load_record(Segments, item.folder("segment") / "segments.npz")
    for i in range(len(segments.frame)):
        np.testing.assert_array_equal(
            segments.mask.decode(i), truth.mask_at(int(segments.tracklet[i]), int(segments.frame[i]))
        )


def test_masks_of_every_fourth_frame_as_in_sav(place):
    """Boxes are carried on between, and the masks of those frames are computed."""
    folder, truth = place
    annotated = list(range(0, FRAMES, 4))
    add_masks(folder / "in", truth, frames=annotated)
    add_keypoints(folder / "in", truth)
    (item,) = Route(folder).run(folder / "in" / "two.mp4", until="segment").items
    assert "brought_some_masks" in item.artifacts
    tracklets = load_record(Tracklets, item.folder("track") / "tracklets.npz")
    first = tracklets.box[tracklets.tracklet == 0]
    np.testing.assert_allclose(first[1], (3 * first[0] + first[4]) / 4, rtol=1e-5)
    segments = load_record(Segments, item.folder("segment") / "segments.npz")
    given = np.isin(segments.frame, annotated)
    for i in np.flatnonzero(given):
        want = truth.mask_at(int(segments.tracklet[i]), int(segments.frame[i]))
        np.testing.assert_array_equal(segments.mask.decode(int(i)), want)
    assert (~given).sum() > given.sum()
    overlap = [
        (mask & want).sum() / (mask | want).sum()
        for i in np.flatnonzero(~given)[:10]
        for mask, want in [
            (segments.mask.decode(int(i)), truth.mask_at(int(segments.tracklet[i]), int(segments.frame[i])))
        ]
    ]
    assert np.mean(overlap) > 0.4


def test_keypoints_of_some_frames_are_completed(place):
    folder, truth = place
    add_boxes(folder / "in", truth)
    add_keypoints(folder / "in", truth, frames=range(10))
    weights = tiny_weights.write(folder / "weights", [ESTIMATOR])
    (item,) = Route(folder, weights=weights).run(folder / "in" / "two.mp4", until="pose").items
    poses = load_record(Poses, item.folder("pose") / "poses.npz")
    brought = poses.frame < 10
    np.testing.assert_array_equal(
        poses.keypoint[brought], truth.keypoint[:, :10].transpose(1, 0, 2, 3).reshape(-1, 17, 2)
    )
    assert poses.score[~brought].any()
    assert not np.isin(poses.keypoint[~brought], truth.keypoint).all()


def test_keypoints_without_ids_go_to_their_boxes(place):
    folder, truth = place
    add_boxes(folder / "in", truth)
    add_keypoints(folder / "in", truth, ids=False)
    (item,) = Route(folder).run(folder / "in" / "two.mp4", until="pose").items
    poses = load_record(Poses, item.folder("pose") / "poses.npz")
    tracklets = load_record(Tracklets, item.folder("track") / "tracklets.npz")
    apart = np.abs(truth.box[0, :, 0] - truth.box[1, :, 0]) > 20
    rows = np.flatnonzero(apart[poses.frame])
    assert len(rows) > FRAMES
    np.testing.assert_array_equal(poses.keypoint[rows], truth.keypoint[tracklets.tracklet[rows], poses.frame[rows]])


def test_keypoints_alone_give_boxes(place):
    folder, truth = place
    add_keypoints(folder / "in", truth)
    (item,) = Route(folder).run(folder / "in" / "two.mp4", until="pose").items
    tracklets = load_record(Tracklets, item.folder("track") / "tracklets.npz")
    assert set(tracklets.tracklet.tolist()) == {0, 1}
    inside = 0
    for t, box, name in zip(tracklets.frame, tracklets.box, tracklets.tracklet, strict=True):
        low, high = np.maximum(box[:2], truth.box[name, t, :2]), np.minimum(box[2:], truth.box[name, t, 2:])
        inside += bool((high > low).all())
    assert inside >= 0.95 * len(tracklets.frame)
    poses = load_record(Poses, item.folder("pose") / "poses.npz")
    np.testing.assert_array_equal(poses.keypoint, truth.keypoint[tracklets.tracklet, tracklets.frame])


def test_a_clip_that_the_boxes_leave_empty_has_nobody(place):
    folder, truth = place
    early = replace(truth, present=truth.present & (np.arange(FRAMES) < 20))
    add_boxes(folder / "in", early)
    add_masks(folder / "in", early)
    done = Route(folder, max_s=1).run(folder / "in" / "two.mp4", until="track")
    assert [item.key[-8:] for item in done.items] == ["00000000"]
    (reject,) = done.rejects
    assert (reject.clip[-8:], reject.stage, reject.fault) == ("00000025", "detect", False)
    assert reject.reason.startswith("no people found in 25 frames by the file beside the source")


def test_only_what_changed_is_made_again(place):
    folder, truth = place
    for add in ALL:
        add(folder / "in", truth)
    video = folder / "in" / "two.mp4"
    route = Route(folder)
    first = costs(route.run(video))
    assert first == dict.fromkeys(first, 1) | {"bring": 3}
    assert set(costs(route.run(video)).values()) == {0}
    shrunk = replace(
        truth, mask=Masks.encode((_smaller(truth, i) for i in range(len(truth.mask))), size=truth.mask.size)
    )
    add_masks(folder / "in", shrunk)
    again = costs(route.run(video))
    assert {stage for stage, ran in again.items() if ran} == {"bring", "segment", "bind", "refine", "identify", "judge"}
    assert again["bring"] == 1
    (folder / "in" / "two.keypoints.json").write_text(
        (folder / "in" / "two.keypoints.json").read_text().replace('"frame_id": 0}', '"frame_id": 0, "x": 1}')
    )
    last = costs(route.run(video))
    assert {stage for stage, ran in last.items() if ran} >= {"bring", "pose"}
    assert not last["detect"]
    assert not last["track"]


def test_elsewhere_the_same_files_give_the_same_keys(place):
    folder, truth = place
    for add in ALL:
        add(folder / "in", truth)
    shutil.copytree(folder / "in", folder / "elsewhere" / "in")
    (one,) = Route(folder).run(folder / "in" / "two.mp4", until="segment").items
    (two,) = Route(folder / "elsewhere").run(folder / "elsewhere" / "in" / "two.mp4", until="segment").items
    assert {name: artifact.key for name, artifact in one.artifacts.items()} == {
        name: artifact.key for name, artifact in two.artifacts.items()
    }
    for name, file in (("segment", "segments.npz"), ("brought_masks", "brought.npz"), ("pose", "poses.npz")):
        assert (one.folder(name) / file).read_bytes() == (two.folder(name) / file).read_bytes()


def _smaller(people: People, i: int) -> np.ndarray:
    mask = people.mask.decode(i)
    mask[60:62] = False
    return mask


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        pytest.param("two.mot.txt", "1,1,5,5,-3,4\n", "two.mot.txt, line 1, w, h: want", id="a bad line"),
        pytest.param(
            "two.mot.txt",
            "51,1,5,5,3,4\n",
            r"want frames of the video, 1 to 50, got 51; here frames count from 1",
            id="beyond the end, as MOTChallenge counts",
        ),
        pytest.param(
            "two.coco.json",
            json.dumps({"images": [{"id": 7, "frame_id": 50}], "annotations": [{"image_id": 7, "bbox": [1, 1, 9, 9]}]}),
            "want frames of the video, 0 to 49, got 50; here frames count from 0",
            id="beyond the end, as COCO counts",
        ),
        pytest.param(
            "two.coco.json",
            json.dumps(
                {
                    "images": [{"id": 0, "frame_id": 0, "height": 50, "width": 50}],
                    "annotations": [{"image_id": 0, "bbox": [1, 1, 9, 9]}],
                }
            ),
            "want a picture of 128x96 as the video's, or one of its shape, got 50x50",
            id="another picture",
        ),
        pytest.param("two.keypoints.json", "[]", "want annotations with keypoints, got none", id="no keypoints"),
    ],
)
def test_a_bad_file_rejects_its_source_alone(place, file, content, said):
    folder, truth = place
    shutil.copy(folder / "in" / "two.mp4", folder / "in" / "good.mp4")
    with (folder / "in" / "good.mp4").open("ab") as more:
        more.write(bytes(8))  # other bytes: a source of its own
    add_boxes(folder / "in", truth, name="good")
    (folder / "in" / file).write_text(content)
    done = Route(folder).run(folder / "in" / "two.mp4", folder / "in" / "good.mp4", until="bring")
    assert [item.source for item in done.items] == ["good.mp4"]
    (reject,) = done.rejects
    assert (reject.source, reject.clip, reject.stage, reject.fault) == ("two.mp4", "", "bring", True)
    assert said in reject.reason
    assert str(folder) not in reject.reason


@pytest.mark.parametrize(
    ("step", "does", "given", "said"),
    [
        pytest.param("roles_in", "segfault", (), r"its reader crashed \(SIGSEGV\)", id="a crash, looking"),
        pytest.param("bring_into", "abort", (), r"its reader crashed \(SIGABRT\)", id="a crash"),
        pytest.param("roles_in", "hang", (), r"done within 2 s.* bring\.budget_s$", id="a hang, looking"),
        pytest.param("bring_into", "hang", (), r"done within 2 s.* bring\.budget_s$", id="a hang"),
        pytest.param("roles_in", "grow", (4000,), r"at most 2000 MB.* bring\.memory_mb$", id="memory, looking"),
        pytest.param("bring_into", "grow", (4000,), r"at most 2000 MB.* bring\.memory_mb$", id="memory"),
        pytest.param("roles_in", "double", (2,), "want what is in it from its reader", id="a forged answer"),
        pytest.param(
            "bring_into", "fail", ("AttributeError", "x"), r"cannot be read \(AttributeError: x\)", id="another error"
        ),
    ],
)
def test_what_a_file_does_to_its_reader_rejects_its_source_alone(place, monkeypatch, step, does, given, said):
    folder, truth = place
    shutil.copy(folder / "in" / "two.mp4", folder / "in" / "good.mp4")
    with (folder / "in" / "good.mp4").open("ab") as more:
        more.write(bytes(8))  # other bytes: a source of its own
    add_boxes(folder / "in", truth)
    monkeypatch.setattr(bring, step, partial(fenced_calls.instead, does, given))
    monkeypatch.setattr(bring, "_S_PER_FILE", 0.0)
    env, config = Env(store=Store(str(folder / "store")), download=False), bring.Config(budget_s=2, memory_mb=2000)
    videos = [folder / "in" / "two.mp4", folder / "in" / "good.mp4"]
    batch = Batch(items=tuple(probe.source_item(video, video.name, env.store) for video in videos))
    done = bring.bring.fn(probe.probe.fn(batch, probe.Config(), env), config, env)
    assert [item.source for item in done.items] == ["good.mp4"]
    (reject,) = done.rejects
    assert (reject.source, reject.stage, reject.fault) == ("two.mp4", "bring", True)
    assert re.search(f"^two\\.mot\\.txt: .*{said}", reject.reason), reject.reason
    assert not list((folder / "store" / ".tmp").iterdir()), "nothing half made is left"
    # The driver, which looks for what weights are needed, goes on too.
    assert bool(bring.artifacts_brought(videos[0], config))


def test_what_stands_beside_a_video_is_read_behind_the_fence_only(place, monkeypatch):
    folder, truth = place
    for add in ALL:
        add(folder / "in", truth)

    def refuse(*_, **__):
        raise AssertionError("read in this process")

    for reader in ("perception.read_text", "perception_mot.read_text", "perception_masks._read_png"):
        monkeypatch.setattr(f"datasets.{reader}", refuse)
    monkeypatch.setattr("datasets.video_geometry.open_video", refuse)
    done = Route(folder).run(folder / "in" / "two.mp4", until="segment")
    assert not done.rejects
    assert len(done.items) == 1


def test_pictures_may_be_links(place):
    """As where a folder of masks is made of links to a larger collection."""
    folder, truth = place
    add_masks(folder / "elsewhere", truth)
    there, masks = folder / "elsewhere" / "two.masks", folder / "in" / "two.masks"
    masks.mkdir()
    (masks / "01").symlink_to(there / "01")
    (masks / "02").mkdir()
    for picture in (there / "02").iterdir():
        (masks / "02" / picture.name).symlink_to(picture)
    (item,) = Route(folder).run(folder / "in" / "two.mp4", until="bring").items
    assert set(item.artifacts) == {"probe", "brought_tracks", "brought_masks"}

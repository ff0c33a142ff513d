"""COCO and SA-V JSON: what is taken, and what is said of what is not."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.perception import PerceptionError
from datasets.perception_coco import read_coco
from datasets.perception_sav import read_sav
from tests.perception_files import QUICK, disc, image, joints, note, rle, sav, whole

NAME = Path("clip.coco.json")


def test_coco_takes_all_that_an_annotation_holds():
    row = {"track_id": 4, "bbox": [1, 2, 3, 4], "keypoints": joints(1), "segmentation": rle(disc())}
    other = {**row, "track_id": 2, "bbox": [5.5, 2, 3, 4], "score": 0.5, "keypoints": joints(2), "visible": 0.25}
    found = read_coco(whole(note(1, **row), note(1, **other)), NAME)
    assert found.boxes.frame.tolist() == [1, 1]
    assert found.boxes.id.tolist() == [2, 4]
    assert found.boxes.box.tolist() == [[5.5, 2, 8.5, 6], [1, 2, 4, 6]]
    assert found.boxes.score.tolist() == [0.5, 1]
    assert found.boxes.visible.tolist() == [0.25, 1]
    assert found.boxes.size == found.masks.size == found.keypoints.size == (12, 16)
    assert found.keypoints.flag[:, 0].tolist() == [2, 1]
    assert found.keypoints.score[:, 0].tolist() == [1, 0.5]
    assert found.keypoints.keypoint[0, 3].tolist() == [3, 6]
    assert found.keypoints.annotated.tolist() == found.masks.annotated.tolist() == [0, 1, 2]
    assert [found.masks.mask.decode(i).tolist() for i in range(2)] == [disc().tolist()] * 2


@pytest.mark.parametrize(
    ("names", "more", "frames"),
    [
        pytest.param([{"file_name": "a/000007.jpg"}, {"file_name": "frame_2.png"}], {}, [2, 7], id="by file name"),
        pytest.param(
            [{"file_name": "1.jpg"}, {"file_name": "2.jpg"}], {"info": {"first_frame": 1}}, [0, 1], id="from 1"
        ),
        pytest.param([{"frame_index": 3}, {"frame_id": 5.0}], {}, [3, 5], id="said"),
    ],
)
def test_coco_frames(names, more, frames):
    images = [{"id": i, "height": 12, "width": 16, **name} for i, name in enumerate(names)]
    rows = [{"image_id": i, "bbox": [0, 0, 1, 1]} for i in range(len(names))]
    assert read_coco({"images": images, "annotations": rows, **more}, NAME).boxes.frame.tolist() == frames


def test_coco_results_are_a_list_whose_image_is_the_frame():
    found = read_coco(
        [{"image_id": 5, "keypoints": joints(0.7), "score": 0.9}, {"image_id": 3, "keypoints": joints(0)}], NAME
    )
    assert found.keypoints.frame.tolist() == [3, 5]
    np.testing.assert_allclose(found.keypoints.score[:, 0], [0, 0.7], rtol=1e-6)
    assert found.keypoints.flag[:, 0].tolist() == [0, 2]
    assert found.boxes is None
    assert found.keypoints.annotated.tolist() == [3, 5]
    assert not found.keypoints.has_ids


def test_coco_scores_beside_flags():
    row = note(0, keypoints=joints(1), keypoint_scores=[0.25] * 17)
    found = read_coco(whole(row), NAME).keypoints
    assert found.score[0].tolist() == [0.25] * 17
    assert found.flag[0].tolist() == [1] * 17


def test_an_empty_mask_is_nobody():
    rows = [note(0, track_id=1, segmentation=rle(disc())), note(1, track_id=1, segmentation=rle(disc() & False))]
    masks = read_coco(whole(*rows), NAME).masks
    assert masks.frame.tolist() == [0]
    assert masks.annotated.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        pytest.param({"images": []}, "want COCO JSON", id="no annotations"),
        pytest.param("text", "want COCO JSON", id="text"),
        pytest.param({"annotations": []}, "images: want a list", id="no images"),
        pytest.param(whole("row"), r"annotations\[0\]: want an object", id="an annotation that is none"),
        pytest.param(whole(note(7)), r"annotations\[0\].image_id: want the id of one", id="no such image"),
        pytest.param(whole({"image_id": [1]}), r"annotations\[0\].image_id", id="a list for an id"),
        pytest.param(
            whole(images=[image(0), image(0)]), r"images\[1\].id: want each image id once", id="an image twice"
        ),
        pytest.param(whole(images=[image(0), image(1, frame_id=0)]), "one image for each frame", id="a frame twice"),
        pytest.param(whole(images=[image(0), image(1, width=17)]), "images of one size", id="two sizes"),
        pytest.param(
            whole(images=[{"id": 1, "file_name": "a.jpg"}]), r"images\[0\].file_name: want a frame_id", id="nameless"
        ),
        pytest.param(whole(images=[{"id": 1, "frame_id": -1}]), r"images\[0\].frame_id: want a frame", id="frame -1"),
        pytest.param(
            whole(images=[image(0)], info={"first_frame": 1}),
            r"want a frame of info.first_frame = 1",
            id="before the first",
        ),
        pytest.param(
            whole(images=[image(0, height=10**9)]), r"height, width: want a height and width", id="a huge picture"
        ),
        pytest.param(whole(note(0, bbox=[1, 2, 3])), r"bbox: want x, y, width, height", id="three numbers"),
        pytest.param(whole(note(0, bbox=[1, 2, -3, 4])), r"bbox: want a width and height above 0", id="negative"),
        pytest.param(whole(note(0, bbox=[1, 2, float("nan"), 4])), r"bbox: want pixels", id="NaN"),
        pytest.param(whole(note(0, bbox=[1, 2, 10**400, 4])), r"bbox: want pixels", id="an integer without end"),
        pytest.param(whole(note(0, bbox=["1", 2, 3, 4])), r"bbox: want pixels", id="text for a number"),
        pytest.param(whole(note(0, score=2, bbox=[1, 2, 3, 4])), r"score: want a score of 0 to 1", id="score 2"),
        pytest.param(whole(note(0, track_id=1.5)), r"track_id: want an id", id="half an id"),
        pytest.param(whole(note(0, track_id=1), note(0, track_id=1)), "frame 0: want each id once", id="id twice"),
        pytest.param(
            whole(note(0, track_id=1), note(0)),
            "track_id in all annotations or in none, got it in 1 of 2",
            id="ids in part",
        ),
        pytest.param(
            whole(note(0, keypoints=[1, 2, 3])), r"keypoints: want 51 numbers \(17 joints\) or 399", id="one joint"
        ),
        pytest.param(whole(note(0, keypoints=joints(3))), r"keypoints: want v of 0, 1 or 2", id="flag 3"),
        pytest.param(
            whole(note(0, keypoints=joints(j3=(float("inf"), 1)))), r"keypoints\[9\]: want a number", id="infinity"
        ),
        pytest.param(
            whole(note(0, keypoints=joints(0.5)), note(1, keypoints=joints(2))),
            "flags 0, 1, 2 or scores of 0 to 1",
            id="flags and scores",
        ),
        pytest.param(
            whole(note(0, keypoints=joints(), keypoint_scores=[1])), "keypoint_scores: want 17 scores", id="one score"
        ),
        pytest.param(
            whole(note(0, keypoints=joints(), foot_kpts=[0] * 18)), "face_kpts: want 68 joints", id="half a whole body"
        ),
        pytest.param(
            whole(note(0, segmentation=rle(disc()))), "want a track_id with every mask", id="a mask of nobody"
        ),
        pytest.param(
            whole(note(0, track_id=1, segmentation=rle(disc((8, 8))))),
            r"segmentation.size: want \[h, w\] = \[12, 16\]",
            id="another size",
        ),
        pytest.param(
            whole(note(0, track_id=1, segmentation=[[0, 0, 1, 1, 2, 2]])), "polygons are not taken", id="a polygon"
        ),
        pytest.param([{"keypoints": joints()}], r"\[0\].image_id: want the frame", id="a result without a frame"),
    ],
)
def test_coco_refuses(plain, said):
    with pytest.raises(PerceptionError, match=said) as error:
        read_coco(plain, NAME)
    assert str(error.value).startswith("clip.coco.json")
    assert len(str(error.value)) < 400


FIELDS = (
    "images", "annotations", "id", "image_id", "frame_id", "bbox", "keypoints", "segmentation", "size", "counts",
    "score", "track_id", "masklet", "masklet_id", "video_height", "video_width", "info", "first_frame",
)  # fmt: skip
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@QUICK
@given(ANY_JSON, ANY_JSON, ANY_JSON)
def test_any_json_is_read_or_refused(plain, images, annotations):
    for one in (plain, {"images": images, "annotations": annotations}, whole(annotations), whole(images=images)):
        with contextlib.suppress(PerceptionError):
            read_coco(one, NAME)
    for one in (
        {"masklet": plain, "masklet_id": images},
        sav(masklet=plain),
        sav(masklet_id=images),
        sav(**_dict(annotations)),
    ):
        with contextlib.suppress(PerceptionError):
            read_sav(one, NAME)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def test_sav_entries_are_every_fourth_frame():
    masks = read_sav(sav(), NAME)
    assert masks.annotated.tolist() == [0, 4, 8]
    assert list(zip(masks.frame.tolist(), masks.id.tolist(), strict=True)) == [(0, 0), (0, 3), (4, 3), (8, 0), (8, 3)]
    np.testing.assert_array_equal(masks.mask.decode(2), disc(at=(5, 5)))
    assert masks.names == {"0": "0", "3": "3"}


def test_sav_with_an_entry_a_frame():
    assert read_sav(sav(frames=3, count=3), NAME).annotated.tolist() == [0, 1, 2]
    assert read_sav(sav(count=None), NAME).annotated.tolist() == [0, 4, 8]


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        pytest.param(sav(video_height=None), "video_height, video_width: want a height", id="no size"),
        pytest.param(sav(video_height=13.0), r"masklet\[0\].*size: want \[h, w\] = \[13, 16\]", id="another size"),
        pytest.param(sav(masklet_id=[1, 1]), "masklet_id: want 1 to 512 ids, each once", id="an id twice"),
        pytest.param(
            sav(masklet_id=[1]), r"masklet\[0\]: want 1 masks, one a masklet_id, got 2", id="more masks than ids"
        ),
        pytest.param(sav(masklet=[]), "masklet: want an entry", id="nothing"),
        pytest.param(sav(masklet={}), "masklet: want a list", id="no list"),
        pytest.param(sav(frames=5, count=12), "masklet: want at most 3 entries .* or 12", id="of another video"),
        pytest.param(sav(count=0), "video_frame_count: want a number of frames", id="a video of nothing"),
    ],
)
def test_sav_refuses(plain, said):
    with pytest.raises(PerceptionError, match=said):
        read_sav(plain, NAME)

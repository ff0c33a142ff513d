"""MOTChallenge text: what is taken, and what is said of what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.perception import Boxes, PerceptionError
from datasets.perception_mot import read_mot, write_mot
from tests.perception_files import QUICK


def mot(tmp_path: Path, text: str) -> Boxes:
    path = tmp_path / "clip.mot.txt"
    path.write_text(text)
    return read_mot(path)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param("1,2,10,20,30,40,0.5,-1,-1,-1\n", [(0, 2, 10, 20, 40, 60, 0.5, 1)], id="results"),
        pytest.param("1,-1,10,20,30,40,0.5\n", [(0, -1, 10, 20, 40, 60, 0.5, 1)], id="detections"),
        pytest.param("3,1,1.5,2,3,4,-1,-1,-1,-1", [(2, 1, 1.5, 2, 4.5, 6, 1, 1)], id="no score is a score of 1"),
        pytest.param("1,1,1,2,3,4", [(0, 1, 1, 2, 4, 6, 1, 1)], id="six columns"),
        pytest.param("1 1 1 2 3 4\n", [(0, 1, 1, 2, 4, 6, 1, 1)], id="blanks between"),
        pytest.param("1, 1, 1, 2, 3, 4,\n", [(0, 1, 1, 2, 4, 6, 1, 1)], id="blanks, a comma at the end"),
        pytest.param("\ufeff1,1,1,2,3,4\r\n\r\n# no\r\n", [(0, 1, 1, 2, 4, 6, 1, 1)], id="a mark, blank lines"),
        pytest.param(
            "2,1,1,1,2,2,1,1,0.25\n1,1,1,1,2,2,0,1,0\n",
            [(0, 1, 1, 1, 3, 3, 0, 0), (1, 1, 1, 1, 3, 3, 1, 0.25)],
            id="ground truth, out of order",
        ),
        pytest.param(
            "1,1,1,1,2,2,1,3,1\n1,2,1,1,2,2,1,7,1\n", [(0, 2, 1, 1, 3, 3, 1, 1)], id="a car goes, a static person stays"
        ),
        pytest.param("1,1,-5,-6,20,20,1e0,-1,-1,-1", [(0, 1, -5, -6, 15, 14, 1, 1)], id="beyond the picture"),
    ],
)
def test_mot_takes(tmp_path, text, rows):
    boxes = mot(tmp_path, text)
    got = [
        (int(t), int(i), *map(float, box), float(score), float(visible))
        for t, i, box, score, visible in zip(boxes.frame, boxes.id, boxes.box, boxes.score, boxes.visible, strict=True)
    ]
    assert got == rows
    assert boxes.has_ids == all(row[1] >= 0 for row in rows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "got none; remove the file", id="empty"),
        pytest.param("1,1,1,2,3", r"line 1: want 6 to 10 columns", id="too few columns"),
        pytest.param("1,1,1,2,3,4,1,1,1,1,1", r"line 1: want 6 to 10 columns", id="too many columns"),
        pytest.param("frame,id,x,y,w,h\n", r"line 1, frame: want a number, got 'frame'", id="a heading"),
        pytest.param("1,1,1,2,3,4\n0,1,1,2,3,4", r"line 2, frame: want a frame of 1 to \d+, got '0'", id="frame 0"),
        pytest.param("1.5,1,1,2,3,4", r"line 1, frame: want a frame of 1", id="half a frame"),
        pytest.param("99999999999,1,1,2,3,4", r"line 1, frame", id="a frame beyond any video"),
        pytest.param("1,-2,1,2,3,4", r"line 1, id: want -1", id="id -2"),
        pytest.param("1,1,nan,2,3,4", r"line 1, x: want a number, got 'nan'", id="NaN"),
        pytest.param("1,1,1e999,2,3,4", r"line 1, x: want a finite number", id="infinity"),
        pytest.param("1,1,1e7,2,3,4", r"line 1, x: want pixels within", id="no pixel of any picture"),
        pytest.param("1,1,1,2,-3,4", r"line 1, w, h: want a width and height above 0", id="negative width"),
        pytest.param("1,1,1,2,3,0", r"line 1, w, h: want a width and height above 0", id="no height"),
        pytest.param("1,1,1,2,3,4,55", r"line 1, conf: want a score of 0 to 1", id="a score of 55"),
        pytest.param("1,1,1,2,3,4,1,1,7", r"line 1, visibility: want a share", id="a share of 7"),
        pytest.param(
            "1,1,1,2,3,4\n1,1,5,5,3,4", r"frame 1: want each id once in a frame, got id 1 2 times", id="twice"
        ),
        pytest.param("1,1,1,2,3,4\n2,-1,5,5,3,4", r"ids in all lines or -1 in all, got 1 of 2", id="ids in part"),
        pytest.param("".join(f"1,{i},1,2,3,4\n" for i in range(600)), r"at most 512 in a frame", id="a crowd"),
        pytest.param("".join(f"{i + 1},{i},1,2,3,4\n" for i in range(5000)), r"at most 4096 ids", id="too many ids"),
        pytest.param("1,1," + "9" * 5000 + ",2,3,4", r"line 1, x: want a number", id="a number without end"),
    ],
)
def test_mot_refuses(tmp_path, text, said):
    with pytest.raises(PerceptionError, match=said) as error:
        mot(tmp_path, text)
    assert str(error.value).startswith("clip.mot.txt")
    assert len(str(error.value)) < 400


def test_mot_refuses_other_bytes(tmp_path):
    (tmp_path / "clip.mot.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(PerceptionError, match="want UTF-8 text"):
        read_mot(tmp_path / "clip.mot.txt")


@QUICK
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 5), *[st.integers(-6400, 6400)] * 2, *[st.integers(1, 6400)] * 2),
        min_size=1,
        unique_by=lambda row: row[:2],
    )
)
def test_mot_round_trip(tmp_path, rows):
    rows = sorted(rows)
    table = np.array(rows, float)
    box = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1) / 64
    ones = np.ones(len(rows), np.float32)
    boxes = Boxes(
        frame=table[:, 0].astype(np.int32), id=table[:, 1].astype(np.int64), box=box.astype(np.float32), score=ones,
        visible=ones, size=None,
    )  # fmt: skip
    back = mot(tmp_path, write_mot(boxes, np.ones(len(rows), bool)))
    for name in ("frame", "id", "box", "score", "visible"):
        np.testing.assert_array_equal(getattr(back, name), getattr(boxes, name))


@QUICK
@given(st.text(alphabet="0123456789-+.,eE \nna#i", max_size=200))
def test_mot_any_text(tmp_path, text):
    try:
        boxes = mot(tmp_path, text)
    except PerceptionError:
        return
    assert np.isfinite(boxes.box).all()
    assert (boxes.box[:, 2:] > boxes.box[:, :2]).all()
    assert (boxes.frame >= 0).all()

"""Tracking metrics: TrackEval through its adapter on hand-made cases and published files; who is not counted."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.masks import Masks
from flows.bench_tables import PUBLISHED
from flows.bench_tud import tud_figures
from tasks.backends.trackeval import scores, tally
from tasks.ops.crossing_truth import oracle_ids
from tasks.ops.track_rows import (
    TrackRows,
    box_overlaps,
    mask_overlaps,
    match,
    parse_mot,
    without_ignored,
)
from tests.draw_rows import detections, rows, walk

LENGTH = 20


def scored(truth: TrackRows, found: TrackRows) -> dict[str, float]:
    """Figures of one sequence."""
    return scores({"one": tally(box_overlaps(truth, found, LENGTH))})


TWO = rows({0: walk(0), 1: walk(300)}, LENGTH)
SWAPPED = rows({0: lambda t: walk(0 if t < 10 else 300)(t), 1: lambda t: walk(300 if t < 10 else 0)(t)}, LENGTH)


@pytest.mark.parametrize(
    ("found", "want"),
    [
        pytest.param(
            TWO, {"HOTA": 1, "DetA": 1, "AssA": 1, "IDF1": 1, "MOTA": 1, "IDSW": 0, "Frag": 0}, id="the truth"
        ),
        # Each id is right for half of its frames: IDF1 1/2; two switches of 40 boxes; AssA 10 / (20 + 20 - 10).
        pytest.param(
            SWAPPED,
            {"HOTA": (1 / 3) ** 0.5, "DetA": 1, "AssA": 1 / 3, "IDF1": 0.5, "MOTA": 38 / 40, "IDSW": 2, "Frag": 0},
            id="swapped in the middle",
        ),
        # One of two never found: 20 of 40 boxes.
        pytest.param(
            rows({0: walk(0)}, LENGTH),
            {"HOTA": 0.5**0.5, "DetA": 0.5, "AssA": 1, "IDF1": 2 * 20 / 60, "MOTA": 0.5, "IDSW": 0, "Frag": 0},
            id="one is missed",
        ),
        # Away in frames 8 and 9, then there again.
        pytest.param(
            rows({0: walk(0), 1: lambda t: None if t in (8, 9) else walk(300)(t)}, LENGTH),
            {"DetA": 38 / 40, "IDF1": 2 * 38 / 78, "MOTA": 38 / 40, "IDSW": 0, "Frag": 1},
            id="a gap",
        ),
        pytest.param(
            rows({}, LENGTH), {"HOTA": 0, "DetA": 0, "AssA": 0, "IDF1": 0, "MOTA": 0, "IDSW": 0}, id="nobody found"
        ),
    ],
)
def test_known_cases_have_known_figures(found, want):
    got = scored(TWO, found)
    assert {name: got[name] for name in want} == pytest.approx(want, abs=1e-9)


def test_sequences_are_combined_as_trackeval_does_and_not_averaged():
    long, short = tally(box_overlaps(TWO, TWO, LENGTH)), tally(box_overlaps(TWO, SWAPPED, LENGTH))
    few = rows({0: walk(0)}, 2)
    combined = scores({"long": long, "short": tally(box_overlaps(few, rows({}, 2), 2))})
    assert combined["IDF1"] == pytest.approx(2 * 40 / (2 * 40 + 2))
    assert scores({"a": long, "b": short})["IDSW"] == 2
    with pytest.raises(ValueError, match="one sequence or more, got none"):
        scores({})


def test_nothing_of_trackeval_reaches_standard_output(capfd):
    scored(TWO, SWAPPED)
    assert capfd.readouterr().out == ""


def test_published_figures_are_reproduced(shared):
    found = tud_figures(str(shared / "reference" / "tud"))
    assert set(found) == set(PUBLISHED)
    for name, row in PUBLISHED.items():
        for column, value in row.items():
            # TrackEval's were published with four digits, py-motmetrics's with three.
            assert round(found[name][column], 4 if column in ("HOTA", "DetA", "AssA") else 3) == value, (name, column)


def test_masks_overlap_as_their_pixels_do():
    size = (4, 6)
    left, right, nothing = np.zeros((3, *size), bool)
    left[:, :4], right[:, 2:] = True, True
    one = TrackRows(frame=np.array([0]), id=np.array([7]), box=np.zeros((1, 4)), mask=Masks.encode([left], size=size))
    two = TrackRows(
        frame=np.array([0, 0]),
        id=np.array([0, 1]),
        box=np.zeros((2, 4)),
        mask=Masks.encode([right, nothing], size=size),
    )
    (frame,) = mask_overlaps(one, two, 1)
    assert frame.similarity.tolist() == [[pytest.approx(1 / 3), 0]]
    assert frame.truth.tolist() == [7]


def test_boxes_on_ignored_people_go_and_others_stay():
    truth = rows({0: walk(0)}, LENGTH)
    ignored = rows({5: walk(300), 6: walk(8)}, LENGTH)  # one of them stands almost where the counted one does
    found = rows({0: walk(2), 1: walk(301), 2: walk(600)}, LENGTH)
    kept = without_ignored(found, truth, ignored)
    assert sorted(set(kept.id.tolist())) == [0, 2], "the counted person's box stays; the one on nobody is still wrong"
    assert len(kept) == 2 * LENGTH


def test_the_oracle_names_each_box_by_its_person_and_leaves_the_others():
    truth = rows({0: walk(0), 1: walk(60)}, 1)
    found = detections([(0, walk(1)(0)), (0, walk(58)(0)), (0, walk(400)(0))])
    assert oracle_ids(found, truth).tolist() == [0, 1, -1]


def test_matching_takes_the_greatest_sum_and_nothing_below_the_least():
    similarity = np.array([[0.9, 0.8, 0.0], [0.85, 0.1, 0.0], [0.0, 0.0, 0.49]])
    assert [ids.tolist() for ids in match(similarity)] == [[0, 1], [1, 0]]


def test_rows_must_fit_and_hold_an_id_once_a_frame():
    with pytest.raises(ValueError, match="got id 3 twice in frame 1"):
        TrackRows(frame=np.array([0, 1, 1]), id=np.array([3, 3, 3]), box=np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"frames 0 \.\. 9, got 0 \.\. 19"):
        box_overlaps(TWO, TWO, 10)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("1,2,3\n", "line 1: want frame", id="too few numbers"),
        pytest.param("1,1,0,0,9,9,1\n0,1,0,0,9,9,1\n", "line 2: want frame", id="frame 0"),
        pytest.param("1,1,0,0,9,nan,1\n", "line 1: want frame", id="not a number"),
        pytest.param("1,one,0,0,9,9\n", "line 1: want numbers", id="words"),
        pytest.param("1,1,0,0,9,9,1\n1,1,4,4,9,9,1\n", "got id 0 twice in frame 0", id="an id twice in a frame"),
    ],
)
def test_text_that_is_no_mot_says_where(text, said):
    with pytest.raises(ValueError, match=f"gt.txt: .*{said}"):
        parse_mot(text, "gt.txt")


def test_mot_text_counts_frames_from_1_and_marks_rows_not_to_count():
    found = parse_mot("2, 17, 10, 20, 30, 40, 1, -1, -1, -1\n\n1,4,0,0,5,5,0,1,1\n3,17,1,1,2,2\n", "gt.txt")
    assert found.frame.tolist() == [1, 2]
    assert found.id.tolist() == [0, 0]
    assert found.box[0].tolist() == [10, 20, 40, 60]

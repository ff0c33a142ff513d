"""What was promised of the crossings, and whether figures meet it."""

from __future__ import annotations

import pytest

from flows.bench_targets import targets

ROW = {"HOTA": 0.7, "DetA": 0.7, "AssA": 0.7, "IDF1": 0.8, "MOTA": 0.8, "IDSW_per_minute": 20.0}
RIVALS = {"bytetrack": ROW, "botsort": ROW | {"IDF1": 0.85, "IDSW_per_minute": 30.0}}
GOOD = RIVALS | {
    "oracle": ROW | {"HOTA": 0.85, "IDF1": 0.96, "IDSW_per_minute": 0.0},
    "ours": ROW | {"HOTA": 0.81, "IDF1": 0.951, "IDSW_per_minute": 1.9},
}
CUT = {"J_apart": 0.8, "J_contact": 0.6, "F": 0.6}


def met(trackers: dict = GOOD, *, masks: dict | None = None, review: dict | None = None) -> list[bool | None]:
    found = {
        "trackers": trackers,
        "scenarios": {"same_clothes": trackers, "embrace": trackers},
        "masks": masks or {"J_apart": 0.86, "J_contact": 0.71, "F": 0.8},
        "review": review or {"recall": 0.96, "clean_flagged": 0.09},
    }
    return [one.met for one in targets(found, CUT)]


def test_all_is_met():
    assert met() == [True] * 10


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        # A third of botsort's 0.15 is 0.05; for look-alikes a half is enough.
        pytest.param(met(GOOD | {"ours": GOOD["ours"] | {"IDF1": 0.949}}), [0], id="errors over a third"),
        pytest.param(met(GOOD | {"ours": GOOD["ours"] | {"IDF1": 0.84}}), [0, 1, 2], id="worse than one of them"),
        # A tenth of the fewest, bytetrack's 20.
        pytest.param(met(GOOD | {"ours": GOOD["ours"] | {"IDSW_per_minute": 2.1}}), [3], id="switches"),
        pytest.param(met(GOOD | {"ours": GOOD["ours"] | {"HOTA": 0.79}}), [4], id="gap closed by 0.6"),
        pytest.param(met(masks={"J_apart": 0.84, "J_contact": 0.69, "F": 1}), [5, 6, 7], id="masks"),
        pytest.param(met(review={"recall": 0.94, "clean_flagged": 0.11}), [8, 9], id="flags"),
    ],
)
def test_what_is_missed_is_said(figures, missed):
    assert [i for i, one in enumerate(figures) if one is False] == missed


def test_nothing_is_said_of_what_was_not_measured():
    figures = met(masks={"J_apart": None, "J_contact": None, "F": None}, review={"recall": None, "clean_flagged": 0.0})
    assert figures[5:9] == [None] * 4

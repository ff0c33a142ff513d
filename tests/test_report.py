"""Previews, timelines, the funnel and the report's folder, over drawn clips."""

from __future__ import annotations

import dataclasses
import json
import os
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.condition import person_color
from datasets.store import Store
from datasets.video import read_frames
from tasks.batch import Batch, Env, Reject
from tasks.ops.funnel import Left, funnel
from tasks.ops.panels import GREEN, draw_panels, lay_out, rear_to_front
from tasks.ops.timeline_facts import MAX_CELLS, timeline
from tasks.report import Config, report
from tasks.report_page import funnel_of, write_report
from tests.draw_people import FPS, Figure, draw_clip
from tests.draw_report import COSTS, REJECTS, doubted, drawn_items, store_at, with_previews

PAIR = (Figure(start=(0.3, 0.9), stop=(0.3, 0.9)), Figure(start=(0.7, 0.9), stop=(0.7, 0.9), shirt=(60, 90, 200)))


@pytest.mark.parametrize(
    ("people", "size", "columns", "rows", "spare"),
    [
        pytest.param(2, (512, 512), 5, 1, False, id="two, square: the five in a row"),
        pytest.param(2, (720, 1280), 3, 2, True, id="two, wide"),
        pytest.param(3, (720, 1280), 3, 2, False, id="three, wide"),
        pytest.param(2, (1280, 720), 5, 1, False, id="two, upright"),
        pytest.param(0, (512, 512), 3, 1, False, id="nobody"),
    ],
)
def test_the_layout_fits_people_and_shape(
    people: int, size: tuple[int, int], columns: int, rows: int, spare: bool
) -> None:
    layout = lay_out(people, size)
    assert (layout.columns, layout.rows, "condition" in layout.names) == (columns, rows, spare)
    assert layout.names[:2] == ("input", "together")
    assert [name for name in layout.names if name.startswith("person")] == [f"person {p + 1}" for p in range(people)]
    assert layout.panel[0] % 2 == layout.panel[1] % 2 == 0, "4:2:0 video wants even sides"
    assert layout.panel[1] / layout.panel[0] == pytest.approx(size[1] / size[0], rel=0.02)


@pytest.mark.parametrize("people", range(14))
def test_a_preview_is_bounded_however_many_people(people: int) -> None:
    layout = lay_out(people, (2160, 3840))
    assert layout.size[0] * layout.size[1] <= 600_000
    assert len(layout.names) <= layout.columns * layout.rows


@pytest.fixture(scope="module")
def panels() -> dict[str, np.ndarray]:
    """The panels of one frame by name; person 1 is red on the left, person 2 blue on the right."""
    people, frames = draw_clip(PAIR, frames=1, size=(240, 240))
    layout = lay_out(2, (240, 240))
    picture = draw_panels(frames[0], people, 0, layout)
    return {name: picture[:, i * 240 : (i + 1) * 240] for i, name in enumerate(layout.names)}


def test_each_panel_shows_what_it_says(panels: dict[str, np.ndarray]) -> None:
    left, right = panels["person 1"][60:200, :120], panels["person 1"][60:200, 120:]
    assert (left.astype(int).min(axis=-1) < 120).any()
    assert (right == 255).all(), "person 2 is not in the panel of person 1"
    assert (panels["person 2"][60:200, 2:120] == 255).all()
    corner = (slice(20, 40), slice(2, 30))
    assert (panels["matte"][corner] == GREEN).all()
    assert (panels["together"][corner] == 255).all()
    assert (panels["matte"][110, 66:78] == (200, 60, 60)).all(axis=-1).any(), "the matte keeps the person's own pixels"
    assert not np.array_equal(panels["together"], panels["matte"])


def test_boxes_and_strips_wear_the_persons_colour(panels: dict[str, np.ndarray]) -> None:
    for p in range(2):
        color = np.array(person_color(p))
        half = panels["input"][:, p * 120 : (p + 1) * 120]
        assert (half == color).all(axis=-1).sum() > 100, "the box of each person stands on their side"
        assert (panels[f"person {p + 1}"][2, 2:] == color).all()


def test_a_hidden_person_has_corners_in_the_input_and_no_cut_out() -> None:
    people, frames = draw_clip((PAIR[0], PAIR[0]), frames=1)
    assert people.visible[0, 0] < 0.1
    box = people.box.copy()
    box[0, 0] = (40, 20, 100, 170)
    people = dataclasses.replace(people, box=box)
    layout = lay_out(2, (180, 320))
    picture = draw_panels(frames[0], people, 0, layout)
    top = (picture[20, 40:100] == person_color(0)).all(axis=-1)
    assert 12 <= top.sum() < 50, "corners, not a box"


def test_who_is_hidden_lies_behind() -> None:
    people, _ = draw_clip(
        (Figure(start=(0.5, 0.8), stop=(0.5, 0.8)), Figure(start=(0.55, 0.9), stop=(0.55, 0.9))), frames=1
    )
    assert rear_to_front(people, 0) == [0, 1]
    swapped, _ = draw_clip(
        (Figure(start=(0.55, 0.9), stop=(0.55, 0.9)), Figure(start=(0.5, 0.8), stop=(0.5, 0.8))), frames=1
    )
    assert rear_to_front(swapped, 0) == [0, 1], "who hides the other is in front, wherever the feet are"


def test_the_timeline_keeps_short_doubts_and_absence() -> None:
    people, _ = draw_clip(
        (PAIR[0], Figure(start=(0.7, 0.9), stop=(0.7, 0.9), seen=(300, 600))), frames=600, size=(18, 32)
    )
    confidence = people.confidence.copy()
    confidence[0, 17] = 0.2
    people = dataclasses.replace(people, confidence=confidence)
    facts = timeline(people, FPS)
    assert (facts["seconds"], facts["cells"]) == (24.0, MAX_CELLS)
    assert facts["people"][0]["confidence"] == [[100, 7], [20, 1], [100, 232]], "one frame of 600 is not averaged away"
    assert facts["people"][1]["visible"] == [[-1, 120], [100, 120]]
    assert facts["unsure"] == [[0.68, 0.72]]


def test_events_come_in_seconds() -> None:
    people = doubted(draw_clip(PAIR, frames=30)[0])
    crossing, doubt, _ = timeline(people, Fraction(30000, 1001))["events"]
    assert crossing == {
        "kind": "crossing", "start": 0.234, "stop": 0.601, "people": [0, 1], "note": "boxes overlap by 0.62"
    }  # fmt: skip
    assert doubt["kind"] == "doubt"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Batch]:
    store = store_at(tmp_path_factory.mktemp("run"))
    return store, with_previews(store, drawn_items(store, frames=24, size=(120, 200)))


def test_a_preview_is_a_video_of_all_frames_with_poster_and_timeline(run: tuple[Store, Batch]) -> None:
    for item in run[1].items:
        folder = item.folder("report")
        facts = json.loads((folder / "timeline.json").read_text())
        frames = list(read_frames(folder / "preview.mp4"))
        assert len(frames) == 24
        assert list(frames[0].shape[:2]) == facts["size"]
        poster = cv2.imread(str(folder / "poster.jpg"))[..., ::-1].astype(int)
        shown = frames[round(facts["best"] * 25)].astype(int)
        assert np.abs(poster - shown).mean() < 6, "the poster is the frame in which everyone is best seen"


def test_a_preview_is_made_once_and_always_the_same(run: tuple[Store, Batch], tmp_path: Path) -> None:
    store, batch = run
    again = report.fn(Batch(items=batch.items), Config(), Env(store=store))
    assert (again.costs[-1].ran, again.costs[-1].reused) == (0, 3)
    other = store_at(tmp_path)
    fresh = with_previews(other, drawn_items(other, frames=24, size=(120, 200)))
    for a, b in zip(batch.items, fresh.items, strict=True):
        for name in ("preview.mp4", "poster.jpg", "timeline.json"):
            assert (a.folder("report") / name).read_bytes() == (b.folder("report") / name).read_bytes()


def test_a_fast_clip_shows_fewer_frames_in_the_same_time(run: tuple[Store, Batch]) -> None:
    store, batch = run
    slow = report.fn(Batch(items=batch.items[:1]), Config(max_fps=10), Env(store=store)).items[0].folder("report")
    assert len(list(read_frames(slow / "preview.mp4"))) == 8
    assert json.loads((slow / "timeline.json").read_text())["fps"] == pytest.approx(25 / 3, abs=1e-3)


def scripts(folder: Path, name: str) -> object:
    text = (folder / f"{name}.js").read_text()
    head = f"window.DUET=window.DUET||{{}};DUET.{name}="
    assert text.startswith(head)
    return json.loads(text.removeprefix(head).rstrip(";\n"))


def test_the_folder_holds_all_and_names_nothing_outside(run: tuple[Store, Batch], tmp_path: Path) -> None:
    store, batch = run
    page = write_report(
        tmp_path, batch.items, sources=5, rejects=REJECTS, costs=COSTS, title="Drawn", facts={"seed": "0"}
    )
    assert page == tmp_path / "report" / "index.html"
    clips = scripts(page.parent, "clips")
    assert [(c["key"], c["verdict"]) for c in clips] == [
        (item.key, verdict) for item, verdict in zip(batch.items, ("accepted", "review", "accepted"), strict=True)
    ]
    for clip in clips:
        folder = page.parent / clip["folder"]
        assert sorted(p.name for p in folder.iterdir()) == ["clip.js", "poster.jpg", "preview.mp4"]
        assert (folder / "preview.mp4").stat().st_nlink >= 2, "media are links into the store, not copies"
    told = scripts(page.parent, "run")
    assert told["costs"][2] == {"stage": "segment", "ran": 7, "reused": 1, "seconds": 114.0, "frames": 900}
    assert [p.name for p in tmp_path.iterdir()] == ["report"], "nothing is left aside"
    for text in (p.read_text() for p in page.parent.rglob("*") if p.suffix in {".html", ".js", ".css"}):
        assert str(tmp_path) not in text
        assert store.root not in text
        assert "://" not in text.replace("http://www.w3.org/2000/svg", ""), "the page names no address"


def test_a_second_report_replaces_the_first_whole(run: tuple[Store, Batch], tmp_path: Path) -> None:
    batch = run[1]
    write_report(tmp_path, batch.items, sources=3)
    first = {p.name for p in (tmp_path / "report" / "media").iterdir()}
    write_report(tmp_path, batch.items[1:], sources=2)
    second = {p.name for p in (tmp_path / "report" / "media").iterdir()}
    assert second < first
    assert len(second) == 2
    assert os.listdir(tmp_path) == ["report"]


def test_an_interrupted_report_leaves_the_old_one(run: tuple[Store, Batch], tmp_path: Path) -> None:
    batch = run[1]
    write_report(tmp_path, batch.items[:1], sources=1)
    (batch.items[1].folder("report") / "poster.jpg").rename(batch.items[1].folder("report") / "gone")
    try:
        with pytest.raises(FileNotFoundError):
            write_report(tmp_path, batch.items, sources=3)
    finally:
        (batch.items[1].folder("report") / "gone").rename(batch.items[1].folder("report") / "poster.jpg")
    assert len(scripts(tmp_path / "report", "clips")) == 1
    assert os.listdir(tmp_path) == ["report"]


def test_nothing_at_all_still_has_a_page(tmp_path: Path) -> None:
    page = write_report(tmp_path, [], sources=1, rejects=REJECTS[-1:])
    assert scripts(page.parent, "clips") == []
    assert [step["count"] for step in scripts(page.parent, "run")["funnel"]] == [1, 0, 0, 0, 0, 0]


def lost(stage: str, reason: str, *, whole_source: bool = False) -> Left:
    return Left(stage=stage, reason=reason, whole_source=whole_source)


@pytest.mark.parametrize(
    ("left", "counts", "reasons"),
    [
        pytest.param([], [3, 3, 5, 5, 5, 4], [["for a person to look at", 1]], id="nothing lost"),
        pytest.param(
            [
                lost("probe", "no video", whole_source=True),
                lost("judge", "no people found in 3 frames"),
                lost("bind", "nobody stays in the picture: 2 tracks left out"),
            ],
            [3, 2, 7, 5, 5, 4],
            [
                ["probe: no video", 1],
                ["bind: nobody stays in the picture: 2 tracks left out", 1],
                ["judge: no people found in 3 frames", 1],
                ["for a person to look at", 1],
            ],
            id="one source and two empty clips",
        ),
        pytest.param(
            [
                lost("bind", "nobody stays in the picture: 1 track left out (too short)"),
                lost("bind", "nobody stays in the picture: 2 tracks left out (too short)"),
            ],
            [3, 3, 7, 5, 5, 4],
            [["bind: nobody stays in the picture: … tracks left out (too short)", 2], ["for a person to look at", 1]],
            id="one and many are one reason",
        ),
        pytest.param(
            [
                lost("judge", "9 people found, at most 8 wanted"),
                lost("judge", "20 people found, at most 8 wanted; small"),
                lost("judge", "1 person found, at least 2 wanted"),
            ],
            [3, 3, 8, 8, 5, 4],
            [
                ["judge: … people found, at most … wanted", 2],
                ["judge: 1 person found, at least 2 wanted", 1],
                ["for a person to look at", 1],
            ],
            id="equal reasons are counted together, by the first of each clip",
        ),
    ],
)
def test_the_funnel_counts_and_says_why(left: list[Left], counts: list[int], reasons: list[list[object]]) -> None:
    steps = funnel(sources=3, accepted=4, review=1, left=left)
    assert [step.count for step in steps] == counts
    assert [[loss.reason, loss.count] for step in steps for loss in step.losses] == reasons


def test_the_funnel_of_a_run() -> None:
    steps = funnel_of(6, ["accepted", "review", "accepted"], REJECTS)
    assert [(step.name, step.count) for step in steps] == [
        ("sources found", 6), ("sources with clips", 5), ("clips", 7), ("with people", 6), ("fit to use", 3),
        ("accepted", 2),
    ]  # fmt: skip
    assert all(isinstance(reject, Reject) for reject in REJECTS)

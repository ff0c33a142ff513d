"""The benchmark's command: what it refuses, what it prints, and one clip from the camera to the page."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from datasets.store import Store
from flows.bench_crossings import CLIPS, QUICK_CLIPS, STRESSED, jobs_of
from flows.bench_take import Job, run_job
from flows.benchmark import AUDIENCE, main
from flows.presets import light
from flows.settings import override
from tasks import stress
from tasks.batch import Env
from tasks.filming import Config, film_crossing
from tasks.ops.crossings import SCENARIOS, crossings
from tasks.rivals import CHOSEN, rival
from tests.bench.rivals import GRID
from tests.test_report_browser import browser

__all__ = ["browser"]

FIGURES = {"HOTA", "DetA", "AssA", "IDF1", "MOTA", "IDSW_per_minute"}
TRACKERS = {"bytetrack", "botsort", "occluboost", "oracle", "ours"}

USAGE = [
    pytest.param(["--suite", "crossing"], ["invalid choice: 'crossing'", "--help"], id="unknown suite"),
    pytest.param(["--seed", "-1"], ["--seed -1", "0 or more"], id="negative seed"),
    pytest.param(["--seed", "x"], ["--seed", "invalid int value: 'x'"], id="a seed that is no number"),
    pytest.param(["--workers", "0"], ["--workers 0", "1 to"], id="no workers"),
    pytest.param(["--stressed", "-3"], ["--stressed -3", "0 or more"], id="stressed"),
    pytest.param(["--weights", "nowhere"], ["--weights nowhere", "no such folder"], id="no weights folder"),
    pytest.param(["--set", "bind.tuch=1"], ["did you mean bind.touch"], id="unknown setting"),
    pytest.param(["--clips", "empty"], ["--clips empty", "crossing.json", "got none"], id="no clips"),
    pytest.param(["--out", "full"], ["--out full", "letter.txt"], id="OUT with other files"),
    pytest.param(["--data", "bad"], ["--data: want it with --suite tud", "--suite crossings"], id="data of tud"),
    *(
        pytest.param(
            ["--suite", suite, *option], [f"{option[0]}: want it with --suite crossings"], id=f"{option[0]}, {suite}"
        )
        for suite in ("faults", "tud")
        for option in (["--set", "bind.touch=0.2"], ["--stressed", "0"], ["--clips", "empty"], ["--ids-only"])
    ),
    pytest.param(["--suite", "tud"], ["--data DIR", "TUD-Campus"], id="tud without data"),
    pytest.param(["--suite", "tud", "--data", "empty"], ["gt.txt and test.txt", "got none"], id="no sequences"),
    pytest.param(["--suite", "tud", "--data", "bad"], ["one/gt.txt: line 1", "hello"], id="text that is no MOT"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE)
def test_a_command_that_cannot_run_says_why(tmp_path, monkeypatch, capfd, arguments, said):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "full", "bad/one"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "full" / "letter.txt").write_text("dear")
    for name in ("gt.txt", "test.txt"):
        (tmp_path / "bad" / "one" / name).write_text("hello, world\n")
    try:
        code = main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    out, err = capfd.readouterr()
    assert code == 2
    assert out == ""
    for words in said:
        assert words in err
    assert not (tmp_path / "out").exists()


def test_tud_prints_one_object_or_a_table(shared, capfd):
    data = str(shared / "reference" / "tud")
    assert main(["--suite", "tud", "--data", data, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert set(found) == {"TUD-Campus", "TUD-Stadtmitte"}
    assert all(set(row) == {"HOTA", "DetA", "AssA", "IDF1", "MOTA"} for row in found.values())
    assert found["TUD-Campus"]["HOTA"] == pytest.approx(0.3914, abs=5e-5)
    assert main(["--suite", "tud", "--data", data]) == 0
    text = capfd.readouterr().out
    assert "0.3914" in text
    assert "published" in text


def test_the_full_form_has_what_the_figures_are_promised_of():
    jobs = jobs_of(3, quick=False, stressed=None)
    assert len(jobs) == CLIPS >= 40
    assert sum(len(job.stresses) for job in jobs) == STRESSED >= 200
    assert {job.crossing.scenario for job in jobs} == set(SCENARIOS)
    assert all(set(job.stresses) == set(stress.NAMES) for job in jobs), "each clip in each way"
    assert all(job.crossing.scene.duration_s >= 4 for job in jobs)
    quick = jobs_of(3, quick=True, stressed=None)
    assert len(quick) == QUICK_CLIPS
    assert [len(job.stresses) for job in jobs_of(3, quick=True, stressed=8)] == [2, 2, 1, 1, 1, 1]


def test_the_rivals_are_set_as_the_grid_says():
    tried = {rival(name, buffer_s, settings) for name, points in GRID.items() for _, buffer_s, settings in points}
    assert set(CHOSEN) <= tried, "chosen among what was tried"
    assert [one.name for one in CHOSEN] == list(GRID)


@dataclass(frozen=True)
class Ran:
    """What the command left of one filmed crossing and a stressed form of it."""

    filmed: Path
    store: Path
    out: Path
    found: dict
    told: str


@pytest.fixture(scope="module")
def ran(shared, tmp_path_factory) -> Ran:
    """The command, run as a user runs it, on one small crossing of a second."""
    folder = tmp_path_factory.mktemp("benchmark")
    filmed, store, out = folder / "filmed", folder / "store", folder / "out"
    (filmed / "one").mkdir(parents=True)
    film_crossing(crossings(3, 1, seconds=1.0)[0], filmed / "one", Config(width=320, height=320))
    command = [
        sys.executable, "-m", "flows.benchmark", "--clips", str(filmed), "--weights", str(shared / "weights"),
        "--store", str(store), "--out", str(out), "--stressed", "1", "--workers", "1", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Ran(filmed=filmed, store=store, out=out, found=json.loads(done.stdout), told=done.stderr)


def test_one_object_is_printed_with_all_figures(ran):
    found = ran.found
    assert list(found) == ["suite", "seed", "clips", "trackers", "scenarios", "masks", "pose", "review"]
    assert (found["suite"], found["seed"], found["clips"]) == ("crossings", 0, 1)
    assert set(found["trackers"]) == TRACKERS
    (scenario,) = found["scenarios"].values()
    assert scenario == found["trackers"], "one clip, one scenario"
    for row in found["trackers"].values():
        assert set(row) == FIGURES
        assert all(0 <= row[name] <= 1 for name in FIGURES - {"IDSW_per_minute", "MOTA"})
    assert found["trackers"]["ours"]["IDF1"] > 0.5, "two people walk about in plain sight"
    assert set(found["masks"]) == {"J_apart", "J_contact", "F"}
    assert set(found["pose"]) == {"OKS", "PCK"}
    assert set(found["review"]) == {"recall", "clean_flagged"}
    assert "1 clip, 1 stressed" in ran.told


def test_the_table_has_a_row_for_each_clip_and_tracker(ran):
    table = pq.read_table(ran.out / "benchmark.parquet").to_pylist()
    ours = [row for row in table if row["tracker"] == "ours"]
    assert [row["stress"] for row in ours] == ["as filmed", "drops"]
    assert {row["tracker"] for row in table} == TRACKERS
    assert all(row["verdict"] for row in ours)
    assert ours[0]["box_IDF1"] == pytest.approx(ran.found["trackers"]["ours"]["IDF1"], abs=1e-6)
    assert ours[0]["grabcut_F"] is not None


def test_nothing_is_made_twice(ran, shared):
    made = {path: path.stat().st_mtime_ns for path in ran.store.rglob("artifact.json")}
    env = Env(store=Store(str(ran.store)), weights=str(shared / "weights"), download=False)
    config = override(light(), (AUDIENCE,))
    takes = run_job(Job(folder=str(ran.filmed / "one"), stresses=("drops",)), config, env)
    assert [take.key for take in takes] == [takes[0].name, f"{takes[0].name}-drops"]
    assert sum(cost.ran for take in takes for cost in take.costs) == 0
    assert {path: path.stat().st_mtime_ns for path in ran.store.rglob("artifact.json")} == made


def test_every_way_of_worse_detections_goes_through(ran, shared):
    env = Env(store=Store(str(ran.store)), weights=str(shared / "weights"), download=False)
    takes = run_job(Job(folder=str(ran.filmed / "one"), stresses=stress.NAMES, masks=False), light(), env)
    assert [take.stress for take in takes[1:]] == list(stress.NAMES)
    assert takes[0].frames > takes[1 + stress.NAMES.index("rate")].frames
    for take in takes:
        assert "score_ours" in take.item.artifacts


def test_stressed_clips_get_new_masks_but_no_new_poses(ran, shared):
    env = Env(store=Store(str(ran.store)), weights=str(shared / "weights"), download=False)
    for said in ((), ("refine.masks=keep",)):
        config = override(light(), (AUDIENCE, *said))
        filmed, stressed = run_job(Job(folder=str(ran.filmed / "one"), stresses=("drops",), masks=False), config, env)
        about = [take.item.folder("refine") / "artifact.json" for take in (filmed, stressed)]
        was, less = (json.loads(path.read_text())["about"]["config"] for path in about)
        assert was["masks"] == less["masks"] == config.refine.masks
        assert was["estimator"] is not None
        assert was["smooth"]
        assert {**was, "estimator": None, "smooth": False} == less, "and all else is as it was"


def test_the_page_opens_from_its_file(ran, browser):
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    told, asked = [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((ran.out / "index.html").as_uri())
    assert page.inner_text("h1") == "Crossings, seed 0, 1 clip"
    assert page.locator("tr.ours").count() >= 3
    video = page.locator(".clip video")
    assert video.count() == 1
    seconds = video.evaluate(
        "video => new Promise(done => { video.onloadedmetadata = () => done(video.duration); video.load(); })"
    )
    assert seconds == pytest.approx(1.0, abs=0.05)
    line = page.locator(".clip svg.line")
    line.scroll_into_view_if_needed()
    box = line.bounding_box()
    page.mouse.click(box["x"] + box["width"] * (70 + 480) / 1030, box["y"] + 4)
    assert video.evaluate("video => video.currentTime") == pytest.approx(0.5, abs=0.05), "a click goes to its moment"
    page.close()
    assert told == []
    assert all(url.startswith(ran.out.as_uri()) for url in asked), "the page asks for nothing but its own folder"


def test_no_crossing_is_a_crowd() -> None:
    """Nine people stand in the audience's clips of some seeds: detect would turn them away, and the run would end."""
    most = 5 + max(scenario.audience[1] for scenario in SCENARIOS.values())
    assert light().detect.max_people < most <= override(light(), (AUDIENCE,)).detect.max_people

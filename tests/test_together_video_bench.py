"""The command: what it refuses, what it says of videos that differ, and real people through all of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from datasets.members import Bundle
from datasets.records import Clip, People, Sample, load_record
from datasets.store import Store
from datasets.video import VideoWriter, read_frames
from flows.together_video_bench import main
from flows.video_bench_figures import NAMES
from flows.video_bench_run import Wanted, jobs_of
from tasks.batch import Env
from tasks.filming import Config, film_crossing
from tasks.ops.crossings import crossings
from tests.build_samples import bundle, judged
from tests.draw_people import cast_of
from tests.test_report_browser import browser
from tests.test_shard_task import build
from tests.test_together_video_bench_networks import scripted

__all__ = ["browser"]

FRAMES, FPS, SIZE = 24, 24, 288


def filmed(folder: Path) -> Bundle:
    """A second of two people, filmed with its exact truth, as a sample."""
    folder.mkdir(parents=True)
    film_crossing(crossings(3, 1, seconds=FRAMES / FPS)[0], folder, Config(width=SIZE, height=SIZE))
    clip, people = load_record(Clip, folder / "clip.npz"), load_record(People, folder / "people.npz")
    key = "crossing-3-00000000-00000000"
    clip = replace(clip, key=key, source="crossing-3.mp4", sha256="0" * 64, file=f"{key}.mp4")
    sample = Sample(
        key=key, verdict="accepted", reasons=(), scores={}, reference_frame=0,
        coverage=tuple(1.0 for _ in range(people.num_people)), provenance={},
    )  # fmt: skip
    return Bundle(
        clip=clip, people=people, cast=cast_of(people), sample=sample, video=(folder / "clip.mp4").read_bytes(),
        reference=bundle().reference,
    )  # fmt: skip


@pytest.fixture(scope="module")
def drawn_out(tmp_path_factory) -> Path:
    """A dataset of two drawn clips, whom no detector takes for people."""
    root = tmp_path_factory.mktemp("drawn")
    build(judged(Store(str(root / "store")), [bundle(source=f"{name}.mp4") for name in "ab"]), root / "out")
    return root / "out"


def keys_of(out: Path) -> list[str]:
    return sorted(row["key"] for row in pq.read_table(out / "index.parquet").to_pylist())


def video(path: Path, *, frames: int = 8, size: tuple[int, int] = (96, 128), fps: Fraction = Fraction(30)) -> Path:
    """A grey video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps=fps, size=size) as writer:
        for t in range(frames):
            writer.write(np.full((*size, 3), 80 + t, np.uint8))
    return path


USAGE = [
    pytest.param([], ["--generated DIR|RUN", "--ceiling", "got neither"], id="nothing to score"),
    pytest.param(["--generated", "nowhere"], ["--generated nowhere", "no such folder"], id="no such folder"),
    pytest.param(["--generated", "empty"], ["want KEY.mp4", "got no .mp4 at all"], id="no video"),
    pytest.param(["--generated", "others"], ["want KEY.mp4", "got dog"], id="videos of nothing"),
    pytest.param(["--ceiling", "--key", "a-zebra"], ["--key a-zebra", "got no such key"], id="no such key"),
    pytest.param(["--generated", "one", "--key", "KEY1"], ["want KEY1.mp4", "no such file"], id="a key with no video"),
    pytest.param(["--ceiling", "--split", "test"], ["accepted sample or more of split test"], id="an empty split"),
    pytest.param(["--ceiling", "--limit", "0"], ["--limit 0", "1 or more"], id="no clips"),
    pytest.param(["--ceiling", "--workers", "0"], ["--workers 0", "1 or more"], id="no workers"),
    pytest.param(["--ceiling", "--seed", "-1"], ["--seed -1", "0 or more"], id="negative seed"),
    pytest.param(["--ceiling", "--set", "bind.tuch=1"], ["did you mean bind.touch"], id="unknown setting"),
    pytest.param(["--ceiling", "--features", "fid=inception:no.pth"], ["torch-fidelity", "no.pth"], id="no weights"),
    pytest.param(["--ceiling", "--out", "full"], ["--out full", "letter.txt"], id="OUT with other files"),
    pytest.param(["--ceiling", "--real", "empty"], ["want a dataset that flows.build_dataset wrote"], id="no dataset"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE)
def test_a_command_that_cannot_run_says_why(tmp_path, monkeypatch, capfd, drawn_out, arguments, said):
    monkeypatch.chdir(tmp_path)
    keys = keys_of(drawn_out)
    for name in ("empty", "others", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    (tmp_path / "others" / "dog.mp4").write_bytes(b"")
    video(tmp_path / "one" / f"{keys[0]}.mp4")

    def named(text: str) -> str:
        return text.replace("KEY1", keys[1])

    try:
        code = main(["--real", str(drawn_out), *map(named, arguments)])
    except SystemExit as stopped:
        code = stopped.code
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    for words in said:
        assert named(words) in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_all_videos_that_cannot_be_compared_are_named_before_anything_is_measured(tmp_path, capfd, drawn_out, shared):
    one, two = keys_of(drawn_out)
    video(tmp_path / "made" / f"{one}.mp4", size=(320, 64))
    (tmp_path / "made" / f"{two}.mp4").write_bytes(b"no video")
    code = main([
        "--real", str(drawn_out), "--generated", str(tmp_path / "made"), "--out", str(tmp_path / "out"),
        "--store", str(tmp_path / "store"), "--weights", str(shared / "weights"), "--workers", "1",
    ])  # fmt: skip
    err = capfd.readouterr().err
    assert code == 2
    assert "2 of 2 videos cannot be compared" in err
    assert f"{one}.mp4: want a picture of about the shape of 128x96" in err
    assert f"{two}.mp4" in err.split("cannot be compared")[1]
    assert not (tmp_path / "out" / "scores.parquet").exists()


def test_a_clip_in_review_drives_nothing_unless_it_is_asked_for(tmp_path):
    some = [bundle(source="a.mp4"), bundle(source="b.mp4", verdict="review")]
    build(judged(Store(str(tmp_path / "store")), some), tmp_path / "out")
    (accepted, review), env = (one.clip.key for one in some), Env(store=Store(str(tmp_path / "store")))

    def keys(*wanted: str) -> list[str]:
        jobs, _ = jobs_of(Wanted(real=str(tmp_path / "out"), generated=None, keys=wanted), env)
        return [job.row["key"] for job in jobs]

    assert keys() == [accepted]
    assert keys(review, accepted, review) == sorted([accepted, review])


def test_videos_that_fit_no_sample_and_samples_with_no_video_are_told(tmp_path, drawn_out):
    one, two = keys_of(drawn_out)
    for name in (one, f"{one}.side-by-side", "dog"):
        video(tmp_path / f"{name}.mp4")
    jobs, told = jobs_of(Wanted(real=str(drawn_out), generated=str(tmp_path)), Env(store=Store(str(tmp_path / "s"))))
    assert [job.video for job in jobs] == [str(tmp_path / f"{one}.mp4")]
    assert told == [f"1 of 2 samples have no video and are left out: {two}", "1 video is of no sample asked for: dog"]


@dataclass(frozen=True)
class Ran:
    """What the command left."""

    real: Path
    made: Path
    out: Path
    store: Path
    key: str
    shared: Path
    features: str

    def command(self, *more: str) -> list[str]:
        return [
            "--real", str(self.real), "--store", str(self.store), "--weights", str(self.shared / "weights"),
            "--workers", "1", "--features", self.features, *more,
        ]  # fmt: skip


@pytest.fixture(scope="module")
def ran(shared, tmp_path_factory) -> Ran:
    """The command on a filmed second and a video of it of 72 pixels and half as many frames, and on the real one."""
    root = tmp_path_factory.mktemp("bench")
    sample = filmed(root / "film")
    key = sample.clip.key
    build(judged(Store(str(root / "samples")), [sample]), root / "real")
    (root / "made").mkdir()
    with VideoWriter(root / "made" / f"{key}.mp4", fps=Fraction(FPS, 2), size=(72, 72)) as writer:
        for t, frame in enumerate(read_frames(sample.video, size=(72, 72))):
            if t % 2 == 0 and t < 20:
                writer.write(frame)
    features = f"fvd=i3d:{scripted(root / 'i3d.pt')}"
    one = Ran(
        real=root / "real", made=root / "made", out=root / "out", store=root / "store", key=key, shared=shared,
        features=features,
    )  # fmt: skip
    assert main(one.command("--generated", str(one.made), "--ceiling", "--out", str(one.out))) == 0
    return one


def rows_of(out: Path) -> dict[tuple[str, str], dict]:
    return {(row["subject"], row["key"]): row for row in pq.read_table(out / "scores.parquet").to_pylist()}


def test_the_table_has_every_clip_and_all_together(ran):
    rows = rows_of(ran.out)
    assert set(rows) == {(subject, key) for subject in ("generated", "ceiling") for key in (ran.key, "")}
    made, real = rows["generated", ran.key], rows["ceiling", ran.key]
    assert (made["frames"], made["fps"], made["width"], made["height"]) == (10, 12.0, 72, 72)
    assert (real["frames"], real["width"]) == (10, 72), "the ceiling is of the same frames and size"
    assert "72x72 beside 288x288, compared at 72x72" in made["notes"]
    assert "12 frames a second beside 24: by time" in made["notes"]
    assert any("the first 19 of 24" in note for note in made["notes"])
    for name in NAMES:
        if name in ("LPIPS", "FID", "masked_FID", "FVD", "masked_FVD"):
            assert made[name] is None, "ten frames hold no piece of sixteen"
        else:
            assert rows["generated", ""][name] == made[name], "one clip is all clips"


def test_the_real_video_scores_near_the_top_and_its_copy_a_little_less(ran):
    rows = rows_of(ran.out)
    real, made = rows["ceiling", ""], rows["generated", ""]
    assert (real["PSNR"], real["SSIM"], real["L1"]) == (100.0, 1.0, 0.0)
    assert real["masked_PSNR"] == 100.0
    assert 28 < made["PSNR"] < 60
    assert 0.85 < made["SSIM"] < 1
    for row in (real, made):
        assert row["IDF1"] > 0.7, "two people in plain sight, even in 72 pixels"
        assert row["IDSW"] == 0
        assert row["found"] > 0.7
        assert row["OKS"] > 0.2
        assert row["PoseSSIM"] > 0.85
        assert 0 < row["MPJPE2D"] < 60


def test_the_page_shows_the_table_and_plays_both_videos(ran, browser):
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    told, asked = [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((ran.out / "index.html").as_uri())
    assert page.inner_text("h1") == "TogetherVideoBench: 1 clip"
    words = page.inner_text("body")
    for said in ("HOTA", "PoseSSIM", "masked PSNR", "72x72 beside 288x288", "by time", "LPIPS, FID: not measured"):
        assert said in words
    film = page.locator(".clip video")
    seconds = film.evaluate(
        "video => new Promise(done => { video.onloadedmetadata = () => done(video.duration); video.load(); })"
    )
    assert seconds == pytest.approx(10 / 12, abs=0.1)
    page.close()
    assert told == []
    assert all(url.startswith(ran.out.as_uri()) for url in asked), "the page asks for nothing but its own folder"


def test_the_same_command_computes_nothing_again(ran, capfd):
    made = {path: path.stat().st_mtime_ns for path in ran.store.rglob("artifact.json")}
    table = (ran.out / "scores.parquet").read_bytes()
    assert main(ran.command("--generated", str(ran.made), "--ceiling", "--out", str(ran.out), "--json")) == 0
    found = json.loads(capfd.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in ran.store.rglob("artifact.json")} == made
    assert (ran.out / "scores.parquet").read_bytes() == table
    assert set(found["subjects"]) == {"generated", "ceiling"}
    assert found["subjects"]["generated"]["IDF1"] == pytest.approx(rows_of(ran.out)["generated", ""]["IDF1"])
    assert found["notes"][ran.key]


def test_a_video_that_shows_nobody_has_a_score_too(ran, tmp_path):
    video(tmp_path / "made" / f"{ran.key}.mp4", frames=FRAMES, size=(SIZE, SIZE), fps=Fraction(FPS))
    assert main(ran.command("--generated", str(tmp_path / "made"), "--out", str(tmp_path / "out"))) == 0
    row = rows_of(tmp_path / "out")["generated", ran.key]
    assert "no people found" in row["turned_away"]
    assert (row["HOTA"], row["IDF1"], row["found"], row["OKS"]) == (0, 0, 0, 0)
    assert row["MPJPE2D"] is None
    assert row["near_PoseSSIM"] < 0.3 < 0.85 < row["PoseSSIM"]
    assert row["PSNR"] < 30
    assert row["FVD"] is None, "one piece has no spread"
    assert "Nobody to score" in (tmp_path / "out" / "index.html").read_text()

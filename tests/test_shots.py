"""Sources in, clips out: cut where the picture cuts, and a reason for every piece that is dropped."""

from __future__ import annotations

import hashlib
import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from datasets.records import Clip, load_record
from datasets.store import MANIFEST, Store
from datasets.video import clip_facts, read_frames, read_window
from tasks.backends.scenedetect import find_cuts, working_size
from tasks.batch import Batch, Env, Item
from tasks.clips import clip_of
from tasks.ops.shots import Piece, plan_pieces, sample_key, slug
from tasks.probe import Config as ProbeConfig
from tasks.probe import probe, source_item
from tasks.shots import Config, clips_in, shots
from tests.make_videos import clicks_in, flat, number_of, numbered, write_video

FPS = Fraction(25)


def run(paths: list[Path], tmp_path: Path, config: Config | None = None, store: str = "store") -> Batch:
    """Probe and shots over these files, as a flow calls them."""
    env = Env(store=Store(str(tmp_path / store)))
    items = tuple(source_item(path, path.name, env.store) for path in paths)
    return shots.fn(probe.fn(Batch(items=items), ProbeConfig(), env), config or Config(), env)


def scene(seed: int, count: int, size: tuple[int, int] = (72, 96)) -> list[np.ndarray]:
    """One shot: coloured shapes on a coloured ground, drifting slowly."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(30, 226, 3)
    boxes = [(rng.integers(0, size[0] - 30), rng.integers(0, size[1] - 40), rng.integers(0, 256, 3)) for _ in range(5)]
    pictures = []
    for i in range(count):
        picture = np.full((*size, 3), ground, np.uint8)
        for y, x, colour in boxes:
            picture[y : y + 24, x + i // 6 % 8 : x + i // 6 % 8 + 28] = colour
        pictures.append(picture)
    return pictures


def faded(pictures: list[np.ndarray], gains: list[float]) -> list[np.ndarray]:
    return [(picture * gain).astype(np.uint8) for picture, gain in zip(pictures, gains, strict=True)]


# --- cuts


def cuts_of(pictures: list[np.ndarray], fade_level: float = 8.0) -> tuple[int, ...]:
    found = find_cuts(pictures, FPS, threshold=3.0, min_content=27.0, min_shot=8, fade_level=fade_level)
    assert len(found.level) == len(pictures)
    return found.cuts


@pytest.mark.parametrize(
    ("pictures", "cuts"),
    [
        pytest.param(scene(1, 60), (), id="one shot"),
        pytest.param(scene(1, 30) + scene(2, 30) + scene(3, 30), (30, 60), id="hard cuts"),
        pytest.param([p for p in scene(1, 20) for _ in range(2)], (), id="film on twos"),
        pytest.param([p for p in scene(1, 15) + scene(2, 15) for _ in range(2)], (30,), id="film on twos, with a cut"),
        pytest.param(scene(1, 30) + [flat(0, (72, 96))] * 20 + scene(1, 30), (30, 50), id="black between"),
        pytest.param([flat(0, (72, 96))] * 10 + scene(1, 30), (10,), id="begins black"),
        pytest.param(scene(1, 30) + [flat(0, (72, 96))] * 10, (30,), id="ends black"),
        pytest.param([], (), id="nothing"),
        pytest.param(scene(1, 1), (), id="one frame"),
    ],
)
def test_cuts_are_found_where_they_are(pictures: list[np.ndarray], cuts: tuple[int, ...]) -> None:
    assert cuts_of(pictures) == cuts


def test_a_fade_is_cut_where_the_picture_has_gone_and_is_back() -> None:
    down, up = list(np.linspace(1, 0, 20)), list(np.linspace(0, 1, 20))
    pictures = scene(1, 30) + faded(scene(1, 20), down) + faded(scene(2, 20), up) + scene(2, 30)
    level = [picture.mean() for picture in pictures]
    out = next(i for i in range(30, 70) if level[i] < 8)
    back = next(i for i in range(out, 90) if level[i] >= 8)
    assert cuts_of(pictures) == (out, back)
    # So slowly that no frame differs from the next by a whole level.
    slow = [(scene(1, 1)[0] * (0.06 - 0.001 * i)).astype(np.uint8) for i in range(60)]
    level = [picture.mean() for picture in slow]
    assert level[0] > 8 > level[-1]
    assert cuts_of(scene(1, 30) + slow) == (30, 30 + next(i for i in range(60) if level[i] < 8))
    assert not {out, back} & set(cuts_of(pictures, fade_level=0)), "told to leave fades alone"


def test_frames_are_looked_at_small() -> None:
    assert working_size(2160, 3840) == (144, 256)
    assert working_size(3840, 2160) == (256, 144)
    assert working_size(120, 160) == (120, 160)
    assert working_size(2, 4000) == (2, 256)


# --- pieces


BRIGHT = np.full(1000, 100, np.float32)


@pytest.mark.parametrize(
    ("cuts", "frames", "min_s", "max_s", "kept", "dropped"),
    [
        pytest.param([], 100, 1, 10, [(0, 100)], [], id="one shot"),
        pytest.param([60], 100, 1, 10, [(0, 60), (60, 40)], [], id="one cut"),
        pytest.param([], 251, 1, 10, [(0, 125), (125, 126)], [], id="a frame too long: two halves"),
        pytest.param([], 600, 1, 10, [(0, 200), (200, 200), (400, 200)], [], id="evenly"),
        pytest.param([], 250, 1, 10, [(0, 250)], [], id="just as long as allowed"),
        pytest.param([25, 49], 149, 1, 10, [(0, 25), (49, 100)], [(25, 24)], id="one frame too short"),
        pytest.param([], 300, 8, 10, [(0, 250)], [(250, 50)], id="halves would be too short"),
        pytest.param([], 500, 4, 4, [(i * 100, 100) for i in range(5)], [], id="all of one length"),
        pytest.param([], 10, 1, 10, [], [(0, 10)], id="nothing long enough"),
        pytest.param([0, 100, 900], 100, 1, 10, [(0, 100)], [], id="cuts outside"),
    ],
)
def test_pieces(cuts: list[int], frames: int, min_s: float, max_s: float, kept: list, dropped: list) -> None:
    pieces = plan_pieces(cuts, BRIGHT[:frames], FPS, min_s=min_s, max_s=max_s, fade_level=8)
    assert [(p.start, p.frames) for p in pieces if not p.reason] == kept
    assert [(p.start, p.frames) for p in pieces if p.reason] == dropped
    assert all("too short: want" in p.reason for p in pieces if p.reason)
    assert sum(p.frames for p in pieces) == frames, "every frame is accounted for"


def test_a_dark_stretch_is_dropped_as_black_and_a_dim_one_is_kept() -> None:
    level = np.concatenate([np.full(50, 90), np.full(40, 3.5), np.full(60, 20)]).astype(np.float32)
    pieces = plan_pieces([50, 90], level, FPS, min_s=1, max_s=10, fade_level=8)
    reason = "black: want a mean level of 8 or more, got 3.50 at most"
    assert pieces == (
        Piece(start=0, frames=50),
        Piece(start=50, frames=40, reason=reason),
        Piece(start=90, frames=60),
    )


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a/b/Duet Case.01.MP4", "duet_case_01"),
        ("Übung größe.mov", "ubung_grosse"[:6] + "groe"),
        ("踊り.mp4", "source"),
        ("C:\\films\\Nr 1.avi", "nr_1"),
        ("x" * 90 + ".mp4", "x" * 48),
        (".hidden", "hidden"),
        ("plain", "plain"),
        ("--__--.mp4", "source"),
    ],
)
def test_slugs_are_plain(source: str, name: str) -> None:
    assert slug(source) == name
    assert re.fullmatch(r"[a-z0-9_-]+", sample_key(source, "0" * 64, 7))
    assert sample_key(source, "f" * 64, 7) == f"{name}-ffffffff-00000007"


# --- the stage


def test_a_source_becomes_clips(tmp_path: Path) -> None:
    pictures = scene(1, 40) + scene(2, 15) + scene(3, 300)
    path = write_video(tmp_path / "My Film.mp4", pictures)
    batch = run([path], tmp_path, Config(crf=10))
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    assert [item.part for item in batch.items] == ["00000000", "00000055", "00000205"]
    assert [item.key for item in batch.items] == [f"my_film-{sha[:8]}-{item.part}" for item in batch.items]
    assert [item.frames for item in batch.items] == [40, 150, 150]
    assert all({"probe", "shots"} <= set(item.artifacts) for item in batch.items)
    (reject,) = batch.rejects
    assert (reject.source, reject.clip, reject.stage) == ("My Film.mp4", f"my_film-{sha[:8]}-00000040", "shots")
    assert (reject.reason, reject.fault) == ("too short: want 1 s or more, got 0.60 s", False)
    for item in batch.items:
        clip, video = clip_of(item)
        assert (clip.key, clip.sha256, clip.source) == (item.key, sha, "My Film.mp4")
        assert (clip.fps, clip.size, clip.audio) == (25, (72, 96), False)
        facts = clip_facts(video)
        assert (facts.frames, facts.fps, facts.size) == (clip.frames, clip.fps, clip.size)
        assert facts.keyframes == tuple(range(0, clip.frames, 12))
        for i, frame in enumerate(read_frames(video)):
            assert np.abs(frame.astype(int) - pictures[clip.start + i]).mean() < 6


def test_clips_of_a_variable_rate_source_show_the_right_frames(tmp_path: Path) -> None:
    times = [*range(0, 1000, 40), *range(1400, 3000, 40)]
    path = write_video(tmp_path / "a.mkv", numbered(len(times)), times=times)
    (item,) = run([path], tmp_path).items
    shown = [number_of(frame) for frame in read_frames(clip_of(item)[1])]
    wanted = [max(k for k, t in enumerate(times) if t < i * 40 + 20) % 12 for i in range(75)]
    assert shown == wanted


def test_max_side_scales_and_keeps_even(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", scene(1, 30, (72, 98)))
    (item,) = run([path], tmp_path, Config(max_side=49)).items
    clip, video = clip_of(item)
    assert clip.size == clip_facts(video).size == (36, 48)


def test_sound_goes_with_its_clip(tmp_path: Path) -> None:
    pictures = [flat(255, (72, 96)) if i % 25 == 0 and i else p for i, p in enumerate(scene(1, 240))]
    path = write_video(tmp_path / "a.mp4", pictures, clicks=range(1, 10))
    batch = run([path], tmp_path, Config(max_s=4, min_content=255))
    assert [item.frames for item in batch.items] == [80, 80, 80]
    for item in batch.items:
        clip, video = clip_of(item)
        assert clip.audio
        assert clip_facts(video).audio
        flashes = [i / 25 for i, frame in enumerate(read_frames(video)) if frame.mean() > 240]
        assert clicks_in(video) == pytest.approx(flashes, abs=0.005)
        assert len(flashes) >= 2


def test_a_source_without_clips_is_a_reject_with_the_reason(tmp_path: Path) -> None:
    short = write_video(tmp_path / "short.mp4", scene(1, 10))
    black = write_video(tmp_path / "black.mp4", [flat(0)] * 50)
    one = write_video(tmp_path / "one.mp4", scene(1, 1))
    batch = run([short, black, one], tmp_path)
    assert not batch.items
    whole = {reject.source: reject.reason for reject in batch.rejects if not reject.clip}
    assert whole == {
        "short.mp4": "no clip in it: 1 piece dropped (1 too short)",
        "black.mp4": "no clip in it: 1 piece dropped (1 black)",
        "one.mp4": "no clip in it: 1 piece dropped (1 too short)",
    }
    assert len(batch.rejects) == 6, "the source and its piece"


def test_a_file_that_breaks_after_its_probe_fails_alone(tmp_path: Path) -> None:
    env = Env(store=Store(str(tmp_path / "store")))
    paths = [write_video(tmp_path / name, scene(i, 40)) for i, name in enumerate(("a.mp4", "b.mp4"))]
    probed = probe.fn(Batch(items=tuple(source_item(p, p.name, env.store) for p in paths)), ProbeConfig(), env)
    write_video(paths[0], scene(0, 20))
    batch = shots.fn(probed, Config(), env)
    assert [item.source for item in batch.items] == ["b.mp4"]
    (reject,) = batch.rejects
    assert (reject.source, reject.fault) == ("a.mp4", True)
    assert "want 40 frames as probed, got 20" in reject.reason


def test_two_runs_give_equal_bytes_and_the_second_reuses(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", scene(1, 40) + scene(2, 60), clicks=(0.5, 2))
    first, again, other = (run([path], tmp_path, store=store) for store in ("one", "one", "two"))
    assert (first.costs[-1].ran, again.costs[-1].ran, again.costs[-1].reused) == (1, 0, 1)
    assert first.items == again.items
    folders = [batch.items[0].folder("shots") for batch in (first, other)]
    # The manifest says when files were written.
    names = [sorted(p.name for p in folder.iterdir() if p.name != MANIFEST) for folder in folders]
    assert names[0] == names[1]
    assert all((folders[0] / n).read_bytes() == (folders[1] / n).read_bytes() for n in names[0])


def test_expansion_reads_nothing_but_the_index(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", scene(1, 40) + scene(2, 10))
    batch = run([path], tmp_path)
    folder = batch.items[0].folder("shots")
    source = Item(key="a.mp4", source="a.mp4", path=str(path), artifacts=batch.items[0].artifacts)
    for file in folder.glob("*.mp4"):
        file.unlink()
    path.unlink()
    clips, rejects = clips_in(source)
    assert [clip.key for clip in clips] == [item.key for item in batch.items]
    assert rejects == batch.rejects
    index = json.loads((folder / "shots.json").read_text())
    assert index["cuts"] == [40]
    assert index["dropped"] == [{"start": 40, "frames": 10, "reason": rejects[0].reason}]


@pytest.mark.parametrize(
    "settings",
    [{"min_s": 0}, {"min_s": 5, "max_s": 4}, {"max_side": 8}, {"crf": 60}, {"gop": 0}],
)
def test_settings_out_of_range_are_named(settings: dict) -> None:
    with pytest.raises(ValueError, match="shots"):
        Config(**settings)


# --- real footage

# Cuts do not depend on how clips are encoded: quick and small will do.
SMALL = Config(max_side=64, preset="ultrafast")


def test_animation_is_cut_at_its_cuts_and_fades(tmp_path: Path, shared: Path) -> None:
    batch = run([shared / "footage" / "negative_animation_with_cuts.mp4"], tmp_path, SMALL)
    folder = batch.items[0].folder("shots")
    cuts = json.loads((folder / "shots.json").read_text())["cuts"]
    # Seen by eye on contact sheets: hard cuts, and a cut to black at 372 and 624.
    assert {286, 348, 372, 523, 573, 610, 624} <= set(cuts)
    black = [reject for reject in batch.rejects if reject.reason.startswith("black")]
    assert len(black) >= 4
    # On both sides of a cut the pictures differ far more than inside a clip.
    video = shared / "footage" / "negative_animation_with_cuts.mp4"
    for cut in (286, 348, 523, 573, 610):
        before, last, first, after = read_window(video, [cut - 2, cut - 1, cut, cut + 1], size=(60, 106)).astype(int)
        across = np.abs(first - last).mean()
        assert across > 3 * np.abs(last - before).mean()
        assert across > 3 * np.abs(after - first).mean()


@pytest.mark.parametrize(
    "name", ["duet_case10.mp4", "duet_case12.mp4", "basketball_moving_camera.mp4", "group2.mp4", "humanrob_04.mp4"]
)
def test_one_shot_footage_is_not_cut(tmp_path: Path, shared: Path, name: str) -> None:
    batch = run([shared / "footage" / name], tmp_path, SMALL)
    index = json.loads((batch.items[0].folder("shots") / "shots.json").read_text())
    assert (index["cuts"], index["dropped"]) == ([], [])
    for item in batch.items:
        clip = load_record(Clip, item.folder("shots") / f"{item.part}.npz")
        assert clip.duration_s <= 10

"""Files in, Sources out: constant rate by timestamps, and a true reason for what is none."""

from __future__ import annotations

import hashlib
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from datasets.records import Source
from datasets.store import Store
from datasets.video import read_source
from tasks.batch import Batch, Env, Item
from tasks.ops.timeline import constant_rate
from tasks.probe import STAGE, Config, probe, sha256_of, source_item, source_of
from tests.make_videos import number_of, numbered, write_sound, write_video

NTSC = Fraction(30000, 1001)


def env(tmp_path: Path) -> Env:
    return Env(store=Store(str(tmp_path / "store")))


def run(paths: list[Path], tmp_path: Path, config: Config | None = None) -> Batch:
    """The probe task over these files, as a flow calls it."""
    here = env(tmp_path)
    items = tuple(source_item(path, path.name, here.store) for path in paths)
    return probe.fn(Batch(items=items), config or Config(), here)


# --- timestamps -> a constant rate


@pytest.mark.parametrize(
    ("time_s", "last_s", "rates", "fps", "shown"),
    [
        pytest.param([0, 0.04, 0.08], 0.04, [25], 25, [0, 1, 2], id="even, as the header says"),
        pytest.param([0, 0.04, 0.08, 0.12], 0.04, [90000], 25, [0, 1, 2, 3], id="the header lies beyond reason"),
        pytest.param([0, 0.04, 0.08, 0.12, 0.16], 0, [50], 25, [0, 1, 2, 3, 4], id="the header lies by half"),
        pytest.param([0, 0.033, 0.067, 0.1, 0.133], 0, [], 30, [0, 1, 2, 3, 4], id="rounded to milliseconds"),
        pytest.param(np.arange(900) / float(NTSC), 0, [], NTSC, range(900), id="NTSC seen over half a minute"),
        pytest.param([0, 0.04, 0.12, 0.16], 0.04, [25], 25, [0, 1, 1, 2, 3], id="one frame was dropped"),
        pytest.param([0, 0.04, 0.08, 0.6], 0.04, [], 25, [0, 1, *[2] * 13, 3], id="a pause"),
        pytest.param(
            [0, 0.04, 0.05, 0.08, 0.12, 0.16, 0.2], 0.04, [25], 25, [0, 2, 3, 4, 5, 6], id="one too many in a slot"
        ),
        pytest.param([0, 0.04, 0.08, 0.16], 0.2, [25], 25, [0, 1, 2, 2, 3, 3, 3, 3, 3], id="the last one stays"),
        pytest.param([0], 0, [], 25, [0], id="one frame, no rate"),
        pytest.param([0], 0.1, [24], 24, [0], id="one frame"),
        pytest.param([0, 0, 0], 0, [24], 24, [0, 1, 2], id="no times at all"),
        pytest.param([0, 800 / 12208, 1600 / 12208], 0, ["763/50"], Fraction(763, 50), [0, 1, 2], id="an odd rate"),
        pytest.param([0, 0.1, 0.5, 0.9], 0.4, [Fraction(25, 11)], Fraction(5, 2), [0, 1, 2], id="slow and uneven"),
    ],
)
def test_constant_rate(time_s: object, last_s: float, rates: list, fps: object, shown: object) -> None:
    times = np.asarray(time_s, np.float64)
    line = constant_rate(times, last_s, [Fraction(rate) for rate in rates], max_frames=10000)
    assert line.fps == fps
    assert line.frame_map.dtype == np.int32
    if line.fps == Fraction(5, 2):
        assert line.variable
        assert np.all(np.diff(line.frame_map) >= 0)
        return
    assert line.frame_map.tolist() == list(shown)  # type: ignore[call-overload]
    assert line.variable == (list(shown) != list(range(len(times))))  # type: ignore[call-overload]


def test_every_shown_frame_is_within_half_a_frame_of_its_time() -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.choice([0.02, 0.033, 0.04, 0.05, 0.3], 400))
    times -= times[0]
    line = constant_rate(times, 0.04, [], max_frames=100000)
    at = np.arange(len(line.frame_map)) / float(line.fps)
    half = 0.5 / float(line.fps) + 1e-9
    shown = times[line.frame_map]
    assert np.all(shown <= at + half), "no frame is shown before its time"
    following = np.append(times[1:], np.inf)[line.frame_map]
    assert np.all(following > at - half), "nor after the next one's"


def test_a_jump_in_time_is_refused_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"after frame 1 the timestamps jump by 95443\.7 s; cut the file there"):
        constant_rate(np.array([0, 0.04, 95443.74, 95443.78]), 0.04, [Fraction(25)], max_frames=100000)


# --- the stage


def test_variable_rate_becomes_constant_by_timestamps(tmp_path: Path) -> None:
    # 10 frames 40 ms apart, a pause of 200 ms, then every 20 ms.
    times = [*range(0, 400, 40), *range(560, 700, 40), *range(700, 800, 20)]
    path = write_video(tmp_path / "vfr.mkv", numbered(len(times)), times=times)
    batch = run([path], tmp_path)
    (item,) = batch.items
    source = source_of(item)
    assert (source.variable, source.fps, source.decoded) == (True, 25, len(times))
    assert item.frames == source.frames == 21
    wanted = [max(k for k, t in enumerate(times) if t < i * 40 + 20) for i in range(21)]
    frames = list(read_source(path, source))
    assert [number_of(frame) for frame in frames] == [k % 12 for k in wanted]


@pytest.mark.parametrize("fps", [Fraction(24), NTSC, Fraction(60), Fraction(763, 50)])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_constant_rate_stays_as_it_is(tmp_path: Path, fps: Fraction, ending: str) -> None:
    path = write_video(tmp_path / f"a.{ending}", numbered(40), rate=fps)
    (item,) = run([path], tmp_path).items
    source = source_of(item)
    assert (source.decoded, source.frames, source.variable) == (40, 40, False)
    assert float(source.fps) == pytest.approx(float(fps), rel=2e-3)
    if ending == "mp4":
        assert source.fps == fps


def test_one_frame_is_a_source(tmp_path: Path) -> None:
    (item,) = run([write_video(tmp_path / "a.mp4", numbered(1))], tmp_path).items
    assert item.frames == 1


def test_what_a_source_says(tmp_path: Path) -> None:
    path = write_video(tmp_path / "Ä b.mp4", numbered(50), clicks=(0.5,))
    (item,) = run([path], tmp_path, Config(licence="CC0")).items
    source = source_of(item)
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (source.path, source.licence, source.codec) == ("Ä b.mp4", "CC0", "h264")
    assert source.audio is not None
    assert (source.audio.rate, source.audio.channels, source.audio.codec) == (48000, 2, "aac")
    assert source.audio.start_s == pytest.approx(0, abs=0.03)
    assert source.audio.duration_s == pytest.approx(2, abs=0.05)


def test_bad_files_are_refused_with_reasons_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = write_video(tmp_path / "good.mp4", numbered(30))
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[:-400])
    sound = write_sound(tmp_path / "sound.mp4")
    names = ["text.mp4", "empty.mp4", "cut.mp4"]
    batch = run([tmp_path / names[0], tmp_path / names[1], good, sound, tmp_path / names[2]], tmp_path)
    assert [item.source for item in batch.items] == ["good.mp4"]
    reasons = {reject.source: reject.reason for reject in batch.rejects}
    assert set(reasons) == {"text.mp4", "empty.mp4", "sound.mp4", "cut.mp4"}
    assert "empty" in reasons["empty.mp4"]
    assert "only sound" in reasons["sound.mp4"]
    assert "cut short" in reasons["cut.mp4"]
    assert not any(reject.fault for reject in batch.rejects), "bad input is a reject by rule, not a fault of ours"
    assert batch.costs[-1].ran == 5


def test_a_file_that_vanished_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(3))
    here = env(tmp_path)
    item = source_item(path, "a.mp4", here.store)
    path.unlink()
    batch = probe.fn(Batch(items=(item,)), Config(), here)
    assert "no such file" in batch.rejects[0].reason


def _truncated(tmp_path: Path) -> Path:
    """A file with its index in front, of which only a third arrived."""
    path = write_video(tmp_path / "a.mp4", numbered(150, (96, 144)), container={"movflags": "+faststart"})
    data = path.read_bytes()
    begin = data.index(b"mdat")
    path.write_bytes(data[: begin + (len(data) - begin) // 3])
    return path


def test_a_file_cut_short_is_refused_unless_allowed(tmp_path: Path) -> None:
    path = _truncated(tmp_path)
    batch = run([path], tmp_path)
    assert not batch.items
    assert "want at most 10% of a file lost" in batch.rejects[0].reason
    assert "of 6.0 s" in batch.rejects[0].reason
    (item,) = run([path], tmp_path, Config(max_lost=1.0)).items
    source = source_of(item)
    assert 20 < source.frames < 140
    assert len(list(read_source(path, source))) == source.frames


def test_a_file_is_hashed_once(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    path = tmp_path / "a.bin"
    path.write_bytes(b"first")
    first = sha256_of(path, store)
    assert first == hashlib.sha256(b"first").hexdigest()
    state = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert sha256_of(path, store) == first, "same path, size and time: not read again"
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert sha256_of(path, store) == hashlib.sha256(b"other").hexdigest()


def test_a_second_run_reuses_and_a_changed_file_or_setting_does_not(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(5))
    first = run([path], tmp_path)
    again = run([path], tmp_path)
    assert (first.costs[-1].ran, again.costs[-1].ran, again.costs[-1].reused) == (1, 0, 1)
    assert first.items == again.items
    assert run([path], tmp_path, Config(licence="CC0")).costs[-1].ran == 1
    write_video(path, numbered(6))
    changed = run([path], tmp_path)
    assert (changed.costs[-1].ran, changed.items[0].frames) == (1, 6)


def test_two_names_of_one_file_are_two_sources(tmp_path: Path) -> None:
    here = env(tmp_path)
    path = write_video(tmp_path / "a.mp4", numbered(5))
    items = tuple(source_item(path, name, here.store) for name in ("x/a.mp4", "y/b.mp4"))
    probed = probe.fn(Batch(items=items), Config(), here)
    assert [source_of(item).path for item in probed.items] == ["x/a.mp4", "y/b.mp4"]


def test_the_artifact_does_not_depend_on_where_the_file_lies(tmp_path: Path) -> None:
    here = env(tmp_path)
    first = write_video(tmp_path / "a.mp4", numbered(5))
    second = tmp_path / "elsewhere.mp4"
    second.write_bytes(first.read_bytes())
    keys = {STAGE.key(source_item(path, "a.mp4", here.store), Config(), here) for path in (first, second)}
    assert len(keys) == 1


@pytest.mark.parametrize("settings", [{"max_lost": 1.5}, {"max_lost": -0.1}, {"max_frames": 0}])
def test_settings_out_of_range_are_named(settings: dict) -> None:
    with pytest.raises(ValueError, match="want max_lost within 0"):
        Config(**settings)


FOOTAGE = {
    "basketball_moving_camera.mp4": (300, NTSC),
    "bedroom.mp4": (200, 30),
    "duet_case01.mp4": (151, 30),
    "duet_case10.mp4": (59, Fraction(763, 50)),
    "group2.mp4": (129, 24),
    "humanrob_01.mp4": (313, 30),
    "negative_animation_with_cuts.mp4": (720, 24),
    "negative_tiny_pedestrians.mp4": (341, 25),
}


def test_real_footage_has_the_frames_it_is_known_to_have(tmp_path: Path, shared: Path) -> None:
    batch = run([shared / "footage" / name for name in FOOTAGE], tmp_path)
    assert not batch.rejects
    sources: list[Source] = [source_of(item) for item in batch.items]
    assert {source.path: (source.frames, source.fps) for source in sources} == FOOTAGE
    assert [source.path for source in sources if source.audio] == ["negative_tiny_pedestrians.mp4"]


def test_an_item_keeps_what_it_was(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(5))
    item = source_item(path, "folder/a.mp4", env(tmp_path).store)
    assert item == Item(key="folder/a.mp4", source="folder/a.mp4", path=str(path), part=item.part)
    assert item.part.split(" ", 1) == [hashlib.sha256(path.read_bytes()).hexdigest(), "folder/a.mp4"]

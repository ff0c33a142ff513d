"""Frames decoded once for several readers, and made ahead of one."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from datasets.video import VideoError, VideoWriter, read_frames
from tasks.backends.ahead import ahead
from tasks.frames import FrameCache

SIZE, FRAMES = (32, 48), 20
FRAME = 32 * 48 * 3  # bytes


def clip(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    with VideoWriter(path, fps=Fraction(25), size=SIZE) as writer:
        for _ in range(FRAMES):
            writer.write(np.full((*SIZE, 3), rng.integers(0, 255, 3), np.uint8))
    return path


@pytest.mark.parametrize(
    ("most", "held"),
    [
        pytest.param(100 * FRAME, 20, id="all frames fit"),
        pytest.param(7 * FRAME + 5, 7, id="the first seven do"),
        pytest.param(0, 0, id="none does"),
    ],
)
def test_frames_are_equal_however_many_are_held(tmp_path: Path, most: int, held: int) -> None:
    path, cache = clip(tmp_path / "a.mp4"), FrameCache(most=most)
    want = np.stack(list(read_frames(path)))
    assert np.array_equal(np.stack(list(cache.read(path, 3))), want[:3])
    for _ in range(2):
        assert np.array_equal(np.stack(list(cache.read(path))), want)
        assert cache.size == held * FRAME
    assert np.array_equal(cache.at(path, 2), want[2])
    assert np.array_equal(cache.at(path, 15), want[15])


def test_a_held_frame_is_not_decoded_again_and_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = clip(tmp_path / "a.mp4"), FrameCache()
    first = list(cache.read(path))
    monkeypatch.setattr("tasks.frames.read_frames", lambda *_, **__: pytest.fail("decoded again"))
    assert all(a is b for a, b in zip(first, cache.read(path, FRAMES), strict=True))
    with pytest.raises(ValueError, match="read-only"):
        first[0][:] = 0


def test_the_clip_read_last_stays_and_another_file_of_its_name_is_another_clip(tmp_path: Path) -> None:
    a, b, cache = clip(tmp_path / "a.mp4"), clip(tmp_path / "b.mp4", 1), FrameCache(most=25 * FRAME)
    list(cache.read(a))
    list(cache.read(b))
    assert cache.size == 20 * FRAME, "the older clip made room as a whole"
    clip(tmp_path / "c.mp4", 2).replace(b)
    assert np.array_equal(np.stack(list(cache.read(b))), np.stack(list(read_frames(b))))
    cache.clear()
    assert cache.size == 0


def test_a_damaged_clip_fails_where_it_is_read(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(VideoError):
        list(FrameCache().read(path))


def test_reading_ahead_stops_with_its_reader_and_closes_what_it_reads() -> None:
    made: list[int] = []
    closed = threading.Event()

    def count():  # type: ignore[no-untyped-def]
        try:
            for i in range(1000):
                made.append(i)
                yield i
        finally:
            closed.set()

    before = threading.active_count()
    numbers = ahead(count(), most=3)
    assert [next(numbers), next(numbers)] == [0, 1]
    numbers.close()
    assert closed.is_set()
    assert threading.active_count() == before
    assert len(made) < 20


def test_an_error_made_ahead_comes_after_the_items_before_it() -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield 1
        raise KeyError("two")

    numbers = ahead(broken())
    assert next(numbers) == 1
    with pytest.raises(KeyError, match="two"):
        next(numbers)

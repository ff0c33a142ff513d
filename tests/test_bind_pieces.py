"""Pieces of one tracklet, cut where it may have slid to somebody else: motion counts less from one clear piece to the
next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks.ops.bind import Rules, bind
from tasks.ops.bind_cost import Costs, Network, network_of
from tasks.ops.bind_motion import MotionScales
from tasks.ops.cast import Shot
from tasks.ops.tracks import Track
from tests.draw_tracks import FPS, SIZE, draw
from tests.test_bind_by_points import STILL, T, pair
from tests.test_bind_evidence import track


def in_pieces(gap: int) -> list[Track]:
    """Who walks on: seen clearly, then a fragment for three frames; and clearly, so many frames after the first."""
    return [track(0, 20, (90, 128)), track(20, 23, (130, 134)), track(20 + gap, 40 + gap, (130, 168))]


def links(tracks: list[Track], clear: list[bool] | None, told: np.ndarray | None = None, **scales: float) -> Network:
    """What each step between these costs; clear: which were seen clearly, None: nobody says."""
    costs = Costs(motion=replace(MotionScales(), **scales))  # type: ignore[arg-type]
    return network_of(tracks, 100, FPS, (300, 400), costs, None if clear is None else np.array(clear), told)


@pytest.mark.parametrize(
    ("gap", "counts"),
    [
        pytest.param(0, 0.2, id="at once: one tracklet, cut"),
        pytest.param(5, 0.2 + 0.8 * 0.4, id="a fifth of a second"),
        pytest.param(10, 0.2 + 0.8 * 0.8, id="two fifths"),
        pytest.param(12, 0.2 + 0.8 * 0.96, id="just under half a second: nearly in full"),
        pytest.param(13, 1.0, id="from half a second on in full"),
        pytest.param(60, 1.0, id="seconds"),
    ],
)
def test_motion_counts_less_from_one_clear_piece_to_the_next(gap: int, counts: float) -> None:
    tracks = in_pieces(gap)
    scales = {"pieces": 0.2, "pieces_s": 0.5}
    plain, clear = (links(tracks, seen, **scales) for seen in (None, [True, False, True]))
    assert np.isfinite(plain.link).sum() == (3 if gap >= 3 else 2)
    assert abs(plain.link[0, 2]) > 0.1, "nothing to count less"
    assert clear.link[0, 2] == pytest.approx(counts * plain.link[0, 2])
    plain.link[0, 2] = clear.link[0, 2] = 0
    assert np.array_equal(clear.link, plain.link), "a step from or to a fragment counts in full"
    for name in ("first", "stop", "start", "end", "nobody"):
        assert np.array_equal(getattr(clear, name), getattr(plain, name))


def test_what_is_told_from_elsewhere_counts_in_full() -> None:
    tracks, told = in_pieces(0), np.arange(9).reshape(3, 3) - 4.0
    plain, clear = (links(tracks, seen) for seen in (None, [True] * 3))
    assert clear.link[0, 2] == pytest.approx(MotionScales().pieces * plain.link[0, 2])
    for seen, without in ((None, plain), ([True] * 3, clear)):
        assert np.array_equal(links(tracks, seen, told).link, without.link - told)


def test_who_crosses_in_one_tracklet_each_is_not_sure_by_motion_alone() -> None:
    """Both tracklets are cut where the boxes are one, and go on smoothly whoever they are on."""
    every = [(0, T)]
    scene = draw(pair(100 + 1.5 * (np.arange(T) - 30.0), [every, every]))
    shot = Shot(frames=T, fps=FPS, size=SIZE)
    slid, counted = (
        bind(scene.tracklets, scene.poses, scene.segments, STILL, shot, Rules(costs=Costs(motion=scales)))[0]
        for scales in (MotionScales(), MotionScales(pieces=1.0))
    )
    assert "doubt" in {event.kind for event in slid.events}
    assert "doubt" not in {event.kind for event in counted.events}, "motion in full is sure: this shows nothing"

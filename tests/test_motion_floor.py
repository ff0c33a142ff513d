"""Feet on the floor: nobody floats or sinks, and a jump stays a jump."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tasks.backends.motion_files import load_motion
from tasks.backends.performer import perform
from tasks.ops import floor
from tasks.ops.scene import PerformerSpec, Scene

FPS = 30.0


def block(height: np.ndarray, along: np.ndarray | None = None) -> np.ndarray:
    """A box half a metre tall, its underside at `height` (T,), slid by `along` (T,): (T, 8, 3)."""
    corner = np.array([[x, y, z] for x in (0, 0.1) for y in (0, 0.5) for z in (0, 0.2)], float)
    out = np.repeat(corner[None], len(height), axis=0)
    out[:, :, 1] += height[:, None]
    out[:, :, 0] += 0 if along is None else along[:, None]
    return out


def corrected(height: np.ndarray, along: np.ndarray | None = None) -> np.ndarray:
    """What is left of the underside's height once corrected."""
    low, speed = floor.lowest(block(height, along), FPS)
    return low - floor.corrections([low], [speed], FPS)[0]


def hop(frames: int, rise: float) -> np.ndarray:
    t = np.linspace(-1, 1, frames)
    return rise * (1 - t * t)


STILL = np.zeros(20)
GLIDE = np.concatenate([STILL, np.interp(np.arange(30), [0, 5, 24, 29], [0, 0.08, 0.08, 0]), STILL])
CASES = [
    pytest.param(STILL + 0.07, None, 0.0, id="floats by 7 cm"),
    pytest.param(STILL - 0.05, None, 0.0, id="sunk by 5 cm"),
    pytest.param(np.linspace(-0.04, 0.06, 60), None, 0.0, id="rises slowly as it stands"),
    pytest.param(np.concatenate([STILL, hop(19, 0.5), STILL]) + 0.03, None, 0.5, id="a jump of half a metre, floating"),
    pytest.param(np.concatenate([STILL, hop(10, 0.12), STILL]), None, 0.12, id="a small hop"),
    pytest.param(GLIDE, np.cumsum(GLIDE), 0.0, id="glides 8 cm up for a second: skating feet, no flight"),
]  # fmt: skip


@pytest.mark.parametrize(("height", "along", "peak"), CASES)
def test_support_comes_to_the_floor_and_flight_stays(height, along, peak):
    left = corrected(height, along)
    assert left.min() >= -1e-6
    assert left[:8].max() < 0.01
    assert left[-8:].max() < 0.01
    assert left.max() == pytest.approx(peak, abs=0.02)


def test_who_is_carried_stays_up():
    bearer, carried = block(STILL + 0.04), block(STILL + 0.9)
    found = [floor.lowest(v, FPS) for v in (bearer, carried)]
    heights = floor.corrections([low for low, _ in found], [speed for _, speed in found], FPS)
    assert heights[0] == pytest.approx(0.04, abs=1e-6)
    assert heights[1] == pytest.approx(0.04, abs=1e-6)


MOTIONS = "cartwheel dance_a dance_b dance_spin kick punch spin spinkick walk"


@pytest.mark.parametrize("name", MOTIONS.split())
def test_real_capture_stands_on_the_floor(name, shared: Path):
    motion = load_motion(shared / "motion" / f"{name}.npz")
    frames = int((motion.pose.shape[1] - 1) / 60 * 30)
    for seed in (3, 5):
        scene = Scene(name=name, performers=(PerformerSpec(motion=name, shape_seed=seed),))
        body = perform(scene, [motion], body_models=None, fps=Fraction(30), frames=frames)[0]
        low, speed = floor.lowest(body.vertices, 30.0)
        stands = floor.support(low, speed, 30.0)
        assert low.min() > -1e-4
        # In contact within 2 cm, but for the few frames in which a hand or foot takes over.
        assert np.mean(low[stands] < 0.02) > 0.92
        assert low[stands].max() < 0.05
        assert stands.mean() > 0.25
        assert (low.max() > 0.4) == (name in ("spin", "spinkick")), "the two that jump, and only they, leave the floor"

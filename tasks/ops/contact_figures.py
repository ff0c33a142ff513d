"""Scenario, seed, number of people -> Dancers who hold one another: embraces and lifts, with others about them.

Figures as in tasks.ops.crossing_figures.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.ops.crossing_figures import walk_across
from tasks.ops.dancer import UP, Dancer, Hold, along, beside, during

HELD_M = 0.34  # pelvis to pelvis of two who hold each other: chests touch
_ASIDE_M = 0.06  # to the left of one's own, so that heads lie beside each other


def embrace(rng: np.random.Generator, people: int, time: np.ndarray) -> list[Dancer]:
    """Two (of four or more, perhaps two pairs) walk up to each other, hold each other and turn, and part."""
    if people >= 4 and rng.random() < 0.5:
        across = rng.uniform(0.85, 0.95)
        out = _hug(rng, time, np.array([-across, rng.uniform(-0.2, 0.2)]), 0, 0.55)
        out += _hug(rng, time, np.array([across, rng.uniform(-0.2, 0.2)]), 2, 0.55)
    else:
        out = _hug(rng, time, rng.uniform(-0.15, 0.15, 2), 0, rng.uniform(0.7, 0.9))
    return out + company(rng, time, people - len(out))


def lift(rng: np.random.Generator, people: int, time: np.ndarray) -> list[Dancer]:
    """One walks up to another, is lifted, turned round in the air, set down again, and goes on."""
    out = _lifted(rng, time, rng.uniform(-0.15, 0.15, 2))
    return out + company(rng, time, people - len(out))


def company(rng: np.random.Generator, time: np.ndarray, count: int) -> list[Dancer]:
    """Others who walk past in lanes of their own, before and behind what goes on in the middle."""
    side = rng.choice([-1.0, 1.0])
    lanes = [-0.95, 0.95, -1.55] if rng.random() < 0.6 else [0.95, -0.95, -1.55]
    out = []
    for k in range(count):
        begin = rng.uniform(0.2, 1.2)
        out.append(walk_across(rng, time, depth=lanes[k], side=side, half=1.15, begin=begin))
        side = -side
    return out


def _hug(rng: np.random.Generator, time: np.ndarray, middle: np.ndarray, first: int, reach_m: float) -> list[Dancer]:
    """A pair numbered from `first` that begins and ends so far from its middle."""
    close = rng.uniform(1.15, 1.4)
    part = close + rng.uniform(1.35, 1.7)
    one, other = _pair(rng, time, middle, first, reach_m, (close, part), turn=rng.uniform(0.5, np.pi))
    share = during(time, close - 0.45, part + 0.4, 0.4)
    return [_holding(one, other, first + 1, share), _holding(other, one, first, share)]


def _pair(
    rng: np.random.Generator,
    time: np.ndarray,
    middle: np.ndarray,
    first: int,
    reach_m: float,
    held: tuple[float, float],
    turn: float,
) -> list[Dancer]:
    """Two who are HELD_M apart from held[0] to held[1] s, turn by an angle meanwhile, and face each other."""
    close, part = held
    apart = along(
        time, [0, 0.15, close, part, part + 1.0, 9], [[2 * reach_m]] * 2 + [[HELD_M]] * 2 + [[2 * reach_m]] * 2
    )
    turned = along(time, [0, close, part, 9], [[0], [0], [turn], [turn]])[:, 0] * rng.choice([-1.0, 1.0])
    angle = np.pi / 2 * rng.choice([-1.0, 1.0]) + rng.uniform(-0.4, 0.4) + turned
    line = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    # Each moves to the left of its own way of facing, which is the partner's right.
    near = during(time, close - 0.5, part + 0.5, 0.5)[:, None]
    aside = _ASIDE_M * near * np.stack([-line[:, 1], line[:, 0]], axis=1)
    paths = [middle + 0.5 * apart * line + aside, middle - 0.5 * apart * line - aside]
    friends = frozenset((first, first + 1))
    return [Dancer(path=paths[k], to=paths[1 - k], towards=1.2, touches=friends) for k in (0, 1)]


def _holding(one: Dancer, other: Dancer, number: int, share: np.ndarray) -> Dancer:
    """The first with the right arm over the shoulder, the left arm round the waist of the other, who has a number."""
    right = -_left_of(one.heading)
    over = Hold(
        side=1, on=number, wrist=beside(other.path, other.heading, ahead=-0.11, left=0.05, height=1.32),
        elbow=UP + 0.5 * right, share=share,
    )  # fmt: skip
    under = Hold(
        side=0, on=number, wrist=beside(other.path, other.heading, ahead=-0.14, left=-0.06, height=1.08),
        elbow=-right - 0.5 * UP, share=share,
    )  # fmt: skip
    return replace(one, holds=(over, under))


def _lifted(rng: np.random.Generator, time: np.ndarray, middle: np.ndarray) -> list[Dancer]:
    """Carrier and carried, who is off the floor for a second and a half or so."""
    close = rng.uniform(1.0, 1.2)
    part = close + rng.uniform(2.0, 2.2)
    carrier, carried = _pair(rng, time, middle, 0, rng.uniform(0.65, 0.85), (close, part), rng.uniform(1.0, 3.6))
    rise = rng.uniform(0.42, 0.52) * during(time, close + 0.15, part - 0.05, 0.45)
    # Knees bend before the lift and when setting down.
    bent = during(time, close - 0.35, close + 0.55, 0.4) + during(time, part - 0.5, part + 0.35, 0.4)
    drop = 0.2 * np.clip(bent, 0, 1)
    share = during(time, close - 0.3, part + 0.3, 0.35)
    arms, hands = [], []
    for side, sign in ((0, 1.0), (1, -1.0)):
        outward = sign * _left_of(carrier.heading)
        seat = beside(carried.path, carried.heading, ahead=-0.13, left=-sign * 0.07, height=0.8 + rise)
        arms.append(Hold(side=side, on=1, wrist=seat, elbow=outward - 0.6 * UP, share=share))
        shoulders = beside(carrier.path, carrier.heading, ahead=-0.03, left=-sign * 0.15, height=1.43 - drop)
        out = sign * _left_of(carried.heading)
        hands.append(Hold(side=side, on=0, wrist=shoulders, elbow=out + 0.3 * UP, share=share))
    return [replace(carrier, drop=drop, holds=tuple(arms)), replace(carried, rise=rise, holds=tuple(hands))]


def _left_of(heading: np.ndarray) -> np.ndarray:
    """The direction (T, 3) to the left of headings (T,)."""
    return np.stack([np.cos(heading), np.zeros(len(heading)), -np.sin(heading)], axis=1)

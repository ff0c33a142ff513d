"""Scenario, seed, number of people -> Dancers: crossings that lose who is who, in a room of 4 m by 4 m.

A figure is (rng, people, time) -> Dancers in the stage's frame (tasks.ops.dancer); `time` (T,) in seconds begins at 0.
Times, places, sides and who does what come from the rng.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.ops.dancer import Dancer, along, during, steadily

# Half the picture's width at the middle of the stage in leave_and_return: beyond it nobody is seen.
EDGE_M = 1.35

Figure = Callable[[np.random.Generator, int, np.ndarray], list[Dancer]]


def pass_behind(rng: np.random.Generator, people: int, time: np.ndarray) -> list[Dancer]:
    """Some stand and sway in front; the others walk from side to side behind them, one lane each."""
    standing = max(1, people // 2)
    out = [stay(rng, time, (x, 0.35)) for x in _spread(rng, standing, 0.7)]
    side = rng.choice([-1.0, 1.0])
    for k in range(people - standing):
        out.append(walk_across(rng, time, depth=-0.45 - 0.62 * k, side=side, half=1.1 + 0.08 * k, begin=0.1 + 0.35 * k))
        side = -side
    return out


def swap_places(rng: np.random.Generator, people: int, time: np.ndarray) -> list[Dancer]:
    """Everybody walks to the place of the one opposite, each passing at a depth of its own."""
    places = _spread(rng, people, 0.68 if people < 4 else 0.6, at_least=1.0)
    lanes = rng.permutation(np.arange(people) - (people - 1) / 2) * rng.uniform(0.6, 0.72)
    go = rng.uniform(0.5, 0.8)
    there = go + rng.uniform(1.7, 2.1)
    out = []
    for i in range(people):
        start, stop = places[i], places[people - 1 - i]
        late = rng.uniform(0, 0.25)
        if people % 2 and i == people // 2:
            stop = start  # the one in the middle steps out of the way
        # Out of the row into the lane, along it, and into the row again.
        row, middle = 0.25 * lanes[i], 0.5 * (start + stop)
        points = [(start, row), (start, lanes[i]), (middle, lanes[i]), (stop, lanes[i]), (stop, row), (stop, row)]
        keys = [0, go + late, 0.5 * (go + there) + late, there + late, there + late + 0.8, 9]
        path = along(time, keys, points)
        out.append(Dancer(path=path, to=_camera_side(rng, path), towards=0.4))
    return out


def turn_about(rng: np.random.Generator, people: int, time: np.ndarray) -> list[Dancer]:
    """Rings of two or three turn about their middles, arms raised towards one another."""
    rings = {2: [2], 3: [3], 4: [2, 2], 5: [3, 2]}[people]
    out: list[Dancer] = []
    width = 0.0 if len(rings) == 1 else 0.95
    for k, size in enumerate(rings):
        middle = np.array([width * (2 * k - 1) * (1 if len(rings) > 1 else 0), rng.uniform(-0.25, 0.25)])
        out += ring(rng, time, size, middle, first=len(out))
    return out


def leave_and_return(rng: np.random.Generator, people: int, time: np.ndarray) -> list[Dancer]:
    """One (of three or more, perhaps two) walk out of the picture and come back past the others, who dance on."""
    leavers = 1 if people == 2 or rng.random() < 0.5 else 2
    side = rng.choice([-1.0, 1.0])
    lanes = rng.permutation([0.65, -0.65])
    out = []
    for k in range(leavers):
        out.append(_leave(rng, time, side=side, lane=float(lanes[k])))
        side = -side
    return out + [stay(rng, time, (x, 0.0)) for x in _spread(rng, people - len(out), 0.75)]


def _leave(rng: np.random.Generator, time: np.ndarray, *, side: float, lane: float) -> Dancer:
    begin = rng.uniform(0.05, 0.3)
    gone = begin + rng.uniform(1.15, 1.25)
    back = gone + rng.uniform(0.4, 0.55)
    start, end = side * rng.uniform(0.55, 0.85), side * rng.uniform(-0.25, 0.5)
    out = side * (EDGE_M + 0.7 - 0.3 * lane)
    points = [(start, lane), (start, lane), (out, lane), (out, lane), (end, lane), (end, lane)]
    path = along(time, [0, begin, gone, back, back + 1.65, 9], points)
    return Dancer(path=path, to=_camera_side(rng, path), towards=0.3)


def crouch(rng: np.random.Generator, people: int, time: np.ndarray) -> list[Dancer]:
    """One goes down, and comes up again a little further on, while another passes in front; the others sway behind."""
    at = rng.uniform(-0.3, 0.3)
    low, up = rng.uniform(0.5, 0.9), rng.uniform(2.9, 3.3)
    depth, step = rng.uniform(0.36, 0.44), rng.uniform(0.25, 0.45) * rng.choice([-1.0, 1.0])
    path = along(time, [0, low + 0.5, up - 0.6, 9], [(at, -0.3), (at, -0.3), (at + step, -0.3), (at + step, -0.3)])
    down = Dancer(path=path, to=_camera_side(rng, path), towards=1.5, drop=depth * during(time, low, up, 0.6))
    side = rng.choice([-1.0, 1.0])
    front = along(
        time, [0, 0.4, 1.5, 2.3, 3.4, 9],
        [(side * 1.15, 0.42)] * 2 + [(at + step / 2, 0.42)] * 2 + [(side * rng.choice([-1.1, 1.1]), 0.42)] * 2,
    )  # fmt: skip
    out = [down, Dancer(path=front, to=_camera_side(rng, front), towards=0.4)]
    if people >= 3:
        out.append(walk_across(rng, time, depth=-1.0, side=-side, half=1.3, begin=rng.uniform(0.1, 0.8)))
    return out + [stay(rng, time, (x * 1.2, -1.7)) for x in _spread(rng, people - len(out), 0.9)]


def onlookers(rng: np.random.Generator, count: int, time: np.ndarray) -> list[Dancer]:
    """An audience: people further back who stand, sway a little, and look at the stage."""
    out = []
    for x in rng.permutation(np.arange(-2.0, 2.1, 0.8))[:count]:
        phase = rng.uniform(0, 2 * np.pi)
        sway = 0.025 * np.stack([np.sin(1.3 * time + phase), np.cos(0.9 * time + phase)], axis=1)
        path = np.array([x + rng.uniform(-0.1, 0.1), rng.uniform(-3.6, -3.0)]) + sway
        out.append(Dancer(path=path, to=np.zeros_like(path), towards=3.0))
    return out


def ring(rng: np.random.Generator, time: np.ndarray, size: int, middle: np.ndarray, first: int) -> list[Dancer]:
    """A ring of people, numbered from `first`, who turn once or more about its middle."""
    radius = {2: rng.uniform(0.4, 0.5), 3: rng.uniform(0.58, 0.68)}[size]
    turns = {2: rng.uniform(0.9, 1.3), 3: rng.uniform(0.7, 1.0)}[size] * rng.choice([-1.0, 1.0])
    begin, end = rng.uniform(0.2, 0.5), rng.uniform(3.3, 3.8)
    share = steadily(time, begin, end)
    opening = 1 + 0.8 * (1 - during(time, 0, end + 0.4, 0.8))
    start = rng.uniform(0, 2 * np.pi)
    out = []
    for i in range(size):
        angle = start + 2 * np.pi * (i / size + turns * share)
        path = middle + (radius * opening)[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        raised = during(time, begin, end, 0.4) * rng.uniform(0.5, 0.9)
        # The arm on the side of the ring's middle is raised: who circles it clockwise has it on the right.
        reach = np.zeros((len(time), 2))
        reach[:, 0 if turns > 0 else 1] = raised
        to = np.broadcast_to(middle, path.shape)
        friends = frozenset(range(first, first + size))
        out.append(Dancer(path=path, to=to, towards=rng.uniform(0.3, 0.9), reach=reach, touches=friends))
    return out


def stay(rng: np.random.Generator, time: np.ndarray, at: tuple[float, float]) -> Dancer:
    """Somebody who dances on the spot: sways, and raises an arm now and then."""
    phase, size = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.05, 0.1)
    sway = size * np.stack([np.sin(2.2 * time + phase[0]), 0.7 * np.sin(1.7 * time + phase[1])], axis=1)
    path = np.asarray(at) + sway
    reach = np.zeros((len(time), 2))
    begin = rng.uniform(0.2, 2.0)
    reach[:, rng.integers(2)] = rng.uniform(0.3, 1.0) * during(time, begin, begin + rng.uniform(1.2, 2.0), 0.5)
    return Dancer(path=path, to=_camera_side(rng, path), towards=1.0, reach=reach)


def walk_across(
    rng: np.random.Generator, time: np.ndarray, *, depth: float, side: float, half: float, begin: float
) -> Dancer:
    """Somebody who walks from one side (-1 or 1) to the other in a lane at a depth."""
    late = begin + rng.uniform(0, 0.3)
    lasts = rng.uniform(2.3, 2.9)
    from_x, to_x = side * (half + rng.uniform(-0.1, 0.1)), -side * (half + rng.uniform(-0.1, 0.1))
    bend = rng.uniform(-0.08, 0.08)
    path = along(
        time, [0, late, late + 0.5 * lasts, late + lasts, 9],
        [(from_x, depth), (from_x, depth), (0.5 * (from_x + to_x), depth + bend), (to_x, depth), (to_x, depth)],
    )  # fmt: skip
    return Dancer(path=path, to=_camera_side(rng, path), towards=0.3)


def _spread(rng: np.random.Generator, count: int, apart: float, at_least: float = 0.0) -> np.ndarray:
    """Places along x about the middle, from left to right."""
    half = max(apart * (count - 1) / 2, at_least if count > 1 else 0.0)
    step = 2 * half / max(count - 1, 1)
    return np.linspace(-half, half, count) + rng.uniform(-0.1, 0.1, count) * min(1.0, step)


def _camera_side(rng: np.random.Generator, path: np.ndarray) -> np.ndarray:
    """A point that is faced, (T, 2): before the stage, more or less to one side."""
    return np.broadcast_to(np.array([rng.uniform(-3, 3), rng.uniform(2.5, 4.0)]), path.shape)

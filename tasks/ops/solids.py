"""Closed solids as triangle meshes: rounded boxes and bodies of revolution, fine enough to be lit at their vertices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]  # vertices (V, 3) float64, faces (F, 3) int64, counter-clockwise from outside


def rounded_box(size: Sequence[float], radius: float, *, cell: float = 0.03) -> Mesh:
    """A box around the origin, its edges rounded; side lengths and radius in metres, about `cell` between vertices."""
    half = np.asarray(size, float) / 2
    radius = min(radius, float(half.min()))
    lines = [_lines(h, radius, cell) for h in half]
    points, faces, start = [], [], 0
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for side in (-1, 1):
            a, b = np.meshgrid(lines[u], lines[v], indexing="ij")
            grid = np.empty((*a.shape, 3))
            grid[..., axis], grid[..., u], grid[..., v] = side * half[axis], a, b
            index = start + np.arange(a.size).reshape(a.shape)
            quads = _quads(index)
            faces.append(quads if side > 0 else quads[:, ::-1])
            points.append(grid.reshape(-1, 3))
            start += a.size
    cube = np.concatenate(points)
    core = np.clip(cube, -(half - radius), half - radius)
    out = cube - core
    rounded = core + radius * out / np.linalg.norm(out, axis=1, keepdims=True)
    # The six sides share the vertices of their common edges, so that light runs smoothly round the rounding.
    unique, inverse = np.unique(np.round(cube, 9), axis=0, return_index=True, return_inverse=True)[1:]
    return rounded[unique], inverse.ravel()[np.concatenate(faces)]


def lathe(start: np.ndarray, stop: np.ndarray, profile: Sequence[tuple[float, float]], *, around: int = 16) -> Mesh:
    """A body of revolution from `start` to `stop`; the profile gives (share of the way, radius), ends close to a
    point.
    """
    along = np.asarray(stop, float) - np.asarray(start, float)
    axis = along / np.linalg.norm(along)
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    turn = 2 * np.pi * np.arange(around) / around
    ring = np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * np.cross(axis, side)
    share, radius = np.array(profile).T
    centre = np.asarray(start, float) + share[:, None] * along
    body = (centre[:, None] + radius[:, None, None] * ring).reshape(-1, 3)
    points = np.concatenate([body, centre[:1], centre[-1:]])
    index = np.arange(len(share) * around).reshape(len(share), around)
    index = np.concatenate([index, index[:, :1]], axis=1)
    first, last = len(body), len(body) + 1
    caps = [(first, index[0, i + 1], index[0, i]) for i in range(around)]
    caps += [(last, index[-1, i], index[-1, i + 1]) for i in range(around)]
    return points, np.concatenate([_quads(index)[:, ::-1], np.array(caps)])


def capsule(start: np.ndarray, stop: np.ndarray, first: float, last: float, *, cell: float = 0.04) -> Mesh:
    """A tapered limb with round ends of radii `first` and `last` whose centres are `start` and `stop`."""
    start, stop = np.asarray(start, float), np.asarray(stop, float)
    length = float(np.linalg.norm(stop - start))
    bend = np.linspace(0, np.pi / 2, 5)
    near = [(-first * np.cos(a), first * np.sin(a)) for a in bend[1:]]
    far = [(length + last * np.cos(a), last * np.sin(a)) for a in bend[:0:-1]]
    steps = np.linspace(0, 1, max(2, round(length / cell)))[1:-1]
    middle = [(t * length, first + t * (last - first)) for t in steps]
    profile = [(-first, 0.0), *near, *middle, *far, (length + last, 0.0)]
    low, high = profile[0][0], profile[-1][0]
    axis = (stop - start) / length
    shares = [((at - low) / (high - low), radius) for at, radius in profile[1:-1]]
    return lathe(start + low * axis, start + high * axis, [(0.0, 1e-6), *shares, (1.0, 1e-6)])


def ball(centre: np.ndarray, radius: float) -> Mesh:
    """A sphere."""
    up = np.array([0.0, radius, 0.0])
    bend = np.linspace(0, np.pi, 11)[1:-1]
    profile = [(0.5 - 0.5 * np.cos(a), radius * np.sin(a)) for a in bend]
    return lathe(np.asarray(centre) - up, np.asarray(centre) + up, [(0.0, 1e-6), *profile, (1.0, 1e-6)])


def moved(mesh: Mesh, by: Sequence[float] | np.ndarray) -> Mesh:
    """The mesh, shifted."""
    return mesh[0] + np.asarray(by, float), mesh[1]


def _lines(half: float, radius: float, cell: float) -> np.ndarray:
    """Where a side is cut: densely in the rounded edge, every `cell` between."""
    edge = half - radius * (1 - np.sin(np.linspace(0, np.pi / 2, 4)))
    inner = half - radius
    flat = np.linspace(-inner, inner, max(2, 1 + round(2 * inner / cell))) if inner > 1e-9 else np.zeros(1)
    return np.unique(np.round(np.concatenate([-edge, flat, edge]), 9))


def _quads(index: np.ndarray) -> np.ndarray:
    """Two triangles for each cell of a grid of vertex numbers."""
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])

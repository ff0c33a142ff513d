"""What a frame's drawing needs to know first: where the light looks from, and where people can hide one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Box = tuple[int, int, int, int]  # x, y, w, h in pixels as OpenGL counts them: y upwards from the bottom row


def shadow_matrix(points: np.ndarray, to_light: np.ndarray, texels: int) -> np.ndarray:
    """World -> shadow map coordinates 0..1 (4, 4): a parallel light's view of all points (N, 3), their shadows
    included.

    The covered square grows in steps and moves by whole texels, so that shadows do not shimmer when people move.
    """
    forward = -np.asarray(to_light, float)
    right = np.cross(forward, [0.0, 1.0, 0.0] if abs(forward[1]) < 0.99 else [1.0, 0.0, 0.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(right, forward), forward])
    inside = _corners(points) @ axes.T
    half = 0.5 * np.ceil(np.ptp(inside[:, :2], axis=0).max() + 0.1)
    texel = 2 * half / texels
    centre = np.round(0.5 * (inside.min(0) + inside.max(0))[:2] / texel) * texel
    near, far = inside[:, 2].min() - 0.1, inside[:, 2].max() + 0.1
    out = np.eye(4)
    out[:2, :3], out[:2, 3] = axes[:2] / (2 * half), 0.5 - centre / (2 * half)
    out[2, :3], out[2, 3] = axes[2] / (far - near), -near / (far - near)
    return out


def shadow_reach(points: np.ndarray, to_light: np.ndarray) -> tuple[float, float, float, float]:
    """The floor (x0, z0, x1, z1) that shadows of all points (N, 3) can fall on, and a hand's breadth more."""
    corners = _corners(points)
    cast = corners[:, [0, 2]] - corners[:, 1:2] * (to_light[[0, 2]] / to_light[1])
    low, high = cast.min(0) - 0.1, cast.max(0) + 0.1
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def body_boxes(vertices: Sequence[np.ndarray], clip: np.ndarray, size: tuple[int, int]) -> list[Box]:
    """The box around each body (V, 3) in a picture of (h, w), a pixel wide of it; clip (4, 4) takes world to OpenGL's
    clip space.

    A body that comes near the camera's plane counts as everywhere; one outside the picture has no width or height.
    """
    return [_body_box(body, clip, size) for body in vertices]


def overlap_boxes(boxes: Sequence[Box]) -> list[Box | None]:
    """For each person the box around all that another person's box may hide of theirs, or None."""
    return [
        union_of([met for j, other in enumerate(boxes) if j != i and (met := meet(mine, other)) is not None])
        for i, mine in enumerate(boxes)
    ]


def union_box(boxes: Sequence[Box], margin: int, size: tuple[int, int]) -> Box | None:
    """The box around all boxes that have pixels, a margin wider, inside the picture (h, w); None when none has."""
    h, w = size
    whole = union_of([box for box in boxes if box[2] > 0 and box[3] > 0])
    if whole is None:
        return None
    x, y, across, up = whole
    return meet((x - margin, y - margin, across + 2 * margin, up + 2 * margin), (0, 0, w, h))


def union_of(boxes: Sequence[Box]) -> Box | None:
    """The box around boxes; None around none."""
    if not boxes:
        return None
    x0, y0 = min(b[0] for b in boxes), min(b[1] for b in boxes)
    return x0, y0, max(b[0] + b[2] for b in boxes) - x0, max(b[1] + b[3] for b in boxes) - y0


def meet(a: Box, b: Box) -> Box | None:
    """What two boxes have in common, or None."""
    x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    return (x0, y0, x1 - x0, y1 - y0) if x0 < x1 and y0 < y1 else None


def _body_box(body: np.ndarray, clip: np.ndarray, size: tuple[int, int]) -> Box:
    h, w = size
    rows = clip[[0, 1, 3]].astype(np.float32)
    at = rows[:, :3] @ body.T + rows[:, 3:]
    if at[2].min() < 1e-2:
        return 0, 0, w, h
    flat = (at[:2] / at[2] * 0.5 + 0.5) * np.array([[w], [h]], np.float32)
    # A pixel more on each side covers the rounding of 32-bit numbers.
    low = np.clip(np.floor(flat.min(1)) - 1, 0, (w, h)).astype(int)
    high = np.clip(np.ceil(flat.max(1)) + 1, 0, (w, h)).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _corners(points: np.ndarray) -> np.ndarray:
    """The 8 corners (8, 3) float64 of the upright box around points (N, 3)."""
    # Column by column: numpy takes a minimum over the first axis of (N, 3) twenty times slower.
    x, y, z = ((float(column.min()), float(column.max())) for column in points.T)
    return np.array([[a, b, c] for a in x for b in y for c in z])

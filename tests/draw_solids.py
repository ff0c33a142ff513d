"""Drawn cases for the renderer: quads and solids as performers, straight cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.backends.pyrender import Style, raster
from tasks.ops.backdrop import build_place
from tasks.ops.camera import View, look_at, pinhole
from tasks.ops.drawn import Frame
from tasks.ops.surface import Surface, prepare

SIZE = (96, 96)
FINE = Style()
GREY = np.full((8, 4), 0.5, np.float32)


def quad(x0: float, y0: float, x1: float, y1: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Two triangles that face +Z: vertices (4, 3), faces (2, 3)."""
    return np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], float), np.array([[0, 1, 2], [0, 2, 3]])


def surface_of(faces: np.ndarray, vertices: np.ndarray, region: np.ndarray | None = None) -> Surface:
    """A Surface of any mesh; its rest joints stand in a column."""
    joints = np.zeros((24, 3), np.float32)
    joints[:, 1] = np.linspace(0.9, 1.6, 24)
    region = np.zeros(len(faces), np.uint8) if region is None else region
    return prepare(faces.astype(np.int32), region, vertices.astype(np.float32), joints)


def front(distance: float = 3.0, height: float = 1.0, fov_deg: float = 40.0, size: tuple[int, int] = SIZE) -> View:
    """A camera on the +Z axis that looks along -Z, level."""
    return View(intrinsics=pinhole(fov_deg, size), extrinsics=look_at([0, height, distance], [0, height, 0]))


def draw(
    meshes: Sequence[tuple[np.ndarray, np.ndarray]],
    view: View,
    *,
    size: tuple[int, int] = SIZE,
    style: Style = FINE,
    seed: int = 0,
) -> Frame:
    """One frame of still meshes (vertices, faces), each a performer."""
    surfaces = [surface_of(faces, vertices) for vertices, faces in meshes]
    place = build_place(seed, 8.0)
    with raster(size, surfaces, [GREY] * len(meshes), place, style) as drawn:
        return next(drawn.frames([([vertices.astype(np.float32) for vertices, _ in meshes], view)]))


def same(a: Frame, b: Frame) -> bool:
    """Whether two frames are equal to the byte."""
    names = ("color", "person", "part", "depth", "amodal")
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in names)

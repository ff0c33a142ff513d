"""What is drawn, as it lies in OpenGL's buffers: everyone's bodies in one, and the ground under and around them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from OpenGL import GL

from tasks.backends import gl
from tasks.ops.backdrop import Place, wall_mesh
from tasks.ops.surface import Surface, normals


class Bodies:
    """All performers' meshes in one set of buffers; positions and normals are new each frame, the rest stays."""

    def __init__(self, surfaces: Sequence[Surface]) -> None:
        self._surfaces = tuple(surfaces)
        self._starts = np.cumsum([0, *(len(s.source) for s in surfaces)])
        first = self._starts[:-1].astype(np.uint32)
        labels = np.concatenate([s.label | np.uint32(p + 1) for p, s in enumerate(surfaces)])
        faces = np.concatenate([s.faces + start for s, start in zip(surfaces, first, strict=True)])
        casters = np.concatenate([s.caster + start for s, start in zip(surfaces, first, strict=True)])
        self._counts = [len(s.faces) for s in surfaces]
        self._num_casters = casters.size
        self.position, self._normal = np.zeros((2, int(self._starts[-1]), 3), np.float32)
        self._whole, self._coarse = (int(name) for name in GL.glGenVertexArrays(2))
        GL.glBindVertexArray(self._whole)
        self._streams = [_floats(place, array) for place, array in enumerate((self.position, self._normal))]
        self._static = [gl.buffer(GL.GL_ARRAY_BUFFER, labels)]
        GL.glVertexAttribIPointer(2, 1, GL.GL_UNSIGNED_INT, 0, None)
        GL.glEnableVertexAttribArray(2)
        self._static.append(gl.buffer(GL.GL_ELEMENT_ARRAY_BUFFER, faces))
        GL.glBindVertexArray(self._coarse)
        GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._streams[0])
        GL.glVertexAttribPointer(0, 3, GL.GL_FLOAT, False, 0, None)
        GL.glEnableVertexAttribArray(0)
        self._static.append(gl.buffer(GL.GL_ELEMENT_ARRAY_BUFFER, casters))

    def upload(self, vertices: Sequence[np.ndarray]) -> None:
        """One frame's vertices (V, 3) float32 of every performer. Raises ValueError for another number or shape."""
        if len(vertices) != len(self._surfaces):
            raise ValueError(f"render: want vertices of {len(self._surfaces)} performers, got {len(vertices)}")
        for surface, start, body in zip(self._surfaces, self._starts, vertices, strict=False):
            want = (surface.num_vertices, 3)
            if body.shape != want or body.dtype != np.float32:
                raise ValueError(f"render: want vertices {want} float32, got {body.shape} {body.dtype}")
            middle, stop, doubled = start + len(body), start + len(surface.source), surface.source[len(body) :]
            for array, values in ((self.position, body), (self._normal, normals(surface, body))):
                array[start:middle] = values
                array[middle:stop] = values[doubled]
        for name, array in zip(self._streams, (self.position, self._normal), strict=True):
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, name)
            # A new store each frame: the driver may still be drawing the last one from the old.
            GL.glBufferData(GL.GL_ARRAY_BUFFER, array.nbytes, array, GL.GL_STREAM_DRAW)

    def draw(self) -> None:
        """Everyone."""
        GL.glBindVertexArray(self._whole)
        GL.glDrawElements(GL.GL_TRIANGLES, 3 * sum(self._counts), GL.GL_UNSIGNED_INT, None)

    def draw_one(self, person: int) -> None:
        """One performer, counted from 0."""
        GL.glBindVertexArray(self._whole)
        skipped = ctypes.c_void_p(12 * sum(self._counts[:person]))
        GL.glDrawElements(GL.GL_TRIANGLES, 3 * self._counts[person], GL.GL_UNSIGNED_INT, skipped)

    def draw_casters(self) -> None:
        """Everyone, coarsely."""
        GL.glBindVertexArray(self._coarse)
        GL.glDrawElements(GL.GL_TRIANGLES, self._num_casters, GL.GL_UNSIGNED_INT, None)

    def close(self) -> None:
        """Free the buffers."""
        GL.glDeleteBuffers(len(self._streams) + len(self._static), [*self._streams, *self._static])
        GL.glDeleteVertexArrays(2, [self._whole, self._coarse])


class Ground:
    """Floor and backdrop; a second, smaller piece of floor lies where shadows can fall and moves with the people."""

    def __init__(self, place: Place) -> None:
        self._tile_m = place.tile_m
        (x, z), far = place.centre, 1.5 * place.radius_m
        floor = self._floor(x - far, z - far, x + far, z + far)
        wall = wall_mesh(place)
        self._mesh = np.concatenate([floor, np.zeros((6, 5), np.float32), wall])
        self._num_wall = len(wall)
        self._array = int(GL.glGenVertexArrays(1))
        GL.glBindVertexArray(self._array)
        self._buffer = gl.buffer(GL.GL_ARRAY_BUFFER, self._mesh, GL.GL_STREAM_DRAW)
        for attribute, count, offset in ((0, 3, 0), (1, 2, 12)):
            GL.glVertexAttribPointer(attribute, count, GL.GL_FLOAT, False, 20, ctypes.c_void_p(offset))
            GL.glEnableVertexAttribArray(attribute)

    def move_shade(self, x0: float, z0: float, x1: float, z1: float) -> None:
        """Lay the piece that shadows can fall on, metres."""
        self._mesh[6:12] = self._floor(x0, z0, x1, z1)
        GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._buffer)
        GL.glBufferData(GL.GL_ARRAY_BUFFER, self._mesh.nbytes, self._mesh, GL.GL_STREAM_DRAW)

    def draw_floor(self) -> None:
        """All of the floor."""
        self._draw(0, 6)

    def draw_shade(self) -> None:
        """The piece that shadows can fall on."""
        self._draw(6, 6)

    def draw_wall(self) -> None:
        """The backdrop."""
        self._draw(12, self._num_wall)

    def draw_picture(self) -> None:
        """Three vertices for a shader that makes a triangle over the whole picture of their numbers alone."""
        self._draw(0, 3)

    def close(self) -> None:
        """Free the buffers."""
        GL.glDeleteBuffers(1, [self._buffer])
        GL.glDeleteVertexArrays(1, [self._array])

    def _draw(self, first: int, count: int) -> None:
        GL.glBindVertexArray(self._array)
        GL.glDrawArrays(GL.GL_TRIANGLES, first, count)

    def _floor(self, x0: float, z0: float, x1: float, z1: float) -> np.ndarray:
        corners = np.array([[x0, z0], [x0, z1], [x1, z1], [x0, z0], [x1, z1], [x1, z0]])
        at = np.stack([corners[:, 0], 0 * corners[:, 0], corners[:, 1]], axis=1)
        return np.concatenate([at, corners / self._tile_m], axis=1).astype(np.float32)


def _floats(place: int, array: np.ndarray) -> int:
    name = gl.buffer(GL.GL_ARRAY_BUFFER, array, GL.GL_STREAM_DRAW)
    GL.glVertexAttribPointer(place, array.shape[1], GL.GL_FLOAT, False, 0, None)
    GL.glEnableVertexAttribArray(place)
    return name

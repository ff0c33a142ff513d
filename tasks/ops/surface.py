"""Triangle mesh -> what a rasteriser wants of it: crisp regions, body parts, smooth normals, a coarse shadow caster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tasks.ops.performance import PARENTS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """One performer's mesh, prepared once a clip; only the vertex positions change from frame to frame."""

    source: np.ndarray  # (W,)   int32   vertex of the body that each drawn vertex copies; the first V are 0 .. V-1
    faces: np.ndarray  # (F, 3) uint32  into the W drawn vertices
    label: np.ndarray  # (W,)   uint32  region << 8 | part << 16; a face takes that of its last vertex
    caster: np.ndarray  # (C, 3) uint32  far fewer triangles over the same vertices, for shadows
    corner: np.ndarray  # (3, F) int64   the body's own faces, a row a corner
    touches: sparse.csr_array  # (V, F) float32  1 where a face touches a vertex

    @property
    def num_vertices(self) -> int:
        """V, vertices of the body; the drawn ones are more, since those on a region's border are doubled."""
        return self.touches.shape[0]


def prepare(
    faces: np.ndarray, region: np.ndarray, rest_vertex: np.ndarray, rest_joint: np.ndarray, *, cell_m: float = 0.035
) -> Surface:
    """A Surface from faces (F, 3), their region (F,), and the body at rest: vertices (V, 3), joints (24, 3)."""
    part = nearest_part(rest_vertex, rest_joint)
    source, split = split_regions(faces, region, len(rest_vertex))
    label = np.zeros(len(source), np.uint32)
    label[split[:, 2]] = region.astype(np.uint32) << 8
    label |= (part[source].astype(np.uint32) + 1) << 16
    num_faces = len(faces)
    touches = sparse.csr_array(
        (np.ones(3 * num_faces, np.float32), (faces.ravel(), np.repeat(np.arange(num_faces), 3))),
        shape=(len(rest_vertex), num_faces),
    )
    return Surface(
        source=source,
        faces=split.astype(np.uint32),
        label=label,
        caster=coarsen(faces, rest_vertex, cell_m).astype(np.uint32),
        corner=np.ascontiguousarray(faces.T.astype(np.int64)),
        touches=touches,
    )


def split_regions(faces: np.ndarray, region: np.ndarray, num_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Double vertices until the last vertex of every face speaks for that face's region alone.

    A face's region is a flat attribute of its last vertex (OpenGL's provoking vertex), so the corners keep their
    order and the mesh rasterises to the bit as before.

    Returns: the body vertex that each drawn vertex copies (W,) int32, and the faces over the drawn vertices (F, 3)
    int32.
    """
    last = faces[:, 2]
    owner = np.full(num_vertices, -1, np.int64)
    owner[last[::-1]] = region[::-1]  # the first face that ends in a vertex names its region
    wrong = np.flatnonzero(owner[last] != region)
    pairs, inverse = np.unique(np.stack([last[wrong], region[wrong]], axis=1), axis=0, return_inverse=True)
    split = faces.astype(np.int32)
    split[wrong, 2] = num_vertices + inverse.ravel()
    return np.concatenate([np.arange(num_vertices), pairs[:, 0]]).astype(np.int32), split


def nearest_part(rest_vertex: np.ndarray, rest_joint: np.ndarray) -> np.ndarray:
    """The body part (0..23, named by the joint that moves it) of each vertex: whose bone lies nearest at rest. (V,)
    uint8.
    """
    distance = np.full((24, len(rest_vertex)), np.inf, np.float32)
    for joint in range(24):
        ends = [child for child in range(24) if PARENTS[child] == joint] or [joint]
        for end in ends:
            a, b = rest_joint[joint], rest_joint[end]
            if end == joint:  # a hand, foot or head goes on past its joint as far again as a third of the bone before
                b = a + (a - rest_joint[PARENTS[joint]]) / 3
            distance[joint] = np.minimum(distance[joint], _to_segment(rest_vertex, a, b))
    return distance.argmin(0).astype(np.uint8)


def _to_segment(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    along = b - a
    t = np.clip((points - a) @ along / max(float(along @ along), 1e-12), 0, 1)
    return np.linalg.norm(points - (a + t[:, None] * along), axis=1)


def coarsen(faces: np.ndarray, rest_vertex: np.ndarray, cell_m: float) -> np.ndarray:
    """A coarse mesh over the same vertices: those of one cell of a grid become one, triangles that vanish are dropped.

    Vertex clustering (Rossignac and Borrel 1993) on the body at rest; each cell is stood for by its vertex nearest
    the mean.
    """
    cell = np.floor(rest_vertex / cell_m).astype(np.int64)
    _, group = np.unique(cell, axis=0, return_inverse=True)
    group = group.ravel()
    count = np.bincount(group)
    mean = np.stack([np.bincount(group, rest_vertex[:, k]) for k in range(3)], axis=1) / count[:, None]
    off = np.linalg.norm(rest_vertex - mean[group], axis=1)
    order = np.lexsort((np.arange(len(off)), off, group))
    chosen = order[np.concatenate([[0], np.cumsum(count)[:-1]])]
    coarse = chosen[group][faces]
    kept = (coarse[:, 0] != coarse[:, 1]) & (coarse[:, 1] != coarse[:, 2]) & (coarse[:, 2] != coarse[:, 0])
    return np.unique(coarse[kept], axis=0)


def normals(surface: Surface, vertices: np.ndarray) -> np.ndarray:
    """Area-weighted vertex normals (V, 3) float32, not of unit length, of one frame's vertices (V, 3)."""
    a, b, c = np.take(vertices, surface.corner, axis=0)
    u, v = b - a, c - a
    face = np.empty_like(u)
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        np.multiply(u[:, i], v[:, j], out=face[:, k])
        face[:, k] -= u[:, j] * v[:, i]
    return surface.touches @ face

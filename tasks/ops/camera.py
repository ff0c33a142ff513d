"""Where the camera stands, and what it sees: world points -> pixels, and the same for OpenGL.

OpenCV's conventions: camera axes x right, y down, z forward; `extrinsics` take world points to camera points;
`intrinsics` take camera points to pixels. A pixel (column i, row j) covers [i, i + 1) x [j, j + 1), its centre is (i
+ .5, j + .5), and the picture's top left corner is (0, 0). World: right-handed, Y up, metres, floor at y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR_M, FAR_M = 0.1, 200.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """One camera at one moment."""

    intrinsics: np.ndarray  # (3, 3) float64
    extrinsics: np.ndarray  # (4, 4) float64

    @property
    def eye(self) -> np.ndarray:
        """The camera's centre in the world, (3,)."""
        return -self.extrinsics[:3, :3].T @ self.extrinsics[:3, 3]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """One camera over T frames."""

    intrinsics: np.ndarray  # (T, 3, 3) float64
    extrinsics: np.ndarray  # (T, 4, 4) float64

    def at(self, frame: int) -> View:
        """The camera at one frame."""
        return View(intrinsics=self.intrinsics[frame], extrinsics=self.extrinsics[frame])


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Extrinsics (..., 4, 4) of cameras at `eye` (..., 3) that look at `target` (..., 3) with the horizon level.

    Raises ValueError for a camera that looks straight up or down, where level has no meaning.
    """
    eye, target = np.broadcast_arrays(np.asarray(eye, float), np.asarray(target, float))
    forward = target - eye
    flat = np.hypot(forward[..., 0], forward[..., 2])
    if np.any(flat < 1e-9):
        raise ValueError("camera: want a target that is not straight above or below the camera, got one that is")
    forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    rotation = np.stack([right, np.cross(forward, right), forward], axis=-2)
    out = np.zeros((*eye.shape[:-1], 4, 4))
    out[..., :3, :3] = rotation
    out[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, eye)
    out[..., 3, 3] = 1
    return out


def pinhole(fov_deg: float, size: tuple[int, int]) -> np.ndarray:
    """Intrinsics (3, 3) of a vertical field of view over a picture of (h, w) with square pixels, centred."""
    h, w = size
    focal = 0.5 * h / np.tan(np.radians(fov_deg) / 2)
    return np.array([[focal, 0, w / 2], [0, focal, h / 2], [0, 0, 1]])


def project(points: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World points (..., 3) -> pixels (..., 2) and depth (...) along the optical axis, float64.

    `intrinsics` (..., 3, 3) and `extrinsics` (..., 4, 4) broadcast over the points' leading axes. Points on or behind
    the camera's plane get pixels of NaN.
    """
    rotation, shift = extrinsics[..., :3, :3], extrinsics[..., :3, 3]
    camera = np.einsum("...ij,...j->...i", rotation, np.asarray(points, float)) + shift
    depth = camera[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = camera / np.where(depth > 1e-9, depth, np.nan)[..., None]
    return np.einsum("...ij,...j->...i", intrinsics, flat)[..., :2], depth


def gl_projection(intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """OpenGL's projection matrix (4, 4) of a camera without skew; pyrender's IntrinsicsCamera makes the same."""
    h, w = size
    out = np.zeros((4, 4))
    out[0, 0], out[1, 1] = 2 * intrinsics[0, 0] / w, 2 * intrinsics[1, 1] / h
    out[0, 2], out[1, 2] = 1 - 2 * intrinsics[0, 2] / w, 2 * intrinsics[1, 2] / h - 1
    out[2, 2], out[2, 3] = (FAR_M + NEAR_M) / (NEAR_M - FAR_M), 2 * FAR_M * NEAR_M / (NEAR_M - FAR_M)
    out[3, 2] = -1
    return out


def gl_view(extrinsics: np.ndarray) -> np.ndarray:
    """OpenGL's view matrix (4, 4): the same camera with y up and looking along -z."""
    return np.diag([1.0, -1.0, -1.0, 1.0]) @ extrinsics


def gl_clip(view: View, size: tuple[int, int]) -> np.ndarray:
    """World -> OpenGL's clip space (4, 4) float32: multiplied in 32 bits, as a shader multiplies the two matrices."""
    projection, to_camera = gl_projection(view.intrinsics, size), gl_view(view.extrinsics)
    return (projection.astype(np.float32)[:, :, None] * to_camera.astype(np.float32)[None]).sum(1, dtype=np.float32)

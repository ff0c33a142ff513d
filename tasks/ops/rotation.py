"""Axis-angle vectors, matrices, quaternions (x, y, z, w), and headings about the Y axis."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def matrix(axis_angle: np.ndarray) -> np.ndarray:
    """Rotation matrices of axis-angle vectors: (..., 3) -> (..., 3, 3)."""
    flat = Rotation.from_rotvec(np.asarray(axis_angle, np.float64).reshape(-1, 3)).as_matrix()
    return flat.reshape(*np.shape(axis_angle)[:-1], 3, 3)


def quaternion(axis_angle: np.ndarray) -> np.ndarray:
    """Quaternions (x, y, z, w) of axis-angle vectors: (..., 3) -> (..., 4)."""
    flat = Rotation.from_rotvec(np.asarray(axis_angle, np.float64).reshape(-1, 3)).as_quat()
    return flat.reshape(*np.shape(axis_angle)[:-1], 4)


def axis_angle(quat: np.ndarray) -> np.ndarray:
    """Axis-angle vectors of quaternions: (..., 4) -> (..., 3), angles at most pi."""
    flat = Rotation.from_quat(np.asarray(quat, np.float64).reshape(-1, 4)).as_rotvec()
    return flat.reshape(*np.shape(quat)[:-1], 3)


def rotate_root(turn: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Axis-angle vectors (..., 3) turned by a rotation matrix (3, 3) from the left."""
    flat = Rotation.from_matrix(turn) * Rotation.from_rotvec(np.asarray(root, np.float64).reshape(-1, 3))
    return flat.as_rotvec().reshape(np.shape(root))


def slerp(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Quaternions on the shorter arc from a to b: (..., 4), (..., 4), share broadcast over (...).

    Shoemake 1985, "Animating rotation with quaternion curves", section 3.3.
    """
    cosine = np.sum(a * b, axis=-1, keepdims=True)
    b = np.where(cosine < 0, -b, b)
    angle = np.arccos(np.clip(np.abs(cosine), 0.0, 1.0))
    share = np.broadcast_to(np.asarray(share, np.float64)[..., None], angle.shape)
    sine = np.sin(angle)
    near = sine < 1e-6
    safe = np.where(near, 1.0, sine)
    first = np.where(near, 1 - share, np.sin((1 - share) * angle) / safe)
    second = np.where(near, share, np.sin(share * angle) / safe)
    out = first * a + second * b
    return out / np.linalg.norm(out, axis=-1, keepdims=True)


def heading(root: np.ndarray) -> np.ndarray:
    """Radians about Y of root rotations (..., 3): 0 faces +Z, a quarter turn faces +X. (...)

    The twist about Y, which is steady while a body bends over; a body that lies along Y upside down has none.
    """
    quat = quaternion(root)
    return np.mod(2 * np.arctan2(quat[..., 1], quat[..., 3]) + np.pi, 2 * np.pi) - np.pi


def about_y(radians: float) -> np.ndarray:
    """The rotation matrix (3, 3) that turns +Z towards +X by an angle."""
    c, s = np.cos(radians), np.sin(radians)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])

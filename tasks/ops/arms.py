"""Joint angles of a body, a place for its wrist -> angles with that arm bent to be there.

Y up, metres; arrays over T frames; the body is the walker of middle height of tasks.ops.gait.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from tasks.ops.retime import transforms

# Rest places of the joints above the pelvis of the default body of 1.70 m, relative to the pelvis: left side; the
# right mirrors x. In the order that SMPL numbers them, with what each hangs on.
_SPINE = np.array([[0, 0, 0], [0, 0.05, -0.017], [0, 0.12, -0.002], [0, 0.201, -0.001]])
_COLLAR = np.array([0.023, 0.444, 0.032])
_SHOULDER = np.array([0.179, 0.421, 0.030])
UPPER_M, FORE_M = 0.265, 0.239  # shoulder to elbow, elbow to wrist
_CHAIN = (-1, 0, 1, 2, 3, 4)


def shoulder(pose: np.ndarray, pelvis: np.ndarray, side: int) -> tuple[np.ndarray, Rotation]:
    """Place (T, 3) of the left (0) or right (1) shoulder, and the turns of the collar that it hangs on.

    pose (T, J, 3) in SMPL's numbering, pelvis (T, 3) places of the root.
    """
    flip = np.array([1.0 if side == 0 else -1.0, 1, 1])
    rest = np.concatenate([_SPINE, [_COLLAR * flip, _SHOULDER * flip]])
    frames = transforms(pose[:, [0, 3, 6, 9, 13 + side, 16 + side]], pelvis, rest, _CHAIN)
    return frames[:, 5, :3, 3], Rotation.from_matrix(frames[:, 4, :3, :3])


def bend_arm(
    pose: np.ndarray, pelvis: np.ndarray, side: int, wrist: np.ndarray, elbow: np.ndarray, share: np.ndarray
) -> None:
    """Bring a wrist to places (T, 3), the elbow out towards directions (T, 3), by shares (T,) 0..1, in place.

    Two bones and a plane give the angles; a place out of reach is reached for with a nearly straight arm.
    """
    sign = 1.0 if side == 0 else -1.0
    at, collar = shoulder(pose, pelvis, side)
    line = wrist - at
    away = np.linalg.norm(line, axis=1, keepdims=True)
    ahead = line / away
    far = np.clip(away[:, 0], 0.12, 0.995 * (UPPER_M + FORE_M))
    out = elbow - (elbow * ahead).sum(1, keepdims=True) * ahead
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    along = (UPPER_M**2 + far**2 - FORE_M**2) / (2 * far)
    off = np.sqrt(np.maximum(UPPER_M**2 - along**2, 0))
    upper = (along[:, None] * ahead + off[:, None] * out) / UPPER_M
    fore = (far[:, None] * ahead - UPPER_M * upper) / FORE_M
    # At rest the bone lies along x and the elbow bends the forearm towards z.
    front = (upper * out).sum(1, keepdims=True) * upper - out
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    turn = Rotation.from_matrix(np.stack([sign * upper, np.cross(front, sign * upper), front], axis=-1))
    bend = np.arctan2((fore * front).sum(1), (fore * upper).sum(1))
    pose[:, 16 + side] = _towards(pose[:, 16 + side], collar.inv() * turn, share)
    bent = Rotation.from_rotvec(-sign * bend[:, None] * np.array([0.0, 1.0, 0.0]))
    pose[:, 18 + side] = _towards(pose[:, 18 + side], bent, share)


def _towards(angles: np.ndarray, goal: Rotation, share: np.ndarray) -> np.ndarray:
    start = Rotation.from_rotvec(angles)
    return (start * Rotation.from_rotvec((start.inv() * goal).as_rotvec() * share[:, None])).as_rotvec()

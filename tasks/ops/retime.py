"""Motion at its own rate and length -> motion at the render's: interpolated, repeated without a seam, placed."""

from __future__ import annotations

import numpy as np

from tasks.ops.rotation import about_y, axis_angle, heading, matrix, quaternion, rotate_root, slerp


def sample(pose: np.ndarray, trans: np.ndarray, fps: float, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pose (T, J, 3) and trans (T, 3) at times (N,): spherical and linear between frames, held past the ends."""
    position = np.clip(np.asarray(time_s, np.float64) * fps, 0, len(pose) - 1)
    # A time that rounding moved off a frame is that frame: resampling at a motion's own rate changes nothing.
    nearest = np.round(position)
    position = np.where(np.abs(position - nearest) < 1e-6, nearest, position)
    first = np.minimum(np.floor(position).astype(int), max(len(pose) - 2, 0))
    second = np.minimum(first + 1, len(pose) - 1)
    share = position - first
    quat = quaternion(pose)
    turned = slerp(quat[first], quat[second], np.repeat(share[:, None], pose.shape[1], axis=1))
    moved = trans[first] + share[:, None] * (trans[second] - trans[first])
    return axis_angle(turned), moved


def repeat(pose: np.ndarray, trans: np.ndarray, frames: int, *, blend: int) -> tuple[np.ndarray, np.ndarray]:
    """Pose (T, J, 3), trans (T, 3) run again and again until there are `frames`, each run going on from where the last
    came to: turned and moved so that it begins with the heading and place that the last ended with, and cross-faded
    with it over `blend` frames.
    """
    blend = max(1, min(blend, len(pose) // 3))
    out_pose, out_trans = pose, trans
    while len(out_pose) < frames:
        tail = slice(len(out_pose) - blend, len(out_pose))
        middle = blend // 2
        turn = heading(out_pose[tail, 0][middle]) - heading(pose[middle, 0])
        rotation = about_y(float(turn))
        next_pose = pose.copy()
        next_pose[:, 0] = rotate_root(rotation, pose[:, 0])
        next_trans = trans @ rotation.T
        next_trans[:, [0, 2]] += (out_trans[tail][middle] - next_trans[middle])[[0, 2]]
        share = (np.arange(blend) + 0.5) / blend
        share = share * share * (3 - 2 * share)
        faded = slerp(
            quaternion(out_pose[tail]), quaternion(next_pose[:blend]), np.repeat(share[:, None], pose.shape[1], axis=1)
        )
        between = out_trans[tail] + share[:, None] * (next_trans[:blend] - out_trans[tail])
        out_pose = np.concatenate([out_pose[: tail.start], axis_angle(faded), next_pose[blend:]])
        out_trans = np.concatenate([out_trans[: tail.start], between, next_trans[blend:]])
    return out_pose[:frames], out_trans[:frames]


def place(
    pose: np.ndarray,
    trans: np.ndarray,
    pelvis: np.ndarray,
    position: tuple[float, float] | None,
    heading_deg: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """The motion turned about its first pelvis to a heading there and moved to begin at a position (x, z).

    pelvis (3,) is the rest place of the root joint, about which a model turns. None leaves heading or place alone.
    """
    start = trans[0] + pelvis
    pose = pose.copy()
    rotation = np.eye(3)
    if heading_deg is not None:
        rotation = about_y(np.deg2rad(heading_deg) - float(heading(pose[0, 0])))
        pose[:, 0] = rotate_root(rotation, pose[:, 0])
    moved = (trans + pelvis - start) @ rotation.T + start
    if position is not None:
        moved[:, [0, 2]] += np.array(position) - start[[0, 2]]
    return pose, moved - pelvis


def retarget(pose: np.ndarray, source: str, target: str) -> np.ndarray:
    """Joint angles of one model (T, J, 3) as another's: smpl 24, smplh 52, smplx 55 joints.

    The 22 body joints are the same in all; fingers that the source lacks stay at rest, those the target lacks are left
    out, jaw and eyes stay at rest.
    """
    frames = len(pose)
    if source == target:
        return pose
    left = {"smpl": None, "smplh": slice(22, 37), "smplx": slice(25, 40)}[source]
    right = {"smpl": None, "smplh": slice(37, 52), "smplx": slice(40, 55)}[source]
    rest = np.zeros((frames, 15, 3))
    hands = [rest if part is None else pose[:, part] for part in (left, right)]
    body = pose[:, :22]
    if target == "smpl":
        return np.concatenate([body, np.zeros((frames, 2, 3))], axis=1)
    face = [np.zeros((frames, 3, 3))] if target == "smplx" else []
    return np.concatenate([body, *face, *hands], axis=1)


def transforms(pose: np.ndarray, trans: np.ndarray, rest: np.ndarray, parents: tuple[int, ...]) -> np.ndarray:
    """Joint frames in the world, (T, J, 4, 4), of pose (T, J, 3), trans (T, 3) and rest joints (J, 3).

    SMPL's forward kinematics (Loper et al. 2015, equations 3 and 4) without taking the rest pose off again.
    """
    out = np.tile(np.eye(4), (len(pose), len(parents), 1, 1))
    turn = matrix(pose)
    for j, parent in enumerate(parents):
        if parent < 0:
            out[:, j, :3, :3], out[:, j, :3, 3] = turn[:, j], rest[j] + trans
        else:
            out[:, j, :3, :3] = out[:, parent, :3, :3] @ turn[:, j]
            out[:, j, :3, 3] = out[:, parent, :3, 3] + out[:, parent, :3, :3] @ (rest[j] - rest[parent])
    return out

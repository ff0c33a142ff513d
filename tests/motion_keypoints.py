"""Keypoints of real movement without a body model: captured motion on a stick figure, seen by a camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.masks import Masks
from datasets.records import HIDDEN, UNKNOWN, VISIBLE, People
from tasks.backends.motion_files import load_motion
from tasks.ops import retime
from tasks.ops.camera import look_at, pinhole, project
from tasks.ops.performance import PARENTS

SIZE = (512, 512)
# An adult's joints in T-pose, metres, in the order of SMPL's 24.
_REST = np.array(
    [
        [0, .94, 0], [.07, .85, 0], [-.07, .85, 0], [0, 1.06, 0], [.1, .47, 0], [-.1, .47, 0], [0, 1.2, 0],
        [.09, .07, -.03], [-.09, .07, -.03], [0, 1.25, 0], [.11, .02, .1], [-.11, .02, .1], [0, 1.46, -.02],
        [.08, 1.37, 0], [-.08, 1.37, 0], [0, 1.53, .03], [.17, 1.4, 0], [-.17, 1.4, 0], [.43, 1.4, 0], [-.43, 1.4, 0],
        [.68, 1.4, 0], [-.68, 1.4, 0], [.76, 1.4, 0], [-.76, 1.4, 0],
    ]
)  # fmt: skip
# COCO's 17: joint of the 24 that carries the point, and where it lies from there.
_COCO = (
    (15, (0, .06, .1)), (15, (.03, .09, .08)), (15, (-.03, .09, .08)), (15, (.07, .07, 0)), (15, (-.07, .07, 0)),
    *((joint, (0, 0, 0)) for joint in (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)),
)  # fmt: skip


def moving(path: Path, *, fps: float = 30.0, turn_deg: float = 0.0) -> np.ndarray:
    """(T, 17, 2) float32 pixels of a 512 x 512 picture in which the whole movement of a file's first person fits."""
    motion = load_motion(path)
    frames = int((motion.pose.shape[1] - 1) / float(motion.fps) * fps)
    pose, trans = retime.sample(motion.pose[0, :, :24], motion.trans[0], float(motion.fps), np.arange(frames) / fps)
    frame = retime.transforms(pose, trans, _REST, PARENTS)
    point = np.stack([frame[:, j, :3, :3] @ np.array(at) + frame[:, j, :3, 3] for j, at in _COCO], 1)
    centre, angle = point.mean((0, 1)), np.radians(turn_deg)
    away = 1.4 * float(np.abs(point - centre).max()) / np.tan(np.radians(20)) + 0.5
    eye = centre + away * np.array([np.sin(angle), 0.12, np.cos(angle)])
    at, _ = project(point, pinhole(40, SIZE), look_at(eye, centre))
    return at.astype(np.float32)


def people_of(tracks: list[np.ndarray]) -> People:
    """Exact People of keypoints (T, 17, 2) a person; masks are their boxes, the later ones in front."""
    keypoint = np.stack(tracks)
    num, frames = keypoint.shape[:2]
    h, w = SIZE
    low, high = keypoint.min(2), keypoint.max(2)
    box = np.concatenate([np.floor(low - 4), np.ceil(high + 4)], -1).clip(0, w).astype(np.float32)
    masks = np.zeros((num, frames, h, w), bool)
    for p, t in np.ndindex(num, frames):
        x0, y0, x1, y1 = box[p, t].astype(int)
        masks[:p, t, y0:y1, x0:x1] = False
        masks[p, t, y0:y1, x0:x1] = True
    inside = np.asarray(((keypoint >= 0) & (keypoint < (w, h))).all(-1))
    x, y = np.floor(keypoint.clip(0, w - 1)).astype(int).transpose(3, 0, 1, 2)
    person, t = np.arange(num)[:, None, None], np.arange(frames)[None, :, None]
    flag = np.where(inside, np.where(masks[person, t, y, x], VISIBLE, HIDDEN), UNKNOWN).astype(np.uint8)
    own = masks.sum((2, 3)) / np.maximum((box[..., 2:] - box[..., :2]).prod(-1), 1)
    return People(
        box=box, keypoint=keypoint.astype(np.float32), score=inside.astype(np.float32), flag=flag,
        mask=Masks.encode(masks.reshape(-1, h, w), size=SIZE), present=np.ones((num, frames), bool),
        visible=own.astype(np.float32), confidence=np.ones((num, frames), np.float32), skeleton="coco17", events=(),
    )  # fmt: skip

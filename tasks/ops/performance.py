"""What a renderer needs of one performer: a surface and joints in world space, frame by frame.

World: right-handed, Y up, metres, floor at y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The 24 joints of SMPL (Loper et al. 2015), in its order; every body model is brought to these.
JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
# Parent of each joint; -1 is the root.
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Performance:
    """One performer over T frames at the render's rate, with V vertices, F faces."""

    vertices: np.ndarray  # (T, V, 3)     float32 world
    faces: np.ndarray  # (F, 3)        int32   counter-clockwise seen from outside
    region: np.ndarray  # (F,)          uint8   tasks.ops.body_regions
    joint: np.ndarray  # (T, 24, 3)    float32 world, in the order of JOINTS
    coco: np.ndarray  # (T, 17, 3)    float32 world, COCO-17; limbs' joints lie inside the body, nose, eyes, ears on it
    transform: np.ndarray  # (T, 24, 4, 4) float32 joint frame -> world; at rest every frame's axes are the world's
    rest_joint: np.ndarray  # (24, 3)       float32 T-pose joints of this very shape, facing +Z: lengths for rigid parts
    rest_vertex: np.ndarray  # (V, 3)        float32 T-pose surface of this very shape
    pose: np.ndarray  # (T, J, 3)     float32 axis-angle, in the model's own joint order
    trans: np.ndarray  # (T, 3)        float32
    betas: np.ndarray  # (B,)          float32 shape coefficients of the model
    model: str  # duetflow-anny, or smpl, smplh, smplx with gender

    def __post_init__(self) -> None:
        frames, vertices, faces = len(self.vertices), self.rest_vertex.shape[0], len(self.faces)
        want = {
            "vertices": ((frames, vertices, 3), np.float32), "faces": ((faces, 3), np.int32),
            "region": ((faces,), np.uint8), "joint": ((frames, 24, 3), np.float32),
            "coco": ((frames, 17, 3), np.float32), "transform": ((frames, 24, 4, 4), np.float32),
            "rest_joint": ((24, 3), np.float32), "rest_vertex": ((vertices, 3), np.float32),
            "pose": ((frames, np.shape(self.pose)[1], 3), np.float32), "trans": ((frames, 3), np.float32),
            "betas": ((np.size(self.betas),), np.float32),
        }  # fmt: skip
        for name, (shape, dtype) in want.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(f"performance.{name}: want {shape} {np.dtype(dtype)}, got {array.shape} {array.dtype}")
            array = array.view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.vertices)

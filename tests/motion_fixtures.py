"""One little dance, written as each motion set writes its files: exactly those keys, shapes, axes and rates."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

# Mean pelvis of SMPL and SMPL-X at rest: trans is counted from it.
PELVIS = {"smpl": (-0.0018, -0.2233, 0.0282), "smplh": (-0.0018, -0.2233, 0.0282), "smplx": (0.0031, -0.3514, 0.012)}
Z_TO_Y = Rotation.from_matrix([[1, 0, 0], [0, 0, 1], [0, -1, 0]])


@dataclass(frozen=True)
class Dance:
    """What the people of a motion do, Y up: heading and place of the pelvis, and the bend of the left knee."""

    frames: int = 12
    people: int = 1

    def pelvis(self, person: int) -> np.ndarray:
        t = np.linspace(0, 1, self.frames)
        return np.stack([person + 0.5 * t, 0.9 + 0.05 * np.sin(5 * t), 0.8 * t - 0.3 * person], axis=1)

    def root(self, person: int) -> np.ndarray:
        turn = np.linspace(0, 1.2, self.frames) * (1 - 2 * person)
        return (Rotation.from_euler("y", turn[:, None]) * Rotation.from_euler("x", 0.1)).as_rotvec()

    def knee(self, person: int) -> np.ndarray:
        return np.linspace(0, 0.8 + 0.1 * person, self.frames)

    def pose(self, person: int, joints: int) -> np.ndarray:
        """Axis-angle (T, joints, 3), Y up."""
        pose = np.zeros((self.frames, joints, 3))
        pose[:, 0], pose[:, 4, 0] = self.root(person), self.knee(person)
        return pose

    def z_up(self, person: int, joints: int, model: str) -> tuple[np.ndarray, np.ndarray]:
        """Pose and trans as a set with Z up has them."""
        pose = self.pose(person, joints)
        pose[:, 0] = (Z_TO_Y.inv() * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
        return pose, Z_TO_Y.inv().apply(self.pelvis(person)) - PELVIS[model]

    def trans(self, person: int, model: str) -> np.ndarray:
        return self.pelvis(person) - PELVIS[model]


def amass(dance: Dance = Dance(), gender: Any = b"female", rate: float = 120.00004) -> dict[str, Any]:
    pose, trans = dance.z_up(0, 52, "smplh")
    return {
        "poses": pose.reshape(dance.frames, 156), "trans": trans, "betas": np.arange(16) / 10,
        "dmpls": np.zeros((dance.frames, 8)), "gender": np.array(gender), "mocap_framerate": np.array(rate),
    }  # fmt: skip


def amass_newer(dance: Dance = Dance()) -> dict[str, Any]:
    pose, trans = dance.z_up(0, 55, "smplx")
    flat = pose.reshape(dance.frames, 165)
    return {
        "gender": np.array("male"), "surface_model_type": np.array("smplx"), "mocap_frame_rate": np.array(60.0),
        "trans": trans, "poses": flat, "betas": np.arange(16) / 10, "root_orient": flat[:, :3],
        "pose_body": flat[:, 3:66], "pose_hand": flat[:, 75:], "pose_jaw": flat[:, 66:69], "pose_eye": flat[:, 69:75],
        "markers_latent_vids": np.array({"ARIEL": 411}, dtype=object),
    }  # fmt: skip


def aistpp(dance: Dance = Dance()) -> dict[str, Any]:
    scaling = 93.7
    return {
        "smpl_poses": dance.pose(0, 24).reshape(dance.frames, 72), "smpl_scaling": np.array([scaling]),
        "smpl_trans": dance.trans(0, "smpl") * scaling, "smpl_loss": 0.1,
    }  # fmt: skip


def gdance(dance: Dance = Dance(people=3)) -> dict[str, Any]:
    pose = np.stack([dance.pose(p, 24) for p in range(dance.people)]).reshape(dance.people, dance.frames, 72)
    return {"smpl_poses": pose, "root_trans": np.stack([dance.trans(p, "smpl") for p in range(dance.people)])}


def gdance_shorter(dance: Dance = Dance(people=3)) -> dict[str, Any]:
    whole = gdance(dance)
    return {**whole, "smpl_orients": whole["smpl_poses"][..., :3], "smpl_poses": whole["smpl_poses"][..., 3:]}


def interhuman(dance: Dance = Dance(people=2)) -> dict[str, Any]:
    out: dict[str, Any] = {"mocap_framerate": 59.94, "frames": dance.frames}
    for person in range(2):
        pose, trans = dance.z_up(person, 22, "smplh")
        out[f"person{person + 1}"] = {
            "trans": trans, "root_orient": pose[:, 0], "pose_body": pose[:, 1:].reshape(dance.frames, 63),
            "betas": np.arange(10) / 10, "gender": "male",
        }  # fmt: skip
    return out


def interx(person: int, dance: Dance = Dance(people=2)) -> dict[str, Any]:
    pose = dance.pose(person, 55)
    return {
        "root_orient": pose[:, 0], "pose_body": pose[:, 1:22], "pose_lhand": pose[:, 25:40], "pose_rhand": pose[:, 40:],
        "trans": dance.trans(person, "smplx"), "betas": np.arange(10)[None] / 10, "gender": np.array("neutral"),
    }  # fmt: skip


def dd100(person: int, dance: Dance = Dance(people=2)) -> dict[str, Any]:
    pose = dance.pose(person, 55)
    return {
        "poses": pose.reshape(dance.frames, 165), "global_orient": pose[:, 0], "transl": dance.trans(person, "smplx"),
        "betas": np.tile(np.arange(10) / 10, (dance.frames, 1)), "meta": {"gender": "female"},
    }  # fmt: skip


def hi4d(frame: int, dance: Dance = Dance(people=2)) -> dict[str, Any]:
    pose = np.stack([dance.pose(p, 24)[frame] for p in range(2)])
    return {
        "betas": np.tile(np.arange(10) / 10, (2, 1)), "body_pose": pose[:, 1:].reshape(2, 69),
        "global_orient": pose[:, 0], "transl": np.stack([dance.trans(p, "smpl")[frame] for p in range(2)]),
    }  # fmt: skip


def write_set(layout: str, folder: Path) -> Path:
    """Write a motion of a layout as the set has it on disk, and return the source: a file or a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if layout in ("amass", "amass_newer"):
        path = folder / "walk_poses.npz"
        np.savez(path, **{"amass": amass, "amass_newer": amass_newer}[layout]())
    elif layout in ("aistpp", "gdance", "gdance_shorter", "interhuman"):
        path = folder / f"{layout}.pkl"
        data = {"aistpp": aistpp, "gdance": gdance, "gdance_shorter": gdance_shorter, "interhuman": interhuman}[
            layout
        ]()
        path.write_bytes(pickle.dumps(data, protocol=2 if layout == "aistpp" else 4))
    elif layout == "interx":
        path = folder / "G001T000A000R000"
        path.mkdir()
        for person in range(2):
            np.savez(path / f"P{person + 1}.npz", **interx(person))
    elif layout == "dd100":
        path = folder / "ballet_Dance_000_00.npy"
        for person in range(2):
            np.save(folder / f"ballet_Dance_000_0{person}.npy", np.array(dd100(person), dtype=object))
    else:
        path = folder / "smpl"
        path.mkdir()
        for frame in range(Dance().frames):
            # Numbers without leading zeros: order by name would put frame 10 before frame 2.
            np.savez(path / f"{frame + 1}.npz", **hi4d(frame))
    return path

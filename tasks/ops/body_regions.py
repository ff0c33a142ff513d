"""Body surface -> the regions that a dressed body is coloured by, cut cleanly by bone weights and T-pose place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

REGIONS = ("skin", "hair", "shirt", "lower", "shoes", "eyes", "brows", "lips")
SKIN, HAIR, SHIRT, LOWER, SHOES, EYES, BROWS, LIPS = range(len(REGIONS))
_LEFT_ARM, _RIGHT_ARM, _HEAD = [16, 18, 20, 22], [17, 19, 21, 23], [12, 15]
_SLIVER_M = 4e-4  # a vertex this near to a border lies on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How clothes and hair are cut, as places along the body."""

    sleeve: float  # 0 shoulder, 1 elbow, 2 wrist
    leg: float  # 0 hip, 1 knee, 2 ankle
    hem: float  # metres that the shirt reaches below the pelvis joint
    hair: float  # metres below the ears that the hair reaches at the back


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dress:
    """A surface split along the borders of its regions."""

    faces: np.ndarray  # (F, 3) int32, over the body's V vertices and then the E added ones
    region: np.ndarray  # (F,) uint8
    added: sparse.csr_matrix  # (E, V) float32: added vertices as means of the body's, in any pose

    def extend(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices (T, V, 3) with the added ones behind them, (T, V + E, 3) float32."""
        frames, count = vertices.shape[:2]
        flat = vertices.transpose(1, 0, 2).reshape(count, -1)
        extra = (self.added @ flat).reshape(-1, frames, 3).transpose(1, 0, 2)
        return np.concatenate([vertices, extra], axis=1).astype(np.float32)


def cut_of(seed: int) -> Cut:
    """Sleeves, legs and hair drawn from a seed: short or long sleeves; trousers, shorts or a skirt to the knee."""
    rng = np.random.default_rng((seed, 0xC1073))
    sleeve = (0.55, 1.95, 1.95, 0.25)[rng.integers(4)]
    leg = (2.0, 2.0, 0.55, 1.06)[rng.integers(4)]
    hem, hair = (0.0, 0.07)[rng.integers(2)], (0.04, 0.04, 0.13)[rng.integers(3)]
    return Cut(sleeve=sleeve, leg=leg, hem=hem, hair=hair)


def dress(
    vertices: np.ndarray,
    faces: np.ndarray,
    weights: np.ndarray,
    joint: np.ndarray,
    head: np.ndarray,
    eyes: np.ndarray,
    cut: Cut,
) -> Dress:
    """Dress a T-pose that faces +Z: split its triangles where a border runs through them and name each region.

    vertices (V, 3), faces (F, 3), weights (V, 24), joint (24, 3), head (5, 3): nose, left eye, right eye, left ear,
    right ear; eyes (F,) bool: faces of the eyeballs.
    """
    borders = (_waist, _sleeve, _leg, _shoe, _collar, _hairline, _brow, _lips)
    place, added = vertices.astype(np.float64), sparse.csr_matrix(sparse.identity(len(vertices), format="csr"))
    faces, eyes = faces.copy(), eyes.copy()
    for border in borders:
        field = border(place, joint, head, cut)
        faces, source, new = _split(faces, field)
        added = sparse.csr_matrix(sparse.vstack([added, new @ added]))
        eyes, place = eyes[source], added @ vertices
    share = (added @ weights)[faces].mean(axis=1)
    centre = place[faces].mean(axis=1)
    side = {border: border(centre, joint, head, cut) >= 0 for border in borders}
    arm = share[:, _LEFT_ARM + _RIGHT_ARM].sum(axis=1) > 0.5
    on_head = share[:, _HEAD].sum(axis=1) > 0.5
    region = np.full(len(faces), SHIRT, np.uint8)
    # Later rules stand over earlier ones.
    region[~side[_waist] & ~arm] = LOWER
    region[side[_leg] & ~arm] = SKIN
    region[side[_shoe]] = SHOES
    region[side[_sleeve]] = SKIN
    region[side[_collar]] = SKIN
    region[side[_hairline] & on_head & ~_ear(centre, head)] = HAIR
    region[side[_brow]] = BROWS
    region[side[_lips]] = LIPS
    region[eyes] = EYES
    # An iris is as dark as the brow.
    region[eyes & _iris(centre, head)] = BROWS
    return Dress(faces=faces.astype(np.int32), region=region, added=added[len(vertices) :].astype(np.float32))


def _split(faces: np.ndarray, field: np.ndarray) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """Faces with none across the zero of a vertex field, the face each came from, and the added vertices' weights."""
    field = np.where(np.abs(field) < _SLIVER_M, 0.0, field)
    above = field >= 0
    crossed = above[faces].any(axis=1) & ~above[faces].all(axis=1)
    # Turn each crossed face so that its first corner is alone on its side.
    side = above[faces[crossed]]
    alone = np.where(side.sum(axis=1) == 1, side.argmax(axis=1), (~side).argmax(axis=1))
    a, b, c = (np.take_along_axis(faces[crossed], ((alone + k) % 3)[:, None], axis=1)[:, 0] for k in range(3))
    edges = np.sort(np.concatenate([np.stack([a, b], axis=1), np.stack([a, c], axis=1)]), axis=1)
    unique, index = np.unique(edges, axis=0, return_inverse=True)
    first, second = field[unique[:, 0]], field[unique[:, 1]]
    share = first / (first - second)
    rows = np.arange(len(unique))
    new = sparse.csr_matrix(
        (np.concatenate([1 - share, share]), (np.concatenate([rows, rows]), unique.T.reshape(-1))),
        shape=(len(unique), len(field)),
    )
    ab, ac = (len(field) + index.reshape(-1)).reshape(2, -1)
    pieces = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ac), (ab, b, c), (ab, c, ac))])
    which = np.flatnonzero(crossed)
    source = np.concatenate([np.flatnonzero(~crossed), which, which, which])
    return np.concatenate([faces[~crossed], pieces]), source, new


def _waist(place: np.ndarray, joint: np.ndarray, head: np.ndarray, cut: Cut) -> np.ndarray:
    return place[:, 1] - (joint[0, 1] - cut.hem)


def _sleeve(place: np.ndarray, joint: np.ndarray, head: np.ndarray, cut: Cut) -> np.ndarray:
    stops = np.abs(joint[[16, 18, 20], 0] - joint[0, 0])
    beyond = np.abs(place[:, 0] - joint[0, 0]) - np.interp(cut.sleeve, [0, 1, 2], stops)
    # Not the hips or feet of a wide stance: arms are out to the side, above the spine.
    return np.minimum(beyond, place[:, 1] - joint[6, 1])


def _leg(place: np.ndarray, joint: np.ndarray, head: np.ndarray, cut: Cut) -> np.ndarray:
    stops = joint[[[1, 2], [4, 5], [7, 8]], 1].mean(axis=1)
    return np.interp(cut.leg, [0, 1, 2], stops) - place[:, 1]


def _shoe(place: np.ndarray, joint: np.ndarray, head: np.ndarray, cut: Cut) -> np.ndarray:
    return joint[[7, 8], 1].mean() + 0.02 - place[:, 1]


def _collar(place: np.ndarray, joint: np.ndarray, head: np.ndarray, cut: Cut) -> np.ndarray:
    """Above a plane at the base of the neck that falls towards the front."""
    neck = joint[12]
    return place[:, 1] - (neck[1] - 0.025 - 0.5 * (place[:, 2] - neck[2]))


def _hairline(place: np.ndarray, joint: np.ndarray, head: np.ndarray, cut: Cut) -> np.ndarray:
    """Above a line that runs from the nape behind the ears over the temples to the forehead."""
    away, depth = place - head[3:].mean(axis=0), head[0, 2] - head[3:, 2].mean()
    line = np.interp(
        away[:, 2] / depth,
        [-0.7, -0.2, 0.0, 0.1, 0.25, 0.5, 0.7],
        [-cut.hair, -cut.hair, -0.3 * cut.hair, 0.0, 0.04, 0.075, 0.09],
    )
    return away[:, 1] - line


def _brow(place: np.ndarray, joint: np.ndarray, head: np.ndarray, cut: Cut) -> np.ndarray:
    """Inside a thin arch over either eye, on the front of the face."""
    inside = np.full(len(place), -1.0)
    for eye in head[1:3]:
        off = place - eye
        arch = 0.022 - 7 * off[:, 0] ** 2
        near = np.minimum(0.0035 - np.abs(off[:, 1] - arch), 0.022 - np.abs(off[:, 0]))
        inside = np.maximum(inside, np.minimum(near, off[:, 2] + 0.03))
    return inside


def _lips(place: np.ndarray, joint: np.ndarray, head: np.ndarray, cut: Cut) -> np.ndarray:
    """Inside an ellipse under the nose, on the front of the face."""
    depth = head[0, 2] - head[3:, 2].mean()
    off = (place - head[0]) / depth + [0.0, 0.36, 0.1]
    inside = 1 - (off[:, 0] / 0.2) ** 2 - (off[:, 1] / 0.09) ** 2
    return 0.01 * np.minimum(inside, 20 * (off[:, 2] + 0.25))


def _iris(centre: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Within 6 mm of either eye's axis."""
    return np.min([np.hypot(*(centre[:, :2] - eye[:2]).T) for eye in head[1:3]], axis=0) < 0.006


def _ear(centre: np.ndarray, head: np.ndarray) -> np.ndarray:
    away, depth = centre - head[3:].mean(axis=0), head[0, 2] - head[3:, 2].mean()
    width = abs(head[3, 0] - head[4, 0]) / 2
    return (np.abs(away[:, 0]) > 0.9 * width) & (np.abs(away[:, 1]) < 0.04) & (np.abs(away[:, 2]) < 0.28 * depth)

"""Joint names, limbs and mirror pairs of each keypoint layout, in one place: no backend numbers joints itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """One keypoint layout of J joints."""

    name: str
    joints: tuple[str, ...]  # J names, in index order
    limbs: tuple[tuple[int, int], ...]  # pairs of joints to draw as bones
    mirror: tuple[int, ...]  # J indices: joint j becomes mirror[j] when the picture is flipped left to right
    sigma: tuple[float, ...]  # J per-joint spreads of COCO's object keypoint similarity


_COCO17 = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
]  # fmt: skip
_COCO17_LIMBS = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12),
    (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip
# COCO keypoint evaluation, k_i = 2 sigma_i (cocoapi, cocoeval.py, kpt_oks_sigmas).
_COCO17_SIGMA = (
    .026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089,
)  # fmt: skip


def _mirror(names: list[str]) -> tuple[int, ...]:
    def other(name: str) -> str:
        if name.startswith("left_"):
            return "right_" + name.removeprefix("left_")
        if name.startswith("right_"):
            return "left_" + name.removeprefix("right_")
        return name

    at = {name: i for i, name in enumerate(names)}
    return tuple(at[other(name)] for name in names)


def _wholebody() -> Skeleton:
    """COCO-WholeBody's 133 keypoints: 17 body, 6 feet, 68 face (iBUG 300-W order), 21 for each hand."""
    feet = ["left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"]
    face = [f"face_{i}" for i in range(68)]
    hand = [f"hand_{i}" for i in range(21)]
    names = [*_COCO17, *feet, *face, *(f"left_{n}" for n in hand), *(f"right_{n}" for n in hand)]
    mirror = list(_mirror(names))
    # iBUG 300-W: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67, each mirrored about the nose line.
    ibug = [16 - i for i in range(17)] + [43 - i for i in range(17, 27)] + [27, 28, 29, 30, 35, 34, 33, 32, 31]
    ibug += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    ibug += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    for i, j in enumerate(ibug):
        mirror[23 + i] = 23 + j
    fingers = [(0, 1 + 4 * f) for f in range(5)] + [(1 + 4 * f + k, 2 + 4 * f + k) for f in range(5) for k in range(3)]
    limbs = [*_COCO17_LIMBS, (15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22), (9, 91), (10, 112)]
    limbs += [(91 + a, 91 + b) for a, b in fingers] + [(112 + a, 112 + b) for a, b in fingers]
    # COCO-WholeBody (Jin et al., ECCV 2020), myeval_wholebody.py.
    sigma = [*_COCO17_SIGMA, .068, .066, .066, .092, .094, .094]  # fmt: skip
    sigma += [
        .042, .043, .044, .043, .040, .035, .031, .025, .020, .023, .029, .032, .037, .038, .043, .041, .045, .013,
        .012, .011, .011, .012, .012, .011, .011, .013, .015, .009, .007, .007, .007, .012, .009, .008, .016, .010,
        .017, .011, .009, .011, .009, .007, .013, .008, .011, .012, .010, .034, .008, .008, .009, .008, .008, .007,
        .010, .008, .009, .009, .009, .007, .007, .008, .011, .008, .008, .008, .010, .008,
    ]  # fmt: skip
    one_hand = [
        .029, .022, .035, .037, .047, .026, .025, .024, .035, .018, .024, .022, .026, .017, .021, .021, .032, .020,
        .019, .022, .031,
    ]  # fmt: skip
    sigma += one_hand + one_hand
    return Skeleton(name="coco133", joints=tuple(names), limbs=tuple(limbs), mirror=tuple(mirror), sigma=tuple(sigma))


COCO17 = Skeleton(
    name="coco17", joints=tuple(_COCO17), limbs=_COCO17_LIMBS, mirror=_mirror(_COCO17), sigma=_COCO17_SIGMA
)
COCO133 = _wholebody()
SKELETONS = {skeleton.name: skeleton for skeleton in (COCO17, COCO133)}


def skeleton(name: str) -> Skeleton:
    """The layout of this name. Raises ValueError that lists the known ones."""
    try:
        return SKELETONS[name]
    except KeyError:
        raise ValueError(f"skeleton: want one of {', '.join(SKELETONS)}, got {name!r}") from None

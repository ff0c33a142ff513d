"""Where the driving people's joints are, where a video's are -> MPJPE in pixels, and PoseSSIM of a clip."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tasks.ops.picture_quality import ssim_map

SIGMA = 4.0  # pixels, of a joint in a heat map
NEAR = 0.1  # of a heat map; a joint is above it for about two sigmas
_REACH = 4  # sigmas; beyond, a joint is as good as not there


def joint_distance(found: np.ndarray, truth: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Distance in pixels of each joint, (N, 17) float64; NaN where it is not known, or nobody was found.

    found (N, 17, 2), infinite for somebody who was not found; truth (N, 17, 2); known (N, 17) bool. Its mean is
    MPJPE2D, without any alignment (Ionescu et al., Human3.6M, PAMI 2014, section 3, in the picture's plane).
    """
    there = known & np.isfinite(found).all(-1)
    with np.errstate(invalid="ignore"):
        away = np.linalg.norm(found.astype(np.float64) - truth.astype(np.float64), axis=-1)
    return np.where(there, away, np.nan)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The (2, 3) similarity transform x -> s R x + t that brings points (N, 2) nearest to others, in least squares.

    Umeyama, Least-squares estimation of transformation parameters between two point patterns, PAMI 1991, equations 40
    to 42; no mirroring. The identity where fewer than two different points leave it open.
    """
    if len(source) < 2 or np.ptp(source, axis=0).max() == 0:
        return np.eye(2, 3)
    mean_s, mean_t = source.mean(0), target.mean(0)
    s, t = source - mean_s, target - mean_t
    u, spread, v = np.linalg.svd(t.T @ s / len(s))
    keep = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v)) or 1.0])
    turn = (u * keep) @ v
    scale = float((spread * keep).sum() / (s * s).sum(1).mean())
    return np.concatenate([scale * turn, (mean_t - scale * turn @ mean_s)[:, None]], 1)


def pose_ssim(
    frames: Iterable[tuple[np.ndarray, np.ndarray]], size: tuple[int, int], transform: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """SSIM of the heat maps of each frame's joints, over the whole picture and near the joints, (T,) float64 both.

    Each frame gives the found joints (N, 2) and the true ones (M, 2) of everybody, pixels of a picture (h, w) `size`.
    The found ones go through the clip's one similarity transform, each joint is a Gaussian of SIGMA pixels, the
    greatest value at a pixel counts. PoseSSIM is the mean of the first (DanceTogether, arXiv 2505.18078, evaluation:
    one similarity transform, heat maps of sigma 4 px, SSIM averaged over frames; that it is one a clip, over all
    people, so that who stands where counts, is our choice). There background that is empty on both sides counts as
    equal, so that a video of nobody comes near 1: hence the second, ours, over the pixels where either map is above
    NEAR; NaN where none is.
    """
    whole, near = [], []
    for found, truth in frames:
        made = heat_map(found @ transform[:, :2].T + transform[:, 2], size)
        real = heat_map(truth, size)
        similar, reached = ssim_map(made, real, top=1.0), np.maximum(made, real) > NEAR
        whole.append(float(similar.mean()))
        near.append(float(similar[reached].mean()) if reached.any() else float("nan"))
    return np.array(whole, np.float64), np.array(near, np.float64)


def heat_map(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32 0..1: at each pixel the greatest of the Gaussians around the points (N, 2) in xy.

    >>> float(heat_map(np.array([[2.5, 1.5]]), (4, 6))[1, 2])
    1.0
    """
    height, width = size
    out = np.zeros(size, np.float32)
    reach = int(_REACH * SIGMA)
    for x, y in np.asarray(points, np.float64):
        column, row = int(np.floor(x)), int(np.floor(y))
        x0, x1, y0, y1 = max(column - reach, 0), column + reach + 1, max(row - reach, 0), row + reach + 1
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            continue
        part = out[y0:y1, x0:x1]
        # A pixel's middle lies at + 0.5.
        across = np.arange(x0, x0 + part.shape[1]) + 0.5 - x
        down = np.arange(y0, y0 + part.shape[0]) + 0.5 - y
        near = np.exp(-(across[None] ** 2 + down[:, None] ** 2) / (2 * SIGMA**2)).astype(np.float32)
        np.maximum(part, near, out=part)
    return out

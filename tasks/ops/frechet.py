"""Features of real and of generated samples -> the Fréchet distance between them: what FID and FVD are."""

from __future__ import annotations

import numpy as np


def frechet_distance(real: np.ndarray, made: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of two sets of features (N, D) and (M, D), N and M at least 2.

    The distance of two Gaussians (Dowson and Landau, 1982) of the features' means and covariances: FID with those of
    Inception (Heusel et al., NeurIPS 2017, equation 6), FVD with those of I3D (Unterthiner et al., 2018, equation 2).
    With S = A^T A, A the centred features over sqrt(N - 1), the eigenvalues of S1 S2 are the squared singular values of
    A1 A2^T: exact where there are fewer samples than features, too, where the root of a D x D matrix is not.
    Raises ValueError for fewer samples, other widths, or numbers that are not finite.

    >>> a = np.array([[0.0], [2.0]])
    >>> round(frechet_distance(a, a + 3), 9)
    9.0
    """
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1] or min(len(real), len(made)) < 2:
        got = f"{real.shape}, {made.shape}"
        raise ValueError(f"frechet distance: want (N, D) and (M, D), two samples or more, got {got}")
    if not (np.isfinite(real).all() and np.isfinite(made).all()):
        raise ValueError("frechet distance: want finite features, got NaN or infinity")
    (mean_r, a_r), (mean_m, a_m) = _centred(real), _centred(made)
    apart = float(np.square(mean_r - mean_m).sum())
    shared = float(np.linalg.svd(a_r @ a_m.T, compute_uv=False).sum())
    return max(0.0, apart + float(np.square(a_r).sum() + np.square(a_m).sum()) - 2 * shared)


def _centred(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wide = features.astype(np.float64)
    mean = wide.mean(0)
    return mean, (wide - mean) / np.sqrt(len(wide) - 1)

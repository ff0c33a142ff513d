"""Pixels -> a mixture of five Gaussians in the layout that OpenCV's GrabCut keeps its colour models in."""

from __future__ import annotations

import functools

import cv2
import numpy as np

COMPONENTS = 5
# No shade is known better than this variance: compression and light move every colour. A tighter Gaussian, fitted
# to a few pixels of a smooth wall, would outbid the wall's own.
_MIN_VARIANCE = 30.0
_SEED = 20250518


def fit_colours(pixels: np.ndarray, most: int = 1500) -> np.ndarray:
    """The colour model of (N, 3) uint8 pixels, (1, 65) float64: weights (5), means (5, 3), covariances (5, 3, 3).

    k-means, then one Gaussian a cluster, as GrabCut's first iteration does (Rother et al., SIGGRAPH 2004, section
    3.1). At most `most` evenly spaced pixels are used. Raises ValueError for fewer pixels than components.
    """
    if len(pixels) < COMPONENTS:
        raise ValueError(f"colours: want at least {COMPONENTS} pixels, got {len(pixels)}")
    sample = np.ascontiguousarray(thin(pixels, most), np.float32)
    # The clustering draws random numbers: set before each call, equal pixels give equal models.
    cv2.setRNGSeed(_SEED)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 6, 0.0)
    _, cluster, _ = cv2.kmeans(sample, COMPONENTS, None, stop, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    weight, mean, cov = np.zeros(COMPONENTS), np.zeros((COMPONENTS, 3)), np.zeros((COMPONENTS, 3, 3))
    for k in range(COMPONENTS):
        member = sample[cluster[:, 0] == k].astype(np.float64)
        if not len(member):
            cov[k] = np.eye(3) * _MIN_VARIANCE
            continue
        weight[k] = len(member) / len(sample)
        mean[k] = member.mean(0)
        offset = member - mean[k]
        cov[k] = offset.T @ offset / len(member) + np.eye(3) * _MIN_VARIANCE
    return np.concatenate([weight, mean.ravel(), cov.ravel()])[None]


def thin(pixels: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the rows, evenly spaced."""
    if len(pixels) <= most:
        return pixels
    return pixels[np.linspace(0, len(pixels) - 1, most).astype(np.int64)]


def log_ratio(image: np.ndarray, back: np.ndarray, front: np.ndarray) -> np.ndarray:
    """log p(colour | front) - log p(colour | back) of (h, w, 3) uint8, (h, w) float32, each clipped at e^-30."""
    pixels = image.reshape(-1, 3).astype(np.float32)
    densities = (_log_density(pixels, *_whitened(model.tobytes())) for model in (front, back))
    return np.subtract(*densities).reshape(image.shape[:2])


@functools.lru_cache(maxsize=64)  # a person's colours are asked for in each frame, and learned in one of several
def _whitened(values: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A colour model as what `_log_density` takes: transform (3, 15), shift (15,), scale (5,), all float32."""
    model = np.frombuffer(values, np.float64)[None]
    weight, mean = model[0, :COMPONENTS], model[0, COMPONENTS : 4 * COMPONENTS].reshape(COMPONENTS, 3)
    cov = model[0, 4 * COMPONENTS :].reshape(COMPONENTS, 3, 3)
    # |L^-1 (x - mean)|^2 is the Mahalanobis distance for the Cholesky factor L of the covariance.
    whiten = np.linalg.inv(np.linalg.cholesky(cov))
    scale = (weight * np.diagonal(whiten, axis1=1, axis2=2).prod(1)).astype(np.float32)
    shift = np.einsum("kij,kj->ki", whiten, mean).reshape(-1).astype(np.float32)
    return whiten.reshape(-1, 3).T.astype(np.float32), shift, scale


def _log_density(pixels: np.ndarray, transform: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log of the mixture's density at (N, 3) pixels, (N,) float32; all components at once."""
    offset = pixels @ transform
    offset -= shift
    offset *= offset
    distance = offset[:, 0::3] + offset[:, 1::3] + offset[:, 2::3]
    distance *= -0.5
    return np.log(np.exp(distance, out=distance) @ scale + np.float32(np.exp(-30.0)))

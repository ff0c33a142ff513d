"""Pixels -> how likely each colour is for someone: a smoothed histogram, read by one look-up a pixel."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

_SIDE = 32  # bins a channel
# Noise grows about with the root of the light, and show light leaves most pixels dark: bins are even in the root.
_BIN = np.minimum(np.sqrt(np.arange(256) / 255.0) * _SIDE, _SIDE - 1).astype(np.int32)
_NARROW, _WIDE = 0.9, 2.5  # bins that a colour is spread over: what was seen, and shades beside it under other light
# Shares of the mixture: seen colours, shades beside them, and any colour at all (what nobody has shown yet).
_SHARES = (0.70, 0.28, 0.02)


def colour_bins(picture: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB as (...) int32 names of bins, below 32768."""
    bins = _BIN[picture]
    return (bins[..., 0] * _SIDE + bins[..., 1]) * _SIDE + bins[..., 2]


def fit_table(bins: np.ndarray) -> np.ndarray:
    """Log density a bin, (32768,) float32, of observed bins (N,); a flat one when there are none.

    A histogram smoothed by two Gaussians (a kernel density estimate with a narrow and a wide kernel), and a floor.
    """
    total = _SIDE**3
    if not len(bins):
        return np.full(total, -np.log(total), np.float32)
    count = np.bincount(bins, minlength=total).reshape(_SIDE, _SIDE, _SIDE).astype(np.float32) / len(bins)
    narrow = gaussian_filter(count, _NARROW, mode="nearest", truncate=2.5)
    wide = gaussian_filter(count, _WIDE, mode="nearest", truncate=2.5)
    density = _SHARES[0] * narrow + _SHARES[1] * wide + _SHARES[2] / total
    return np.log(density / density.sum()).reshape(-1).astype(np.float32)

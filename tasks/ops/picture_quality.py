"""A picture against the real one: PSNR, SSIM and L1, over the whole picture or over the pixels of the people."""

from __future__ import annotations

import cv2
import numpy as np

# Equal pictures have an endless PSNR, which no mean can hold.
MOST_DB = 100.0
_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03
FIGURES = ("PSNR", "SSIM", "L1")


def quality(made: np.ndarray, real: np.ndarray, where: np.ndarray | None = None) -> tuple[float, float, float]:
    """(PSNR in dB, SSIM, L1 as a share of the full range) of two (h, w, 3) uint8 pictures.

    With `where`, an (h, w) bool mask, over its pixels alone; NaN where it is empty. Raises ValueError for pictures of
    different sizes. See `psnr`, `ssim_map`: all three are torchmetrics', to rounding.
    """
    if made.shape != real.shape or made.shape[2:] != (3,) or made.dtype != np.uint8 or real.dtype != np.uint8:
        raise ValueError(
            f"quality: want two (h, w, 3) uint8 of one size, got {made.shape} {made.dtype}, {real.shape} {real.dtype}"
        )
    off = made.astype(np.float32) - real.astype(np.float32)
    similar = ssim_map(made, real).mean(-1)
    if where is not None:
        if not where.any():
            return (float("nan"),) * 3
        off, similar = off[where], similar[where]
    return psnr(float(np.square(off, dtype=np.float64).mean())), float(similar.mean()), float(np.abs(off).mean() / 255)


def psnr(mse: float, top: float = 255.0) -> float:
    """10 log10(top^2 / MSE) in dB, at most MOST_DB (Huynh-Thu and Ghanbari, Electronics Letters 2008, equation 1).

    >>> psnr(0.0), round(psnr(255.0**2), 6)
    (100.0, 0.0)
    """
    return MOST_DB if mse <= 0 else min(MOST_DB, 10 * float(np.log10(top * top / mse)))


def ssim_map(a: np.ndarray, b: np.ndarray, top: float = 255.0) -> np.ndarray:
    """Structural similarity at every pixel and channel, of a's shape, float32 -1..1; beyond the rim pixels mirror.

    (2 m_a m_b + C1) (2 s_ab + C2) / ((m_a^2 + m_b^2 + C1) (s_a^2 + s_b^2 + C2)) with means, variances and covariance
    under an 11 x 11 Gaussian window of sigma 1.5, C1 = (0.01 top)^2, C2 = (0.03 top)^2 (Wang, Bovik, Sheikh and
    Simoncelli, Image Quality Assessment, IEEE TIP 2004, equation 13 and section III.B).
    """
    x, y = a.astype(np.float32), b.astype(np.float32)
    mean_x, mean_y = _blur(x), _blur(y)
    xx, yy, xy = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    spread_x, spread_y, both = _blur(x * x) - xx, _blur(y * y) - yy, _blur(x * y) - xy
    c1, c2 = (_K1 * top) ** 2, (_K2 * top) ** 2
    return np.asarray(((2 * xy + c1) * (2 * both + c2)) / ((xx + yy + c1) * (spread_x + spread_y + c2)))


def _blur(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT_101)

"""Pairs of pictures that differ by noise, for the tests of what measures pictures."""

from __future__ import annotations

import numpy as np


def noisy_pair(rng: np.random.Generator, size: tuple[int, int] = (40, 56)) -> tuple[np.ndarray, np.ndarray]:
    real = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    return np.clip(real + rng.normal(0, 30, real.shape), 0, 255).astype(np.uint8), real

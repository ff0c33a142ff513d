"""Rendered pictures -> pictures as a camera's film would hold them: motion blur, dim light with shot noise.

Pictures are (h, w, 3) uint8 RGB in gamma 2.2, as the renderer draws them; the sums are made in linear light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GAMMA = 2.2
_LINEAR = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)
_LEVELS = 4096
_ENCODED = np.round(255 * (np.arange(_LEVELS + 1) / _LEVELS) ** (1 / GAMMA)).astype(np.uint8)
_READ_SHARE = 0.15  # of the noise that is there without light


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """How a scene is put on film."""

    subframes: int = 1  # pictures averaged into a frame, over all of its time: an open shutter; odd
    gain: float = 1.0  # of linear light: 0.1 is a dim hall
    noise: float = 0.0  # standard deviation of the shot noise at full white, share of white
    crf: int = 20  # H.264 quality: 20 as in the shards, 40 far too strongly compressed
    seed: int = 0  # of the noise

    def __post_init__(self) -> None:
        if self.subframes < 1 or self.subframes % 2 == 0:
            raise ValueError(f"film.subframes: want an odd number, so that one is in the middle, got {self.subframes}")
        if not 0 < self.gain <= 1 or not 0 <= self.noise <= 1 or not 0 <= self.crf <= 51:
            got = f"{self.gain}, {self.noise}, {self.crf}"
            raise ValueError(f"film: want gain over 0 to 1, noise 0 to 1, crf 0 to 51, got {got}")

    @property
    def middle(self) -> int:
        """The subframe at the middle of the shutter's time: the moment that the truth is told of."""
        return self.subframes // 2


def expose(pictures: Sequence[np.ndarray], film: Film, frame: int) -> np.ndarray:
    """One frame (h, w, 3) uint8 of the film's subframes; `frame` numbers it, for its noise.

    Light adds up linearly. Photons arrive at random: the noise's variance is proportional to the light (shot noise),
    beside a constant one of the sensor (EMVA 1288, release 4.0, section 2.2).
    Raises ValueError for another number of pictures than the film's subframes.
    """
    if len(pictures) != film.subframes:
        raise ValueError(f"film: want {film.subframes} subframes, got {len(pictures)}")
    if film.subframes == 1 and film.gain == 1 and film.noise == 0:
        return pictures[0]
    light = np.zeros(pictures[0].shape, np.float32)
    for picture in pictures:
        light += _LINEAR[picture]
    light *= film.gain / film.subframes
    if film.noise:
        rng = np.random.default_rng((film.seed, frame, 0xF11))
        spread = film.noise * np.sqrt(light + _READ_SHARE**2)
        light += spread * rng.standard_normal(light.shape, np.float32)
    return _ENCODED[np.clip(np.rint(light * _LEVELS), 0, _LEVELS).astype(np.int32)]

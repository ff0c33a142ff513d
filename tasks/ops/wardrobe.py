"""Seed, look -> palette: the colour and sheen of each region of a body.

A palette is (8, 4) float32, a row a region of tasks.ops.body_regions: linear rgb, and roughness (negative: bare metal).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.ops.backdrop import hsv
from tasks.ops.body_regions import BROWS, EYES, HAIR, LIPS, LOWER, REGIONS, SHIRT, SHOES, SKIN
from tasks.ops.scene import PerformerSpec

# Skin from light to dark (the Monk scale's steps 2, 4, 5, 6, 8, as 8-bit sRGB), hair from fair to black.
_SKINS = ((243, 231, 219), (234, 218, 186), (215, 189, 150), (160, 126, 86), (96, 65, 52))
_HAIRS = ((196, 160, 104), (140, 90, 50), (90, 56, 36), (52, 36, 28), (24, 20, 20), (150, 150, 150))
# The golden ratio's steps keep away from where they have been on a circle for as long as steps can.
_GOLDEN = 0.61803398875
_APART = 0.14  # of the circle of hues: two main colours nearer than this are not told apart at a glance
_UNLIKE = 0.3  # between two colours in gamma-encoded rgb, 0..sqrt(3): nearer to the skin, clothes look like none


def dress_cast(performers: Sequence[PerformerSpec]) -> list[np.ndarray]:
    """A palette for each performer. Equal looks and clothes seeds give equal palettes (look-alikes).

    A main hue follows from the clothes seed alone, so that someone looks the same in every scene; only where it comes
    too near that of someone before them in the cast, and theirs is another seed, it moves on.
    """
    hues: dict[tuple[str, int], float] = {}
    for performer in performers:
        who = (performer.look, performer.clothes_seed)
        if who in hues:
            continue
        hue = float(np.random.default_rng((performer.clothes_seed, 0xC0)).random())
        for _ in range(40):
            if all(hue_distance(hue, taken) >= _APART for taken in hues.values()):
                break
            hue = (hue + _GOLDEN) % 1
        hues[who] = hue
    return [palette(p.look, p.clothes_seed, hues[p.look, p.clothes_seed]) for p in performers]


def hue_distance(a: float, b: float) -> float:
    """How far apart two hues are on the circle, 0..0.5.

    >>> round(hue_distance(0.95, 0.05), 3)
    0.1
    """
    return 0.5 - abs(abs(a - b) % 1 - 0.5)


def palette(look: str, seed: int, hue: float) -> np.ndarray:
    """The palette of one look: "dressed", "plain" (one colour all over) or "robot"; hue 0..1 is the main colour's."""
    rng = np.random.default_rng((seed, 0xD7E55))
    if look == "robot":
        return _robot(rng, hue)
    out = np.zeros((len(REGIONS), 4), np.float32)
    if look == "plain":
        out[:] = (*hsv(hue, 0.45, 0.75), 0.8)
        return out
    skin = _srgb(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.92, 1.05)
    hair = _unlike(skin, [_srgb(color) * rng.uniform(0.85, 1.1) for color in _HAIRS], rng)
    shirts = [hsv(hue, rng.uniform(0.6, 0.85), value) for value in (rng.uniform(0.6, 0.88), 0.35, 0.95)]
    shirt = next((one for one in shirts if color_distance(one, skin) >= _UNLIKE), shirts[0])
    lower = _unlike(skin, _lowers(hue), rng)
    out[SKIN], out[HAIR], out[SHIRT], out[LOWER] = (*skin, 0.62), (*hair, 0.55), (*shirt, 0.9), (*lower, 0.85)
    shoe = hsv(rng.random(), rng.uniform(0, 0.5), rng.choice([0.15, 0.3, 0.9]))
    out[SHOES], out[EYES], out[BROWS] = (*shoe, 0.5), (0.75, 0.74, 0.72, 0.25), (*(0.6 * hair), 0.7)
    out[LIPS] = (*(skin * [0.85, 0.5, 0.48]), 0.45)
    return out


def color_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Between two linear rgb colours, after gamma, as the eye weighs dark and light; black to white is sqrt(3).

    >>> round(color_distance(np.zeros(3), np.ones(3)), 2)
    1.73
    """
    return float(np.linalg.norm(np.clip(a, 0, 1) ** (1 / 2.2) - np.clip(b, 0, 1) ** (1 / 2.2)))


def _unlike(skin: np.ndarray, colors: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """One of the colours that cannot be taken for bare skin."""
    good = [color for color in colors if color_distance(color, skin) >= _UNLIKE]
    if not good:
        return max(colors, key=lambda color: color_distance(color, skin))
    return good[rng.integers(len(good))]


def _lowers(hue: float) -> list[np.ndarray]:
    """Trousers or skirt: denim, black, khaki, white, or a colour across the circle from the shirt's."""
    choices = ((0.6, 0.5, 0.42), (0.0, 0.0, 0.14), (0.1, 0.35, 0.6), (0.12, 0.05, 0.88), ((hue + 0.5) % 1, 0.6, 0.5))
    return [hsv(*choice) for choice in choices]


def _robot(rng: np.random.Generator, hue: float) -> np.ndarray:
    """Shell, joints, trim, visor, soles: see tasks.ops.robot for what is which region."""
    out = np.zeros((len(REGIONS), 4), np.float32)
    shell = hsv(hue, rng.uniform(0.03, 0.18), rng.uniform(0.85, 0.97))
    out[SKIN] = (*shell, 0.35)
    out[HAIR] = (*(0.8 * shell), 0.35)
    out[SHIRT] = (*hsv(hue, rng.uniform(0.7, 0.9), rng.uniform(0.7, 0.9)), 0.3)
    out[LOWER] = (0.33, 0.34, 0.36, -0.35)
    out[SHOES] = (0.03, 0.03, 0.035, 0.6)
    out[EYES] = (0.01, 0.015, 0.02, 0.12)
    out[BROWS] = (*hsv((hue + 0.5) % 1, 0.8, 0.95), 0.3)
    out[LIPS] = (0.5, 0.5, 0.52, -0.3)
    return out


def _srgb(color: tuple[int, int, int]) -> np.ndarray:
    return (np.array(color) / 255) ** 2.2

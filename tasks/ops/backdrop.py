"""Seed -> Place: a textured floor, a backdrop round about it, and the light.

The floor is the plane y = 0; the backdrop is an upright cylinder around the world's axis that the camera stands
inside of. Both fade into one another at the cylinder's foot, as the cove of a photographer's studio does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_FLOOR = 512  # texels a side
_WALL = (256, 1024)
_SEGMENTS = 96


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """Where people perform. Textures hold the square root of linear light, which spends eight bits where the eye
    sees.
    """

    floor: np.ndarray  # (S, S, 3) uint8, repeats
    tile_m: float  # metres that one floor texture covers
    centre: np.ndarray  # (2,) x, z of the backdrop's axis
    wall: np.ndarray  # (h, w, 3) uint8, row 0 at the foot, columns once around
    radius_m: float  # of the backdrop
    height_m: float
    cove: np.ndarray  # (3,) linear colour that floor and backdrop share where they meet
    to_light: np.ndarray  # (3,) unit vector
    light: np.ndarray  # (3,) radiance
    sky: np.ndarray  # (3,) ambient light on what faces up
    ground: np.ndarray  # (3,) ambient light on what faces down


def build_place(
    seed: int, radius_m: float, centre: tuple[float, float] = (0.0, 0.0), *, textures: bool = True
) -> Place:
    """The place of a seed; without textures floor and backdrop have one plain colour each, and the light stays the
    same.
    """
    rng = np.random.default_rng((seed, 0xF100))
    floor_kind = rng.choice(["checker", "wood", "tiles", "concrete", "carpet"])
    wall_kind = rng.choice(["gradient", "panels", "studio", "plaster"])
    hue = rng.random()
    base = hsv(hue, rng.uniform(0.05, 0.35), rng.uniform(0.35, 0.75))
    floor, tile_m = _floor(str(floor_kind), rng, textures)
    wall = _wall(str(wall_kind), base, rng, textures)
    rng = np.random.default_rng((seed, 0x116))  # a stream of its own: light does not depend on textures
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(42, 68))
    to_light = np.array([np.cos(height) * np.sin(azimuth), np.sin(height), np.cos(height) * np.cos(azimuth)])
    warmth = rng.uniform(-0.08, 0.08)
    light = rng.uniform(2.2, 3.0) * np.array([1 + warmth, 1.0, 1 - warmth])
    sky = rng.uniform(0.42, 0.55) * np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth])
    return Place(
        floor=_root(floor),
        tile_m=tile_m,
        centre=np.asarray(centre, float),
        wall=_root(wall),
        radius_m=radius_m,
        height_m=2.2 * radius_m,
        cove=wall[0].mean(0),
        to_light=to_light,
        light=light,
        sky=sky,
        ground=0.55 * sky * (0.5 + 0.5 * floor.mean((0, 1)) / floor.mean()),
    )


def wall_mesh(place: Place) -> np.ndarray:
    """The cylinder's triangles, (N, 5) float32: x, y, z and texture u, v."""
    turn = np.linspace(0, 1, _SEGMENTS + 1)
    x, z = place.radius_m * np.sin(2 * np.pi * turn), place.radius_m * np.cos(2 * np.pi * turn)
    x, z = x + place.centre[0], z + place.centre[1]
    foot = np.stack([x, np.zeros_like(x), z, turn, np.zeros_like(x)], axis=1)
    top = np.stack([x, np.full_like(x, place.height_m), z, turn, np.ones_like(x)], axis=1)
    quads = np.stack([foot[:-1], foot[1:], top[1:], foot[:-1], top[1:], top[:-1]], axis=1)
    return quads.reshape(-1, 5).astype(np.float32)


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """A colour as linear rgb (3,); hue 0..1 round the circle, value as the eye sees it (gamma 2.2)."""
    k = (np.array([5.0, 3.0, 1.0]) + 6 * hue) % 6
    shown = value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)
    return shown**2.2


def noise(rng: np.random.Generator, size: tuple[int, int], cells: int, octaves: int = 4) -> np.ndarray:
    """Smooth value noise (h, w) in 0..1 that repeats at its edges; `cells` lumps across at first, twice as many each
    octave.
    """
    h, w = size
    out, weight = np.zeros(size), 0.0
    for octave in range(octaves):
        rows, columns = cells << octave, max(1, (cells << octave) * w // h)
        grid = np.pad(rng.random((rows, columns)), ((2, 2), (2, 2)), mode="wrap").astype(np.float32)
        y = (np.arange(h, dtype=np.float32) + 0.5) * rows / h + 1.5
        x = (np.arange(w, dtype=np.float32) + 0.5) * columns / w + 1.5
        out += cv2.remap(grid, *np.meshgrid(x, y), cv2.INTER_CUBIC) * 0.5**octave
        weight += 0.5**octave
    return np.clip(out / weight, 0, 1)


def _root(linear: np.ndarray) -> np.ndarray:
    return np.round(255 * np.sqrt(np.clip(linear, 0, 1))).astype(np.uint8)


def _floor(kind: str, rng: np.random.Generator, textures: bool) -> tuple[np.ndarray, float]:
    """Linear albedo (S, S, 3), and the metres that it covers."""
    size = (_FLOOR, _FLOOR)
    hue, value = rng.random(), rng.uniform(0.42, 0.7)
    speck = 0.9 + 0.2 * noise(rng, size, 32)[..., None]
    y, x = np.mgrid[:_FLOOR, :_FLOOR] / _FLOOR
    if not textures:
        return np.broadcast_to(hsv(hue, 0.15, value), (*size, 3)), 2.0
    if kind == "checker":
        odd = ((np.floor(4 * x) + np.floor(4 * y)) % 2)[..., None]
        light, dark = hsv(hue, rng.uniform(0, 0.2), value + 0.08), hsv(hue, rng.uniform(0, 0.3), value - 0.12)
        return (odd * light + (1 - odd) * dark) * speck, 2.4
    if kind == "wood":
        return _planks(rng, x, y), 2.0
    if kind == "tiles":
        joint = (np.minimum(8 * x % 1, 8 * y % 1) < 0.035)[..., None]
        shade = rng.uniform(0.88, 1.08, (8, 8))[np.floor(8 * y).astype(int), np.floor(8 * x).astype(int)][..., None]
        return np.where(
            joint, hsv(hue, 0.1, value - 0.18), hsv(hue, rng.uniform(0.05, 0.25), value) * shade
        ) * speck, 3.2
    cloud = noise(rng, size, 3, 6)[..., None]
    if kind == "concrete":
        return hsv(hue, 0.05, value) * (0.65 + 0.7 * cloud), 4.0
    weave = 0.85 + 0.3 * ((np.sin(2 * np.pi * 64 * x) * np.sin(2 * np.pi * 64 * y))[..., None] > 0)
    return hsv(hue, rng.uniform(0.2, 0.45), value - 0.1) * weave * (0.85 + 0.3 * cloud), 3.0


def _planks(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Boards along x, eight abreast, each of its own shade, shifted against its neighbours."""
    row = np.floor(8 * y).astype(int)
    along = (x + rng.random(8)[row]) * 2
    board = (np.floor(along).astype(int) % 2) + 2 * row
    shade = rng.uniform(0.75, 1.15, 16)[board]
    grain = cv2.resize(noise(rng, (_FLOOR, _FLOOR // 8), 64, 3), (_FLOOR, _FLOOR), interpolation=cv2.INTER_LINEAR)
    gap = (np.minimum(8 * y % 1, (along % 1) * 4) < 0.03)[..., None]
    wood = hsv(rng.uniform(0.06, 0.1), rng.uniform(0.35, 0.55), rng.uniform(0.5, 0.72))
    return np.where(gap, 0.35 * wood, wood * (shade * (0.8 + 0.4 * grain))[..., None])


def _wall(kind: str, base: np.ndarray, rng: np.random.Generator, textures: bool) -> np.ndarray:
    """Linear colour as it is seen (h, w, 3), row 0 at the foot."""
    h, w = _WALL
    up = np.linspace(0, 1, h)[:, None, None]
    plain = np.broadcast_to(base, (h, w, 3))
    if not textures:
        return plain
    if kind == "gradient":
        return base * (1.1 - 0.75 * up) + np.zeros((h, w, 1))
    if kind == "panels":
        count = int(rng.integers(20, 48))
        turn = np.arange(w) / w * count
        shade = rng.uniform(0.8, 1.1, count)[np.floor(turn).astype(int)]
        seam = np.where(turn % 1 < 0.03, 0.6, 1.0)
        return plain * (shade * seam)[None, :, None] * (1.05 - 0.4 * up)
    if kind == "studio":
        glow = np.exp(-((up - 0.12) ** 2) / 0.02) * (0.6 + 0.4 * np.cos(np.linspace(0, 8 * np.pi, w)))[None, :, None]
        return base * (0.35 + 0.9 * glow)
    return plain * (0.7 + 0.6 * noise(rng, (h, w), 6, 5)[..., None]) * (1.05 - 0.3 * up)

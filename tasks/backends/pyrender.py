"""Surfaces, cameras -> pictures and exact truth, by OpenGL in a context that pyrender's EGL platform makes.

Equal input gives equal bytes on one machine (driver and processor). Another may differ in the last bit of a colour,
and on pixels that an edge passes within rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.backends import egl
from tasks.ops.backdrop import Place
from tasks.ops.surface import Surface

if TYPE_CHECKING:
    from tasks.backends.raster import Raster

MAX_PEOPLE = 32  # bits of the amodal target


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How the picture is made; ids, depth and masks are exact in every style."""

    shadows: bool = True
    smooth: bool = True  # soften the colour picture's edges


@contextlib.contextmanager
def raster(
    size: tuple[int, int],
    surfaces: Sequence[Surface],
    palettes: Sequence[np.ndarray],
    place: Place,
    style: Style = Style(),
) -> Iterator[Raster]:
    """A Raster of one cast in one place, in a context of this thread's own while the block runs.

    size (h, w); for each performer a Surface and a palette (8, 4) float32: linear rgb, roughness (negative: metal).
    Raises RuntimeError that names the system packages when there is no EGL, ValueError for too many performers.
    """
    if not 1 <= len(surfaces) <= MAX_PEOPLE:
        raise ValueError(f"render: want 1 to {MAX_PEOPLE} performers, got {len(surfaces)}")
    with egl.context() as context:
        # Imports OpenGL, which without EGL fails in words that no user could act on: `context` has failed better
        # before.
        from tasks.backends.raster import Raster

        drawn = Raster(context, size, surfaces, palettes, place, style)
        try:
            yield drawn
        finally:
            drawn.close()

"""A real clip, a generated video -> which real frame, and which part of it, each generated frame is held against."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from datasets.view import View, view_of

# A video that shows less of the real picture than this is no version of it.
LEAST_SEEN = 1 / 3
# The smallest side in which a window of SSIM and a person have room.
LEAST_SIDE = 16
LEAST_FRAMES = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lined:
    """What of two videos is compared."""

    frame: np.ndarray  # (N,) int64  the real frame beside each of the first N generated ones, ascending
    view: View  # the part of the real picture that the generated one shows, at the generated one's size
    notes: tuple[str, ...]  # all in which the two differ, for people


def line_up(
    real: tuple[int, Fraction, tuple[int, int]], made: tuple[int, Fraction, tuple[int, int]], name: str
) -> Lined:
    """Line up a generated video with the real clip, each (frames, frames a second, (h, w)).

    Both start at the same moment; a generated frame stands beside the real one that is shown at its time. What one has
    and the other has not is left out. A picture of another shape is taken for the middle of the real one, as training
    cuts it (datasets.view). Raises ValueError where too little would be left to compare: see LEAST_*.
    """
    (frames, fps, size), (made_frames, made_fps, made_size) = real, made
    if min(made_size) < LEAST_SIDE:
        raise ValueError(f"{name}: want {LEAST_SIDE} pixels a side or more, got {_size(made_size)}")
    view = view_of(size, made_size, "crop")
    seen = (view.size[0] * view.size[1]) / (view.scaled[0] * view.scaled[1])
    if seen < LEAST_SEEN:
        raise ValueError(
            f"{name}: want a picture of about the shape of {_size(size)}, or its middle, got {_size(made_size)}, which "
            f"would hold {seen:.0%} of it; generate it in the clip's shape"
        )
    # Half a real frame's time ahead is nearest the one before: floor(x + 1/2), in exact fractions.
    ratio = fps / made_fps
    beside = np.array([int(i * ratio + Fraction(1, 2)) for i in range(made_frames)], np.int64)
    kept = beside[beside < frames]
    if len(kept) < LEAST_FRAMES:
        raise ValueError(f"{name}: want {LEAST_FRAMES} frames or more beside the real clip's, got {len(kept)}")
    return Lined(frame=kept, view=view, notes=tuple(_notes(real, made, kept, seen)))


def _notes(
    real: tuple[int, Fraction, tuple[int, int]],
    made: tuple[int, Fraction, tuple[int, int]],
    kept: np.ndarray,
    seen: float,
) -> list[str]:
    (frames, fps, size), (made_frames, made_fps, made_size) = real, made
    out = []
    if made_size != size:
        out.append(f"{_size(made_size)} beside {_size(size)}, compared at {_size(made_size)}")
    if seen < 0.98:
        out.append(f"the middle {seen:.0%} of the real picture")
    if made_fps != fps:
        out.append(f"{float(made_fps):g} frames a second beside {float(fps):g}: by time")
    if made_frames > len(kept):
        out.append(f"{made_frames - len(kept)} frames past the clip's end left out")
    if (covered := int(kept[-1]) + 1) < frames and frames - covered >= fps / made_fps:
        out.append(f"the first {covered} of {frames} real frames")
    return out


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"

"""What the renderer tells of one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One drawn frame; row 0 is the top row. People are counted from 1 here, 0 is nobody."""

    color: np.ndarray  # (h, w, 3) uint8   RGB
    person: np.ndarray  # (h, w)    uint8   who is seen: 1 .. P, or 0
    part: np.ndarray  # (h, w)    uint8   1 + SMPL joint of the body part that is seen, or 0
    depth: np.ndarray  # (h, w)    uint16  millimetres along the optical axis; 0: nothing; 65535: that far or farther
    amodal: np.ndarray  # (h, w)    uint8 or uint32  bit p - 1: person p is there, seen or behind another

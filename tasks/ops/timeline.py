"""Times of decoded frames -> a constant rate, and which decoded frame is shown at each of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# Rates that cameras and editors use; a measured rate within 2 % of one is that one, seen through rounded timestamps.
_STANDARD = tuple(Fraction(n) for n in (30, 25, 24, 60, 50, 15, 12, 10, 20, 48, 120, 100, 240, 5, 1)) + tuple(
    Fraction(n * 1000, 1001) for n in (30, 24, 60, 15, 120)
)
_SNAP = 0.02
# Even frames may be off by a tenth of a frame, or by what rounding to a millisecond does to them and to the first.
_STEADY, _ROUNDED_S = 0.1, 0.0011
_SLOWEST, _FASTEST = Fraction(1, 10), Fraction(240)
_DEFAULT = Fraction(25)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """A video brought to a constant rate."""

    fps: Fraction
    frame_map: np.ndarray  # (frames,) int32  decoded frame shown at each constant-rate frame, never falls
    variable: bool  # the decoded frames were not evenly spaced


def constant_rate(time_s: np.ndarray, last_s: float, rates: Sequence[Fraction], *, max_frames: int) -> Timeline:
    """Bring frames shown at `time_s` (N,) seconds, from 0, never falling, to a constant rate by their timestamps.

    Evenly spaced frames keep their rate and number. Otherwise the rate is the usual step's, and at each of its frames
    stands the last one whose time, rounded to a frame, has come; frames too close together are left out.
    `last_s` is how long the last one is shown, `rates` what the headers claim, best first. Raises ValueError when
    there is no frame, or when more than max_frames come out, as when timestamps jump.
    """
    num = len(time_s)
    if num == 0:
        raise ValueError("want at least one frame, got none")
    claimed = [rate for rate in rates if _SLOWEST <= rate <= _FASTEST]
    if num == 1 or time_s[-1] <= 0:
        # No time passes: nothing but the header tells the rate.
        fps = claimed[0] if claimed else _DEFAULT
        return Timeline(fps=fps, frame_map=np.arange(num, dtype=np.int32), variable=False)
    for fps in (*claimed, *_STANDARD, _plain((num - 1) / time_s[-1])):
        off_s = np.abs(time_s - np.arange(num) / float(fps)).max()
        if off_s <= max(_STEADY / float(fps), _ROUNDED_S):
            return Timeline(fps=fps, frame_map=np.arange(num, dtype=np.int32), variable=False)
    steps = np.diff(time_s)
    fps = _usual(1 / float(np.median(steps[steps > 0])), claimed)
    slots = np.floor(time_s * float(fps) + 0.5)
    total = max(slots[-1] + 1, np.floor((time_s[-1] + last_s) * float(fps) + 0.5))
    if total > max_frames:
        gap = int(np.argmax(steps))
        raise ValueError(
            f"want at most {max_frames} frames at {float(fps):g} fps, got {total:.0f}: after frame {gap} the "
            f"timestamps jump by {steps[gap]:.1f} s; cut the file there"
        )
    shown = np.searchsorted(slots, np.arange(int(total)), side="right") - 1
    return Timeline(fps=fps, frame_map=shown.astype(np.int32), variable=True)


def _usual(measured: float, claimed: Sequence[Fraction]) -> Fraction:
    """The claimed or standard rate next to a measured one, or the measured one itself as a plain fraction."""
    near = [rate for rate in (*claimed, *_STANDARD) if abs(float(rate) / measured - 1) <= _SNAP]
    return min(near, key=lambda rate: abs(float(rate) - measured)) if near else _plain(measured)


def _plain(rate: float) -> Fraction:
    return min(max(Fraction(rate).limit_denominator(1001), _SLOWEST), _FASTEST)

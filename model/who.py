"""Whose colours fill a person's mask: identity in a generated video, measured by the clothes people wear.

T frames, P people, H x W pixels. Everyone's colours are taken from the true video, so no network judges another: people
must differ in clothes, and `told_apart` says whether they do.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Colours of a palette: skin, hair, and what two or three pieces of clothing have.
COLOURS = 5
# Fewer pixels of a person say nothing sure about whose they are: a fiftieth of a person at 64 pixels.
LEAST_PIXELS = 16
# Pixels of a person that a palette is made from, at most.
_PIXELS = 4000
# Masks so near to each other touch, as a share of the picture's height.
_NEAR = 1 / 32
NOBODY = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worn:
    """Whose colours each person's mask shows."""

    by: np.ndarray  # (P, T) int64: the person whose palette is nearest, NOBODY where too little of the person is seen
    near: np.ndarray  # (T,) bool: two people's masks touch

    @property
    def judged(self) -> np.ndarray:
        """(P, T) bool: enough of the person is seen."""
        return self.by != NOBODY

    @property
    def own(self) -> np.ndarray:
        """(P, T) bool: the person has their own colours."""
        return self.by == np.arange(len(self.by))[:, None]

    def share(self, *, near: bool | None = None) -> float:
        """The share of judged person-frames with their own colours: in contact, apart, or all; nan where none is."""
        counts = self.judged if near is None else self.judged & (self.near == near)
        return float(self.own[counts].mean()) if counts.any() else float("nan")

    def confusion(self) -> np.ndarray:
        """(P, P) int64: in how many frames person i (row) has the colours of person j (column)."""
        people = len(self.by)
        rows = np.broadcast_to(np.arange(people)[:, None], self.by.shape)[self.judged]
        return np.bincount(rows * people + self.by[self.judged], minlength=people**2).reshape(people, people)

    def switches(self) -> int:
        """How often somebody's colours become another's from one judged frame to the next, over all people."""
        return sum(int((np.diff(row[row != NOBODY]) != 0).sum()) for row in self.by)


def palettes(video: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Everyone's colours in the true video (T, H, W, 3) uint8 RGB inside masks (P, T, H, W) bool: (P, COLOURS, 3) Lab.

    k-means from a start by brightness, so that equal videos give equal palettes. Raises ValueError for a person of whom
    fewer pixels than LEAST_PIXELS are seen.
    """
    lab = _lab(video)
    out = []
    for person, own in enumerate(mask):
        pixels = lab[own]
        if len(pixels) < LEAST_PIXELS:
            raise ValueError(f"person {person}: want {LEAST_PIXELS} visible pixels for a palette, got {len(pixels)}")
        pixels = pixels[np.linspace(0, len(pixels) - 1, min(len(pixels), _PIXELS)).astype(int)]
        rank = np.argsort(np.argsort(pixels[:, 0], kind="stable"), kind="stable")
        start = (rank * COLOURS // len(pixels)).astype(np.int32)[:, None]
        stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.1)
        out.append(cv2.kmeans(pixels, COLOURS, start, stop, 1, cv2.KMEANS_USE_INITIAL_LABELS)[2])
    return np.stack(out)


def worn(video: np.ndarray, mask: np.ndarray, palette: np.ndarray) -> Worn:
    """Whose colours each person's mask shows in a video (T, H, W, 3) uint8.

    A pixel is as far from a palette as from its nearest colour; the person is whose palette is nearest on average.
    """
    lab, people = _lab(video), len(mask)
    by = np.full(mask.shape[:2], NOBODY, np.int64)
    for person in range(people):
        for t in range(len(video)):
            pixels = lab[t][mask[person, t]]
            if len(pixels) >= LEAST_PIXELS:
                far = np.linalg.norm(pixels[:, None, None] - palette[None], axis=-1)  # (n, P, COLOURS)
                by[person, t] = far.min(axis=2).mean(axis=0).argmin()
    return Worn(by=by, near=touching(mask))


def told_apart(truth: Worn, least: float = 0.95) -> bool:
    """Whether people of the true video can be told apart by their colours: they themselves nearly always are."""
    return truth.share() >= least


def touching(mask: np.ndarray) -> np.ndarray:
    """(T,) bool: frames of masks (P, T, H, W) in which two people are nearer than a thirty-second of the height."""
    side = 2 * max(1, round(mask.shape[2] * _NEAR)) + 1
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    out = np.zeros(mask.shape[1], bool)
    for t in range(mask.shape[1]):
        count = sum(cv2.dilate(own.astype(np.uint8), reach) for own in mask[:, t])
        out[t] = np.any(np.asarray(count) > 1)
    return out


def _lab(video: np.ndarray) -> np.ndarray:
    """RGB (T, H, W, 3) uint8 -> CIE Lab float32."""
    return np.stack([cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for frame in video])

"""Drawn people for tests of segmenting and binding: stick figures that walk on given paths, and what a detector
sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.masks import Masks
from datasets.records import Poses, Segments, Tracklets
from tasks.ops.body import body_scale, draw_body

SIZE = (120, 200)  # (h, w)
FPS = 25.0
# A standing figure in a box of height 1 and width 0.4, (17, 2).
_STANDING = np.array(
    [
        [0.20, 0.08], [0.22, 0.06], [0.18, 0.06], [0.24, 0.07], [0.16, 0.07], [0.29, 0.20], [0.11, 0.20], [0.34, 0.36],
        [0.06, 0.36], [0.36, 0.50], [0.04, 0.50], [0.25, 0.52], [0.15, 0.52], [0.26, 0.74], [0.14, 0.74], [0.27, 0.95],
        [0.13, 0.95],
    ]
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One person: where they are, how they look, and in which frames a detector finds them."""

    x: Sequence[float]  # (T,) centre, pixels
    foot: float = 110.0  # y of the feet; larger is nearer
    height: float = 80.0
    look: int = 0  # figures of one look are dressed alike
    pieces: Sequence[tuple[int, int]]  # frames [start, stop) of each tracklet
    score: float = 0.8

    def box(self, t: int) -> np.ndarray:
        """(4,) the box at a frame."""
        half = 0.2 * self.height
        box = np.array([self.x[t] - half, self.foot - self.height, self.x[t] + half, self.foot])
        return np.clip(box, 0, [SIZE[1], SIZE[0], SIZE[1], SIZE[0]]).astype(np.float32)

    def keypoint(self, t: int) -> np.ndarray:
        """(17, 2) the pose at a frame."""
        corner = np.array([self.x[t] - 0.2 * self.height, self.foot - self.height])
        return (corner + _STANDING * self.height).astype(np.float32)

    def body(self, t: int) -> np.ndarray:
        """(h, w) bool, all of the body."""
        point, score = self.keypoint(t), np.ones(17)
        return draw_body(point, score, body_scale(point, score, self.box(t), 0.5), SIZE, girth=1.0, min_score=0.5)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What the stages before binding would have made."""

    tracklets: Tracklets
    poses: Poses
    segments: Segments
    owner: np.ndarray  # (N,) the figure of each row


def walk(start: float, stop: float, frames: int) -> np.ndarray:
    """A straight walk."""
    return np.linspace(start, stop, frames)


def look_vector(look: int) -> np.ndarray:
    """A unit vector; two looks are 0.3 alike, as two people are to a re-ID network."""
    vector = np.full(8, np.sqrt(0.3 / 8))
    vector[look] += 0.75
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def draw(figures: Sequence[Figure]) -> Scene:
    """Rows of every figure's pieces; who stands nearer hides those behind, in the masks but not in the boxes."""
    rows = sorted(
        (t, i, k) for i, figure in enumerate(figures) for k, (a, b) in enumerate(figure.pieces) for t in range(a, b)
    )
    names = {pair: n for n, pair in enumerate(dict.fromkeys((i, k) for _, i, k in rows))}
    frame = np.array([t for t, *_ in rows], np.int32)
    tracklet = np.array([names[i, k] for _, i, k in rows], np.int32)
    owner = np.array([i for _, i, _ in rows], np.int64)
    box = np.array([figures[i].box(t) for t, i, _ in rows], np.float32).reshape(-1, 4)
    look = np.array([look_vector(figures[i].look) for _, i, _ in rows], np.float32).reshape(-1, 8)
    score = np.array([figures[i].score for _, i, _ in rows], np.float32)
    keypoint = np.array([figures[i].keypoint(t) for t, i, _ in rows], np.float32).reshape(-1, 17, 2)
    return Scene(
        tracklets=Tracklets(frame=frame, box=box, score=score, tracklet=tracklet, embedding=look),
        poses=Poses(
            frame=frame, keypoint=keypoint, score=np.full(keypoint.shape[:2], 0.9, np.float32), skeleton="coco17"
        ),
        segments=Segments(
            frame=frame,
            tracklet=tracklet,
            score=score,
            mask=Masks.encode((modal(figures, i, t) for t, i, _ in rows), size=SIZE),
            embedding=look,
        ),
        owner=owner,
    )


def modal(figures: Sequence[Figure], i: int, t: int) -> np.ndarray:
    """What is seen of a figure at a frame, (h, w) bool."""
    seen = figures[i].body(t)
    for j, other in enumerate(figures):
        if j != i and t < len(other.x) and (other.foot, j) > (figures[i].foot, i):
            seen &= ~other.body(t)
    return seen


def picture(figures: Sequence[Figure], t: int, seed: int = 0) -> np.ndarray:
    """(h, w, 3) uint8 RGB: the figures in plain colours by look before a quiet, noisy wall."""
    rng = np.random.default_rng((seed, t))
    colours = np.array([[190, 40, 40], [40, 60, 190], [30, 150, 60], [200, 170, 40]])
    image = np.tile(np.linspace(120, 160, SIZE[1])[None, :, None], (SIZE[0], 1, 3))
    for i in range(len(figures)):
        image[modal(figures, i, t)] = colours[figures[i].look % len(colours)]
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)

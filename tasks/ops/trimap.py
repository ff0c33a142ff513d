"""Box, poses, prior -> regions of a crop: what is surely, what is probably, and what can be the person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from tasks.ops.body import body_scale, draw_body

BACK, FRONT, MAYBE_BACK, MAYBE_FRONT = 0, 1, 2, 3  # cv2.GC_BGD, GC_FGD, GC_PR_BGD, GC_PR_FGD
SURE_SCORE, MAYBE_SCORE = 0.35, 0.15
Person = tuple[np.ndarray, np.ndarray, np.ndarray]  # box (4,), keypoint (J, 2), score (J,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A piece of a frame, scaled down: how to go from the frame's pixels to the piece's and back."""

    rect: tuple[int, int, int, int]  # x0, y0, x1, y1 in the frame
    size: tuple[int, int]  # (h, w) of the scaled piece

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) points of the frame as points of the piece."""
        x0, y0, x1, y1 = self.rect
        return (points - (x0, y0)) * (self.size[1] / (x1 - x0), self.size[0] / (y1 - y0))

    def box_to_crop(self, box: np.ndarray) -> np.ndarray:
        """(4,) box of the frame as a box of the piece."""
        return self.to_crop(box.reshape(2, 2)).reshape(4)

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """The piece of a frame."""
        x0, y0, x1, y1 = self.rect
        return cv2.resize(frame[y0:y1, x0:x1], self.size[::-1], interpolation=cv2.INTER_AREA)

    def paste(self, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A piece's soft mask as a (h, w) bool mask of the whole frame."""
        x0, y0, x1, y1 = self.rect
        # Laid out by columns: masks are encoded in that order.
        whole = np.zeros(size[::-1], bool)
        large = cv2.resize(mask, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        whole[x0:x1, y0:y1] = cv2.transpose(large) > 127
        return whole.T


def crop_around(box: np.ndarray, size: tuple[int, int], *, margin: float, side: int) -> Crop:
    """The piece of a (h, w) frame that holds a box and a margin (a share of its longer side), at most `side` long."""
    pad = margin * float(max(box[2:] - box[:2]))
    x0, y0 = np.floor(np.maximum(box[:2] - pad, 0)).astype(int)
    x1, y1 = np.ceil(np.minimum(box[2:] + pad, (size[1], size[0]))).astype(int)
    x1, y1 = max(x1, x0 + 2), max(y1, y0 + 2)
    scale = min(1.0, side / max(x1 - x0, y1 - y0))
    return Crop(
        rect=(int(x0), int(y0), int(x1), int(y1)),
        size=(max(2, round((y1 - y0) * scale)), max(2, round((x1 - x0) * scale))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """What a pose says about a crop, each (h, w) bool."""

    sure: np.ndarray  # this person's bones
    body: np.ndarray  # where the drawn body is: mostly this person
    reach: np.ndarray  # clothes and hair may be here; farther off is never the person
    other: np.ndarray  # bones of someone else, not on this person's

    def label(self) -> np.ndarray:
        """GrabCut's labels, (h, w) uint8."""
        label = self.reach.view(np.uint8) * np.uint8(MAYBE_BACK)  # elsewhere BACK, which is 0
        label[self.body] = MAYBE_FRONT
        label[self.other] = BACK
        label[self.sure] = FRONT
        return label


def regions(person: Person, others: list[Person], crop: Crop, prior: Callable[[], np.ndarray | None]) -> Regions:
    """What is surely, what is probably, and what can be one person in a crop.

    `person` and `others` in pixels of the frame; `prior` gives where the person was a frame ago, moved to the box,
    (h, w) bool, if that is known. Without enough of a pose the prior is the body; without both, the box's middle.
    """
    box, keypoint, score = person[0], crop.to_crop(person[1]), person[2]
    inner = crop.box_to_crop(box)
    scale = body_scale(keypoint, score, inner, MAYBE_SCORE)
    wide = draw_body(keypoint, score, scale, crop.size, girth=1.0, min_score=MAYBE_SCORE)
    body = draw_body(keypoint, score, scale, crop.size, girth=0.6, min_score=MAYBE_SCORE)
    sure = draw_body(keypoint, score, scale, crop.size, girth=0.3, min_score=SURE_SCORE)
    reach = grow(wide, 0.25 * scale)
    if np.count_nonzero(wide) < 0.1 * np.prod(inner[2:] - inner[:2]):
        before = prior()
        body |= _ellipse(inner, crop.size, 0.8) if before is None else before
        reach |= _box_area(inner, crop.size)
    other = np.zeros(crop.size, bool)
    for near in others:
        other |= _bones_of_another(near, crop, keypoint[score >= MAYBE_SCORE])
    # Where two people's bones cross, the labels do not decide who is in front.
    return Regions(sure=sure & ~other, body=body & ~other, reach=reach, other=other & ~sure)


def _bones_of_another(other: tuple[np.ndarray, np.ndarray, np.ndarray], crop: Crop, own: np.ndarray) -> np.ndarray:
    keypoint, score = crop.to_crop(other[1]), other[2]
    scale = body_scale(keypoint, score, crop.box_to_crop(other[0]), MAYBE_SCORE)
    seen = keypoint[score >= MAYBE_SCORE]
    if not len(seen) or (len(own) and _same_pose(own, seen, scale)):
        return np.zeros(crop.size, bool)
    return draw_body(keypoint, score, scale, crop.size, girth=0.3, min_score=SURE_SCORE)


def _same_pose(own: np.ndarray, other: np.ndarray, scale: float) -> bool:
    """Two poses on one body: the other one tells nothing about who is not here."""
    nearest = np.linalg.norm(own[:, None] - other[None], axis=-1).min(1)
    return float(np.median(nearest)) < 0.15 * scale


def move_prior(
    mask: np.ndarray, crop_from: Crop, box_from: np.ndarray, crop_to: Crop, box_to: np.ndarray
) -> np.ndarray:
    """A crop's mask carried along with its box into another crop, (h, w) bool."""
    a, b = crop_from.box_to_crop(box_from), crop_to.box_to_crop(box_to)
    scale = (b[2:] - b[:2]) / np.maximum(a[2:] - a[:2], 1e-3)
    shift = b[:2] - a[:2] * scale
    matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]], np.float32)
    h, w = crop_to.size
    return cv2.warpAffine(mask.view(np.uint8), matrix, (w, h), flags=cv2.INTER_NEAREST).view(bool)


def _box_area(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    area = np.zeros(size, bool)
    x0, y0 = np.maximum(np.floor(box[:2]), 0).astype(int)
    x1, y1 = np.maximum(np.ceil(box[2:]), 0).astype(int)
    area[y0:y1, x0:x1] = True
    return area


def _ellipse(box: np.ndarray, size: tuple[int, int], share: float) -> np.ndarray:
    canvas = np.zeros(size, np.uint8)
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * share
    cv2.ellipse(canvas, np.round(middle).astype(int).tolist(), np.ceil(half).astype(int).tolist(), 0, 0, 360, 1, -1)
    return canvas.astype(bool)


def grow(mask: np.ndarray, radius: float) -> np.ndarray:
    """A mask with everything within some pixels of it."""
    size = 2 * max(1, round(radius)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    # The mask as one long number, its rows parted by as many zeros as a pixel can move: shifts by whole and part rows
    # of it are several times faster than cv2.dilate, whose time grows with the kernel's area.
    (h, w), reach = mask.shape, size // 2
    step = (w + reach + 7) // 8 * 8
    rows = np.zeros((h, step), bool)
    rows[:, :w] = mask
    wide = int.from_bytes(np.packbits(rows).tobytes(), "big")
    out, half = 0, 0
    for dy in range(reach, -1, -1):
        while half < int(kernel[reach + dy].sum()) // 2:
            wide |= wide << 1 | wide >> 1
            half += 1
        out |= wide << dy * step | wide >> dy * step
    held = out & ((1 << h * step) - 1)
    bits = np.unpackbits(np.frombuffer(held.to_bytes(h * step // 8, "big"), np.uint8))
    return np.ascontiguousarray(bits.reshape(h, step)[:, :w]).view(bool)

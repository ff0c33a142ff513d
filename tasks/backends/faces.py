"""Pictures -> faces and whose they are: SCRFD and ArcFace with the interface of InsightFace's buffalo_l.

Both networks take RGB; InsightFace itself hands round BGR. Boxes and landmarks come in pixels of the picture given.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from datasets.records import FACE_WIDTH
from tasks.backends.onnx_session import Session, planes
from tasks.backends.reid import unit

# Where the five landmarks lie in a 112x112 crop: eyes, nose, corners of the mouth, those of the picture's left first
# (insightface, utils/face_align.py, arcface_dst).
ARCFACE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
CROP = 112
_STRIDES, _ANCHORS, _LANDMARKS = (8, 16, 32), 2, 5
_SIZE = 640  # the input that InsightFace prepares where the network leaves it open


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundFaces:
    """N faces in one picture, best first."""

    box: np.ndarray  # (N, 4)    float32  xyxy in pixels; may reach over the picture's edge
    score: np.ndarray  # (N,)      float32  0..1
    landmark: np.ndarray  # (N, 5, 2) float32  in the order of ARCFACE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SCRFD:
    """Guo et al., "Sample and Computation Redistribution for Efficient Face Detection" (ICLR 2022), with landmarks.

    Nine outputs: scores, box distances and landmark offsets of each stride, in strides, from two anchors a cell that
    lie on the cell's top left corner.
    """

    session: Session

    def __post_init__(self) -> None:
        if len(self.session.outputs) != 3 * len(_STRIDES):
            raise ValueError(
                f"SCRFD: want a network of {3 * len(_STRIDES)} outputs (scores, boxes, landmarks of strides "
                f"{_STRIDES}), got {len(self.session.outputs)}; buffalo_l's det_10g.onnx is one"
            )

    def find(self, image: np.ndarray, *, score_threshold: float = 0.5, nms: float = 0.4) -> FoundFaces:
        """(h, w, 3) uint8 RGB -> its faces. Nobody found gives N = 0.

        `nms` is the intersection over union above which the weaker of two boxes goes. Raises ValueError when the
        network's outputs are not SCRFD's.
        """
        height, width = self.session.shape[2] or _SIZE, self.session.shape[3] or _SIZE
        fitted, scale = _fit(image, (height, width))
        outputs = self.session.run(planes(fitted[None], (127.5,) * 3, (128.0,) * 3))
        boxes, scores, landmarks = [], [], []
        for at, stride in enumerate(_STRIDES):
            centre = _centres(height // stride, width // stride, stride)
            score, distance, offset = (
                _rows(outputs[at + len(_STRIDES) * part], len(centre), columns)
                for part, columns in enumerate((1, 4, 2 * _LANDMARKS))
            )
            kept = np.flatnonzero(score[:, 0] >= score_threshold)
            middle, reach = centre[kept], distance[kept] * stride
            scores.append(score[kept, 0])
            boxes.append(np.concatenate([middle - reach[:, :2], middle + reach[:, 2:]], axis=1))
            landmarks.append(middle[:, None] + offset[kept].reshape(-1, _LANDMARKS, 2) * stride)
        score = np.concatenate(scores)
        best = np.argsort(-score, kind="stable")
        score, box = score[best], (np.concatenate(boxes)[best] / scale).astype(np.float32)
        kept = _suppress(box, nms)
        landmark = (np.concatenate(landmarks)[best] / scale).astype(np.float32)
        return FoundFaces(box=box[kept], score=score[kept].astype(np.float32), landmark=landmark[kept])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArcFace:
    """Deng et al., "ArcFace" (CVPR 2019): an aligned face of 112x112 -> 512 numbers, as buffalo_l's w600k_r50."""

    session: Session

    def embed(self, image: np.ndarray, landmark: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 RGB and landmarks (N, 5, 2) of its faces -> unit vectors (N, 512) float32.

        The dot product of two says how likely they are one person's. Raises ValueError when the network gives vectors
        of another length.
        """
        if not len(landmark):
            return np.zeros((0, FACE_WIDTH), np.float32)
        pictures = planes(np.stack([align(image, five) for five in landmark]), (127.5,) * 3, (127.5,) * 3)
        size = len(pictures) if self.session.batches else 1
        vectors = np.concatenate([self.session.run(pictures[i : i + size])[0] for i in range(0, len(pictures), size)])
        if vectors.shape != (len(pictures), FACE_WIDTH):
            raise ValueError(
                f"ArcFace: want vectors ({len(pictures)}, {FACE_WIDTH}), got {vectors.shape}; buffalo_l's "
                "w600k_r50.onnx gives such"
            )
        return unit(vectors)


def align(image: np.ndarray, landmark: np.ndarray) -> np.ndarray:
    """The (112, 112, 3) crop of an RGB picture that brings landmarks (5, 2) nearest to ARCFACE; black outside."""
    return cv2.warpAffine(image, similarity(landmark, ARCFACE), (CROP, CROP), borderValue=0.0)


def similarity(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """The (2, 3) float64 rotation, scale and shift that brings points (N, 2) nearest to others, in least squares.

    As complex numbers: with both sets about their means, a = sum(conj(p) q) / sum |p|^2 (Umeyama 1991, eq. 41-43, in
    two dimensions and without reflections).

    >>> similarity(np.array([[0.0, 0], [1, 0]]), np.array([[5.0, 5], [5, 7]])).round(6).tolist()
    [[0.0, -2.0, 5.0], [2.0, 0.0, 5.0]]
    """
    p, q = (np.asarray(one, np.float64) @ np.array([1, 1j]) for one in (points, onto))
    about, to = p - p.mean(), q - q.mean()
    turn = (about.conj() * to).sum() / max((abs(about) ** 2).sum(), 1e-12)
    shift = q.mean() - turn * p.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _fit(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """The picture scaled into the top left of a black (h, w), and by how much, as InsightFace rounds it."""
    height, width = size
    ratio = image.shape[0] / image.shape[1]
    if ratio > height / width:
        inner = max(int(height / ratio), 1), height
    else:
        inner = width, max(int(width * ratio), 1)
    fitted = np.zeros((height, width, 3), np.uint8)
    fitted[: inner[1], : inner[0]] = cv2.resize(image, inner)
    return fitted, inner[1] / image.shape[0]


def _centres(rows: int, columns: int, stride: int) -> np.ndarray:
    """(rows * columns * 2, 2) x, y of each anchor."""
    y, x = np.mgrid[:rows, :columns].astype(np.float32) * stride
    return np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), _ANCHORS, axis=0)


def _rows(output: np.ndarray, count: int, columns: int) -> np.ndarray:
    """One output as (anchors, columns): exports are with and without a batch axis."""
    if output.shape not in ((count, columns), (1, count, columns)):
        raise ValueError(f"SCRFD: want an output ({count}, {columns}), got {output.shape}; is it another network?")
    return output.reshape(count, columns)


def _suppress(box: np.ndarray, nms: float) -> np.ndarray:
    """Positions of the boxes, best first, that no better one covers; sides count a pixel more, as in InsightFace."""
    area = (box[:, 2] - box[:, 0] + 1) * (box[:, 3] - box[:, 1] + 1)
    left, kept = np.arange(len(box)), []
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(best)
        low, high = np.maximum(box[best, :2], box[rest, :2]), np.minimum(box[best, 2:], box[rest, 2:])
        meet = np.maximum(high - low + 1, 0).prod(axis=1)
        left = rest[meet / (area[best] + area[rest] - meet) <= nms]
    return np.array(kept, np.int64)

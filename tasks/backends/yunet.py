"""YuNet: faces in a picture. Decodes the 2021 export (three outputs) itself: OpenCV reads only the 2023 one by now."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tasks.backends.onnx_session import Session, planes

# libfacedetection's priors: side lengths in pixels for each stride.
_SIDES = ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256)))
_VARIANCE = (0.1, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class YuNet:
    """Faces of about 10 pixels and more of the network's 160x120 input; give it crops of people, not whole frames."""

    session: Session

    def faces(
        self, image: np.ndarray, *, score_threshold: float = 0.6, nms: float = 0.3
    ) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 RGB -> boxes (N, 4) float32 xyxy in pixels, scores (N,) float32 0..1, best first."""
        height, width = self.session.shape[2:]
        if height is None or width is None:
            raise ValueError(f"yunet: want a network of fixed input size, got {self.session.shape}")
        scale = min(height / image.shape[0], width / image.shape[1])
        inner = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
        padded = np.zeros((height, width, 3), np.uint8)
        shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        padded[: inner[1], : inner[0]] = cv2.resize(image, inner, interpolation=shrink)
        location, confidence, overlap = self.session.run(planes(padded[None], (0.0,) * 3, (1.0,) * 3, flip=True))
        prior = _priors(height, width)
        if len(prior) != len(location):
            raise ValueError(
                f"yunet: want {len(prior)} cells for {width}x{height}, got {len(location)}; is it the 2021 export?"
            )
        # The score is the geometric mean of being a face and of fitting it (libfacedetection.train, yunet.py).
        score = np.sqrt(confidence[:, 1] * np.clip(overlap[:, 0], 0, 1))
        centre = prior[:, :2] + location[:, :2] * _VARIANCE[0] * prior[:, 2:]
        extent = prior[:, 2:] * np.exp(location[:, 2:4] * _VARIANCE[1])
        box = np.concatenate([centre - extent / 2, centre + extent / 2], 1) * (width, height, width, height) / scale
        kept = np.flatnonzero(score >= score_threshold)
        xywh = np.concatenate([box[kept, :2], box[kept, 2:] - box[kept, :2]], 1)
        best = cv2.dnn.NMSBoxes(xywh.tolist(), score[kept].tolist(), score_threshold, nms)
        chosen = kept[np.asarray(best, int).reshape(-1)]
        return box[chosen].astype(np.float32), score[chosen].astype(np.float32)

    def faces_at_top(self, crop: np.ndarray, *, score_threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
        """`faces` in the upper part of a person's crop, in the crop's pixels: a face is larger there."""
        height, width = crop.shape[:2]
        return self.faces(crop[: max(width, height // 2)], score_threshold=score_threshold)


def _priors(height: int, width: int) -> np.ndarray:
    """(cells, 4) centre and size of each prior, as shares of the picture."""
    rows, columns = (height + 1) // 2 // 2, (width + 1) // 2 // 2
    out = []
    for stride, sides in _SIDES:
        rows, columns = rows // 2, columns // 2
        y, x, k = np.meshgrid(np.arange(rows), np.arange(columns), np.arange(len(sides)), indexing="ij")
        side = np.asarray(sides, float)[k]
        cell = np.stack([(x + 0.5) * stride / width, (y + 0.5) * stride / height, side / width, side / height], -1)
        out.append(cell.reshape(-1, 4))
    return np.concatenate(out)

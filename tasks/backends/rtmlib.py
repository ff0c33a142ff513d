"""rtmlib: RTMDet and YOLOX boxes, RTMPose and DWPose keypoints. Its colours, prints, threads and ghosts end here.

What it does otherwise, seen in 0.0.16: wants BGR for boxes, and takes poses' colours as they come though those networks
were trained on RGB (its issue 48); opens its session with every core and prints to standard output; drops the scores of
boxes; poses the WHOLE picture when it is given no box; takes one person at a time. Its own pre- and postprocessing is
what runs here, and the contract test holds the results equal to its own calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from rtmlib import RTMPose as _RTMPose
from rtmlib.tools.object_detection.post_processings import multiclass_nms

from datasets.skeleton import SKELETONS
from tasks.backends.ahead import ahead
from tasks.backends.onnx_session import Session, planes

# In RGB order; rtmlib states the detector's in BGR.
_DETECTOR_MEAN, _DETECTOR_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_POSE_MEAN, _POSE_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
PERSON = 0  # COCO's class index; networks for people alone have no other


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fitted:
    """A picture as the detector wants it."""

    batch: np.ndarray  # (1, 3, h, w) float32
    ratio: float  # input pixels per pixel of the picture
    shape: tuple[int, int]  # (h, w) of the picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RTMLibDetector:
    """RTMDet or YOLOX: boxes of people with scores."""

    session: Session
    size: tuple[int, int]  # (h, w) that the picture is fitted into
    normalised: bool  # RTMDet wants normalised values, YOLOX 0..255

    def detect(self, frame: np.ndarray, *, score_threshold: float, nms: float) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 RGB -> boxes (N, 4) float32 xyxy clipped to the frame, scores (N,) float32, best first."""
        return self._found(self._fitted(frame), score_threshold, nms)

    def detect_each(
        self, frames: Iterable[tuple[int, np.ndarray]], *, score_threshold: float, nms: float
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(number, frame) -> (number, boxes, scores); inputs are made beside the network."""
        with contextlib.closing(ahead((t, self._fitted(frame)) for t, frame in frames)) as fitted:
            for t, one in fitted:
                yield t, *self._found(one, score_threshold, nms)

    def _fitted(self, frame: np.ndarray) -> _Fitted:
        padded, ratio = self._fit(frame)
        if self.normalised:
            batch = planes(padded[None], _DETECTOR_MEAN, _DETECTOR_STD, flip=True)
        else:
            batch = planes(padded[None], (0.0,) * 3, (1.0,) * 3, flip=True)
        return _Fitted(batch=batch, ratio=ratio, shape=(frame.shape[0], frame.shape[1]))

    def _found(self, fitted: _Fitted, score_threshold: float, nms: float) -> tuple[np.ndarray, np.ndarray]:
        output, ratio = self.session.run(fitted.batch)[0][0], fitted.ratio
        if output.shape[-1] == 5:
            # The network holds its own suppression and gives (box, score); a single class.
            box, score = output[:, :4] / ratio, output[:, 4]
        else:
            box, score = self._decode(output, ratio)
        dets, _ = multiclass_nms(box, score[:, None], nms_thr=nms, score_thr=score_threshold)
        if dets is None:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        height, width = fitted.shape
        found = np.clip(dets[:, :4], 0, (width, height, width, height)).astype(np.float32)
        kept = (found[:, 2] > found[:, 0]) & (found[:, 3] > found[:, 1])
        return found[kept], np.clip(dets[kept, 4], 0, 1).astype(np.float32)

    def _fit(self, frame: np.ndarray) -> tuple[np.ndarray, float]:
        """rtmlib's letterbox: scaled to fit, at the top left, grey elsewhere."""
        height, width = self.size
        if frame.shape[:2] == (height, width):
            return frame, 1.0
        ratio = min(height / frame.shape[0], width / frame.shape[1])
        inner = int(frame.shape[1] * ratio), int(frame.shape[0] * ratio)
        padded = np.full((height, width, 3), 114, np.uint8)
        padded[: inner[1], : inner[0]] = cv2.resize(frame, inner, interpolation=cv2.INTER_LINEAR)
        return padded, ratio

    def _decode(self, output: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
        """Raw YOLOX cells (M, 5 + classes) -> boxes in frame pixels and the score of a person (Ge et al., 2021)."""
        grids, strides = [], []
        for step in (8, 16, 32):
            rows, columns = self.size[0] // step, self.size[1] // step
            x, y = np.meshgrid(np.arange(columns), np.arange(rows))
            grids.append(np.stack((x, y), 2).reshape(-1, 2))
            strides.append(np.full((rows * columns, 1), step))
        grid, stride = np.concatenate(grids), np.concatenate(strides)
        centre = ((output[:, :2] + grid) * stride).astype(np.float32)
        extent = (np.exp(output[:, 2:4]) * stride).astype(np.float32)
        box = np.concatenate([centre - extent / 2.0, centre + extent / 2.0], 1) / ratio
        return box, output[:, 4] * output[:, 5 + PERSON]


class _Decoder(_RTMPose):
    """rtmlib's crop and SimCC decoding, around a session of ours: its own constructor prints and takes every core."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.model_input_size = size
        # Normalising is done by `planes`, for a batch at once and equal to the last bit.
        self.mean = self.std = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RTMLibPose:
    """RTMPose, RTMW or DWPose: SimCC networks, 17 or 133 keypoints, all people of a frame in one batch."""

    session: Session
    skeleton: str

    def estimate(self, frame: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 RGB, boxes (N, 4) -> keypoints (N, J, 2) float32 in pixels, scores (N, J) float32 0..1."""
        joints = len(SKELETONS[self.skeleton].joints)
        if len(boxes) == 0:
            return np.zeros((0, joints, 2), np.float32), np.zeros((0, joints), np.float32)
        decoder = _Decoder(self._size())
        crops, centres, scales = zip(*(decoder.preprocess(frame, box) for box in boxes), strict=True)
        batch = planes(np.stack(crops), _POSE_MEAN, _POSE_STD)
        simcc_x, simcc_y = self._run(batch)
        keypoint, score = [], []
        for i in range(len(boxes)):
            pair = [simcc_x[i : i + 1], simcc_y[i : i + 1]]
            points, values = decoder.postprocess(pair, centres[i], scales[i])
            keypoint.append(points[0])
            score.append(values[0])
        if keypoint[0].shape[0] != joints:
            raise ValueError(
                f"pose: want a network of {joints} keypoints ({self.skeleton}), got {keypoint[0].shape[0]}; "
                "is pose.estimator set to the network that the file holds?"
            )
        scores = np.clip(np.stack(score), 0, 1).astype(np.float32)
        return np.stack(keypoint).astype(np.float32), scores

    def estimate_each(
        self, frames: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(rows, frame, boxes) -> (rows, keypoints, scores)."""
        for rows, frame, boxes in frames:
            yield rows, *self.estimate(frame, boxes)

    def _size(self) -> tuple[int, int]:
        height, width = self.session.shape[2:]
        if height is None or width is None:
            raise ValueError(f"pose: want a network of fixed input size, got {self.session.shape}")
        return width, height

    def _run(self, batch: np.ndarray) -> Sequence[np.ndarray]:
        if self.session.batches:
            return self.session.run(batch)
        single = [self.session.run(batch[i : i + 1]) for i in range(len(batch))]
        return [np.concatenate(parts) for parts in zip(*single, strict=True)]

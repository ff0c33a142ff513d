"""Name -> network, loaded once a worker. Libraries are imported when a network of theirs is asked for, not before."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from tasks.backends import weights

if TYPE_CHECKING:
    from tasks.backends.faces import SCRFD, ArcFace
    from tasks.backends.reid import Embedder
    from tasks.backends.yunet import YuNet

DetectorName = Literal["rtmdet-nano", "yolox-nano", "yolox-m"]
PoseName = Literal["movenet-lightning", "rtmpose-m", "rtmw-m-256", "rtmw-l-256", "rtmw-l-384", "dwpose-l-384"]
ReIDName = Literal["reid-0248", "osnet-x1.0"]
FACE_READER = ("scrfd-10g", "arcface-r50")
# What (h, w) a detector's picture is fitted into, and whether its values are normalised.
_DETECTORS: dict[str, tuple[tuple[int, int], bool]] = {
    "rtmdet-nano": ((320, 320), True),
    "yolox-nano": ((416, 416), False),
    "yolox-m": ((640, 640), False),
}
SKELETON_OF: dict[str, str] = {
    "movenet-lightning": "coco17",
    "rtmpose-m": "coco17",
    "rtmw-m-256": "coco133",
    "rtmw-l-256": "coco133",
    "rtmw-l-384": "coco133",
    "dwpose-l-384": "coco133",
}


class Detector(Protocol):
    """Pictures -> boxes of people."""

    def detect(self, frame: np.ndarray, *, score_threshold: float, nms: float) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 RGB -> boxes (N, 4) float32 xyxy inside the frame, scores (N,) float32, best first.

        `nms` is the intersection over union above which the weaker of two boxes goes. Nobody found gives N = 0.
        """
        ...

    def detect_each(
        self, frames: Iterable[tuple[int, np.ndarray]], *, score_threshold: float, nms: float
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(number, frame) -> (number, boxes, scores) as of `detect`, one after another; frames are read ahead."""
        ...


class PoseEstimator(Protocol):
    """Boxes of people -> their keypoints."""

    @property
    def skeleton(self) -> str:
        """The name of its keypoint layout in datasets.skeleton."""
        ...

    def estimate(self, frame: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 RGB, boxes (N, 4) -> keypoints (N, J, 2) float32 in pixels, scores (N, J) float32 0..1.

        No boxes give no poses: never the pose of the whole picture.
        """
        ...

    def estimate_each(
        self, frames: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(rows, frame, boxes) -> (rows, keypoints, scores) as of `estimate`, one after another; frames are read
        ahead. The rows are the caller's, and passed through."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where networks lie and on what they run."""

    directory: str | None = None  # --weights DIR
    device: str = "cpu"
    threads: int = 1
    download: bool = True

    def path(self, name: str) -> str:
        """The file of a name in the weights table. Raises WeightsError when it cannot be had."""
        return str(weights.locate(name, self.directory, download=self.download))


def detector(name: DetectorName, where: Where) -> Detector:
    """The detector of this name. Raises WeightsError when its file cannot be had, ValueError when it is another."""
    return _detector(name, where.path(name), where.device, where.threads)


def estimator(name: PoseName, where: Where) -> PoseEstimator:
    """The pose estimator of this name. Raises as `detector` does."""
    return _estimator(name, where.path(name), where.device, where.threads)


def embedder(name: ReIDName, where: Where) -> Embedder:
    """The appearance network of this name. Raises as `detector` does."""
    return _embedder(name, where.path(name), where.device, where.threads)


def face_finder(where: Where) -> YuNet:
    """YuNet. Raises as `detector` does."""
    return _face_finder(where.path("yunet"), where.device, where.threads)


def face_reader(where: Where) -> tuple[SCRFD, ArcFace]:
    """The detector and the recogniser of buffalo_l. Raises as `detector` does."""
    return _face_reader(*(where.path(name) for name in FACE_READER), where.device, where.threads)


@functools.lru_cache(maxsize=4)
def _detector(name: str, path: str, device: str, threads: int) -> Detector:
    from tasks.backends.onnx_session import session
    from tasks.backends.rtmlib import RTMLibDetector

    size, normalised = _DETECTORS[name]
    return RTMLibDetector(session=session(path, device, threads), size=size, normalised=normalised)


@functools.lru_cache(maxsize=4)
def _estimator(name: str, path: str, device: str, threads: int) -> PoseEstimator:
    if name == "movenet-lightning":
        from tasks.backends.litert import MoveNet

        return MoveNet(Path(path), threads)
    from tasks.backends.onnx_session import session
    from tasks.backends.rtmlib import RTMLibPose

    return RTMLibPose(session=session(path, device, threads), skeleton=SKELETON_OF[name])


@functools.lru_cache(maxsize=4)
def _embedder(name: str, path: str, device: str, threads: int) -> Embedder:
    from tasks.backends.reid import OSNet, Retail0248

    if name == "osnet-x1.0":
        return OSNet(path=Path(path), device=device, threads=threads)
    from tasks.backends.onnx_session import session

    return Retail0248(session=session(path, device, threads))


@functools.lru_cache(maxsize=2)
def _face_finder(path: str, device: str, threads: int) -> YuNet:
    from tasks.backends.onnx_session import session
    from tasks.backends.yunet import YuNet

    return YuNet(session=session(path, device, threads))


@functools.lru_cache(maxsize=2)
def _face_reader(detector_path: str, recogniser_path: str, device: str, threads: int) -> tuple[SCRFD, ArcFace]:
    from tasks.backends.faces import SCRFD, ArcFace
    from tasks.backends.onnx_session import session

    return (
        SCRFD(session=session(detector_path, device, threads)),
        ArcFace(session=session(recogniser_path, device, threads)),
    )

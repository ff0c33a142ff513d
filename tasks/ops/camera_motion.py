"""Frames, people's boxes -> how the camera moved, so that motion can be judged against the background.

From one frame to the next the background moves by about a similarity (shift, turn, zoom): corners (Shi and Tomasi,
"Good features to track", CVPR 1994) outside of all people are followed by pyramidal Lucas-Kanade (Bouguet 2000), and
RANSAC (Fischler and Bolles 1981) keeps those that agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

_SIDE = 240  # longer side of the gray picture that is looked at, pixels
_CORNERS = 120
_LEAST = 12  # corners that must agree; fewer, and the camera counts as standing still
_MARGIN = 0.1  # of a box's size, round people: hair and arms move with them
_SHADOW = 0.3  # of a box's height, on the floor below and beside the feet: shadows are sharp, and walk along
_FEET = 0.15  # of a box's height, from which down the floor is beside it
_SPREAD = 0.12  # of the picture's width, standard deviation of corners that agree: fewer are one thing that moved
_NEARLY = 0.85  # of the most points that any model explains: enough for a simpler one
_KERNEL = 1.5  # pixels of the gray picture by which an agreeing corner may be off


def gray_picture(frame: np.ndarray) -> np.ndarray:
    """A frame (h, w, 3) uint8 RGB as a small gray picture."""
    h, w = frame.shape[:2]
    scale = min(1.0, _SIDE / max(h, w))
    size = max(round(w * scale), 16), max(round(h * scale), 16)
    # Colours are dropped after shrinking: it is the larger picture that costs.
    return cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)


def camera_steps(frames: Iterable[np.ndarray], boxes: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """(T, 2, 3) float64: step t takes a point of frame t to where the same background lay in frame t - 1.

    frames: T pictures (h, w, 3) uint8 RGB; boxes: people (N, 4) of each, in pixels of `size` (h, w). The first
    step is the
    identity, and so is each that cannot be told.
    """
    steps: list[np.ndarray] = []
    before: np.ndarray | None = None
    for t, frame in enumerate(frames):
        now = gray_picture(frame)
        scale = np.array([now.shape[1] / size[1], now.shape[0] / size[0]])
        steps.append(_identity() if before is None else _step(now, before, boxes[t], scale))
        before = now
    return np.array(steps).reshape(-1, 2, 3)


def to_first_frame(steps: np.ndarray) -> np.ndarray:
    """(T, 2, 3): each frame's points to where they would lie in frame 0, by all steps one after another."""
    out = np.empty_like(steps)
    whole = np.eye(3)
    for t, step in enumerate(steps):
        whole = whole @ np.vstack([step, [0, 0, 1]])
        out[t] = whole[:2]
    return out


def steadied(box: np.ndarray, frame: np.ndarray, to_first: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) of frames (N,) as a camera that never moved would have seen them: middle moved, size zoomed."""
    return _moved(box, to_first[frame])


def unsteadied(box: np.ndarray, frame: np.ndarray, to_first: np.ndarray) -> np.ndarray:
    """The inverse of `steadied`."""
    whole = np.concatenate([to_first, np.tile([[[0.0, 0.0, 1.0]]], (len(to_first), 1, 1))], 1)
    return _moved(box, np.linalg.inv(whole)[frame, :2])


def _moved(box: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Boxes (N, 4), similarities (N, 2, 3): upright boxes again, for a camera hardly rolls."""
    middle = (box[:, :2] + box[:, 2:]) / 2
    half = (box[:, 2:] - box[:, :2]) / 2 * np.sqrt(np.abs(np.linalg.det(by[:, :, :2])))[:, None]
    middle = np.einsum("nij,nj->ni", by[:, :, :2], middle) + by[:, :, 2]
    return np.concatenate([middle - half, middle + half], 1)


def _identity() -> np.ndarray:
    return np.eye(2, 3)


def _step(now: np.ndarray, before: np.ndarray, box: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """From `now` to `before`, in full pixels."""
    corner = cv2.goodFeaturesToTrack(now, _CORNERS, 0.01, 6, mask=_background(now.shape, box, scale))
    if corner is None or len(corner) < _LEAST:
        return _identity()
    found, good, _ = cv2.calcOpticalFlowPyrLK(now, before, corner, None, winSize=(15, 15), maxLevel=3)  # type: ignore[call-overload]
    good = good[:, 0].astype(bool)
    if good.sum() < _LEAST:
        return _identity()
    width = now.shape[1] / float(scale[0])
    return _simplest(corner[good, 0] / scale, found[good, 0] / scale, _KERNEL / float(scale.mean()), _SPREAD * width)


def _simplest(a: np.ndarray, b: np.ndarray, kernel: float, spread: float) -> np.ndarray:
    """The simplest of standing still, a shift and a similarity that takes nearly as many points a (N, 2) to b as any.

    Noise always fits a little zoom and roll; summed up over hundreds of frames that would walk away.
    """
    # OpenCV's RANSAC draws from a generator of its own that starts anew at each call: equal input, equal answer.
    matrix, _ = cv2.estimateAffinePartial2D(
        a, b, method=cv2.RANSAC, ransacReprojThreshold=kernel, maxIters=200, confidence=0.99
    )
    shift = np.column_stack([np.eye(2), np.median(b - a, 0)])
    models = [_identity(), shift] + ([] if matrix is None else [np.asarray(matrix, np.float64)])
    near = [np.linalg.norm(a @ m[:, :2].T + m[:, 2] - b, axis=1) < kernel / 2 for m in models]
    agree = [int(one.sum()) for one in near]
    if max(agree) < max(_LEAST, 0.4 * len(a)):
        return _identity()
    best = next(i for i, count in enumerate(agree) if count >= _NEARLY * max(agree))
    return models[best] if float(a[near[best], 0].std()) >= spread else _identity()


def _background(shape: tuple[int, ...], box: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(h, w) uint8, 255 where nobody and nobody's shadow is. A sharp shadow would not only lead corners astray: beside
    its edge those of a soft background count as none."""
    mask = np.full(shape, 255, np.uint8)
    for x0, y0, x1, y1 in box * np.tile(scale, 2):
        dx, dy = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
        _clear(mask, x0 - dx, y0 - dy, x1 + dx, y1 + dy)
        floor = _SHADOW * (y1 - y0)
        _clear(mask, x0 - floor, y1 - _FEET * (y1 - y0), x1 + floor, y1 + floor)
    return mask


def _clear(mask: np.ndarray, x0: float, y0: float, x1: float, y1: float) -> None:
    mask[max(int(y0), 0) : max(int(np.ceil(y1)), 0), max(int(x0), 0) : max(int(np.ceil(x1)), 0)] = 0

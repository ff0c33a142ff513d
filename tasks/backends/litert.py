"""LiteRT: MoveNet single-pose keypoints, one square crop a person."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tasks.backends.ahead import ahead
from tasks.ops.crops import cut_square, square_around

# Of the box's longer side; measured on the COCO pictures in the shared reference (tests/test_pose.py holds the score).
MARGIN = 1.0


@dataclass(slots=True, eq=False)
class MoveNet:
    """MoveNet Lightning or Thunder: 17 COCO keypoints of the one person in a crop."""

    path: Path
    threads: int = 1
    skeleton: str = "coco17"
    _interpreter: Any = field(init=False, repr=False)
    _input: dict[str, Any] = field(init=False, repr=False)
    _output: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(self.path), num_threads=self.threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{self.path}: want a LiteRT network, got {error}") from error
        self._input, output = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        shapes = tuple(self._input["shape"]), tuple(output["shape"])
        if len(shapes[0]) != 4 or shapes[0][1] != shapes[0][2] or shapes[1] != (1, 1, 17, 3):
            raise ValueError(
                f"{self.path}: want MoveNet's (1, s, s, 3) -> (1, 1, 17, 3), got {shapes[0]} -> {shapes[1]}"
            )
        self._output = output["index"]

    def estimate(self, frame: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 RGB, boxes (N, 4) -> keypoints (N, 17, 2) float32 in pixels, scores (N, 17) float32 0..1."""
        return self._found(boxes, self._crops(frame, boxes))

    def estimate_each(
        self, frames: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(rows, frame, boxes) -> (rows, keypoints, scores); crops are cut beside the network."""
        cropped = ((rows, boxes, self._crops(frame, boxes)) for rows, frame, boxes in frames)
        with contextlib.closing(ahead(cropped)) as ready:
            for rows, boxes, crops in ready:
                yield rows, *self._found(boxes, crops)

    def _crops(self, frame: np.ndarray, boxes: np.ndarray) -> list[np.ndarray]:
        size = int(self._input["shape"][1])
        return [cut_square(frame, square_around(box, MARGIN), size) for box in boxes]

    def _found(self, boxes: np.ndarray, crops: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        keypoint = np.zeros((len(boxes), 17, 2), np.float32)
        score = np.zeros((len(boxes), 17), np.float32)
        for i, (box, crop) in enumerate(zip(boxes, crops, strict=True)):
            x, y, side = square_around(box, MARGIN)
            self._interpreter.set_tensor(self._input["index"], crop[None].astype(self._input["dtype"], copy=False))
            self._interpreter.invoke()
            found = self._interpreter.get_tensor(self._output)[0, 0]
            keypoint[i] = found[:, 1::-1] * side + (x, y)
            score[i] = np.clip(found[:, 2], 0, 1)
        return keypoint, score

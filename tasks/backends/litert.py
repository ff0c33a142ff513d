"""LiteRT: MoveNet single-pose keypoints, one square crop a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tasks.ops.crops import cut_square, square_around

# Of the box's longer side; measured on the COCO pictures in the shared reference (tests/test_pose.py holds the score).
MARGIN = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class MoveNet:
    """MoveNet Lightning or Thunder: 17 COCO keypoints of the one person in a crop."""

    path: Path
    threads: int = 1
    skeleton: str = "coco17"
    _interpreter: object = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(model_path=str(self.path), num_threads=self.threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{self.path}: want a LiteRT network, got {error}") from error
        shapes = tuple(interpreter.get_input_details()[0]["shape"]), tuple(interpreter.get_output_details()[0]["shape"])
        if len(shapes[0]) != 4 or shapes[0][1] != shapes[0][2] or shapes[1] != (1, 1, 17, 3):
            raise ValueError(
                f"{self.path}: want MoveNet's (1, s, s, 3) -> (1, 1, 17, 3), got {shapes[0]} -> {shapes[1]}"
            )
        object.__setattr__(self, "_interpreter", interpreter)

    def estimate(self, frame: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 RGB, boxes (N, 4) -> keypoints (N, 17, 2) float32 in pixels, scores (N, 17) float32 0..1."""
        keypoint = np.zeros((len(boxes), 17, 2), np.float32)
        score = np.zeros((len(boxes), 17), np.float32)
        for i, box in enumerate(boxes):
            square = square_around(box, MARGIN)
            found = self._run(frame, square)
            keypoint[i] = found[:, 1::-1] * square[2] + np.array(square[:2])
            score[i] = np.clip(found[:, 2], 0, 1)
        return keypoint, score

    def _run(self, frame: np.ndarray, square: tuple[float, float, float]) -> np.ndarray:
        interpreter = self._interpreter
        entry = interpreter.get_input_details()[0]  # type: ignore[attr-defined]
        crop = cut_square(frame, square, int(entry["shape"][1]))
        interpreter.set_tensor(entry["index"], crop[None].astype(entry["dtype"]))  # type: ignore[attr-defined]
        interpreter.invoke()  # type: ignore[attr-defined]
        index = interpreter.get_output_details()[0]["index"]  # type: ignore[attr-defined]
        return interpreter.get_tensor(index)[0, 0]  # type: ignore[attr-defined]

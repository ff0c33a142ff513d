"""BoxMOT: boxes of one frame after another -> track ids. One tracker a clip; its colours, logs and defaults end here.

BoxMOT is AGPL-3.0. It fetches re-ID weights of its own when an appearance tracker gets no vectors: ours has them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, Protocol

import numpy as np

TrackerName = Literal["bytetrack", "botsort", "occluboost"]


class Tracker(Protocol):
    """Frame by frame association of one clip."""

    @property
    def wants_frames(self) -> bool:
        """Whether it looks at pixels, to follow the camera."""
        ...

    def update(
        self, box: np.ndarray, score: np.ndarray, embedding: np.ndarray | None, frame: np.ndarray | None
    ) -> np.ndarray:
        """One frame's boxes (N, 4), scores (N,), vectors (N, E) with rows of zeros where there is none, RGB frame.

        Gives (N,) int64 track ids from 0 on; -1 where the tracker follows nothing. Frames without a box count too.
        """
        ...


@dataclass(slots=True)
class BoxMOTTracker:
    """One of BoxMOT's trackers, from the first to the last frame of one clip."""

    name: TrackerName
    fps: Fraction
    buffer_s: float  # how long a lost track may wait for its person
    camera: bool = True  # follow the camera's own motion, where the tracker can
    settings: Mapping[str, Any] = field(default_factory=dict)  # further arguments of BoxMOT's own class
    _tracker: object = None
    _frame: int = 0
    _rng: np.random.Generator | None = None

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(0)
        # Two of them scale their buffer, given at 30 frames a second, by the whole number that is the rate.
        rate, buffer = max(round(float(self.fps)), 1), max(round(self.buffer_s * 30), 1)
        age = max(round(self.buffer_s * float(self.fps)), 1)
        self._tracker = _build(self.name, rate, buffer, age, self.camera, self.settings)

    @property
    def wants_frames(self) -> bool:
        """See Tracker."""
        return bool(self._tracker.requirements.frame)  # type: ignore[attr-defined]

    def update(
        self, box: np.ndarray, score: np.ndarray, embedding: np.ndarray | None, frame: np.ndarray | None
    ) -> np.ndarray:
        """See Tracker."""
        self._frame += 1
        ids = np.full(len(box), -1, np.int64)
        picture = None
        if self.wants_frames:
            if frame is None:
                raise ValueError(f"track: {self.name} follows the camera and wants the frame, got none")
            picture = np.ascontiguousarray(frame[..., ::-1])
        if self._tracker.requirements.embeddings:  # type: ignore[attr-defined]
            if embedding is None:
                raise ValueError(f"track: {self.name} compares appearance and wants vectors, got none")
            tracks = self._tracker.update(self._pack(box, score, embedding), picture)  # type: ignore[attr-defined]
            number, index = tracks.track_ids.numpy(), tracks.detection_indices.numpy()
        else:
            # Plain rows take a third of the time: box, score, class in; box, id, score, class, row out.
            rows = np.column_stack([box, score, np.zeros(len(box))]).astype(np.float32)
            out = self._tracker.update(rows, picture)  # type: ignore[attr-defined]
            number, index = out[:, 4].astype(np.int64), out[:, 7].astype(np.int64)
        # -1 is a box that the tracker only foresaw.
        ids[index[index >= 0]] = number[index >= 0]
        return ids

    def _pack(self, box: np.ndarray, score: np.ndarray, embedding: np.ndarray) -> object:
        import torch
        from boxmot.structures import Boxes, Detections

        return Detections(
            geometry=Boxes(torch.from_numpy(np.array(box, np.float32))),
            scores=torch.from_numpy(np.array(score, np.float32)),
            class_ids=torch.zeros(len(box), dtype=torch.int64),
            sample_id=f"{self._frame:08d}",
            embeddings=torch.from_numpy(self._fill(embedding)),
        )

    def _fill(self, embedding: np.ndarray) -> np.ndarray:
        """Vectors for all rows: where there is none, a random direction, unlike everybody's; zeros would become NaN."""
        assert self._rng is not None
        filled = np.array(embedding, np.float32)
        missing = ~filled.any(1)
        noise = self._rng.normal(size=(int(missing.sum()), filled.shape[1]))
        filled[missing] = noise / np.linalg.norm(noise, axis=1, keepdims=True) if len(noise) else noise
        return filled


def _build(name: TrackerName, rate: int, buffer: int, age: int, camera: bool, settings: Mapping[str, Any]) -> object:
    import boxmot
    import boxmot.utils

    # Its log opens to standard error when it is first imported; each tracker would announce itself there, and so would
    # each frame whose camera motion it cannot follow.
    logging.getLogger("boxmot").setLevel(logging.ERROR)
    ours: dict[str, Any]
    if name == "bytetrack":
        ours = {"frame_rate": rate, "track_buffer": buffer, "track_thresh": 0.4, "match_thresh": 0.8}
        return boxmot.ByteTrack(**{**ours, **settings})
    if name == "botsort":
        ours = {"frame_rate": rate, "track_buffer": buffer, "track_high_thresh": 0.4, "new_track_thresh": 0.5}
        return boxmot.BotSort(**{**ours, "use_cmc": camera, **settings})
    if name == "occluboost":
        ours = {"max_age": age, "det_thresh": 0.4, "new_track_thresh": 0.5, "use_cmc": camera, "gta_enabled": False}
        return boxmot.OccluBoost(**{**ours, **settings})
    raise ValueError(f"track.tracker: want bytetrack, botsort or occluboost, got {name!r}")

"""Appearance vectors of masked-out people: person-reidentification-retail-0248, and OSNet as BoxMOT builds it.

Crops come with the background already black: telling same from other on the same people, 0248 goes from an AUC of 0.82
on boxes to 0.996 on masked crops.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tasks.backends.onnx_session import Session, planes

CROP = (256, 128)  # (h, w) that both networks were trained on


class Embedder(Protocol):
    """Crops of people -> unit vectors whose dot product says how alike they look."""

    @property
    def width(self) -> int:
        """E, the length of a vector."""
        ...

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Crops (N, 256, 128, 3) uint8 RGB, black outside the person -> (N, E) float32 unit vectors."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retail0248:
    """Intel's small network: BGR 0..255, channels last, one crop a call."""

    session: Session
    width: int = 256

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """See Embedder."""
        _check(crops)
        if not len(crops):
            return np.zeros((0, self.width), np.float32)
        pictures = crops[..., ::-1].astype(np.float32)
        size = len(pictures) if self.session.batches else 1
        parts = [self.session.run(pictures[i : i + size])[0] for i in range(0, len(pictures), size)]
        vectors = np.concatenate(parts).reshape(len(pictures), -1)
        if vectors.shape[1] != self.width:
            raise ValueError(f"re-ID: want vectors of {self.width}, got {vectors.shape[1]}")
        return unit(vectors)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OSNet:
    """OSNet x1.0 (Zhou et al., ICCV 2019), the re-ID network of BoxMOT's trackers, in torch."""

    path: Path
    device: str = "cpu"
    threads: int = 1
    width: int = 512
    _network: object = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import torch
        from boxmot.reid.backbones.families.osnet import osnet_x1_0

        try:
            # weights_only: tensors and plain containers, nothing that runs code.
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises pickle, zip and runtime errors alike
            raise ValueError(f"{self.path}: want OSNet's parameters, got {type(error).__name__}: {error}") from error
        state = state.get("state_dict", state)
        state = {name.removeprefix("module."): value for name, value in state.items() if "classifier" not in name}
        network = osnet_x1_0(num_classes=1, pretrained=False)
        missing, unexpected = network.load_state_dict(state, strict=False)
        if unexpected or any("classifier" not in name for name in missing):
            off = [*unexpected, *(name for name in missing if "classifier" not in name)]
            raise ValueError(f"{self.path}: want OSNet x1.0's parameters, got others, such as {off[:4]}")
        object.__setattr__(self, "_network", network.eval().to(self.device))

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """See Embedder."""
        import torch

        _check(crops)
        if not len(crops):
            return np.zeros((0, self.width), np.float32)
        batch = planes(crops, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                vectors = self._network(torch.from_numpy(batch).to(self.device))  # type: ignore[operator]
        finally:
            torch.set_num_threads(before)
        return unit(vectors.float().cpu().numpy())


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows at length 1, float32; a row of zeros stays one."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def _check(crops: np.ndarray) -> None:
    if crops.dtype != np.uint8 or crops.shape[1:] != (*CROP, 3):
        raise ValueError(f"re-ID: want crops (N, {CROP[0]}, {CROP[1]}, 3) uint8, got {crops.shape} {crops.dtype}")

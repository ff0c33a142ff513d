"""ONNX file -> session: one thread count, one device, nothing printed. Every ONNX backend runs on these."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np


class Session:
    """One loaded network: arrays in, arrays out."""

    def __init__(self, path: str | Path, *, device: str = "cpu", threads: int = 1) -> None:
        """Load a network. Raises ValueError for a file that is no ONNX network, or a device that is not there."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.use_deterministic_compute = True
        # Workers share the cores: a thread that waits must not burn one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers(device))
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise ValueError(f"{path}: want an ONNX network that loads on {device}, got {error}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ValueError(f"{path}: want a network of one input, got {[entry.name for entry in inputs]}")
        self.name = inputs[0].name
        self.shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)  # None: any size
        self.outputs = tuple(entry.name for entry in self._session.get_outputs())

    @property
    def batches(self) -> bool:
        """Whether the network says that it takes any number of inputs at once."""
        return self.shape[0] is None

    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        """All outputs for one input array, in the network's order."""
        return self._session.run(None, {self.name: np.ascontiguousarray(batch)})  # type: ignore[return-value]


@functools.lru_cache(maxsize=16)
def session(path: str, device: str, threads: int) -> Session:
    """The session of this file, loaded once a worker."""
    return Session(path, device=device, threads=threads)


def device_index(device: str) -> int | None:
    """The GPU that a device names; None for the CPU. Raises ValueError for what is no device.

    >>> device_index("cpu"), device_index("cuda"), device_index("cuda:1")
    (None, 0, 1)
    """
    kind, _, index = device.partition(":")
    if device == "cpu":
        return None
    if kind != "cuda" or not (index.isdigit() or device == "cuda"):
        raise ValueError(f"device: want cpu, cuda or cuda:N, got {device!r}")
    return int(index or 0)


def providers(device: str) -> list[object]:
    """What onnxruntime runs networks with on a device. Raises ValueError where it cannot."""
    index = device_index(device)
    if index is None:
        return ["CPUExecutionProvider"]
    import onnxruntime

    there = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" not in there:
        raise ValueError(
            f"device {device}: want onnxruntime with CUDA, got one with {', '.join(there)}; "
            "uv pip install onnxruntime-gpu"
        )
    options = {"device_id": index, "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": 0}
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]


def planes(images: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], *, flip: bool = False) -> np.ndarray:
    """Images (N, H, W, 3) uint8 -> (N, 3, H, W) float32, each channel less its mean, over its deviation.

    Equal to the last bit to computing in float64 and rounding once, as the reference code does, but by a table of 256.
    mean and std are in the images' channel order; `flip` reverses the planes: RGB for a network that wants BGR.
    """
    table = ((np.arange(256, dtype=np.float64)[:, None] - np.asarray(mean)) / np.asarray(std)).astype(np.float32)
    out = np.empty((len(images), 3, *images.shape[1:3]), np.float32)
    for image, planes_out in zip(images, out, strict=True):
        for channel in range(3):
            plane = planes_out[2 - channel if flip else channel]
            cv2.LUT(cv2.extractChannel(image, channel), np.ascontiguousarray(table[:, channel]), dst=plane)
    return out

"""Named networks with weights from a file -> LPIPS of frames, features for FID and FVD. Nothing is ever downloaded.

A network is named on the command line as METRIC=NETWORK:PATH. Frames go in as (h, w, 3) uint8 RGB.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

Pair = tuple[np.ndarray, np.ndarray, np.ndarray]  # generated, real, mask of the people

# Metric -> networks, each with where its file comes from.
NETWORKS = {
    "lpips": {
        "alex": "torchvision's alexnet-owt-7be5be79.pth",
        "vgg": "torchvision's vgg16-397923af.pth",
        "squeeze": "torchvision's squeezenet1_1-b8a52dc0.pth",
    },
    "fid": {"inception": "torch-fidelity's weights-inception-2015-12-05-6726825d.pth"},
    "fvd": {"i3d": "StyleGAN-V's i3d_torchscript.pt"},
}
FORM = "METRIC=NETWORK:PATH, such as lpips=alex:alexnet-owt-7be5be79.pth"
LEAST_SIDE = {"lpips": 64}  # pixels a side, less of which leave nothing of a backbone's last layer
CLIP = 16  # frames that I3D is shown at a time
_SHORT = 224  # pixels of the shorter side that I3D sees
_BATCH = 8


class FeatureError(ValueError):
    """A network that is not known, or whose weights are not there or are others. Says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSource:
    """One network and its weights."""

    metric: str
    network: str
    path: str
    sha256: str


def feature_source(text: str) -> FeatureSource:
    """METRIC=NETWORK:PATH, its weights there and loadable. Raises FeatureError."""
    metric, equals, rest = text.partition("=")
    network, colon, path = rest.partition(":")
    if not equals or not colon or not path:
        raise FeatureError(f"--features {text}: want {FORM}, got {text!r}")
    if metric not in NETWORKS:
        raise FeatureError(f"--features {text}: want one of {', '.join(NETWORKS)}, got {metric!r}")
    if network not in NETWORKS[metric]:
        raise FeatureError(f"--features {text}: {metric} wants one of {', '.join(NETWORKS[metric])}, got {network!r}")
    if not Path(path).is_file():
        raise FeatureError(
            f"--features {text}: want a file with the weights, {NETWORKS[metric][network]}, got no such file: {path}"
        )
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    source = FeatureSource(metric=metric, network=network, path=str(Path(path).absolute()), sha256=digest)
    _loaded(source, "cpu")
    return source


def check_size(source: FeatureSource, size: tuple[int, int], name: str) -> None:
    """Raise FeatureError for a video (h, w) that is too small for a network."""
    least = LEAST_SIDE.get(source.metric, 1)
    if min(size) < least:
        raise FeatureError(
            f"{name}: want {least} pixels a side or more for --features {source.metric}=..., got {size[1]}x{size[0]}; "
            "leave that out"
        )


def measure(source: FeatureSource, frames: Iterable[Pair], device: str) -> dict[str, np.ndarray]:
    """What a network says of a video, by name.

    lpips: `lpips` (N,) of each frame. fid: `real`, `made`, `masked_real`, `masked_made` (N, 2048), a row a frame. fvd:
    the same, (M, D), a row for each CLIP frames in a row; frames that do not fill one more are left out. Masked: black
    where none of the driving people is.
    """
    network = _loaded(source, device)
    if source.metric == "lpips":
        rows = [network(made[None], real[None]) for made, real, _ in frames]
        return {"lpips": np.concatenate(rows)}
    length = CLIP if source.metric == "fvd" else _BATCH
    out: dict[str, list[np.ndarray]] = {name: [] for name in ("real", "made", "masked_real", "masked_made")}
    block: list[Pair] = []

    def flush() -> None:
        made, real, body = (np.stack(part) for part in zip(*block, strict=True))
        shown = body[..., None]
        sides = {"real": real, "made": made, "masked_real": real * shown, "masked_made": made * shown}
        for name, some in sides.items():
            out[name].append(network(some))
        block.clear()

    for pair in frames:
        block.append(pair)
        if len(block) == length:
            flush()
    if block and source.metric == "fid":
        flush()
    return {name: np.concatenate(rows) if rows else np.zeros((0, 0), np.float32) for name, rows in out.items()}


@functools.lru_cache(maxsize=4)
def _loaded(source: FeatureSource, device: str) -> Callable[..., np.ndarray]:
    load = {"lpips": _lpips, "fid": _inception, "fvd": _i3d}[source.metric]
    try:
        return load(source, device)
    except FeatureError:
        raise
    except Exception as error:  # a file of other weights fails in torch in a dozen ways
        want = NETWORKS[source.metric][source.network]
        first = str(error).strip().splitlines()[:1]
        raise FeatureError(
            f"--features {source.metric}={source.network}:{source.path}: want {want}, got a file that is none "
            f"({type(error).__name__}: {first[0][:160] if first else ''})"
        ) from error


def _lpips(source: FeatureSource, device: str) -> Callable[..., np.ndarray]:
    """LPIPS with its authors' linear heads, version 0.1 (Zhang et al., The Unreasonable Effectiveness of Deep Features,
    CVPR 2018, equation 1), by torchmetrics; the ImageNet backbone's weights come from the file."""
    import torch
    from torchmetrics.functional.image.lpips import _LPIPS

    state = torch.load(source.path, map_location="cpu", weights_only=True)
    network = _LPIPS(pretrained=True, net=cast("Any", source.network), pnet_rand=True)
    wanted = network.net.state_dict()
    # torchmetrics cuts torchvision's `features` into slices and keeps the numbers of its layers.
    network.net.load_state_dict({name: state[f"features.{name.partition('.')[2]}"] for name in wanted})
    network = network.to(device).eval()

    @torch.no_grad()
    def distance(made: np.ndarray, real: np.ndarray) -> np.ndarray:
        pair = [torch.from_numpy(some).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1 for some in (made, real)]
        return network(*pair).reshape(-1).cpu().numpy().astype(np.float64)

    return distance


def _inception(source: FeatureSource, device: str) -> Callable[..., np.ndarray]:
    """The 2048 pool features of the FID's own Inception (Heusel et al., NeurIPS 2017), by torch-fidelity, which also
    scales to 299 pixels as the original does."""
    import io

    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # It would unpickle the file: it is given a copy of nothing but tensors.
    copy = io.BytesIO()
    torch.save(torch.load(source.path, map_location="cpu", weights_only=True), copy)
    copy.seek(0)
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=copy)
    network = network.to(device).eval()

    @torch.no_grad()
    def features(frames: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).to(device)
        return network(batch)[0].cpu().numpy()

    return features


def _i3d(source: FeatureSource, device: str) -> Callable[..., np.ndarray]:
    """The 400 logits of I3D (Carreira and Zisserman, CVPR 2017) that FVD is defined on (Unterthiner et al., 2018), a
    TorchScript file called as StyleGAN-V calls it. Shorter side 224, bilinear, not smoothed before, its middle square,
    -1..1: as published figures take it."""
    import torch

    network: Any = torch.jit.load(source.path, map_location=device).eval()

    @torch.no_grad()
    def features(frames: np.ndarray) -> np.ndarray:
        video = torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        scale = _SHORT / min(video.shape[-2:])
        size = [_SHORT if side == min(video.shape[-2:]) else math.ceil(side * scale) for side in video.shape[-2:]]
        video = torch.nn.functional.interpolate(video, size, mode="bilinear", align_corners=False)
        y, x = (size[0] - _SHORT) // 2, (size[1] - _SHORT) // 2
        video = video[..., y : y + _SHORT, x : x + _SHORT].permute(1, 0, 2, 3)[None]
        return network(video, rescale=False, resize=False, return_features=True).cpu().numpy()

    return features

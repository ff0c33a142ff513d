"""Compared clip -> picture quality: PSNR, SSIM and L1 of each frame, and what named networks say of the video."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.npz import read_npz, write_npz
from datasets.window_masks import sample_masks
from tasks.backends.video_features import FeatureSource, measure
from tasks.batch import Env, Item, Stage
from tasks.compare import Config as CompareConfig
from tasks.compare import lined, pictures, real_people, real_pictures
from tasks.ops.picture_quality import FIGURES, quality

VERSION = 1
FRAMES, FEATURES = "frames.npz", "features.npz"
MASKED = "masked_"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which two videos."""

    compare: CompareConfig


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Which two videos, and which network."""

    compare: CompareConfig
    network: str
    sha256: str  # of its weights, wherever they lie


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Write FIGURES of every frame, (N,) float64 each, and the same of the people's pixels as masked_*."""
    rows = []
    for made, real, body in beside(item, config.compare):
        rows.append((*quality(made, real), *quality(made, real, body)))
    table = np.array(rows, np.float64)
    names = (*FIGURES, *(MASKED + name for name in FIGURES))
    write_npz(out / FRAMES, {name: table[:, i] for i, name in enumerate(names)})


def compute_features(source: FeatureSource, item: Item, config: FeatureConfig, env: Env, out: Path) -> None:
    """Write what the network gives, names as in tasks.backends.video_features.measure."""
    write_npz(out / FEATURES, measure(source, beside(item, config.compare), env.device))


def beside(item: Item, config: CompareConfig) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each frame: generated and real, (h, w, 3) uint8, and the union of the driving people's masks, (h, w) bool."""
    across, people = lined(item, config), real_people(item)
    grid, everybody = across.view.grid(), np.arange(people.num_people) * people.num_frames
    both = zip(pictures(item, config), real_pictures(item, config), across.frame.tolist(), strict=True)
    for made, real, frame in both:
        yield made, real, np.asarray(sample_masks(people.mask, everybody + frame, grid).any(0))


STAGE = Stage(name="quality", version=VERSION, inputs=("compare",), compute=compute)


def with_features(item: Item, compare: CompareConfig, source: FeatureSource, env: Env) -> Item:
    """The item with what one network says of it; its artifact stands beside those of others."""
    stage = Stage(
        name=f"features_{source.metric}",
        version=VERSION,
        inputs=("compare",),
        compute=functools.partial(compute_features, source),
    )
    config = FeatureConfig(compare=compare, network=source.network, sha256=source.sha256)
    return stage.make(item, config, env)[0]


def frames_in(item: Item) -> dict[str, np.ndarray]:
    """What `compute` wrote."""
    return read_npz(item.folder(STAGE.name) / FRAMES)


def features_in(item: Item, metric: str) -> dict[str, np.ndarray]:
    """What `compute_features` wrote for a metric."""
    return read_npz(item.folder(f"features_{metric}") / FEATURES)

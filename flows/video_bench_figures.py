"""Scored videos -> the figures of TogetherVideoBench, of one clip or of all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flows.video_bench_take import Scored
from tasks.backends.trackeval import scores
from tasks.coherence import joints_in, tallies_in
from tasks.ops.frechet import frechet_distance
from tasks.quality import MASKED, features_in, frames_in

Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One column: what it is called, to which track it belongs, and which way is better."""

    name: str
    track: str
    better: str  # "more" or "less"
    about: str


IDENTITY, COHERENCE, QUALITY = "identity consistency", "interaction coherence", "video quality"
FIGURES = (
    Figure(name="HOTA", track=IDENTITY, better="more", about="higher order tracking accuracy, boxes"),
    Figure(name="IDF1", track=IDENTITY, better="more", about="frames in which everyone has their own id"),
    Figure(name="MOTA", track=IDENTITY, better="more", about="1 - (missed + too many + switched) / people"),
    Figure(name="IDSW", track=IDENTITY, better="less", about="id switches, number"),
    Figure(name="found", track=COHERENCE, better="more", about="share of people and frames that were found"),
    Figure(name="OKS", track=COHERENCE, better="more", about="keypoint similarity; who was not found counts 0"),
    Figure(name="MPJPE2D", track=COHERENCE, better="less", about="mean joint error of who was found, pixels of 512"),
    Figure(name="PoseSSIM", track=COHERENCE, better="more", about="SSIM of the poses' heat maps, whole picture"),
    Figure(name="near_PoseSSIM", track=COHERENCE, better="more", about="the same near the joints"),
    Figure(name="PSNR", track=QUALITY, better="more", about="dB, at most 100"),
    Figure(name="SSIM", track=QUALITY, better="more", about="whole picture"),
    Figure(name="L1", track=QUALITY, better="less", about="mean difference, share of the full range"),
    Figure(name="masked_PSNR", track=QUALITY, better="more", about="pixels of the driving people alone"),
    Figure(name="masked_SSIM", track=QUALITY, better="more", about="pixels of the driving people alone"),
    Figure(name="masked_L1", track=QUALITY, better="less", about="pixels of the driving people alone"),
    Figure(name="LPIPS", track=QUALITY, better="less", about="perceptual distance of frames"),
    Figure(name="FID", track=QUALITY, better="less", about="of all frames together"),
    Figure(name="masked_FID", track=QUALITY, better="less", about="the same, black but for the driving people"),
    Figure(name="FVD", track=QUALITY, better="less", about="of all pieces of 16 frames together"),
    Figure(name="masked_FVD", track=QUALITY, better="less", about="the same, black but for the driving people"),
)
NAMES = tuple(figure.name for figure in FIGURES)


def figures(some: Sequence[Scored]) -> Figures:
    """Every figure over some videos of one subject; None where there is nothing to take it from.

    HOTA, IDF1 and MOTA as TrackEval combines sequences; OKS over people and frames, MPJPE2D over joints; PoseSSIM,
    PSNR, SSIM, L1 and LPIPS over frames; FID and FVD over all features together.
    """
    out: Figures = dict.fromkeys(NAMES)
    tracked = scores({one.key: tallies_in(one.item)["box"] for one in some})
    out |= {name: tracked[name] for name in ("HOTA", "IDF1", "MOTA", "IDSW")}
    out |= _joints(some)
    frames = [frames_in(one.item) for one in some]
    out |= {name: _mean(np.concatenate([one[name] for one in frames])) for name in frames[0]}
    if all("features_lpips" in one.item.artifacts for one in some):
        out["LPIPS"] = _mean(np.concatenate([features_in(one.item, "lpips")["lpips"] for one in some]))
    for metric in ("fid", "fvd"):
        if all(f"features_{metric}" in one.item.artifacts for one in some):
            out |= _distances(metric, some)
    return {name: None if value is None else round(value, 6) for name, value in out.items()}


def pieces(some: Sequence[Scored]) -> int | None:
    """How many pieces of 16 frames FVD is taken from; None where it is not."""
    if not all("features_fvd" in one.item.artifacts for one in some):
        return None
    return sum(len(features_in(one.item, "fvd")["made"]) for one in some)


def _joints(some: Sequence[Scored]) -> Figures:
    tables = [joints_in(one.item) for one in some]
    rows = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    counted = rows["joints"] > 0
    away = float((rows["distance"][counted] * rows["joints"][counted]).sum())
    return {
        "found": _mean((rows["own"] >= 0).astype(np.float64)),
        "OKS": _mean(rows["oks"]),
        "MPJPE2D": away / float(rows["joints"].sum()) if counted.any() else None,
        "PoseSSIM": _mean(rows["pose_ssim"]),
        "near_PoseSSIM": _mean(rows["pose_ssim_near"]),
    }


def _distances(metric: str, some: Sequence[Scored]) -> Figures:
    """The Fréchet distance, plain and masked; None for fewer than two samples."""
    tables = [table for one in some if len((table := features_in(one.item, metric))["made"])]
    out: Figures = {}
    for prefix in ("", MASKED):
        real, made = (
            np.concatenate([table[prefix + side] for table in tables]) if tables else np.zeros((0, 1))
            for side in ("real", "made")
        )
        out[prefix + metric.upper()] = frechet_distance(real, made) if len(made) >= 2 else None
    return out


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None

"""Generated clips -> figures: whose colours people have, and how near the picture is to the true one.

T frames, P people, H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from model.evidence_clips import Trial
from model.who import NOBODY, worn

# Drawings of clips behind an interval.
_DRAWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One generated clip. Shares are of person-frames that are judged; nan where there is none."""

    key: str
    own: float  # share with their own colours
    own_near: float  # the same where masks touch
    own_apart: float
    switches: int  # somebody's colours become another's
    judged: int  # person-frames
    confusion: list[list[int]]  # (P, P): rows people, columns whose colours they have
    psnr: float  # dB, 8-bit RGB
    psnr_people: float  # inside everyone's masks
    ssim: float
    lpips: float  # nan where no weights were given


def score(trial: Trial, video: np.ndarray, lpips: Any = None) -> Score:
    """The figures of a generated video (T, H, W, 3) uint8; `lpips` is a torchmetrics module, if it is wanted."""
    found = worn(video, trial.mask, trial.palette)
    return Score(
        key=trial.key, own=found.share(), own_near=found.share(near=True), own_apart=found.share(near=False),
        switches=found.switches(), judged=int(found.judged.sum()), confusion=found.confusion().tolist(),
        psnr=psnr(video, trial.truth), psnr_people=psnr(video, trial.truth, np.any(trial.mask, axis=0)),
        ssim=ssim(video, trial.truth), lpips=_lpips(video, trial.truth, lpips),
    )  # fmt: skip


def psnr(video: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> float:
    """10 log10(255^2 / MSE) over all frames, or over pixels `where` (T, H, W); inf for equal ones, nan for none.

    >>> round(psnr(np.full((1, 2, 2, 3), 5, np.uint8), np.zeros((1, 2, 2, 3), np.uint8)), 2)
    34.15
    """
    error = (video.astype(np.float64) - truth) ** 2
    if where is not None:
        error = error[where]
    if not error.size:
        return math.nan
    return math.inf if not error.any() else float(10 * np.log10(255**2 / error.mean()))


def ssim(video: np.ndarray, truth: np.ndarray) -> float:
    """Mean SSIM of the frames (Wang et al. 2004: Gaussian window, sigma 1.5), by torchmetrics."""
    one, other = (torch.from_numpy(frames).movedim(-1, 1).double() for frames in (video, truth))
    found = structural_similarity_index_measure(one, other, data_range=255.0)
    assert isinstance(found, torch.Tensor)  # a pair only where the map is asked for
    return float(found)


def identity_rows(trial: Trial, video: np.ndarray) -> list[str]:
    """Whose colours each person has, frame by frame, for the page: one string a person, '.' where not judged."""
    by = worn(video, trial.mask, trial.palette).by
    return ["".join("." if who == NOBODY else str(who + 1) for who in row) for row in by]


def mean(values: Sequence[float]) -> float:
    """The mean of what is finite; nan where nothing is."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


def spread(values: Sequence[float]) -> float:
    """The standard deviation over seeds (n - 1); nan for fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def advantage(ours: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """The mean difference over clips, and its 95 % interval by drawing clips again (paired bootstrap, seed 0).

    Clips in which either is nan are left out; (nan, nan, nan) where none remains.
    """
    difference = np.asarray(ours, float) - np.asarray(others, float)
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(0)
    drawn = rng.choice(difference, (_DRAWS, len(difference))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def to_row(score: Score) -> dict[str, Any]:
    """As JSON takes it: what is not finite becomes null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(score).items()
    }


def from_row(row: dict[str, Any]) -> Score:
    """The score of `to_row`. An infinite figure comes back as nan."""
    return Score(**{name: cast(Any, math.nan if value is None else value) for name, value in row.items()})


def _lpips(video: np.ndarray, truth: np.ndarray, network: Any) -> float:
    if network is None:
        return math.nan
    pair = [torch.from_numpy(one).movedim(-1, 1).float() / 127.5 - 1 for one in (video, truth)]
    with torch.no_grad():
        return float(network(*pair))

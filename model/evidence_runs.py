"""One variant of a network, trained and held to unseen clips: what model.evidence does for each variant and seed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.npz import write_npz
from datasets.store import write_atomic
from model import training
from model.config import RunConfig, changed, to_dict
from model.evidence_clips import Trial
from model.evidence_scores import Score, from_row, score, to_row
from model.pipeline import TogetherVideoPipeline
from model.run_folder import RunFolder
from model.windows import collate_examples

# What each variant changes: the ablations of DanceTogether, one field each, and ours (`no_look`).
VARIANTS: dict[str, tuple[str, ...]] = {
    "full": (),
    "no_mask": ("network.masks=false",),
    "no_pose": ("network.poses=false",),
    "sum": ("network.fusion=sum",),
    "no_adapter": ("network.adapter=false",),
    "no_look": ("network.adapter_shape.appearance=false",),
}
# Trials that are generated at once.
_BATCH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run: a variant with a seed, and all that its outcome depends on."""

    variant: str
    seed: int
    config: RunConfig
    shards: str
    out: str  # the campaign's folder
    clips: tuple[str, ...]  # the trials' keys
    steps: int  # of the sampler
    guidance: float
    lpips: bool

    @property
    def name(self) -> str:
        """Names the run's folder and its result."""
        return f"{self.variant}-{self.seed}"

    @property
    def digest(self) -> str:
        """sha256 of what the result depends on, but for the shards' bytes."""
        about = {**asdict(replace(self, config=None)), "config": to_dict(self.config)}  # type: ignore[arg-type]
        del about["out"]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    @property
    def result(self) -> Path:
        """Where the outcome is kept."""
        return Path(self.out) / "results" / f"{self.name}.json"

    @property
    def videos(self) -> Path:
        """Where the generated videos are kept: an array (T, H, W, 3) uint8 a key."""
        return Path(self.out) / "results" / f"{self.name}.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run showed."""

    variant: str
    seed: int
    scores: list[Score]
    training: dict[str, Any]  # of training.Summary

    def shares(self, of: str) -> dict[str, float]:
        """A figure of every clip by its key."""
        return {one.key: getattr(one, of) for one in self.scores}


def jobs(config: RunConfig, *, variants: Sequence[str], seeds: Sequence[int], **common: Any) -> list[Job]:
    """Every variant with every seed, the seeds in turn, so that what is done first can be compared already."""
    return [
        Job(
            variant=variant, seed=seed, config=changed(config, [*VARIANTS[variant], f"train.seed={seed}"]), **common
        )
        for seed in seeds
        for variant in variants
    ]  # fmt: skip


def kept(job: Job) -> Outcome | None:
    """The outcome of before; None where there is none, or of other settings."""
    try:
        found = json.loads(job.result.read_text())
    except (OSError, ValueError):
        return None
    if found.get("digest") != job.digest or not job.videos.is_file():
        return None
    scores = [from_row(row) for row in found["scores"]]
    return Outcome(variant=job.variant, seed=job.seed, scores=scores, training=found["training"])


def perform(job: Job, trials: Sequence[Trial], tell: Callable[[str], None]) -> Outcome:
    """Train (or go on training), generate every trial, measure, and keep the outcome."""
    run = Path(job.out) / "runs" / job.name
    tenth = max(1, job.config.train.steps // 10)

    def watch(line: Any) -> None:
        if line.step % tenth == 0:
            tell(f"{job.name}: step {line.step} of {job.config.train.steps}, loss {line.loss:.4f}")

    summary = training.run(job.config, shards=job.shards, out=run, resume=RunFolder(run).begun, progress=watch)
    pipeline = TogetherVideoPipeline.from_pretrained(run)
    videos = generated(pipeline, trials, steps=job.steps, guidance=job.guidance, seed=job.seed)
    measure = lpips_network() if job.lpips else None
    scores = [score(trial, videos[trial.key], measure) for trial in trials]
    outcome = Outcome(variant=job.variant, seed=job.seed, scores=scores, training=asdict(summary))
    _keep(job, outcome, videos)
    return outcome


def generated(
    pipeline: TogetherVideoPipeline, trials: Sequence[Trial], *, steps: int, guidance: float, seed: int
) -> dict[str, np.ndarray]:
    """A video (T, H, W, 3) uint8 for each trial's key. The noise is the same for every network of a seed."""
    out: dict[str, np.ndarray] = {}
    for at in range(0, len(trials), _BATCH):
        some = trials[at : at + _BATCH]
        batch = collate_examples([trial.example for trial in some])
        noise = torch.Generator().manual_seed(1000 * seed + at)
        frames = pipeline(batch, steps=steps, guidance=guidance, generator=noise).frames
        out |= dict(zip((trial.key for trial in some), np.asarray(frames), strict=True))
    return out


def lpips_network() -> Any:
    """LPIPS with AlexNet (Zhang et al. 2018), by torchmetrics. Raises ValueError where its weights cannot be had."""
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        return LearnedPerceptualImagePatchSimilarity(net_type="alex")
    except OSError as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise ValueError(
            f"--lpips: want torchvision's AlexNet weights (alexnet-owt-7be5be79.pth), got {error}; put the file into "
            f"{folder}, or leave --lpips out"
        ) from error


def _keep(job: Job, outcome: Outcome, videos: Mapping[str, np.ndarray]) -> None:
    job.result.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    write_npz(buffer, videos)
    write_atomic(job.videos, buffer.getvalue())
    rows = [to_row(one) for one in outcome.scores]
    text = json.dumps({"digest": job.digest, "training": outcome.training, "scores": rows}, indent=1)
    write_atomic(job.result, text.encode())

"""What a run did -> one object: for people, for `--json`, for the exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from datasets.counted import counted
from flows.batches import costs_by_stage
from tasks import shard
from tasks.batch import Cost, Reject


@dataclass(frozen=True, kw_only=True)
class StageSummary:
    """One stage over a whole run."""

    ran: int
    reused: int
    seconds: float  # of work, over all workers
    frames: int  # of what it ran on; 0 for stages over whole files


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One run."""

    out: str
    sources: int
    clips: int
    accepted: int
    review: int
    rejected: int  # turned away by a rule
    failed: int  # ended by an error
    samples: int  # in the shards, accepted and review
    shards: int
    seconds: float
    stages: Mapping[str, StageSummary]

    def plain(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self)

    def trouble(self, max_failed_fraction: float) -> str | None:
        """Why the run ends red; None when it does not."""
        ended = self.samples + self.rejected + self.failed
        if self.failed > max_failed_fraction * ended:
            return (
                f"{self.failed} of {ended} failed, more than the fraction {max_failed_fraction:g} that is allowed; "
                "rejects.parquet and the report say why each one did (--max-failed-fraction)"
            )
        if not self.samples:
            return f"nothing was produced: all {ended} were rejected; rejects.parquet and the report say why"
        return None

    def text(self) -> str:
        """A few lines for people."""
        work = ", ".join(
            f"{name} {stage.ran}" + (f" (and {stage.reused} reused)" if stage.reused else "")
            for name, stage in self.stages.items()
        )
        return (
            f"{self.out}: {counted(self.clips, 'clip')} of {counted(self.sources, 'source')} in {self.seconds:.0f} s: "
            f"{self.accepted} accepted, {self.review} to review, {self.rejected} rejected, {self.failed} failed; "
            f"{counted(self.samples, 'sample')} in {counted(self.shards, 'shard')}\n"
            f"{work}\n{self.out}/report/index.html"
        )


def summarise(
    left: shard.Summary, rejects: Sequence[Reject], costs: Sequence[Cost], *, sources: int, seconds: float
) -> Summary:
    """The summary of a run from what it left in OUT, what it turned away, and what each stage spent."""
    failed = sum(reject.fault for reject in rejects)
    return Summary(
        out=left.out,
        sources=sources,
        clips=left.samples + sum(bool(reject.clip) for reject in rejects),
        accepted=left.accepted,
        review=left.review,
        rejected=len(rejects) - failed,
        failed=failed,
        samples=left.samples,
        shards=left.shards,
        seconds=round(seconds, 3),
        stages={
            name: StageSummary(ran=cost.ran, reused=cost.reused, seconds=round(cost.seconds, 3), frames=cost.frames)
            for name, cost in costs_by_stage(costs).items()
        },
    )

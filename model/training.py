"""Shards -> a trained network, in a run's folder: the loop, from its first step or from a state."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from model.building import make_frozen, make_learner, make_loader
from model.config import RunConfig
from model.feed import Feed
from model.keeping import Keeper
from model.parallel import Processes, gathering
from model.run_folder import RunError, RunFolder
from model.samples import Shown, choose_clip
from model.step import clip_errors, generator_of
from model.stream import ShardLoader
from model.train_log import Clock, LogLine, Meter, TrainLog, Watch
from model.train_state import load_state

# Updates in a row that fp16 may leave out; its scale is then 2^-50 of what it was.
_TRIES = 50


class DivergedError(RuntimeError):
    """A loss or a gradient is not finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a training did. Seconds and shares are of the main process, of this call alone."""

    out: str
    key: str  # of the clip that sample videos show; empty where none can be read
    steps: int  # finished, with those before a resume
    began_at: int  # the step of the state that it went on from; 0 for a new run
    first_loss: float  # mean of the first tenth of the whole log
    last_loss: float  # mean of its last tenth
    seconds: float
    start_s: float  # of them, before the first step: building, loading, the first batch
    save_s: float  # of them, for states, pipelines and sample videos
    step_s: float  # a step took
    wait: float  # share of steps' time in which they stood still for want of data
    skipped: int
    epochs: int


def run(
    config: RunConfig,
    *,
    shards: str | Path,
    out: str | Path,
    resume: bool = False,
    split: str | None = "train",
    on_error: Literal["skip", "raise"] = "skip",
    progress: Watch | None = None,
) -> Summary:
    """Train a network on a dataset (a folder of any address that fsspec opens, or one shard) up to `train.steps`.

    `out` must be new, or hold the same run with `resume`: that goes on after its last state, with the very batches and
    noise that an uninterrupted run has. A damaged sample is skipped, logged and counted, another one in its place, or
    with on_error="raise" ends the run. `progress` is called with each line of the log by the main process.
    Raises RunError (what it was given), ShardError (damaged data), DivergedError (a loss that is not finite).
    """
    started = time.perf_counter()
    processes, folder = Processes.here(), RunFolder(out)
    with folder.held() if processes.main else nullcontext():
        try:
            loader = make_loader(config, shards, split=split, on_error=on_error, processes=processes)
        except ValueError as error:
            raise RunError(f"--shards: {error}") from error
        if processes.main:
            folder.check(config, resume=resume)
        shown = choose_clip(shards, config) if processes.main and config.train.sample_every else None
        made = _Training(config, folder, loader, shown, processes, progress, started)
        # Only now: what cannot be built leaves no folder behind that would have to be cleared away.
        if processes.main:
            folder.begin(config)
        processes.wait()
        made.restore()
        return made.run()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A step that is done, its figures perhaps still being computed."""

    step: int
    keys: list[str]
    lr: float
    figures: Tensor  # (2,): loss of this process, norm over all


class _Training:
    """One run, from where its folder stands to its last step."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        loader: ShardLoader,
        shown: Shown | None,
        processes: Processes,
        watch: Watch | None,
        started: float,
    ) -> None:
        self.config, self.folder, self.loader, self.processes = config, folder, loader, processes
        self.watch, self.started = watch, started
        self.codec, self.clip = make_frozen(config, processes)
        self.learner, self.wrapped = make_learner(config, processes)
        self.keeper = Keeper(
            config=config, folder=folder, learner=self.learner, codec=self.codec, clip=self.clip,
            processes=processes, shown=shown,
        )  # fmt: skip
        self.step, self.began_at, self.meter, self.clock = 0, 0, Meter(), Clock(0)
        self.last: _Seen | None = None
        self.lr, self.left_out, self.skipped = 0.0, 0, 0

    def restore(self) -> None:
        """Go on from the folder's last state, where it has one."""
        found = self.folder.latest()
        if not found:
            return
        step, state = found
        place = load_state(state, self.learner, self.processes)
        try:
            self.loader.load_state_dict(place["loader"])
        except ValueError as error:
            raise RunError(
                f"{state}: {error}: --resume wants the shards, processes and workers that the run began with"
            ) from None
        self.step, self.began_at, self.meter, self.clock = step, step, Meter(**place["meter"]), Clock(step)
        self.skipped = self.loader.skipped

    def run(self) -> Summary:
        """Step until the last one; then sum up."""
        train, first_s = self.config.train, 0.0
        with ExitStack() as stack:
            if self.processes.main:
                self.log = stack.enter_context(TrainLog(self.folder, self.step, self.watch))
            self.feed = stack.enter_context(Feed(self.loader))
            while self.step < train.steps:
                batches = [self.feed.take() for _ in range(train.accumulate)]
                if not first_s:
                    first_s = self.clock.begin(self.feed.waited_s)
                self._one_step(batches)
                last = self.step == train.steps
                if last or self.step % train.log_every == 0:
                    self._write_line()
                state = last or self.step % train.save_every == 0
                sample = train.sample_every > 0 and (last or self.step % train.sample_every == 0)
                if state or sample:
                    self._keep(state=state, sample=sample)
        return self._summary(first_s or time.perf_counter())

    def _one_step(self, batches: Sequence[Mapping[str, Any]]) -> None:
        """Gradients of all parts of the step, then one update."""
        train, learner = self.config.train, self.learner
        lr = train.lr * min(1.0, (self.step + 1) / max(1, train.warmup))
        for group in learner.optimizer.param_groups:
            group["lr"] = lr
        losses = []
        for part, batch in enumerate(batches):
            drawn = generator_of(train.seed, self.step, part, self.processes.rank, self.processes.device)
            with gathering(self.wrapped) if part < len(batches) - 1 else nullcontext():
                with learner.precision.counting():
                    moved = _moved(batch, self.processes.device)
                    loss = clip_errors(self.wrapped, moved, self.config, self.codec, self.clip, drawn).mean()
                learner.precision.backward(loss / len(batches))
            losses.append(loss.detach())
        # Looked at one step late: a GPU need not stop for it.
        self._look()
        norm = learner.precision.step(learner.optimizer, list(learner.trained.values()), train.clip_norm)
        learner.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        learner.ema.update(self.step)
        keys = [key for batch in batches for key in batch["key"]]
        self.last = _Seen(self.step, keys, lr, torch.stack([torch.stack(losses).mean(), norm.float()]))

    def _look(self) -> None:
        """Take in the figures of the last step. Raises DivergedError when they are not finite."""
        if self.last is None:
            return
        seen, self.last = self.last, None
        loss, norm = seen.figures.tolist()
        # fp16's scale of losses is found by trying: a norm that is too large for it is an update left out.
        tried = self.config.train.precision == "fp16" and math.isfinite(loss)
        self.left_out = self.left_out + 1 if tried and not math.isfinite(norm) else 0
        if not math.isfinite(loss) or (not math.isfinite(norm) and not tried) or self.left_out > _TRIES:
            kept = self.folder.latest()
            raise DivergedError(
                f"step {seen.step}: want a finite loss and gradient, got loss {loss}, norm {norm} on "
                f"{', '.join(seen.keys)}; kept: {kept[1] if kept else 'no state yet'}. "
                "Look at these samples, or begin anew with a lower train.lr"
            )
        self.lr = seen.lr
        self.meter.add(loss, norm if math.isfinite(norm) else 0.0)

    def _write_line(self) -> None:
        """A line of the log, over all processes, and a new count."""
        self._look()
        meter, world = self.meter, self.processes.world_size
        mine = [meter.loss / meter.count / world, meter.norm / meter.count / world, float(self.feed.state["skipped"])]
        loss, norm, skipped = self.processes.total(mine)
        seconds, wait = self.clock.lap(self.step, self.feed.waited_s)
        self.skipped = round(skipped)
        if self.processes.main:
            line = LogLine(
                step=self.step, loss=loss, norm=norm, lr=self.lr, seconds=seconds, wait=wait,
                skipped=self.skipped, epoch=self.feed.state["epoch"],
            )  # fmt: skip
            self.log.write(line)
        self.meter = Meter()

    def _keep(self, *, state: bool, sample: bool) -> None:
        self._look()
        with self.clock.aside():
            place = {"step": self.step, "loader": self.feed.state, "meter": asdict(self.meter)}
            video = self.keeper.keep(self.step, place, state=state, sample=sample)
        if video:
            self.log.video(video, self.step)

    def _summary(self, first_s: float) -> Summary:
        losses = [line["loss"] for line in self.folder.log_lines()] if self.processes.main else []
        tenth = max(1, len(losses) // 10)
        return Summary(
            out=str(self.folder.path),
            key=self.keeper.shown.key if self.keeper.shown else "",
            steps=self.step,
            began_at=self.began_at,
            first_loss=_mean(losses[:tenth]),
            last_loss=_mean(losses[-tenth:]),
            seconds=time.perf_counter() - self.started,
            start_s=first_s - self.started,
            save_s=self.clock.aside_s,
            step_s=self.clock.step_s,
            wait=self.clock.wait,
            skipped=self.skipped,
            epochs=self.feed.state["epoch"],
        )


def _moved(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan

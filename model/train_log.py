"""Steps of a run -> its log: a line each `log_every` steps in log.jsonl, TensorBoard, and whoever watches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO

from torch.utils.tensorboard import SummaryWriter

from model.run_folder import LOG, RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """What a line says, over the steps since the line before."""

    step: int
    loss: float  # mean over steps, clips and processes
    norm: float  # mean norm of the gradients before they are cut
    lr: float  # of the last step
    seconds: float  # a step took, on the main process
    wait: float  # share of that in which it stood still for want of data
    skipped: int  # damaged samples so far, over all processes
    epoch: int


# Called with each line by the main process.
Watch = Callable[[LogLine], None]


@dataclass(slots=True, kw_only=True)
class Meter:
    """Sums since the last line. They are part of a state, so that a resumed log has the same lines."""

    loss: float = 0.0
    norm: float = 0.0
    count: int = 0

    def add(self, loss: float, norm: float) -> None:
        """One step."""
        self.loss, self.norm, self.count = self.loss + loss, self.norm + norm, self.count + 1


class Clock:
    """What steps take, from the first batch on, and how much of it is waiting; what is done aside does not count."""

    def __init__(self, step: int) -> None:
        self.aside_s = self.step_s = self.wait = 0.0
        self._first = self._lap = (step, 0.0, 0.0)

    def begin(self, waited_s: float) -> float:
        """The first batch is here, after so much waiting; gives the time."""
        now = time.perf_counter()
        self._first = self._lap = (self._first[0], now, waited_s)
        return now

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done within this is no part of a step."""
        started = time.perf_counter()
        yield
        self.aside_s += time.perf_counter() - started

    def lap(self, step: int, waited_s: float) -> tuple[float, float]:
        """Seconds a step and share of waiting since the last lap; `step_s` and `wait` are those since the first."""
        here = (step, time.perf_counter() - self.aside_s, waited_s)
        since, self._lap = self._lap, here
        self.step_s, self.wait = _rates(self._first, here)
        return _rates(since, here)


class TrainLog:
    """The log of the main process, from after a step on. Use it in a `with` block."""

    def __init__(self, folder: RunFolder, step: int, watch: Watch | None) -> None:
        folder.cut_log(step)
        self._watch = watch
        self._lines: IO[str] = (folder.path / LOG).open("a")
        self._board = SummaryWriter(str(folder.path / "log"), purge_step=step + 1)

    def __enter__(self) -> TrainLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._board.close()

    def write(self, line: LogLine) -> None:
        """Say a line everywhere."""
        self._lines.write(json.dumps(asdict(line)) + "\n")
        self._lines.flush()
        for name in (f.name for f in fields(line) if f.name != "step"):
            self._board.add_scalar(f"train/{name}", getattr(line, name), line.step)
        if self._watch:
            self._watch(line)

    def video(self, path: Path, step: int) -> None:
        """Tell TensorBoard's readers where the sample video of a step lies."""
        self._board.add_text("sample", str(path), step)


def _rates(since: tuple[int, float, float], here: tuple[int, float, float]) -> tuple[float, float]:
    steps, seconds, waited = (now - then for now, then in zip(here, since, strict=True))
    return seconds / steps, waited / seconds

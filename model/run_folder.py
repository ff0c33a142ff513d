"""A run's folder: its configuration, states to go on from, the pipeline, the log. What has its final name is whole.

RUN/config.json, RUN/state/step-00000500/, RUN/pipeline/, RUN/samples/step-00000500.mp4, RUN/log.jsonl, RUN/log/.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets.store import sync, write_atomic
from model.config import RunConfig, from_json, to_dict, to_json

CONFIG, LOG, LOCK = "config.json", "log.jsonl", ".lock"
# States that are kept: the last, and one more.
KEPT = 2
# What a resumed run may have otherwise: how long it trains, and what it says and keeps on the way.
FREE = ("train.steps", "train.log_every", "train.save_every", "train.sample_every")
_STATE = re.compile(r"step-(\d{8,})")


class RunError(ValueError):
    """A run's folder is not what is needed: taken already, empty, damaged, or of another configuration."""


class RunFolder:
    """The folder of one run. Writing is for one process, but for what lies in `state_aside`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for one training. Raises RunError when another process has it.

        The lock is the process's alone: of a killed run, no data worker that outlives it for a moment holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(f"{self.path}: want one training at a time, got a second; give another --out") from None
            yield
        finally:
            os.close(handle)

    @property
    def begun(self) -> bool:
        """Whether there is a run, to be gone on with by `resume`."""
        return (self.path / CONFIG).is_file()

    def check(self, config: RunConfig, *, resume: bool) -> None:
        """Whether a run can begin here, or be gone on with.

        Raises RunError when the folder has a run and `resume` is not said, or has none and it is, or has another.
        """
        if resume and not self.begun:
            raise RunError(f"{self.path}: want a run to resume, got no {CONFIG}; leave --resume out to begin one")
        if not resume and (self.begun or any((self.path / name).exists() for name in ("state", "pipeline", LOG))):
            raise RunError(f"{self.path}: want a new run, got one that is there; --resume goes on with it")
        if resume:
            self._same(config)

    def begin(self, config: RunConfig) -> None:
        """Keep the configuration, and clear what a killed run left unfinished."""
        before, final = self.path / ".pipeline.before", self.path / "pipeline"
        if before.exists() and not final.exists():
            os.rename(before, final)
        for rest in (before, self.path / ".pipeline.part", *(self.path / "state").glob(".*.part")):
            shutil.rmtree(rest, ignore_errors=True)
        write_atomic(self.path / CONFIG, to_json(config).encode() + b"\n")

    def config(self) -> RunConfig:
        """The configuration. Raises RunError when there is none that can be read."""
        try:
            return from_json(RunConfig, (self.path / CONFIG).read_text())
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"{self.path / CONFIG}: want a run's configuration, got {error}") from None

    def latest(self) -> tuple[int, Path] | None:
        """The last whole state and its step; None when there is none yet."""
        return max(self._states(), default=None)

    def state_aside(self, step: int) -> Path:
        """Where the state of a step is written, before `finish_state` gives it its name."""
        return self.path / "state" / f".step-{step:08d}.part"

    def begin_state(self, step: int) -> None:
        """An empty folder for a state."""
        aside = self.state_aside(step)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)

    def finish_state(self, step: int) -> Path:
        """Name a state that is written whole, and drop those before the last KEPT."""
        aside, final = self.state_aside(step), self.path / "state" / f"step-{step:08d}"
        _sync_all(aside)
        os.rename(aside, final)
        sync(final.parent)
        for _, old in sorted(self._states())[:-KEPT]:
            shutil.rmtree(old)
        return final

    def replace_pipeline(self, write: Callable[[Path], Any]) -> Path:
        """Put what `write` fills a folder with in the pipeline's place."""
        final, aside, before = self.path / "pipeline", self.path / ".pipeline.part", self.path / ".pipeline.before"
        for old in (aside, before):
            shutil.rmtree(old, ignore_errors=True)
        aside.mkdir()
        write(aside)
        _sync_all(aside)
        if final.exists():
            os.rename(final, before)
        os.rename(aside, final)
        sync(self.path)
        shutil.rmtree(before, ignore_errors=True)
        return final

    def log_lines(self) -> list[dict[str, Any]]:
        """What was logged, a dict a line; an unfinished last line, of a killed run, is left out."""
        path = self.path / LOG
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def cut_log(self, step: int) -> None:
        """Forget what was logged after a step: it is done again."""
        kept = [json.dumps(line) + "\n" for line in self.log_lines() if line["step"] <= step]
        write_atomic(self.path / LOG, "".join(kept).encode())

    def _states(self) -> list[tuple[int, Path]]:
        found = [(_STATE.fullmatch(path.name), path) for path in (self.path / "state").glob("step-*")]
        return [(int(match[1]), path) for match, path in found if match]

    def _same(self, config: RunConfig) -> None:
        """Raises RunError when the run was begun with something that this configuration has otherwise."""
        was, now = _flat(to_dict(self.config())), _flat(to_dict(config))
        other = [name for name in sorted(was | now) if was.get(name) != now.get(name) and name not in FREE]
        if other:
            differences = ", ".join(f"{name}={json.dumps(now.get(name))}" for name in other)
            want = ", ".join(f"{name}={json.dumps(was.get(name))}" for name in other)
            raise RunError(f"{self.path}: --resume: want {want} as the run began, got {differences}")


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested fields by their dotted names."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        out |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
    return out


def _sync_all(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        sync(path)

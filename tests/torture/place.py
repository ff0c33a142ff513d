"""Where a torture run builds: sources made once a route, and for each trial a store and OUT of its own."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.tiny_runs import ROOT, TINY, digests, tiny_motion, tiny_video

RUN_S = 900.0
KILLED = -signal.SIGKILL
FOOTAGE = (("duet_case01.mp4", 10), ("duet_case12.mp4", 20))
MOTION_SETTINGS = (*TINY, "motion.cameras=2", "shard.target_bytes=100000")
FOOTAGE_SETTINGS = ("shots.min_s=0.4", "shots.max_s=0.6", "judge.min_height=0.05", "judge.min_coverage=0")


@dataclass(frozen=True)
class Route:
    """A route's sources with the command's arguments for them, and what an undisturbed build of them is."""

    name: str
    arguments: tuple[str, ...]
    reference: dict[str, str]  # file -> sha256
    changes: tuple[tuple[str, int], ...]  # label of a change of a file -> how often it comes in an undisturbed build
    seconds: float  # that an undisturbed build took


@dataclass(frozen=True)
class Place:
    """A store and an OUT."""

    route: Route
    folder: Path
    environment: dict[str, str]

    @property
    def store(self) -> Path:
        """The store."""
        return self.folder / "store"

    @property
    def out(self) -> Path:
        """The dataset."""
        return self.folder / "out"

    def command(self, *more: str, out: Path | None = None, module: str = "flows.build_dataset") -> list[str]:
        """The command line of a build here."""
        places = ["--out", str(out or self.out), "--store", str(self.store)]
        return [sys.executable, "-m", module, *self.route.arguments, *places, "--json", *more]

    def same(self, out: Path | None = None) -> str:
        """Empty when OUT has the bytes of an undisturbed build; else what differs."""
        got = digests(out or self.out)
        names = {n for n in {*got, *self.route.reference} if got.get(n) != self.route.reference.get(n)}
        return ", ".join(f"{n} {'missing' if n not in got else 'differs'}" for n in sorted(names))

    def made(self) -> int:
        """Finished artifacts."""
        # Unlike pathlib's, this one takes no offence at folders that come and go.
        return len(glob.glob(f"{self.store}/[a-z]*/*/*/artifact.json"))


class Launch:
    """A build command in a session of its own, its output in files."""

    def __init__(
        self,
        place: Place,
        *more: str,
        out: Path | None = None,
        watched: dict[str, str] | None = None,
        own_server: bool = False,
    ) -> None:
        self.place = place
        environment, module = dict(place.environment), "flows.build_dataset"
        if own_server:
            del environment["PREFECT_API_URL"]
            environment["PREFECT_HOME"] = str(place.folder.parent / "own-server")
        if watched:
            environment |= {**watched, "TORTURE_ROOTS": f"STORE={place.store}:OUT={out or place.out}"}
            module = "tests.torture.doomed"
        # Not on the disk that an event fills.
        self._log = place.folder.parent / "logs" / f"{place.folder.name}-{time.monotonic_ns()}.err"
        self._log.parent.mkdir(exist_ok=True)
        with self._log.open("wb") as err:
            self.process = subprocess.Popen(
                place.command(*more, out=out, module=module),
                env=environment,
                cwd=ROOT,
                stdout=err,
                stderr=err,
                start_new_session=True,
            )
        self.began = time.monotonic()
        _LIVE.add(self)

    @property
    def alive(self) -> bool:
        """Whether the command has not ended yet."""
        return self.process.poll() is None

    @property
    def said(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors="replace")

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
            return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        except psutil.NoSuchProcess:
            return []

    def own_servers(self) -> list[psutil.Process]:
        """The Prefect server that it started for itself."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
            return [child for child in children if "flows.server" in " ".join(child.cmdline())]
        except psutil.NoSuchProcess:
            return []

    def end(self, seconds: float = RUN_S) -> int:
        """Its exit code, once it has ended, and nothing that it started is alive. Raises TimeoutExpired."""
        try:
            code = self.process.wait(seconds)
            stop = time.monotonic() + 20
            while left := self._left():
                if time.monotonic() > stop:
                    raise RuntimeError(f"left behind: {[one.cmdline() for one in left]}")
                time.sleep(0.05)
        finally:
            self.kill()
        return code

    def kill(self) -> None:
        """kill -9 of the process group and whatever of its session is left."""
        for one in self._left():
            one.kill()
        if self.alive:
            self.process.kill()
        self.process.wait()
        _LIVE.discard(self)

    def _left(self) -> list[psutil.Process]:
        """Processes of the command's session, itself excepted once it is gone."""
        found = []
        for one in psutil.process_iter():
            try:
                if one.pid != self.process.pid and os.getsid(one.pid) == self.process.pid and one.status() != "zombie":
                    found.append(one)
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue
        return found


_LIVE: set[Launch] = set()


def end_all(place: Place | None = None) -> None:
    """Leave no build behind: none in a place, or none at all."""
    for launch in list(_LIVE):
        if place is None or launch.place == place:
            launch.kill()


def routes(folder: Path, shared: Path, names: list[str], environment: dict[str, str]) -> tuple[list[Route], list[str]]:
    """The wanted routes with their references built, and a line for each that cannot be."""
    found, skipped = [], []
    for name in names:
        if name == "footage" and not ((shared / "footage").is_dir() and (shared / "weights").is_dir()):
            skipped.append(f"footage: skipped, no footage and weights in {shared}; set DUET_SHARED")
            continue
        arguments = motion_arguments(folder) if name == "motion" else _footage(folder, shared)
        found.append(_reference(folder, name, arguments, environment))
    return found, skipped


def _reference(folder: Path, name: str, arguments: tuple[str, ...], environment: dict[str, str]) -> Route:
    """Build once undisturbed, noting every change of a file."""
    bare = Route(name=name, arguments=arguments, reference={}, changes=(), seconds=0)
    place, log = Place(bare, folder / f"reference-{name}", environment), folder / f"changes-{name}.txt"
    place.folder.mkdir()
    launch = Launch(place, "--runner", "threads:1", watched={"TORTURE_LOG": str(log)})
    code = launch.end()
    if code != 0:
        raise RuntimeError(f"{name}: want an undisturbed build, got exit code {code}: {launch.said[-3000:]}")
    seconds = time.monotonic() - launch.began
    changes = Counter(log.read_text().splitlines())
    shutil.rmtree(place.store)
    return Route(name, arguments, digests(place.out), tuple(sorted(changes.items())), seconds)


def _sets(settings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text for setting in settings for text in ("--set", setting))


def motion_arguments(folder: Path) -> tuple[str, ...]:
    """The motion route's sources, made in a folder, and its settings."""
    for seed in range(4):
        tiny_motion(folder / "motion" / f"m{seed}.npz", seed)
    return (str(folder / "motion"), *_sets(MOTION_SETTINGS))


def _footage(folder: Path, shared: Path) -> tuple[str, ...]:
    for name, start in FOOTAGE:
        tiny_video(shared / "footage" / name, folder / "footage" / name, frames=24, start=start, size=(144, 192))
    return (str(folder / "footage"), "--weights", str(shared / "weights"), *_sets(FOOTAGE_SETTINGS))

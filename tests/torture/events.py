"""What happens to a build while it runs, at a moment drawn from a seed; each says whether it hit, and what was off."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.torture.disk import Bound, Full
from tests.torture.place import KILLED, Launch, Place
from tests.torture.server import WarmServer

# A stop may use what flows.stopping gives it, and time to start Python's end.
STOP_S = 15.0
MANIFEST = "open STORE/.tmp/#/artifact.json"  # comes once for each artifact
# Prefect's own patience with a server that is gone, and ours, and the end of the work in flight.
LOST_S = 240.0


class Trouble(AssertionError):
    """The build did what it must not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One event, over."""

    hit: bool  # the build was at work when it came
    moment: str
    code: int


@dataclass(frozen=True, slots=True)
class Scene:
    """What an event works with."""

    place: Place
    server: WarmServer
    draw: np.random.Generator

    def start(self, runner: str, **more: object) -> Launch:
        """The build, with a runner."""
        return Launch(self.place, "--runner", runner, **more)  # type: ignore[arg-type]

    def runner(self) -> str:
        """Mostly the cheap one: each worker process imports for seconds."""
        return str(self.draw.choice(["threads:1", "threads:2", "processes:1"], p=[0.5, 0.3, 0.2]))

    def until(self, launch: Launch) -> str:
        """Wait for a drawn moment, or the build's end; what the moment was.

        Half of them by the clock over the length of an undisturbed build, start-up included; half by progress.
        """
        if self.draw.random() < 0.5:
            after = self.draw.uniform(0.3, 1.0) * self.place.route.seconds
            _wait(launch, lambda: time.monotonic() - launch.began >= after)
            return f"after {after:.1f} s"
        return self.work(launch)

    def work(self, launch: Launch) -> str:
        """Wait until the build has made a drawn number of artifacts more, and a little longer."""
        before = self.place.made()
        left = max(0, dict(self.place.route.changes)[MANIFEST] - before)
        more = int(self.draw.integers(0, min(8, left) + 1))
        late = float(self.draw.exponential(0.3))
        if more:
            _wait(launch, lambda: self.place.made() >= before + more)
        else:
            _wait(launch, lambda: "sources ->" in launch.said)
        end = time.monotonic() + late
        _wait(launch, lambda: time.monotonic() >= end)
        return f"{late:.2f} s after {more} artifacts more"


def _wait(launch: Launch, there: Callable[[], bool]) -> None:
    while launch.alive and not there():
        time.sleep(0.01)


def kill_at_change(scene: Scene) -> Happened:
    """kill -9 just before a change of a file: each kind of change as likely as any other, the commit's few too."""
    labels = [change for change, _ in scene.place.route.changes]
    label = str(scene.draw.choice(labels))
    at = 1 + int(scene.draw.integers(dict(scene.place.route.changes)[label]))
    launch = scene.start("threads:1", watched={"TORTURE_AT": f"{at} {label}"})
    code = launch.end()
    return Happened(hit=code == KILLED, moment=f"{at}. {label}", code=code)


def kill_process(scene: Scene) -> Happened:
    """kill -9 of the command alone: its workers must end by themselves."""
    launch = scene.start(scene.runner())
    moment = scene.until(launch)
    hit = launch.alive
    launch.process.kill()
    code = launch.end()
    return Happened(hit=hit and code == KILLED, moment=moment, code=code)


def kill_group(scene: Scene) -> Happened:
    """kill -9 of the command with all its workers at once."""
    launch = scene.start(scene.runner())
    moment = scene.until(launch)
    hit = launch.alive
    if hit:
        os.killpg(launch.process.pid, signal.SIGKILL)
    code = launch.end()
    return Happened(hit=hit and code == KILLED, moment=moment, code=code)


def kill_worker(scene: Scene) -> Happened:
    """kill -9 of a worker process: exit code 1 and a clear word."""
    launch = scene.start("processes:2")
    _wait(launch, lambda: bool(launch.workers()))
    moment = scene.work(launch)
    workers = launch.workers()
    hit = launch.alive and bool(workers)
    if hit:
        scene.draw.choice(workers).kill()  # type: ignore[call-overload]
    code = launch.end(STOP_S + 60)
    # A worker that had nothing left to do is no loss.
    if hit and code == 1 and "a worker process ended in the middle of its work" not in launch.said:
        raise Trouble(f"a lost worker: want it said, got {launch.said[-2000:]}")
    if hit and code not in (0, 1):
        raise Trouble(f"a lost worker: want exit code 1, got {code}: {launch.said[-2000:]}")
    return Happened(hit=hit and code == 1, moment=moment, code=code)


def kill_server(scene: Scene) -> Happened:
    """kill -9 of the Prefect server, started again at once: the build goes on, or ends with a clear word."""
    launch = scene.start(scene.runner())
    moment = scene.work(launch)
    hit = launch.alive
    scene.server.kill()
    scene.server.start()
    return _served(launch, launch.end(LOST_S), moment, hit)


def lose_server(scene: Scene) -> Happened:
    """kill -9 of the Prefect server, which stays away: the build ends by itself, with a clear word."""
    launch = scene.start(scene.runner())
    moment = scene.work(launch)
    hit = launch.alive
    scene.server.kill()
    try:
        code = launch.end(LOST_S)
    finally:
        scene.server.start()
    return _served(launch, code, moment, hit)


def kill_own_server(scene: Scene) -> Happened:
    """kill -9 of the server that a build started for itself, because it was given none: it starts another."""
    launch = scene.start("threads:1", own_server=True)
    moment = scene.work(launch)
    servers = launch.own_servers()
    hit = launch.alive and bool(servers)
    for server in servers:
        server.kill()
    return _served(launch, launch.end(LOST_S), moment, hit)


def _served(launch: Launch, code: int, moment: str, hit: bool) -> Happened:
    if hit and code not in (0, 1):
        raise Trouble(f"a lost server: want exit code 0 or 1, got {code}: {launch.said[-2000:]}")
    if hit and code == 1 and "Prefect's server" not in launch.said:
        raise Trouble(f"a lost server: want it said, got {launch.said[-2000:]}")
    return Happened(hit=hit, moment=moment, code=code)


def stop(number: signal.Signals) -> Callable[[Scene], Happened]:
    """SIGINT or SIGTERM: the exit code that a shell expects, within seconds."""

    def stopped(scene: Scene) -> Happened:
        launch = scene.start(scene.runner())
        moment = scene.work(launch)
        hit = launch.alive
        launch.process.send_signal(number)
        asked = time.monotonic()
        code = launch.end(60)
        took = time.monotonic() - asked
        if hit and code not in (128 + number, 0):
            raise Trouble(f"{number.name}: want exit code {128 + number}, got {code}: {launch.said[-2000:]}")
        if hit and took > STOP_S:
            raise Trouble(f"{number.name}: want an end within {STOP_S:.0f} s, got {took:.0f} s")
        return Happened(hit=hit and code == 128 + number, moment=moment, code=code)

    return stopped


def second_here(scene: Scene) -> Happened:
    """A second build in the same store and OUT while one is at work: told so, exit code 2, and no harm."""
    first = scene.start("threads:1")
    _wait(first, lambda: (scene.place.out / ".lock").exists() and "sources ->" in first.said)
    moment = scene.work(first)
    second = scene.start("threads:1")
    refused = second.end()
    hit = first.alive
    code = first.end()
    if hit and (refused != 2 or "one build at a time" not in second.said):
        raise Trouble(f"a second build: want exit code 2 and why, got {refused}: {second.said[-2000:]}")
    if code != 0:
        raise Trouble(f"a build with a second beside it: want exit code 0, got {code}: {first.said[-2000:]}")
    return Happened(hit=hit, moment=moment, code=code)


def second_elsewhere(scene: Scene) -> Happened:
    """Two builds at once on one store, each with its OUT: both end with the bytes of an undisturbed one."""
    other = scene.place.folder / "beside"
    first = scene.start("threads:1")
    second = scene.start("threads:1", out=other)
    codes = (first.end(), second.end())
    if codes != (0, 0):
        said = f"{first.said[-999:]} {second.said[-999:]}"
        raise Trouble(f"two builds on one store: want exit code 0, got {codes}: {said}")
    differs = scene.place.same(other)
    if differs:
        raise Trouble(f"two builds on one store: the second's OUT: {differs}")
    return Happened(hit=True, moment="from the start", code=0)


def disk_full(scene: Scene) -> Happened:
    """The disk under store and OUT fills up while the build is at work: exit code 1 and why."""
    with Full(scene.place.folder) as disk:
        launch = scene.start(scene.runner())
        moment = scene.work(launch)
        hit = launch.alive
        disk.fill()
        code = launch.end(300)
        disk.empty()
        if code not in (0, 1):
            raise Trouble(f"a full disk: want exit code 1, got {code}: {launch.said[-2000:]}")
        if code == 1 and "No space left" not in launch.said:
            raise Trouble(f"a full disk: want it said, got {launch.said[-2000:]}")
        if code == 1 and (scene.place.out / "dataset.json").exists() and (differs := scene.place.same()):
            raise Trouble(f"a full disk: want no dataset or the whole one, got one committed: {differs}")
    return Happened(hit=hit and code == 1, moment=moment, code=code)


def read_only(scene: Scene) -> Happened:
    """OUT becomes read-only while the build is at work: exit code 1 and why, or an end before it is written to."""
    with Bound(scene.place.out) as bound:
        launch = scene.start(scene.runner())
        moment = scene.work(launch)
        hit = launch.alive
        bound.read_only()
        code = launch.end(300)
        if code not in (0, 1, 2):
            raise Trouble(f"a read-only OUT: want exit code 1 or 2, got {code}: {launch.said[-2000:]}")
        if code and "ead-only" not in launch.said and "no permission" not in launch.said:
            raise Trouble(f"a read-only OUT: want it said, got {launch.said[-2000:]}")
    return Happened(hit=hit and code != 0, moment=moment, code=code)

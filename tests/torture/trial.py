"""One trial: a build that is disturbed until it is done, then damaged and built again; each event is judged."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

import numpy as np

from datasets.verify import verify
from tests.torture import events
from tests.torture.damage import DAMAGES
from tests.torture.disk import can_mount
from tests.torture.events import Happened, Scene, Trouble
from tests.torture.place import Launch, Place, Route, end_all
from tests.torture.server import WarmServer


@dataclass(frozen=True, slots=True)
class Card:
    """A kind of event."""

    name: str
    play: Callable[[Scene], Happened]
    weight: float  # how often it comes, beside the others
    kill: bool = True
    mounts: bool = False  # whether it needs a file system of its own


CARDS = (
    Card("kill -9 at a change of a file", events.kill_at_change, 10),
    Card("kill -9 of the process", events.kill_process, 4),
    Card("kill -9 of the group", events.kill_group, 3),
    Card("kill -9 of a worker", events.kill_worker, 3),
    Card("kill -9 of the Prefect server", events.kill_server, 0.8),
    Card("kill -9 of the Prefect server for good", events.lose_server, 0.4),
    Card("kill -9 of a build's own Prefect server", events.kill_own_server, 0.6),
    Card("SIGINT", events.stop(Signals.SIGINT), 0.7, kill=False),
    Card("SIGTERM", events.stop(Signals.SIGTERM), 0.7, kill=False),
    Card("a second build in the same OUT", events.second_here, 0.6, kill=False),
    Card("a second build on the same store", events.second_elsewhere, 0.4, kill=False),
    Card("the disk is full", events.disk_full, 1.2, kill=False, mounts=True),
    Card("OUT is read-only", events.read_only, 0.8, kill=False, mounts=True),
)
MOST_EVENTS = 6
DAMAGES_A_TRIAL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An event, and whether the build got over it."""

    trial: int
    route: str
    event: str
    kill: bool
    moment: str
    trouble: str  # empty when it did


def deck(wanted: str) -> list[Card]:
    """The events that can be had here, of which the name holds a text."""
    return [card for card in CARDS if wanted in card.name and not (card.mounts and can_mount())]


def try_once(
    number: int,
    seed: int,
    routes: list[Route],
    folder: Path,
    server: WarmServer,
    cards: list[Card],
    say: Callable[[str], None],
) -> list[Judged]:
    """The events of one trial, judged. What it built is removed when all was well."""
    draw = np.random.default_rng((seed, number))
    # The motion route is the cheaper one.
    route = routes[0] if len(routes) == 1 or draw.random() < 0.7 else routes[1]
    place = Place(route, folder / f"trial-{number}", server.environment)
    place.folder.mkdir()
    judged = _disturbed(Scene(place, server, draw), number, cards, say) + _damaged(place, number, draw, say)
    if not any(one.trouble for one in judged):
        shutil.rmtree(place.folder)
    return judged


def _disturbed(scene: Scene, number: int, cards: list[Card], say: Callable[[str], None]) -> list[Judged]:
    """Events until the build is done; their verdict is what the finished build is."""
    weights = np.array([card.weight for card in cards])
    route = scene.place.route.name
    happened: list[tuple[Card, Happened]] = []
    judged: list[Judged] = []
    trouble = ""
    for _ in range(int(scene.draw.integers(2, MOST_EVENTS + 1))):
        card = cards[int(scene.draw.choice(len(cards), p=weights / weights.sum()))]
        try:
            one = card.play(scene)
        except (Trouble, RuntimeError, subprocess.SubprocessError) as error:
            end_all(scene.place)
            # Its own fault; whether the build gets over those before it is still to be seen.
            judged.append(_judged(number, route, card.name, card.kill, "", f"{type(error).__name__}: {error}"))
            break
        say(f"trial {number}, {route}: {card.name} {one.moment}: {'hit' if one.hit else 'too late'}")
        if one.hit:
            happened.append((card, one))
        if one.code == 0 and (differs := scene.place.same()):
            trouble = f"exit code 0, but {differs}"
            break
    trouble = trouble or finish(scene.place)
    if trouble and not happened:
        judged.append(_judged(number, route, "an undisturbed build", False, "", trouble))
    return judged + [_judged(number, route, card.name, card.kill, one.moment, trouble) for card, one in happened]


def _judged(trial: int, route: str, event: str, kill: bool, moment: str, trouble: str) -> Judged:
    return Judged(trial=trial, route=route, event=event, kill=kill, moment=moment, trouble=trouble)


def _damaged(place: Place, number: int, draw: np.random.Generator, say: Callable[[str], None]) -> list[Judged]:
    """Damage to the finished build, and a build after each."""
    judged = []
    for name in draw.choice(list(DAMAGES), size=DAMAGES_A_TRIAL, replace=False):
        trouble = where = ""
        try:
            where = DAMAGES[name](place, draw)
            trouble = finish(place)
        except AssertionError as error:
            trouble = str(error)
        say(f"trial {number}, {place.route.name}: {name}: {where}: {trouble or 'as before'}")
        judged.append(_judged(number, place.route.name, name, False, where, trouble))
        if trouble:
            break
    return judged


def launched(place: Place) -> str:
    """Build undisturbed in a process of its own. Empty when it ends well."""
    launch = Launch(place, "--runner", "threads:1")
    try:
        code = launch.end()
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return str(error)
    return f"want an undisturbed run to end well, got exit code {code}: {launch.said[-2000:]}" if code else ""


def finish(place: Place, build: Callable[[Place], str] = launched) -> str:
    """Build to the end. Empty when the dataset is that of an undisturbed build, and all right."""
    if trouble := build(place):
        return trouble
    if differs := place.same():
        return f"want the bytes of an undisturbed build: {differs}"
    if problems := verify(place.out).problems:
        return f"datasets.verify: {'; '.join(map(str, problems))}"
    return ""

"""python -m tests.torture [--kills N] [--seed N]: builds of both routes, disturbed at random moments, end alike.

Each trial is one build: killed, stopped, starved of disk, until it is done; then files of it are damaged and it is
built again. What every event must leave is the bytes of an undisturbed build. The table counts what was survived.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from pathlib import Path

from tests.tiny_runs import ROOT
from tests.torture.disk import can_mount, unmount_all
from tests.torture.place import Route, end_all, routes
from tests.torture.server import WarmServer
from tests.torture.trial import CARDS, Judged, deck, try_once

EXAMPLES = """examples:
  python -m tests.torture                          100 kills, and all other events among them
  python -m tests.torture --kills 10 --route motion
  python -m tests.torture --event server --kills 5
  python -m tests.torture --seed 7 --trial 12      one trial again, as it was drawn

exit code: 0 when every event was survived, 1 when any was not, 2 for a command that cannot be run.
The material of footage is looked for in DUET_SHARED, or in the folder shared beside the repository.
"""


class Campaign:
    """Trials, several at a time, until there were enough kills."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self._kills, self._seed, self._folder = arguments.kills, arguments.seed, folder
        self._wanted: list[int] = arguments.trial
        self._names: list[str] = ["motion", "footage"] if arguments.route == "both" else [arguments.route]
        self._cards = deck(arguments.event)
        self._lock = threading.Lock()
        self._numbers = iter(self._wanted or range(1 << 30))
        self._began = time.monotonic()
        self.judged: list[Judged] = []
        self.broken: list[str] = []
        self.skipped: list[str] = []

    def run(self, jobs: int) -> None:
        """All trials."""
        servers = [WarmServer(self._folder / f"prefect-{lane}") for lane in range(jobs)]
        try:
            for server in servers:
                server.start()
            shared = Path(os.environ.get("DUET_SHARED", ROOT.parent / "shared"))
            found, self.skipped = routes(self._folder, shared, self._names, servers[0].environment)
            if why := can_mount():
                self.skipped.append(f"a full disk, a read-only OUT: skipped, {why}")
            for line in [f"{one.name}: undisturbed in {one.seconds:.0f} s" for one in found] + self.skipped:
                self.say(line)
            if found:
                self._lanes(servers, found)
        finally:
            end_all()
            for server in servers:
                server.close()
            unmount_all(self._folder)

    def say(self, text: str) -> None:
        """A line of progress."""
        kills = sum(one.kill for one in self.judged)
        print(f"[{time.monotonic() - self._began:6.0f} s, {kills} kills] {text}", file=sys.stderr, flush=True)

    def _lanes(self, servers: list[WarmServer], found: list[Route]) -> None:
        lanes = [threading.Thread(target=self._lane, args=(server, found), daemon=True) for server in servers]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            while lane.is_alive():
                lane.join(1)

    def _lane(self, server: WarmServer, found: list[Route]) -> None:
        while (number := self._next()) is not None:
            try:
                judged = try_once(number, self._seed, found, self._folder, server, self._cards, self.say)
            except Exception:
                with self._lock:
                    self.broken.append(f"trial {number}: {traceback.format_exc()}")
                return
            with self._lock:
                self.judged.extend(judged)
            for one in judged:
                if one.trouble:
                    self.say(f"FAILED: trial {number}: {one.event} {one.moment}: {one.trouble}")

    def _next(self) -> int | None:
        with self._lock:
            enough = not self._wanted and sum(one.kill for one in self.judged) >= self._kills
            return None if enough or self.broken else next(self._numbers, None)


def table(judged: list[Judged], seed: int) -> str:
    """Event, times, survived, failed; and for each failure what repeats it."""
    rows: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        rows[f"{one.route}: {one.event}"].append(one)
    kills = [one for one in judged if one.kill]
    rows |= {"all kill -9": kills, "all": judged}
    lines = [f"{'event':<55} {'times':>6} {'survived':>9} {'failed':>7}"]
    for name, some in sorted(rows.items(), key=lambda row: (row[0].startswith("all"), row[0])):
        failed = [one for one in some if one.trouble]
        again = ", ".join(f"--seed {seed} --trial {n}" for n in sorted({one.trial for one in failed}))
        lines.append(f"{name:<55} {len(some):>6} {len(some) - len(failed):>9} {len(failed):>7} {again}".rstrip())
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """The command. Gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="go on until this many kills hit (100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of every moment and place (0)")
    parser.add_argument("--out", metavar="DIR", help="work here and keep it (default: a temporary folder)")
    parser.add_argument("--route", choices=("both", "motion", "footage"), default="both")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="trials at a time (2)")
    parser.add_argument("--trial", type=int, action="append", default=[], metavar="N", help="this trial; repeatable")
    parser.add_argument("--event", default="", metavar="TEXT", help="only events with this text in their names")
    arguments = parser.parse_args(argv)
    if not deck(arguments.event):
        parser.error(f"--event {arguments.event}: want a part of one of: {'; '.join(card.name for card in CARDS)}")
    if arguments.out:
        folder = Path(arguments.out).absolute()
        if folder.is_dir() and any(folder.iterdir()):
            parser.error(f"--out {folder}: want a new or empty folder, got one with files")
        folder.mkdir(parents=True, exist_ok=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix="torture-"))
    campaign = Campaign(arguments, folder)
    # Whoever stops it this way wants the builds and servers gone too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    campaign.run(arguments.jobs)
    print(table(campaign.judged, arguments.seed))
    for line in [*campaign.skipped, *campaign.broken]:
        print(line)
    failed = any(one.trouble for one in campaign.judged) or bool(campaign.broken) or not campaign.judged
    if not failed and not arguments.out:
        shutil.rmtree(folder)
    elif failed:
        print(f"what was built lies in {folder}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

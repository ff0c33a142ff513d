"""Growth with clips: wall time, driver memory, store, OUT and Prefect database for 1, 10, 100 and 1,000 clips.

Clips are real ones of the motion route, short and of stamp size, so that what a clip costs beside its pixels shows.
Each size is built from nothing against a server of its own that is warm, then again with nothing to do, there and
without a server. The driver's memory is VmHWM of the command's own process; its workers are others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.prefect_server import running_server
from tests.tiny_runs import ROOT, TINY, command, environment, tiny_motion

CLIPS = (1, 10, 100, 1000)
QUICK = (1, 10)
# Duets a motion file and cameras a duet: few files make many clips.
CAMERAS = 10
WATCH_S = 0.1


@dataclass(frozen=True)
class Ran:
    """One command."""

    seconds: float
    peak_mb: float
    summary: dict


def peak_mb(pid: int) -> float:
    """VmHWM of a process, MB; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def run(arguments: Sequence[object], settings: tuple[str, ...], env: Mapping[str, str]) -> Ran:
    """The command in a process of its own, watched. Raises RuntimeError with its words when it fails."""
    began, peak = time.monotonic(), 0.0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command(*arguments, "--json", settings=settings),
            env=dict(env), cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True,
        )  # fmt: skip
        while process.poll() is None:
            peak = max(peak, peak_mb(process.pid))
            time.sleep(WATCH_S)
        out = process.stdout.read() if process.stdout else ""
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"exit code {process.returncode}: {said.read()[-2000:]}")
    return Ran(time.monotonic() - began, peak, json.loads(out))


def size_mb(folder: Path) -> float:
    """Bytes of all files under a folder, MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def database_mb(home: Path) -> float:
    """Prefect's database with its journal, MB."""
    return sum(path.stat().st_size for path in home.glob("prefect.db*")) / 1e6


def measured(clips: int, folder: Path, workers: int) -> dict[str, float]:
    """Build `clips` clips on a fresh store and server, then twice with nothing to do."""
    cameras = min(CAMERAS, clips)
    for seed in range(max(2, clips // cameras)):
        tiny_motion(folder / "motions" / f"m{seed:04d}.npz", seed)
    settings = (*TINY, f"motion.cameras={cameras}", "motion.partners=1")
    home = folder / "prefect"
    home.mkdir()
    arguments = (folder / "motions", "--out", folder / "out", "--store", folder / "store")
    workers_at = ("--runner", f"processes:{workers}")
    with running_server(home) as server:
        env = environment(server)
        run((folder / "motions", "--out", folder / "x", "--store", folder / "x.store", "--limit", 2), settings, env)
        before = database_mb(home)
        first = run((*arguments, *workers_at), settings, env)
        database = database_mb(home) - before
        again = run((*arguments, *workers_at), settings, env)
    alone = {name: value for name, value in env.items() if name != "PREFECT_API_URL"}
    without = run((*arguments, *workers_at), settings, alone)
    made = first.summary["clips"]
    return {
        "clips": made,
        "seconds": first.seconds,
        "seconds_a_clip": first.seconds / made,
        "driver_peak_mb": first.peak_mb,
        "again_peak_mb": again.peak_mb,
        "nothing_to_do_s": again.seconds,
        "nothing_to_do_no_server_s": without.seconds,
        "store_mb": size_mb(folder / "store"),
        "out_mb": size_mb(folder / "out"),
        "database_mb": database,
    }


def rows_of(sizes: Sequence[Mapping[str, float]]) -> list[dict[str, object]]:
    """The table's rows: each size beside the smallest."""
    smallest, out = sizes[0], list[dict[str, object]]()
    for one in sizes[1:] or sizes:
        about = f"{one['clips']} clips against {smallest['clips']}"
        out.append(
            {
                "what": "driver's peak memory, MB",
                "ours": one["driver_peak_mb"],
                "other": smallest["driver_peak_mb"],
                "ratio": one["driver_peak_mb"] / smallest["driver_peak_mb"],
                "wanted": "100 MB more at most" if one["clips"] == CLIPS[-1] else None,
                "sizes": about,
            }
        )
        out.append(
            {
                "what": "nothing to do, s: with a warm server (ours), without one (other)",
                "ours": one["nothing_to_do_s"],
                "other": one["nothing_to_do_no_server_s"],
                "ratio": one["nothing_to_do_s"] / one["nothing_to_do_no_server_s"],
                "wanted": "10 and 25" if one["clips"] == CLIPS[-1] else None,
                "sizes": about,
            }
        )
    return out


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line a size to standard error and one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1 and 10 clips")
    parser.add_argument("--clips", type=int, nargs="+", metavar="N", help=f"other sizes (default: {CLIPS})")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default: 2)")
    arguments = parser.parse_args(argv)
    sizes = []
    for clips in arguments.clips or (QUICK if arguments.quick else CLIPS):
        with tempfile.TemporaryDirectory() as folder:
            sizes.append(measured(clips, Path(folder), arguments.workers))
        said = ", ".join(f"{name} {value:.1f}" for name, value in sizes[-1].items())
        print(said, file=sys.stderr, flush=True)
    print(json.dumps({"bench": "scale", "rows": rows_of(sizes), "sizes": sizes}))


if __name__ == "__main__":
    main()

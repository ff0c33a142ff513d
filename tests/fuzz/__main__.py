"""python -m tests.fuzz video|motion|shards [--minutes M] [--seed N] [--keep DIR]: exit code 1 when something was found.

video: files of twelve kinds, mutated, read behind the fence. A crash in a codec is kept but is no find: the fence is
there for it. motion, shards: coverage-guided (atheris), in a process that ends at its first find.

examples:
  python -m tests.fuzz video --minutes 10 --seed 3
  python -m tests.fuzz motion --minutes 1
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.fuzz import targets, videos


def guided(kind: str, minutes: float, seed: int, folder: Path, found: Path) -> int:
    """One run of libFuzzer over a target's seeds. Gives 1 where it found something."""
    corpus, given = folder / "corpus", folder / "seeds"
    for one in (corpus, given, found):
        one.mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(targets.TARGETS[kind][1]()):
        (given / f"{i:03d}").write_bytes(data)
    options = [
        f"-max_total_time={max(1, round(60 * minutes))}", f"-seed={seed + 1}", f"-artifact_prefix={found}/{kind}-",
        "-timeout=30", "-rss_limit_mb=6000", "-max_len=20000", "-len_control=0", "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    command = [sys.executable, "-m", "tests.fuzz.guided", kind, *options, str(corpus), str(given)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = done.stdout + done.stderr
    counted = [line for line in said.splitlines() if "number_of_executed_units" in line]
    runs = counted[0].rpartition(":")[2].strip() if counted else "some"
    print(f"{kind}: {runs} inputs, {'a find' if done.returncode else 'no finds'}", flush=True)
    if done.returncode:
        print(said[-6000:], flush=True)
    return 1 if done.returncode else 0


def main() -> int:
    """The command. Gives the exit code."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=form)
    parser.add_argument("kind", choices=("video", *targets.TARGETS))
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="how long (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the mutations (default: 0)")
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), metavar="DIR", help="where finds are kept")
    given = parser.parse_args()
    keep = given.keep.absolute()
    with tempfile.TemporaryDirectory() as place:
        if given.kind == "video":
            return 1 if videos.fuzz(given.minutes, given.seed, Path(place), keep) else 0
        return guided(given.kind, given.minutes, given.seed, Path(place), keep)


if __name__ == "__main__":
    sys.exit(main())

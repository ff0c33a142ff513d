"""Every measurement of tests/bench, each in a process of its own, as one table."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent


def names() -> list[str]:
    """The measuring scripts beside this file."""
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def run(name: str, quick: bool) -> dict | None:
    """The last line of a script's output as JSON; None, and its output shown, when it fails."""
    command = [sys.executable, "-m", f"tests.bench.{name}", *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent.parent)
    lines = done.stdout.strip().splitlines()
    try:
        if done.returncode == 0 and lines:
            return json.loads(lines[-1])
    except json.JSONDecodeError:
        pass
    sys.stderr.write(done.stdout[-2000:] + done.stderr[-4000:])
    return None


def show(value: object) -> str:
    """A cell."""
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def main() -> int:
    """Run, print, and return 1 when a script failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which of: {', '.join(names())}")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, to see that it runs")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(names()))
    if unknown:
        parser.error(f"want some of {', '.join(names())}, got {', '.join(unknown)}")
    table = Table(title="tests/bench: ratios of medians, ours beside the other, in one run")
    for column in ("bench", "what", "ours", "other", "ratio", "wanted", "sizes"):
        table.add_column(column, overflow="fold")
    failed = []
    for name in arguments.names or names():
        print(f"bench: {name} ...", file=sys.stderr, flush=True)
        result = run(name, arguments.quick)
        if result is None:
            failed.append(name)
            continue
        for row in result["rows"]:
            table.add_row(name, *(show(row.get(c)) for c in ("what", "ours", "other", "ratio", "wanted", "sizes")))
    Console(width=160).print(table)
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

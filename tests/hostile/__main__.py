"""python -m tests.hostile --out DIR: the corpus made, run, and shown as a table; exit code 1 where one is off.

examples:
  python -m tests.hostile --out /tmp/hostile
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile.building import everything
from tests.prefect_server import running_server


def main() -> int:
    """The command. Gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", metavar="DIR", required=True, help="where the corpus and the datasets go; emptied first"
    )
    out = Path(parser.parse_args().out).absolute()
    with tempfile.TemporaryDirectory() as home, running_server(Path(home)) as server:
        report = everything(server, out)
    print(f"\n{'':4}{'what':46}{'expected':10}{'got':10}reason")
    for result in report.results:
        mark = "ok" if result.right else "BAD"
        print(f"{mark:4}{result.case.name[:44]:46}{result.case.outcome:10}{result.got[:9]:10}{result.reason[:120]!r}")
    for line in report.trouble:
        print(f"BAD {line}")
    right = len(report.results) - len(report.wrong)
    print(f"{right} of {len(report.results)} as expected; {len(report.trouble)} other troubles")
    return 1 if report.wrong or report.trouble else 0


if __name__ == "__main__":
    sys.exit(main())

"""python -m flows.choreograph DIR: scenes of people who cross, turn about each other, embrace and lift, from a seed.

Each scene is a scene file with the motions that it uses: SOURCEs of `python -m flows.build_dataset`, so that who has no
motion of their own has exact duets and groups to train on and to measure with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.counted import counted
from flows.command import OK, RED, USAGE, Parser, tell
from tasks.motion import write_scene
from tasks.ops.crossings import PEOPLE, SCENARIOS, crossings

# Blur and darkness are the camera's, and scenes are rendered clean; passers-by would be taken for performers.
NAMES = tuple(name for name, spec in SCENARIOS.items() if spec.film == "clean" and not spec.audience[1])
EXAMPLES = """examples:
  python -m flows.choreograph scenes/ --count 100                        two to five people, every scenario in turn
  python -m flows.choreograph scenes/ --count 100 --people 2 --scenario swap_places --scenario turn_about
  python -m flows.build_dataset scenes/ --out out/scenes                 and then shards of them
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    arguments = _parser().parse_args(argv)
    folder = Path(arguments.folder)
    try:
        made = crossings(
            arguments.seed, arguments.count, seconds=arguments.seconds, scenarios=arguments.scenario or NAMES,
            people=arguments.people or (),
        )  # fmt: skip
    except ValueError as error:
        tell(f"error: {error}")
        return USAGE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for crossing in made:
            write_scene(folder / f"{crossing.name}.json", crossing.files, crossing.scene)
    except OSError as error:
        tell(f"error: {error.filename or folder}: {error.strerror}; the same command goes on where it stopped")
        return RED
    scenes = counted(len(made), "scene")
    print(f"{scenes} in {folder}. Shards of them: python -m flows.build_dataset {folder} --out OUT")
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flows.choreograph",
        description="Write choreographed scenes: scene files and AMASS motions, the same for the same seed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("folder", metavar="DIR", help="where they go; files that are there already are left alone")
    add("--count", type=int, default=24, metavar="N", help="how many scenes (default: 24)")
    add("--seed", type=int, default=0, metavar="N", help="of people, clothes, steps and cameras (default: 0)")
    add("--scenario", action="append", choices=NAMES, help="only this one; may be given again (default: all in turn)")
    add("--people", action="append", type=int, choices=PEOPLE, help="how many dance; may be given again, in turn")
    add("--seconds", type=float, default=4.0, metavar="S", help="length of a scene, 1 to 8 (default: 4)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

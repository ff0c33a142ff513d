"""python -m tests.fuzz.guided KIND OPTION ...: one coverage-guided run (atheris), ended by its first find."""

from __future__ import annotations

import sys

import atheris

# Which branch an input takes is seen in these; what they call in C is not.
with atheris.instrument_imports(include=["tasks", "datasets", "zipfile", "yaml", "numpy.lib"]):
    from tests.fuzz import targets


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    target = targets.TARGETS[sys.argv.pop(1)][0]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""The arrows of docs/architecture.md, read from the imports of every file."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A room may import what stands to its right, and itself.
MAY_IMPORT = {
    "datasets": {"datasets"},
    "tasks.ops": {"tasks.ops", "datasets"},
    "tasks.backends": {"tasks.backends", "tasks.ops", "datasets"},
    "tasks": {"tasks", "tasks.backends", "tasks.ops", "datasets"},
    "flows": {"flows", "tasks", "tasks.backends", "tasks.ops", "datasets"},
    "model": {"model", "datasets"},
}
ONLY_IN = {
    "prefect": ("flows", "tasks"),
    "torch": ("model", "tasks.backends"),
    "av": ("datasets.video*",),
}


def files() -> list[Path]:
    """Every Python file of the product."""
    return sorted(p for top in ("datasets", "flows", "model", "tasks") for p in (ROOT / top).rglob("*.py"))


def module(path: Path) -> str:
    """tasks/ops/bind.py -> tasks.ops.bind"""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    """The room a module lies in: the longest name of MAY_IMPORT that it starts with."""
    rooms = [r for r in MAY_IMPORT if name == r or name.startswith(r + ".")]
    return max(rooms, key=len, default="")


def imports(path: Path) -> set[str]:
    """Every module that a file names in an import, at whatever depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: want absolute imports"
            # `from tasks import ops` names tasks.ops, not only tasks.
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return found


def wrong_arrows(name: str, imported: set[str]) -> list[str]:
    """The imports of a module that no arrow allows."""
    out = []
    for other in sorted(imported):
        target = room(other)
        if target and target not in MAY_IMPORT[room(name)]:
            out.append(f"{name} -> {other}")
        top = other.split(".")[0]
        if top in ONLY_IN and not _allowed(name, ONLY_IN[top]):
            out.append(f"{name} -> {other} (only in {', '.join(ONLY_IN[top])})")
    return out


def _allowed(name: str, rooms: tuple[str, ...]) -> bool:
    return any(_inside(name, r) for r in rooms)


def _inside(name: str, where: str) -> bool:
    # "tasks" means the stage files, not the rooms below it.
    if where.endswith("*"):
        return name.startswith(where[:-1])
    return name == where or (name.startswith(where + ".") and (where != "tasks" or room(name) == "tasks"))


def test_arrows():
    wrong = [arrow for path in files() for arrow in wrong_arrows(module(path), imports(path))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "imported"),
    [
        pytest.param("datasets.shards", {"tasks.batch"}, id="the shelf reaches up"),
        pytest.param("model.train", {"tasks.ops.bind"}, id="the model reaches into curation"),
        pytest.param("tasks.ops.bind", {"prefect.task"}, id="ops know Prefect"),
        pytest.param("tasks.backends.sam2", {"prefect"}, id="a backend knows Prefect"),
        pytest.param("tasks.bind", {"torch.nn"}, id="a stage file knows torch"),
        pytest.param("datasets.shards", {"av"}, id="PyAV outside video"),
    ],
)
def test_a_wrong_arrow_is_seen(name, imported):
    assert wrong_arrows(name, imported)


def test_our_datasets_is_the_one_imported():
    import datasets

    assert Path(datasets.__file__).resolve() == ROOT / "datasets" / "__init__.py"


def test_datasets_loads_neither_torch_nor_prefect():
    modules = ", ".join(module(path) for path in files() if room(module(path)) == "datasets")
    code = f"import sys, {modules}; sys.exit(', '.join({{'torch', 'prefect', 'webdataset'}} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_torch_stack_works_beside_our_datasets():
    code = (
        "import datasets, torch, transformers, diffusers, accelerate;"
        "from diffusers import UNetSpatioTemporalConditionModel as U;"
        "from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection as C;"
        "accelerate.Accelerator(cpu=True).prepare(torch.nn.Linear(2, 2))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "misc", "manager"])
def test_no_room_without_a_subject(word):
    assert not [path for path in files() if path.stem == word]

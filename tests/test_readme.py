"""The README's commands, tree, links and presets exist."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
MODULES = sorted(set(re.findall(r"python -m ([a-z_.]+)", (ROOT / "README.md").read_text())))


def test_the_readme_shows_demo_and_test_first():
    first = re.search(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert first
    assert [line.split("#")[0].strip() for line in first[1].strip().splitlines()] == ["make demo", "make test"]


@pytest.mark.parametrize("module", MODULES)
def test_every_command_has_help(module):
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_every_option_that_the_pages_name_is_known():
    named = set(re.findall(r"-m flows\.build_dataset[^\n`]*", TEXT))
    options = {option for line in named for option in re.findall(r"(?<![\w-])--[a-z-]+", line)}
    command = [sys.executable, "-m", "flows.build_dataset", "--help"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert options
    assert not {option for option in options if option not in text}


def test_every_setting_that_the_pages_name_exists():
    from flows import presets
    from model.config import to_dict
    from model.presets import preset

    fields = {
        f"{stage.name}.{field.name}"
        for preset in (presets.light(), presets.motion())
        for stage in dataclasses.fields(preset)
        for field in dataclasses.fields(getattr(preset, stage.name))
    }
    groups = to_dict(preset("tiny"))
    fields |= {f"{group}.{name}" for group in ("network", "train") for name in groups[group]}
    named = set(re.findall(r"--set ([a-z]+\.[a-z_]+)", TEXT))
    assert named
    assert not named - fields, named - fields


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_map_names_the_folders():
    tree = (ROOT / "README.md").read_text().split("## The map")[1].split("```")[1]
    for folder in re.findall(r"^([a-z]+)/", tree, re.M):
        assert (ROOT / folder).is_dir(), folder

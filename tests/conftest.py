"""Fixtures that many tests use: where the shared material lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test material; a test that needs it skips, and says so, where it is missing."""
    folder = Path(os.environ.get("DUET_SHARED", ROOT.parent / "shared"))
    if not (folder / "footage").is_dir():
        pytest.skip(f"needs the shared test material: no {folder}; set DUET_SHARED")
    return folder

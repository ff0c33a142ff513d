"""The Prefect server that a command brings: one, for every thread and process of the command."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prefect.context import refresh_global_settings_context
from prefect.settings import PREFECT_API_URL

from flows.server import prefect_api


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Prefect's settings of this process follow its environment again."""
    yield
    refresh_global_settings_context()


def in_another_thread() -> str | None:
    """The address that a thread without any context of ours has."""
    seen: list[str | None] = []
    thread = threading.Thread(target=lambda: seen.append(PREFECT_API_URL.value()))
    thread.start()
    thread.join()
    return seen[0]


def test_every_thread_knows_the_server_that_the_command_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's own threads, too: one that knows of no server starts another, for ten seconds and more."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    refresh_global_settings_context()
    with prefect_api() as address:
        assert httpx.get(f"{address}/health", timeout=20).status_code == 200
        assert (PREFECT_API_URL.value(), os.environ["PREFECT_API_URL"], in_another_thread()) == (address,) * 3
    assert (PREFECT_API_URL.value(), os.environ.get("PREFECT_API_URL"), in_another_thread()) == (None,) * 3

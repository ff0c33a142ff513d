"""Fixtures that many tests use: where the shared material lies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.prefect_server import Server
    from tests.s3_server import S3

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test material; a test that needs it skips, and says so, where it is missing."""
    folder = Path(os.environ.get("DUET_SHARED", ROOT.parent / "shared"))
    if not (folder / "footage").is_dir():
        pytest.skip(f"needs the shared test material: no {folder}; set DUET_SHARED")
    return folder


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real Prefect server: it takes seconds to start, so all tests that run flows share it."""
    from tests.prefect_server import delivered, running_server

    with running_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server
        delivered()


@pytest.fixture(scope="session")
def s3_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real S3-protocol server: it takes seconds to start, so all tests that use one share it."""
    from tests.s3_server import running_s3

    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(s3_of_session: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server, its credentials in the environment, and local copies in a folder of the test's own."""
    import s3fs

    from datasets import remote_source

    for name, value in s3_of_session.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DUETFLOW_SCRATCH", str(tmp_path / "scratch"))
    # A connection that an earlier test made without these credentials stays without them.
    s3fs.S3FileSystem.clear_instance_cache()
    remote_source.forget()
    return s3_of_session


@pytest.fixture
def bucket(s3: S3) -> str:
    """The address of an empty bucket."""
    return s3.bucket()


@pytest.fixture
def here(prefect_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Flows that this process runs use the tests' server."""
    from tests.prefect_server import used

    with used(prefect_server, monkeypatch):
        yield


@pytest.fixture
def review(capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`python -m flows.review`, in this process."""
    from tests.review_command import reviewer

    return reviewer(capfd)


# Each takes half a minute or more: begun late, one of them would keep one worker busy while the others stand idle.
LONG = ("test_large_presets.py", "test_clusters.py", "test_resume.py", "test_object_storage_runs.py", "test_torture.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests run flows in this process go last, the long ones of them first; else in their order.

    Prefect leaves threads behind that a forked child cannot join at its end, so that it exits with 1; and other tests
    fork (DataLoader workers, downloads side by side). A training process never runs flows. Whole files, because
    pytest-xdist (`--dist loadfile --no-loadscope-reorder`) hands out whole files, in the order in which they begin.
    """
    # The torture tests' `place` is built in this process, before any of them asks for `here`.
    build_here = {item.path for item in items if "here" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.path in build_here, item.path in build_here and item.path.name not in LONG))

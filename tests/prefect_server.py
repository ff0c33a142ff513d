"""One real Prefect server for all tests that run flows, on a loopback port and a database of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

START_S = 120.0


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    address: str
    environment: dict[str, str]  # for processes that are to use it

    def post(self, path: str, **body: object) -> list[dict]:
        """What the API answers to a filter."""
        answer = httpx.post(f"{self.address}{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()


@contextlib.contextmanager
def running_server(home: Path) -> Iterator[Server]:
    """`prefect server start` in a folder, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": address,
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Schedules of a few seconds are to fire in time.
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    log = home / "server.log"
    with log.open("wb") as out:
        command = [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--no-ui",
        ]
        # A session of its own: whatever it starts ends with it.
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
        try:
            _wait(server, address, log)
            yield Server(address, environment)
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@contextlib.contextmanager
def used(server: Server, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Flows that this process runs use the server."""
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_LEVEL, temporary_settings

    patch.setenv("PREFECT_API_URL", server.address)
    with temporary_settings({PREFECT_API_URL: server.address, PREFECT_LOGGING_LEVEL: "CRITICAL"}):
        yield


def delivered() -> None:
    """All logs and events of this process's flows are with the server: else its exit tries for a minute, in vain."""
    # Not imported for this: a process that ran no flow has neither.
    for module, name in (("prefect.logging.handlers", "APILogWorker"), ("prefect.events.worker", "EventsWorker")):
        if module in sys.modules:
            getattr(sys.modules[module], name).drain_all(timeout=20)


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/health", timeout=2).status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"Prefect's server did not answer at {address}: {log.read_text(errors='replace')[-2000:]}")

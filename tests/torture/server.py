"""A Prefect server that can be killed and started again on its address and database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.tiny_runs import ROOT

START_S = 120.0


class WarmServer:
    """`prefect server start` in a folder."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self._home = home
        self.address = f"http://127.0.0.1:{self._port}/api"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.address,
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError when it does not."""
        if self._closed:
            return
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
        with (self._home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self._port), "--no-ui"],
                env={**self.environment, "PREFECT_LOGGING_LEVEL": "WARNING"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if httpx.get(f"{self.address}/health", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)
        said = (self._home / "server.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"Prefect's server did not answer at {self.address}: {said}")

    def close(self) -> None:
        """End it for good: an event that is cut short would start it again."""
        self._closed = True
        self.kill()

    def kill(self) -> None:
        """kill -9, of all that it started too."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

"""A Prefect server for the length of one command, where none is configured; it ends with it, even by kill -9."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
from prefect.context import refresh_global_settings_context
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.command import tell
from flows.errors import UsageError
from flows.outage import watched

START_S = 120.0


@contextlib.contextmanager
def prefect_api(*, remote: bool = False) -> Iterator[str]:
    """The address of the Prefect API, in force for this process and those that it starts.

    A configured PREFECT_API_URL is used as it is; else a server of our own is started on a loopback port, on the
    database of PREFECT_HOME. Raises UsageError when the configured one does not answer, RuntimeError when our own does
    not start. With `remote`, workers on other machines must reach it: then it has to be configured.
    """
    configured = PREFECT_API_URL.value()
    if configured:
        _check(configured)
        with watched(configured, tell):
            yield configured
        return
    if remote:
        raise UsageError(
            "--runner: want a Prefect server that the cluster's workers reach, got none; start one with "
            "'prefect server start --host 0.0.0.0' and set PREFECT_API_URL to its address, here and for the workers"
        )
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as log:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        server = _start(listener, log.fileno())

        def revive() -> None:
            nonlocal server
            if server.poll() is not None:
                server = _start(listener, log.fileno())

        try:
            _wait(server, address, log)
            with _in_force(address), watched(address, tell, revive=revive):
                yield address
        finally:
            _stop(server)


@contextlib.contextmanager
def _in_force(address: str) -> Iterator[None]:
    """The address as PREFECT_API_URL here, in worker processes, and in every thread of Prefect's own.

    Processes read the environment. A thread that Prefect starts without a context of ours, such as the one that takes
    events from the process pool, reads the settings of the whole process: where these name no server it starts another.
    """
    os.environ["PREFECT_API_URL"] = address
    refresh_global_settings_context()
    try:
        with temporary_settings({PREFECT_API_URL: address}):
            yield
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        refresh_global_settings_context()


def _check(address: str) -> None:
    try:
        httpx.get(f"{address}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise UsageError(
            f"PREFECT_API_URL: want a Prefect server that answers at {address}, got {type(error).__name__}: {error}; "
            "start it with 'prefect server start', or unset PREFECT_API_URL and the command brings its own"
        ) from error


def _start(listener: socket.socket, log: int) -> subprocess.Popen[bytes]:
    """The server on a socket that is ours already, so that no other process can take the port in between."""
    search = os.pathsep.join([str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")])
    # These three are what Prefect sets for its own temporary server.
    own = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "flows.server", str(listener.fileno())],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env={**os.environ, **own, "PYTHONPATH": search},
        pass_fds=(listener.fileno(),),
        start_new_session=True,  # Ctrl-C is for the command: it still has states to report here
    )


def _wait(server: subprocess.Popen[bytes], address: str, log: IO[bytes]) -> None:
    # The socket listens already, so the request waits in its queue until the server takes it.
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{address}/health", timeout=START_S).raise_for_status()
            answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    while asking.is_alive() and server.poll() is None:
        asking.join(0.2)
    if not answered.is_set():
        log.seek(0)
        tail = log.read().decode(errors="replace").strip().splitlines()[-5:]
        raise RuntimeError(
            f"Prefect's server: want it to answer at {address} within {START_S:.0f} s, got "
            f"{'no answer' if server.poll() is None else f'exit code {server.poll()}'}: {' / '.join(tail)}; "
            "PREFECT_HOME names the folder of its database"
        )


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _end_with_stdin() -> None:
    """The pipe closes when the command ends, in whatever way."""
    sys.stdin.buffer.read()
    os._exit(0)


def main(argv: list[str]) -> None:
    """Serve Prefect's API on an inherited socket."""
    import uvicorn

    threading.Thread(target=_end_with_stdin, daemon=True).start()
    uvicorn.run("prefect.server.api.server:create_app", factory=True, fd=int(argv[0]), log_level="error", lifespan="on")


if __name__ == "__main__":
    main(sys.argv[1:])

"""One real S3-protocol server (moto's) in a process of its own, on loopback, that counts the requests it gets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_S = 90.0
# Told apart from any other text, so that a search for it over all that a run leaves means something.
KEY, SECRET = "AKIADUETFLOWTEST0001", "duetSecret/8fJq2Zx0LwVt6RkYb4Nc7Pm1"


@dataclass(frozen=True)
class S3:
    """A server that answers."""

    endpoint: str
    log: Path
    environment: dict[str, str]  # what a process needs to use it

    def bucket(self) -> str:
        """The address of a new bucket."""
        from datasets import remote

        name = f"b-{uuid.uuid4().hex[:12]}"
        remote._call(f"s3://{name}", "create_bucket", Key=None)
        return f"s3://{name}"

    def requests(self, of: str = "") -> Counter[str]:
        """How many requests of each kind it has answered so far; only those with `of` in their address.

        LIST is told from GET by its query.
        """
        count: Counter[str] = Counter()
        for line in self.log.read_text(errors="replace").splitlines():
            _, quote, rest = line.partition('"')
            method, _, path = rest.partition(" ")
            if quote and of in path and method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
                count["LIST" if "list-type=2" in path else method] += 1
        return count


@contextlib.contextmanager
def running_s3(folder: Path) -> Iterator[S3]:
    """moto's server until the block ends; its log lies in the folder."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    endpoint, log = f"http://127.0.0.1:{port}", folder / "s3.log"
    code = "import sys; from moto.server import main; sys.exit(main(sys.argv[1:]))"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", code, "-H", "127.0.0.1", "-p", str(port)],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            _wait(server, port, log)
            yield S3(endpoint, log, environment(endpoint, folder))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def environment(endpoint: str, folder: Path) -> dict[str, str]:
    """The variables by which AWS's tools, and so ours, find a server and its credentials."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
    }


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"moto's server did not answer: {log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def asked(s3: S3, of: str) -> Iterator[Counter[str]]:
    """How many requests of each kind on addresses with this in them were made in the block."""
    count: Counter[str] = Counter()
    before = s3.requests(of)
    yield count
    count.update(s3.requests(of) - before)


def mirrored(folder: Path, address: str) -> None:
    """Every file of a folder put below an address."""
    from datasets import remote

    for path in folder.rglob("*"):
        if path.is_file():
            remote.put(f"{address}/{path.relative_to(folder).as_posix()}", path.read_bytes())

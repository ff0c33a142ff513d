"""Real clusters of several nodes on this machine: raylets with a head, a Dask scheduler with workers of their own.

    python -m tests.cluster_nodes ray|dask [--nodes N]

starts one and prints how a build runs on it, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
START_S = 180.0
# Ray takes 127.0.0.1 for "whichever address others reach this machine by"; the rest of 127/8 it leaves alone.
HEAD_IP = "127.0.0.2"


@dataclass(frozen=True)
class Node:
    """One machine's part of a cluster: a process and all that it started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def members(self) -> list[psutil.Process]:
        """Its processes that live."""
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        return []

    def kill(self) -> None:
        """kill -9 of all of it at once: what a power cut does to a machine."""
        for process in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers."""

    runner: str  # for --runner
    nodes: tuple[Node, ...]  # those that compute
    environment: dict[str, str]  # for whoever connects to it
    add: Callable[[], Node]  # a machine more


@contextlib.contextmanager
def ray_cluster(
    folder: Path, *, nodes: int, environment: Mapping[str, str], cpus: int = 1, resources: str = "{}"
) -> Iterator[Cluster]:
    """A Ray head that computes nothing, and `nodes` raylets beside it, each with an address and `cpus` of its own.

    Ray 2.60 asks for a token on both sides as soon as RAY_AUTH_MODE says so; the cluster has its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    quiet = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_MEMORY_MONITOR": "1",
        "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "5",
        # The head forks a server for each driver, and gRPC's threads end one in ten of them before it has begun.
        "GRPC_ENABLE_FORK_SUPPORT": "false",
    }
    env = {**environment, **token, **quiet, "PYTHONPATH": str(ROOT)}
    gcs, client = _free_port(), _free_port()
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
    room = ["--object-store-memory", "100000000"]
    with contextlib.ExitStack() as stack:

        def start(name: str, *arguments: str) -> Node:
            node = _start(name, [*ray, *room, *arguments], folder / f"{name}.log", env)
            stack.callback(node.kill)
            return node

        head_arguments = ["--port", str(gcs), "--ray-client-server-port", str(client), "--num-cpus", "0"]
        # A socket's path may have 107 characters, and Ray's folders are deep.
        session_folder = f"/tmp/r{os.getpid()}-{client}"
        stack.callback(shutil.rmtree, session_folder, ignore_errors=True)
        session = ["--temp-dir", session_folder, "--include-dashboard", "false"]
        head = start("head", "--head", "--node-ip-address", HEAD_IP, *head_arguments, *session)
        _until(lambda: _listens("127.0.0.1", client), head)
        made: list[Node] = []

        def add() -> Node:
            ip, name = f"127.0.0.{10 + len(made)}", f"node{len(made)}"
            where = ["--address", f"{HEAD_IP}:{gcs}", "--node-ip-address", ip]
            # One after another: raylets that start at once on one machine wait for each other until they give up.
            node = start(name, *where, "--num-cpus", str(cpus), "--resources", resources)
            _until(lambda: "Ray runtime started" in node.said(), node)
            made.append(node)
            return node

        for _ in range(nodes):
            add()
        yield Cluster(f"ray://127.0.0.1:{client}", tuple(made), {**env}, add)


@contextlib.contextmanager
def dask_cluster(
    folder: Path, *, nodes: int, environment: Mapping[str, str], resources: str | None = None
) -> Iterator[Cluster]:
    """A Dask scheduler and `nodes` workers of one thread, each with a nanny that would start it again."""
    folder.mkdir(parents=True, exist_ok=True)
    env = {**environment, "PYTHONPATH": str(ROOT)}
    port = _free_port()
    dask = [sys.executable, "-m", "distributed.cli"]
    with contextlib.ExitStack() as stack:

        def start(name: str, *arguments: str) -> Node:
            node = _start(name, [*dask[:2], *arguments], folder / f"{name}.log", env)
            stack.callback(node.kill)
            return node

        here = ["--host", "127.0.0.1"]
        scheduler = start(
            "scheduler", "distributed.cli.dask_scheduler", *here, "--port", str(port), "--no-dashboard", "--no-show"
        )
        _until(lambda: _listens("127.0.0.1", port), scheduler)
        made: list[Node] = []

        def add() -> Node:
            name = f"node{len(made)}"
            has = ["--resources", resources] if resources else []
            own = ["--nthreads", "1", "--name", name, "--no-dashboard", "--local-directory", str(folder / name), *has]
            made.append(start(name, "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", *here, *own))
            return made[-1]

        for _ in range(nodes):
            add()
        for node in made:
            _until(lambda node=node: "Registered to" in node.said(), node)
        yield Cluster(f"dask://127.0.0.1:{port}", tuple(made), env, add)


def _start(name: str, command: list[str], log: Path, env: Mapping[str, str]) -> Node:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=dict(env), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    return Node(name, process, log)


def _until(ready: Callable[[], bool], node: Node) -> None:
    end = time.monotonic() + START_S
    while not ready():
        if node.process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{node.name} did not start: {node.said()}")
        time.sleep(0.1)


def _free_port() -> int:
    """Of the range below those that Ray hands to its workers."""
    while True:
        port = 5000 + secrets.randbelow(4900)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def main() -> int:
    """Start a cluster, say how to use it, and wait."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster_nodes", description=__doc__)
    parser.add_argument("kind", choices=["ray", "dask"])
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/duetflow-cluster"))
    arguments = parser.parse_args()
    start = ray_cluster if arguments.kind == "ray" else dask_cluster
    with start(arguments.folder, nodes=arguments.nodes, environment=os.environ) as cluster:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            if name in cluster.environment:
                print(f"export {name}={cluster.environment[name]}")
        print(f"python -m flows.build_dataset ... --runner {cluster.runner}")
        print("nodes:", *(f"{node.name}={node.process.pid}" for node in cluster.nodes), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.sigwait([signal.SIGINT, signal.SIGTERM])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

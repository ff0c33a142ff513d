"""A cluster's address -> a cluster that is fit for a run: it answers, its nodes see our code, folders and server."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from prefect.settings import PREFECT_API_URL

from flows.errors import UsageError
from flows.run import Run

ROOT = Path(__file__).resolve().parent.parent
ANSWER_S = 30.0
JOIN_TRIES = 3
LOOK_S = 120.0  # a fresh worker imports the project first


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a node must see to work for a run."""

    code: str  # digest of the project's own files
    python: str
    api: str
    paths: tuple[str, ...]  # folders and files of this machine's disks, which must be the same ones there


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """What a cluster has."""

    workers: int
    gpus: float
    trouble: tuple[str, ...]  # NODE: want ..., got ...


@contextlib.contextmanager
def joined(run: Run) -> Iterator[Run]:
    """The run with as many workers as its cluster has; connected to it while this lasts. Others are left as they are.

    Raises UsageError for a cluster that does not answer, that has no worker, or no GPU when --device asks for one, and
    for nodes that lack what the run needs: they would fail later, batch by batch.
    """
    if not run.runner.remote:
        yield run
        return
    store = _folder(run.env.store.root)
    mark = store / f".seen-by-{uuid.uuid4().hex}" if store else None
    try:
        if mark:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        given = [str(mark) if mark else None, run.out, run.env.weights, *[one.path for one in run.sources[:1]]]
        paths = tuple(str(path) for path in given if path and "://" not in str(path))
        wanted = Wanted(
            code=code_digest(), python=platform.python_version(), api=PREFECT_API_URL.value() or "", paths=paths
        )
        with _connection(run, wanted) as nodes:
            _refuse(run, nodes)
            yield replace(run, runner=replace(run.runner, workers=nodes.workers))
    finally:
        if mark:
            mark.unlink(missing_ok=True)


def look(wanted: Wanted) -> tuple[str, ...]:
    """What this machine lacks of what a run needs, each with what to do about it. Runs on every node."""
    lacks = []
    if code_digest() != wanted.code:
        lacks.append(f"the project's files differ from the command's ({ROOT}): bring both to the same version")
    if platform.python_version() != wanted.python:
        lacks.append(f"want Python {wanted.python}, got {platform.python_version()}")
    for path in wanted.paths:
        if not os.path.exists(path):
            what = os.path.dirname(path) if os.path.basename(path).startswith(".seen-by-") else path
            lacks.append(f"does not see {what}: put it on storage that all nodes mount there, or on s3://")
    try:
        httpx.get(f"{wanted.api}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        lacks.append(f"does not reach PREFECT_API_URL {wanted.api}: {type(error).__name__}")
    return tuple(lacks)


def code_digest() -> str:
    """sha256 over all that computes: the Python files of flows, tasks and datasets."""
    digest = hashlib.sha256()
    for room in ("datasets", "flows", "tasks"):
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _folder(address: str) -> Path | None:
    return None if "://" in address else Path(address)


def _refuse(run: Run, nodes: Nodes) -> None:
    where = f"--runner {run.runner.kind}://{run.runner.address}"
    if not nodes.workers:
        raise UsageError(f"{where}: want a cluster with a worker, got none within {ANSWER_S:.0f} s; start one there")
    if nodes.trouble:
        more = f" (and {len(nodes.trouble) - 3} more)" if len(nodes.trouble) > 3 else ""
        raise UsageError(f"{where}: want nodes that can work for this run, got {'; '.join(nodes.trouble[:3])}{more}")
    if run.env.device != "cpu" and nodes.gpus < run.runner.gpus:
        how = {
            "ray": "start its nodes with 'ray start --num-gpus N'",
            "dask": "start its workers with 'dask worker --resources GPU=N'",
        }
        raise UsageError(
            f"{where}: want {run.runner.gpus:g} GPU for each task with --device {run.env.device}, got a cluster that "
            f"has {nodes.gpus:g}; {how[run.runner.kind]}, or run with --device cpu"
        )


@contextlib.contextmanager
def _connection(run: Run, wanted: Wanted) -> Iterator[Nodes]:
    if run.runner.kind == "ray":
        with _ray(str(run.runner.address), wanted) as nodes:
            yield nodes
    else:
        yield _dask(str(run.runner.address), wanted)


@contextlib.contextmanager
def _ray(address: str, wanted: Wanted) -> Iterator[Nodes]:
    """Connected to Ray; prefect-ray then uses this connection, and does not close it."""
    import ray

    logging.getLogger("ray").setLevel(logging.WARNING)
    try:
        join_ray(address)
    except Exception as error:
        raise UsageError(
            f"--runner ray://{address}: want a Ray cluster's client server (10001 unless told otherwise) that answers, "
            f"got {type(error).__name__}: {_line(error)}; it must have the same versions of Ray and Python, and "
            "where it asks for a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH must be set here"
        ) from error
    try:
        alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        total = {name: sum(node["Resources"].get(name, 0) for node in alive) for name in ("CPU", "GPU")}
        yield Nodes(workers=int(total["CPU"]), gpus=total["GPU"], trouble=_looked_at_by_ray(alive, wanted))
    finally:
        with contextlib.suppress(ConnectionError):
            ray.shutdown()


def join_ray(address: str) -> None:
    """Connect to the Ray cluster at "HOST:PORT", in JOIN_TRIES tries; raises what the last of them raised.

    Ray's proxy forks a server for each driver, and gives it 30 s. One of a busy head may need longer, and one in ten
    or so of a head that has just started ends at once (gRPC's threads and fork: GRPC_ENABLE_FORK_SUPPORT=false in the
    head's environment mends that).
    """
    import ray

    for attempt in range(JOIN_TRIES):
        try:
            ray.init(f"ray://{address}", log_to_driver=False, logging_level=logging.WARNING, namespace="duetflow")
            return
        except ConnectionAbortedError:
            if attempt + 1 == JOIN_TRIES:
                raise


def _looked_at_by_ray(alive: Sequence[dict[str, Any]], wanted: Wanted) -> tuple[str, ...]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in alive:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        remote = ray.remote(look).options(scheduling_strategy=there, num_cpus=0, max_retries=0)
        asked[node["NodeManagerAddress"]] = remote.remote(wanted)
    trouble = []
    for name, answer in asked.items():
        try:
            trouble += [f"{name}: {lack}" for lack in ray.get(answer, timeout=LOOK_S)]
        except Exception as error:
            trouble.append(f"{name}: {type(error).__name__}: {_line(error)}")
    return tuple(trouble)


def _dask(address: str, wanted: Wanted) -> Nodes:
    """What Dask has; prefect-dask connects anew."""
    import distributed

    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        client = distributed.Client(f"tcp://{address}", timeout=ANSWER_S, set_as_default=False)
    except OSError as error:
        raise UsageError(
            f"--runner dask://{address}: want a Dask scheduler (port 8786 unless told otherwise) that answers, "
            f"got {_line(error)}"
        ) from error
    with client:
        with contextlib.suppress(TimeoutError, distributed.TimeoutError):
            client.wait_for_workers(1, timeout=ANSWER_S)
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        answers = client.run(look, wanted, on_error="return") if workers else {}
        names = {one["id"]: one for one in workers}
        trouble = []
        for name, said in answers.items():
            lacks = [f"{type(said).__name__}: {_line(said)}"] if isinstance(said, BaseException) else list(said)
            trouble += [f"{name}: {lack}" for lack in lacks]
        return Nodes(
            workers=sum(one["nthreads"] for one in names.values()),
            gpus=sum(one.get("resources", {}).get("GPU", 0) for one in names.values()),
            trouble=tuple(trouble),
        )


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return json.dumps(text[:300])[1:-1] if text else type(error).__name__

"""`threads:4` -> a Prefect task runner: where the batches of a run are computed."""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
import signal
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Literal

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from flows.errors import UsageError

Kind = Literal["threads", "processes", "ray", "dask"]
FORMS = "threads:N, processes:N, ray, dask, ray://HOST:PORT or dask://HOST:PORT (with ?gpus=SHARE for a task's share)"
MAX_WORKERS = 1024
# Stages with networks that run on --device; the others are done on the CPU in any case.
GPU_STAGES = frozenset({"detect", "track", "pose", "segment", "refine", "identify", "face"})
# What each compute library in a worker would otherwise start: one thread a core, times the workers.
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Where batches run, and how many of them at a time."""

    kind: Kind
    workers: int
    address: str | None = None  # of a Ray or Dask cluster that is up already
    gpus: float = 1.0  # what a task with networks claims of a cluster's GPUs, when --device names one

    @property
    def threads(self) -> int:
        """Compute threads for each worker, so that all of them together fill the machine and no more."""
        return max(1, cores() // self.workers)

    @property
    def remote(self) -> bool:
        """Whether workers may be on other machines, which see neither our loopback server nor, perhaps, our folders."""
        return self.address is not None

    def claims(self, stage: str, device: str) -> AbstractContextManager[Any]:
        """Within this, a task that is handed out claims what its stage needs of a cluster's node: a GPU, or nothing.

        On one machine nothing is claimed: there it is the number of workers that shares a GPU out.
        """
        if device == "cpu" or stage not in GPU_STAGES:
            return nullcontext()
        if self.kind == "ray":
            from prefect_ray.context import remote_options

            # Ray ends a worker after each task that claims a GPU, and with it the loaded networks, unless told not to.
            return remote_options(num_gpus=self.gpus, max_calls=0)
        if self.kind == "dask":
            import dask

            return dask.annotate(resources={"GPU": self.gpus})
        return nullcontext()

    def start(self) -> TaskRunner[Any]:
        """The Prefect task runner."""
        if self.kind == "threads":
            return ThreadPoolTaskRunner(max_workers=self.workers)
        if self.kind == "processes":
            return ProcessPoolTaskRunner(max_workers=self.workers, initializer=begin_worker, initargs=(self.threads,))
        if self.kind == "ray":
            return _ray(self)
        return _dask(self)


def parse_runner(text: str) -> Runner:
    """A Runner from its command-line form. Raises UsageError for another form, or where the cluster extra is missing.

    >>> parse_runner("threads:3").workers, parse_runner("dask://host:8786").address
    (3, 'host:8786')
    """
    wanted = UsageError(f"--runner {text}: want {FORMS} with N of 1 to {MAX_WORKERS}, got {text!r}")
    kind, address_sign, rest = text.partition("://")
    if address_sign:
        address, query_sign, query = rest.partition("?")
        host, _, port = address.rpartition(":")
        if kind not in ("ray", "dask") or not host or not port.isdecimal():
            raise wanted
        return _cluster(kind, text, address, _gpus(query, text) if query_sign else 1.0)
    kind, colon, count = text.partition(":")
    if kind in ("ray", "dask") and not colon:
        return _cluster(kind, text, None)
    if kind not in ("threads", "processes") or (colon and not (count.isdecimal() and 1 <= int(count) <= MAX_WORKERS)):
        raise wanted
    return Runner(kind=kind, workers=int(count) if colon else cores())  # type: ignore[arg-type]


def _gpus(query: str, text: str) -> float:
    """`gpus=0.5` -> 0.5. A share of one GPU, or several whole ones, as Ray has it."""
    name, _, value = query.partition("=")
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if name != "gpus" or not 0 < share <= 64 or (share > 1 and share % 1):
        raise UsageError(f"--runner {text}: want gpus=SHARE, a part of 1 or a whole number of GPUs, got {query!r}")
    return share


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def begin_worker(threads: int) -> None:
    """First thing in a worker process: end with the parent, leave Ctrl-C to it, and keep to its share of the cores.

    Without this a worker outlives a parent that was ended by kill -9, and goes on computing beside the next run.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in THREAD_SETTINGS:
        os.environ[name] = str(threads)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="end-with-parent", daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _cluster(kind: str, text: str, address: str | None, gpus: float = 1.0) -> Runner:
    module = f"prefect_{kind}"
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"--runner {text}: want the package {module.replace('_', '-')}, got none; "
            "install the extra: pip install '.[cluster]', or run with --runner processes"
        )
    return Runner(kind=kind, workers=cores(), address=address, gpus=gpus)  # type: ignore[arg-type]


def _ray(runner: Runner) -> TaskRunner[Any]:
    from prefect_ray import RayTaskRunner

    options: dict[str, Any] = {"log_to_driver": False, "include_dashboard": False, "logging_level": logging.WARNING}
    if runner.address is None:
        options["num_cpus"] = runner.workers
    return RayTaskRunner(address=f"ray://{runner.address}" if runner.address else None, init_kwargs=options)


def _dask(runner: Runner) -> TaskRunner[Any]:
    from prefect_dask import DaskTaskRunner

    # Its lines about itself, here and in the workers, which read the environment.
    logging.getLogger("distributed").setLevel(logging.WARNING)
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "warning")
    if runner.address is not None:
        return DaskTaskRunner(address=f"tcp://{runner.address}")
    return DaskTaskRunner(
        cluster_kwargs={"n_workers": runner.workers, "threads_per_worker": 1, "dashboard_address": None}
    )

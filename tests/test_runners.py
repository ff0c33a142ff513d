"""`--runner`: its forms, and how the cores are shared."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import dask
import pytest
from prefect_ray.context import RemoteOptionsContext

from flows import runners
from flows.errors import UsageError
from flows.runners import Runner, parse_runner

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("text", "runner"),
    [
        pytest.param("threads:3", Runner(kind="threads", workers=3), id="threads"),
        pytest.param("processes:8", Runner(kind="processes", workers=8), id="processes"),
        pytest.param("processes", Runner(kind="processes", workers=4), id="one a core"),
        pytest.param("ray", Runner(kind="ray", workers=4), id="ray here"),
        pytest.param("ray://head:10001", Runner(kind="ray", workers=4, address="head:10001"), id="ray elsewhere"),
        pytest.param("dask://10.0.0.2:8786", Runner(kind="dask", workers=4, address="10.0.0.2:8786"), id="dask"),
        pytest.param(
            "ray://head:10001?gpus=0.25",
            Runner(kind="ray", workers=4, address="head:10001", gpus=0.25),
            id="four tasks a GPU",
        ),
    ],
)
def test_a_runner_from_text(monkeypatch, text, runner):
    monkeypatch.setattr(runners, "cores", lambda: 4)
    assert parse_runner(text) == runner
    assert runner.remote == (runner.address is not None)


NONE_OF_OURS = ["", "threads:", "threads:0", "threads:-1", "threads:1.5", "processes:x", "processes:9999"]


@pytest.mark.parametrize("text", [*NONE_OF_OURS, "ray:", "ray://", "ray://head", "dask://:8786", "dask:4", "slurm"])
def test_another_form_is_a_usage_error(text):
    with pytest.raises(UsageError, match=r"threads:N, processes:N, ray"):
        parse_runner(text)


@pytest.mark.parametrize("query", ["", "gpus", "gpus=0", "gpus=-1", "gpus=1.5", "gpus=nan", "gpus=x", "cpus=1"])
def test_another_share_of_a_gpu_is_a_usage_error(query):
    with pytest.raises(UsageError, match=r"want gpus=SHARE"):
        parse_runner(f"ray://head:10001?{query}")


def test_the_stages_that_claim_a_gpu_are_those_with_networks():
    stages = {
        path.stem: path.read_text() for path in (ROOT / "tasks").glob("*.py") if "STAGE = Stage(" in path.read_text()
    }
    assert {name for name, text in stages.items() if "where(env)" in text} == {
        *runners.GPU_STAGES,
        "rivals",  # of the benchmark, which no cluster runs
    }


CLUSTERS = [("ray://h:1?gpus=0.5", {"num_gpus": 0.5, "max_calls": 0}), ("dask://h:1?gpus=2", {"GPU": 2.0})]


@pytest.mark.parametrize(("text", "wanted"), CLUSTERS, ids=["ray", "dask"])
@pytest.mark.parametrize(
    ("stage", "device", "claimed"), [("detect", "cuda", True), ("detect", "cpu", False), ("shots", "cuda", False)]
)
def test_a_gpu_is_claimed_by_tasks_that_need_one(text, wanted, stage, device, claimed):
    with parse_runner(text).claims(stage, device):
        on_ray = RemoteOptionsContext.get().current_remote_options
        on_dask = dask.get_annotations().get("resources", {})
    assert (on_ray or on_dask) == (wanted if claimed else {})


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"prefect-dask.*pip install '\.\[cluster\]'"):
        parse_runner("dask")


@pytest.mark.parametrize(("cores", "workers", "threads"), [(8, 2, 4), (8, 3, 2), (2, 8, 1)])
def test_workers_share_the_cores(monkeypatch, cores, workers, threads):
    monkeypatch.setattr(runners, "cores", lambda: cores)
    assert Runner(kind="processes", workers=workers).threads == threads

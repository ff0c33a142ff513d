"""`--runner`: its forms, and how the cores are shared."""

from __future__ import annotations

import importlib.util

import pytest

from flows import runners
from flows.errors import UsageError
from flows.runners import Runner, parse_runner


@pytest.mark.parametrize(
    ("text", "runner"),
    [
        pytest.param("threads:3", Runner(kind="threads", workers=3), id="threads"),
        pytest.param("processes:8", Runner(kind="processes", workers=8), id="processes"),
        pytest.param("processes", Runner(kind="processes", workers=4), id="one a core"),
        pytest.param("ray", Runner(kind="ray", workers=4), id="ray here"),
        pytest.param("ray://head:10001", Runner(kind="ray", workers=4, address="head:10001"), id="ray elsewhere"),
        pytest.param("dask://10.0.0.2:8786", Runner(kind="dask", workers=4, address="10.0.0.2:8786"), id="dask"),
    ],
)
def test_a_runner_from_text(monkeypatch, text, runner):
    monkeypatch.setattr(runners, "cores", lambda: 4)
    assert parse_runner(text) == runner
    assert runner.remote == (runner.address is not None)


NONE_OF_OURS = ["", "threads:", "threads:0", "threads:-1", "threads:1.5", "processes:x", "processes:9999"]


@pytest.mark.parametrize("text", [*NONE_OF_OURS, "ray:", "ray://", "dask:4", "slurm"])
def test_another_form_is_a_usage_error(text):
    with pytest.raises(UsageError, match=r"threads:N, processes:N, ray"):
        parse_runner(text)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"prefect-dask.*pip install '\.\[cluster\]'"):
        parse_runner("dask")


@pytest.mark.parametrize(("cores", "workers", "threads"), [(8, 2, 4), (8, 3, 2), (2, 8, 1)])
def test_workers_share_the_cores(monkeypatch, cores, workers, threads):
    monkeypatch.setattr(runners, "cores", lambda: cores)
    assert Runner(kind="processes", workers=workers).threads == threads

"""Builds on real clusters of two nodes: the bytes of a local run, a node killed in the middle, networks loaded once."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from datasets.store import Store
from flows import clusters
from flows.clusters import Nodes, Wanted, code_digest, joined, look
from flows.errors import UsageError
from flows.run import Options, Run, prepare
from tests.cluster_nodes import Cluster, Node, dask_cluster, ray_cluster
from tests.tiny_runs import TINY, command, digests, environment, run_here, tiny_motion

ENGINES = {"ray": ray_cluster, "dask": dask_cluster}
# Clips that take long enough for a node to be killed in the middle of one.
SETTINGS = (*TINY, "motion.cameras=2", "render.width=320", "render.height=320", "render.fps=24", "render.depth=false")
WAIT_S = 400.0
UNDISTURBED: dict[str, str] = {}  # what a run on this machine alone gives, once for both engines


@pytest.fixture(scope="module", params=ENGINES)
def cluster(request, prefect_server, tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp(request.param)
    with ENGINES[request.param](folder, nodes=2, environment=environment(prefect_server)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def motions(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("motions")
    for seed in range(4):
        tiny_motion(folder / f"m{seed}.npz", seed)
    return folder


@pytest.mark.usefixtures("here")  # so that it stands beside the other test on the same cluster
def test_a_worker_process_loads_a_network_once(cluster, shared):
    if not (shared / "weights").is_dir():
        pytest.skip("needs the weights of the shared test material")
    counting = [sys.executable, "-m", "tests.cluster_loads", cluster.runner, str(shared / "weights")]
    done = subprocess.run(counting, env=cluster.environment, capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout.splitlines()[-1])
    assert set(counted["loads"].values()) == {1}
    assert len(counted["loads"]) < counted["tasks"], "some process had several tasks"


@pytest.mark.parametrize("failures", [0, 2, 3])
def test_a_driver_whose_server_did_not_start_tries_again(monkeypatch, failures):
    ray = pytest.importorskip("ray")
    tried = list[str]()

    def init(address: str, **_: object) -> None:
        tried.append(address)
        if len(tried) <= failures:
            raise ConnectionAbortedError("Starting Ray client server failed")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ConnectionAbortedError) if failures == clusters.JOIN_TRIES else contextlib.nullcontext():
        clusters.join_ray("h:1")
    assert tried == ["ray://h:1"] * min(failures + 1, clusters.JOIN_TRIES)


def writing(node: Node, store: Path) -> bool:
    """Whether the node is in the middle of an artifact of the store, whose folder is named after the process."""
    there = {str(process.pid) for process in node.members()}
    return any(path.name.split(".")[1] in there for path in (store / ".tmp").glob("*"))


def rendered(store: Path) -> int:
    return len(list(store.glob("render/*/*/artifact.json")))


@pytest.mark.usefixtures("here")
def test_a_killed_node_costs_at_most_its_work_in_flight(cluster, motions, tmp_path, prefect_server, capfd):
    out, store = tmp_path / "out", tmp_path / "store"
    arguments = [motions, "--out", out, "--store", store, "--runner", cluster.runner, "--json"]
    process = subprocess.Popen(
        command(*arguments, settings=SETTINGS),
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    at_work, end = list[Node](), time.monotonic() + WAIT_S
    while not (rendered(store) and at_work) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
        at_work = [node for node in cluster.nodes if writing(node, store)]
    assert process.poll() is None, process.communicate()[1]
    at_work[0].kill()
    said, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, errors

    summary = json.loads(said)
    render = summary["stages"]["render"]
    assert summary["clips"] > 3
    assert render["ran"] + render["reused"] == summary["clips"]
    assert render["reused"], "what the killed node had finished was taken from the store by the other"
    cut_short = [path.name for path in (store / ".tmp").glob("*")]
    assert len(cut_short) <= 1, "a node of one core is in the middle of one artifact at most"
    if not UNDISTURBED:
        alone = run_here(capfd, motions, "--out", tmp_path / "alone", "--store", tmp_path / "other", settings=SETTINGS)
        assert alone.code == 0, alone.err
        UNDISTURBED.update(digests(tmp_path / "alone"))
    assert digests(out) == UNDISTURBED


def test_a_node_says_what_it_lacks(tmp_path):
    fit = Wanted(
        code=code_digest(), python=sys.version.split()[0], api="http://127.0.0.1:9/api", paths=(str(tmp_path),)
    )
    assert look(fit) == ("does not reach PREFECT_API_URL http://127.0.0.1:9/api: ConnectError",)
    lacks = look(replace(fit, code="another", python="3.99.0", paths=(str(tmp_path / "store" / ".seen-by-1"), "/none")))
    for lack, wanted in zip(
        lacks,
        (
            "bring both to the same version",
            "want Python 3.99.0",
            f"does not see {tmp_path / 'store'}:",
            "see /none:",
            "",
        ),
        strict=True,
    ):
        assert wanted in lack


@pytest.fixture
def run_on(tmp_path, motions):
    def of(runner: str, device: str = "cpu") -> Run:
        options = Options(sources=(str(motions),), out=str(tmp_path / "out"), store=str(tmp_path / "s"), runner=runner)
        return prepare(options, device=device)

    return of


@pytest.mark.parametrize(
    ("runner", "device", "nodes", "said"),
    [
        pytest.param("ray://h:1", "cpu", Nodes(workers=0, gpus=0, trouble=()), "got none within", id="no worker"),
        pytest.param(
            "dask://h:1", "cpu", Nodes(workers=1, gpus=0, trouble=("h: lacks it",)), "got h: lacks it", id="unfit"
        ),
        pytest.param("ray://h:1", "cuda", Nodes(workers=1, gpus=0, trouble=()), "ray start --num-gpus", id="ray GPU"),
        pytest.param("dask://h:1?gpus=2", "cuda", Nodes(workers=9, gpus=1, trouble=()), "--resources GPU", id="dask"),
    ],
)
def test_a_cluster_that_is_not_fit_is_refused(run_on, runner, device, nodes, said):
    with pytest.raises(UsageError, match=said):
        clusters._refuse(run_on(runner, device), nodes)
    clusters._refuse(run_on(runner, device), Nodes(workers=1, gpus=2, trouble=()))


def test_a_scheduler_that_does_not_answer_is_a_usage_error(run_on, monkeypatch):
    monkeypatch.setattr(clusters, "ANSWER_S", 0.5)
    run = run_on("dask://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"dask://127.0.0.1:9: want a Dask scheduler"), joined(run):
        pass
    assert not list(Path(run.env.store.root).glob(".seen-by-*"))


def test_a_run_on_this_machine_joins_nothing(run_on):
    run = run_on("processes:3")
    with joined(run) as same:
        assert same is run
        assert isinstance(same.env.store, Store)

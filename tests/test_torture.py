"""A minute of the torture test: kill -9 at chosen changes of files, each damage, a full disk, a server that is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest

from datasets.store import Store
from flows import outage
from flows.build_dataset import main
from tasks.batch import Batch, Env, Item, Stage
from tests.prefect_server import used
from tests.tiny_runs import ROOT, digests, environment
from tests.torture.__main__ import main as torture
from tests.torture.__main__ import table
from tests.torture.damage import DAMAGES
from tests.torture.disk import Bound, Full, can_mount
from tests.torture.place import KILLED, Launch, Place, Route, motion_arguments
from tests.torture.trial import Judged, finish

KILLS = [
    pytest.param("open STORE/.tmp/#/people.npz", 3, id="while rendering"),
    pytest.param("rename OUT/shards/train-#.json", 2, id="between a shard and its sidecar"),
    pytest.param("rename OUT/dataset.json", 1, id="while committing"),
]
mounts = pytest.mark.skipif(bool(can_mount()), reason=f"needs mounts: {can_mount()}")


@pytest.fixture(scope="module")
def place(tmp_path_factory, prefect_server) -> Place:
    """A store and OUT in which the tests of this file build, one after another; an undisturbed build is known."""
    folder = tmp_path_factory.mktemp("torture")
    route = Route(name="motion", arguments=motion_arguments(folder), reference={}, changes=(), seconds=0)
    places = [Place(route, folder / name, environment(prefect_server)) for name in ("reference", "place")]
    for one in places:
        one.folder.mkdir()
    with pytest.MonkeyPatch.context() as patch, used(prefect_server, patch):
        assert build(places[0]) == ""
    return replace(places[1], route=replace(route, reference=digests(places[0].out)))


def build(place: Place) -> str:
    """Undisturbed, in this process: no start-up."""
    code = main([*place.command()[3:], "--runner", "threads:1"])
    return f"want exit code 0, got {code}" if code else ""


@pytest.mark.parametrize(("change", "at"), KILLS)
def test_kill_9(place, change, at):
    launch = Launch(place, "--runner", "threads:1", watched={"TORTURE_AT": f"{at} {change}"})
    assert launch.end() == KILLED, launch.said
    assert place.same() != "", "not done yet"


@pytest.mark.usefixtures("here")
def test_after_all_kills_the_bytes_are_those_of_an_undisturbed_build(place):
    assert finish(place, build) == ""


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_made_good(place, name):
    where = DAMAGES[name](place, np.random.default_rng(len(name)))
    assert finish(place, build) == "", where


def test_the_table_counts_what_was_survived_and_says_how_to_repeat_what_was_not():
    judged = [
        Judged(trial=3, route="motion", event="kill -9", kill=True, moment="", trouble=trouble) for trouble in ("", "x")
    ]
    *_, kills = [line for line in table(judged, 7).splitlines() if line.startswith("all kill -9")]
    assert kills.split() == ["all", "kill", "-9", "2", "1", "1", "--seed", "7", "--trial", "3"]


def test_a_folder_with_files_is_not_worked_in(tmp_path, capsys):
    (tmp_path / "mine").touch()
    with pytest.raises(SystemExit, match="2"):
        torture(["--out", str(tmp_path)])
    assert "want a new or empty folder" in capsys.readouterr().err


def written(item: Item, config: object, env: Env, out: Path) -> None:
    """A stage that writes a megabyte."""
    (out / "file").write_bytes(bytes(1 << 20))


@mounts
def test_a_full_disk_is_no_fault_of_a_clip(tmp_path):
    stage = Stage(name="s", version=1, inputs=(), compute=written)
    batch = Batch(items=tuple(Item(key=key, source=key, path=key) for key in "ab"))
    (tmp_path / "disk").mkdir()
    env = Env(store=Store(str(tmp_path / "disk" / "store")))
    with Full(tmp_path / "disk") as disk:
        disk.fill()
        with pytest.raises(OSError, match="No space left on device"):
            stage.run(batch, None, env)
        disk.empty()
        assert len(stage.run(batch, None, env).items) == 2


@mounts
def test_nor_is_a_read_only_one(tmp_path):
    stage = Stage(name="s", version=1, inputs=(), compute=written)
    with Bound(tmp_path / "store") as store:
        store.read_only()
        with pytest.raises(OSError, match="Read-only file system"):
            stage.run(
                Batch(items=(Item(key="a", source="a", path="a"),)), None, Env(store=Store(str(tmp_path / "store")))
            )


class Health(BaseHTTPRequestHandler):
    """Prefect's server, as far as the watch knows it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


WATCHED = """
import sys, time
from flows import outage
outage.EVERY_S, outage.OUTAGE_S = 0.1, 1.0
with outage.watched(sys.argv[1], lambda text: print(text, flush=True)):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_server_that_is_gone_ends_the_run_and_is_named():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    process = subprocess.Popen([sys.executable, "-c", WATCHED, address], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.5)
    assert process.poll() is None, "while it answers, nothing happens"
    server.shutdown()
    server.server_close()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"Prefect's server does not answer at {address} (" in said
    assert f"error: Prefect's server: want it to answer at {address}" in said


def test_a_call_is_made_again_until_the_server_is_back(monkeypatch):
    monkeypatch.setattr(outage, "EVERY_S", 0.01)
    left = [1, 2, 3]

    def call(text: str) -> str:
        if left:
            left.pop()
            raise httpx.ConnectError("refused")
        return text

    assert outage.patiently(call, "there") == "there"
    monkeypatch.setattr(outage, "OUTAGE_S", 0.0)
    left.append(1)
    with pytest.raises(httpx.ConnectError):
        outage.patiently(call, "not in time")

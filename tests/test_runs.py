"""Whole runs over tiny motion: exit codes, the summary, the tables, the dry run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from datasets.lock import building
from datasets.verify import main as verify
from flows.build_dataset import main
from flows.command import own_stdout
from tests.tiny_runs import TINY, command, digests, run_here, tiny_motion

pytestmark = pytest.mark.usefixtures("here")
# What the issue promises of the summary.
KEYS = {
    "out", "sources", "clips", "accepted", "review", "rejected", "failed", "samples", "shards", "seconds", "stages",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two good motions, a copy of one, a broken one; runs share a store, so that only the first of them renders."""
    place = tmp_path_factory.mktemp("runs")
    for seed in range(2):
        tiny_motion(place / "motion" / f"m{seed}.npz", seed)
    shutil.copyfile(place / "motion" / "m0.npz", place / "motion" / "x-copy.npz")
    (place / "motion" / "y-broken.npz").write_bytes(b"PK nothing like an archive")
    return place


def build(capfd, place: Path, out: str, *more: object, settings: tuple[str, ...] = ()):
    return run_here(
        capfd, place / "motion", "--out", place / out, "--store", place / "store", *more, settings=(*TINY, *settings)
    )


def rejects(out: Path) -> dict[tuple[str, str], str]:
    return {(row["source"], row["stage"]): row["reason"] for row in pq.read_table(out / "rejects.parquet").to_pylist()}


def plan(capfd, place: Path, *more: str, settings: tuple[str, ...] = ()) -> dict:
    arguments = ["--out", place / "planned", "--store", place / "store", "--json", "--dry-run", *more]
    capfd.readouterr()
    assert main(command(place / "motion", *arguments, settings=(*TINY, *settings))[3:]) == 0
    return json.loads(capfd.readouterr().out)


def test_before_anything_ran_the_plan_says_what_is_not_known(place, capfd):
    said = plan(capfd, place)
    assert (said["sources"], said["duplicates"], said["clips"]) == (4, 1, 0)
    assert said["stages"]["motion"] == {"run": 3, "reuse": 0, "unknown_until": None}
    assert said["stages"]["render"] == {"run": 0, "reuse": 0, "unknown_until": "motion"}
    assert said["disk"]["needed"] > 0
    assert said["weights"] == []
    assert not (place / "planned").exists()


def test_too_many_failures_end_red_and_nothing_is_lost(place, capfd):
    done = build(capfd, place, "out")
    assert done.code == 1
    assert "1 of 3 failed, more than the fraction 0.1" in done.err
    summary = done.summary
    assert set(summary) == KEYS
    assert {name: summary[name] for name in ("sources", "clips", "samples", "rejected", "failed", "shards")} == {
        "sources": 4, "clips": 1, "samples": 1, "rejected": 1, "failed": 1, "shards": 1,
    }  # fmt: skip
    assert summary["accepted"] + summary["review"] == 1
    assert summary["stages"]["render"]["ran"] == 1
    assert set(summary["stages"]["render"]) == {"ran", "reused", "seconds", "frames"}
    turned_away = rejects(place / "out")
    assert turned_away["x-copy.npz", "motion"] == "same bytes as m0.npz"
    assert "y-broken.npz" in turned_away["y-broken.npz", "motion"]
    assert str(place) not in "".join(turned_away.values()), "tables that lie elsewhere are the same tables"
    assert verify([str(place / "out")]) == 0
    (row,) = pq.read_table(place / "out" / "index.parquet").to_pylist()
    assert set(row["source"].split(" + ")) == {"m0.npz", "m1.npz"}
    assert (row["num_people"], row["num_frames"], row["fps"]) == (2, 11, "12/1")
    assert (place / "out" / "report" / "index.html").is_file()


def test_the_same_failures_are_fine_where_they_are_allowed(place, capfd):
    done = build(capfd, place, "out", "--max-failed-fraction", "0.4")
    assert done.code == 0
    assert done.summary["stages"]["render"] == {"ran": 0, "reused": 1, "seconds": pytest.approx(0, abs=5), "frames": 0}


def test_after_a_run_the_plan_reuses(place, capfd):
    said = plan(capfd, place)
    assert (said["clips"], said["stages"]["render"]["unknown_until"]) == (1, "motion"), "the broken one is not read"
    said = plan(capfd, place, "--limit", "2")
    assert (said["clips"], said["stages"]["render"]["unknown_until"]) == (1, None)
    assert {name: (stage["run"], stage["reuse"]) for name, stage in said["stages"].items()} == {
        "motion": (0, 2), "render": (0, 1), "judge": (0, 1), "report": (0, 1), "shard": (1, 0),
    }  # fmt: skip
    assert said["stages"]["shard"] == {"run": 1, "reuse": 0, "unknown_until": None}, "none is in this OUT"
    changed = plan(capfd, place, "--limit", "2", settings=("judge.min_height=0.02",))
    assert changed["stages"]["render"]["reuse"] == changed["stages"]["judge"]["run"] == 1
    assert changed["stages"]["shard"]["unknown_until"] == "judge"


def test_when_all_are_turned_away_nothing_was_produced(place, capfd):
    done = build(capfd, place, "none", "--limit", "2", settings=("judge.min_people=1", "judge.max_people=1"))
    assert done.code == 1
    assert "nothing was produced" in done.err
    assert (done.summary["samples"], done.summary["rejected"], done.summary["failed"]) == (0, 1, 0)
    ((_, stage),) = rejects(place / "none")
    assert stage == "judge"


def test_a_seed_is_another_dataset_and_the_same_seed_the_same(place, capfd):
    for name, seed in (("s1", 1), ("s2", 2), ("s1-again", 1)):
        assert build(capfd, place, name, "--limit", "2", "--seed", seed).code == 0
    assert digests(place / "s1") == digests(place / "s1-again")
    assert digests(place / "s1") != digests(place / "s2")


def test_a_second_run_in_the_same_place_is_told(place, capfd):
    with building(place / "out"):
        done = build(capfd, place, "out")
    assert done.code == 2
    assert "one build at a time" in done.err


def test_people_get_lines_they_can_read(place, capfd):
    arguments = ["--out", place / "out", "--store", place / "store", "--limit", 2, "--runner", "threads:1"]
    assert main(command(place / "motion", *arguments, settings=TINY)[3:]) == 0
    out, err = capfd.readouterr()
    assert "1 clip of 2 sources" in out
    assert "1 sample in 1 shard\n" in out
    assert f"{place / 'out'}/report/index.html" in out
    assert [line.split("] ")[1] for line in err.splitlines()][1:] == [
        "motion: 2 items", "render: 1 item", "judge: 1 item", "report: 1 item", "shard: 1 item",
    ]  # fmt: skip


def test_what_libraries_and_children_print_is_not_on_standard_output(capfd):
    with own_stdout() as stdout:
        print("loading network")
        os.write(1, b"from C\n")
        subprocess.run(["echo", "from a child"], check=True)
        print('{"out": 1}', file=stdout)
    out, err = capfd.readouterr()
    assert out == '{"out": 1}\n'
    assert all(text in err for text in ("loading network", "from C", "from a child"))

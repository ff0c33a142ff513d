"""A dataset that grows: what comes to a folder adds shards; what was there stays, bytes, split and duets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from datasets.diff import compare
from datasets.diff import main as diff
from datasets.folder import open_folder
from datasets.takedowns import Takedown
from datasets.verify import verify
from datasets.versions import kept, read_version
from flows.committed import Committed
from flows.intake import take_in
from flows.sources import SourceFile
from flows.takedown import main as takedown
from tasks.batch import Item
from tasks.ops.compose import partners, still
from tests.tiny_runs import TINY, run_here, tiny_motion


def files(out: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of a dataset but its page, with its time of change."""
    return {
        p.relative_to(out).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in sorted(out.rglob("*"))
        if p.is_file() and p.relative_to(out).parts[0] not in ("report", ".lock")
    }


def traces(folder: Path, *words: str) -> list[str]:
    """Where below a folder one of the words stands, in a name or in bytes; takedowns.jsonl is to name it."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.name != "takedowns.jsonl":
            name, data = path.relative_to(folder).as_posix(), path.read_bytes() if path.is_file() else b""
            found += [f"{name}: {word}" for word in words if word in name or word.encode() in data]
    return found


@pytest.mark.usefixtures("here")
def test_the_life_of_a_dataset_built_again_and_again(tmp_path, capfd):
    folder, out, store = tmp_path / "motions", tmp_path / "out", tmp_path / "store"
    arguments = [folder, "--out", out, "--store", store]
    for seed in range(2):
        tiny_motion(folder / f"dancer{seed}.npz", seed)
    first = run_here(capfd, *arguments, settings=TINY)
    assert first.code == 0, first.err
    before = files(out)

    again = run_here(capfd, *arguments, settings=TINY)
    assert again.code == 0, again.err
    assert files(out) == before, "a run with nothing new changes nothing"

    for seed in range(2, 4):
        tiny_motion(folder / f"dancer{seed}.npz", seed)
    second = run_here(capfd, *arguments, settings=TINY)
    assert second.code == 0, second.err
    told = compare(read_version(f"{out}@1"), read_version(f"{out}@2"))
    assert told.added
    assert (told.removed, told.changed, told.moved) == ([], [], 0)
    after = files(out)
    assert {name for name in before if after.get(name) != before[name]} == {
        "index.parquet",
        "README.md",
        "dataset.json",
    }
    assert kept(open_folder(out)) == [1, 2]
    assert verify(out).problems == ()
    assert diff([str(out)]) == 1
    assert f"{len(told.added)} added, 0 removed, 0 renamed, 0 changed" in capfd.readouterr().out

    _taken_down(tmp_path, capfd, arguments)


def _taken_down(folder: Path, capfd: pytest.CaptureFixture[str], arguments: list[object]) -> None:
    """One of the dancers is taken down, and stays out when the same folder is built again."""
    out, store = folder / "out", folder / "store"
    rows = read_version(out).rows
    words = ("dancer1", hashlib.sha256((folder / "motions" / "dancer1.npz").read_bytes()).hexdigest())
    assert {"index.parquet", "report", "versions", "shards"} <= {
        one.split(":")[0].split("/")[0] for one in traces(out, *words)
    }
    assert takedown([str(out), "dancer1.npz", "--store", str(store), "--why", "asked for", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert set(told["clips"]) == {row["key"] for row in rows if "dancer1" in row["source"]}
    assert (told["versions"], told["report"], told["generation"]) == ([1, 2], len(told["clips"]), 3)
    assert traces(out, *words) == traces(store, *words) == []
    assert verify(out).problems == ()
    left = {row["key"] for row in rows} - set(told["clips"])
    assert {row["key"] for row in read_version(out).rows} == left

    last = run_here(capfd, *arguments, settings=TINY)
    assert last.code == 0, last.err
    assert "taken down" in last.err
    assert traces(out, *words) == traces(store, *words) == []
    assert left <= {row["key"] for row in read_version(out).rows}
    assert verify(out).problems == ()


def test_duets_that_stand_stay_when_others_hash_higher():
    shas = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(40)]
    names = [f"m{i}.npz" for i in range(40)]

    def drawn(count: int, standing: set[str]) -> set[str]:
        pairs = {*partners(shas[:count], 0, 1), *still(names[:count], shas[:count], standing)}
        return {f"{names[i]} + {names[j]}" for i, j in pairs}

    few = drawn(20, set())
    assert not few <= drawn(40, set()), "without what stands some would be lost"
    assert few <= drawn(40, few)
    assert drawn(20, few) == few
    assert not any("m3.npz" in pair for pair in still(names[4:], shas[4:], few))


def item_of(source: SourceFile) -> Item:
    text = Path(source.path).read_bytes()
    return Item(key=source.name, source=source.name, path=source.path, part=f"{hashlib.sha256(text).hexdigest()} x")


def sources(folder: Path, **texts: str) -> list[SourceFile]:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [SourceFile(name=name, path=str(folder / name), kind="video") for name in sorted(texts)]


def test_a_copy_that_comes_later_renames_nothing(tmp_path):
    given = sources(tmp_path, a_copy="dance", b="dance", c="other")
    assert [item.source for item in take_in(given, item_of, stage="probe").items] == ["a_copy", "c"]
    known = Committed(sources=frozenset({"b", "c"}))
    batch = take_in(given, item_of, stage="probe", before=known)
    assert [item.source for item in batch.items] == ["b", "c"]
    assert [(one.source, one.reason) for one in batch.rejects] == [("a_copy", "same bytes as b")]


def test_what_was_taken_down_is_refused_under_any_name_and_named_by_none(tmp_path):
    given = sources(tmp_path, a="dance", b="dance", scene="uses a dance", c="other")
    sha256 = hashlib.sha256(b"dance").hexdigest()
    gone = Takedown(id="0123456789ab", sha256=sha256, names=("a",), when="2026-01-01T00:00:00+00:00")
    forgotten: list[str] = []
    batch = take_in(
        given,
        item_of,
        stage="probe",
        before=Committed(taken_down={sha256: gone}),
        contents=lambda item: (sha256,) if item.source == "scene" else (),
        forget=lambda item: forgotten.append(item.source),
    )
    assert [item.source for item in batch.items] == ["c"]
    assert forgotten == ["a", "b", "scene"]
    (one,) = batch.rejects
    assert (one.source, one.clip, one.fault) == ("takedown 0123456789ab", "", False)
    assert not any(name in one.reason for name in ("dance", sha256))

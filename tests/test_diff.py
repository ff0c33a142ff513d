"""python -m datasets.diff: what was added, removed and changed, counts first; exit 0, 1 and 2."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from datasets.diff import compare, main, told
from datasets.members import Bundle
from datasets.store import Store
from datasets.versions import read_version
from tasks.batch import Batch, Reject
from tasks.shard import Config
from tests.build_samples import bundle, judged
from tests.test_shard_task import ONE_SPLIT, build


def scored(one: Bundle, **scores: float) -> Bundle:
    return replace(
        one, sample=replace(one.sample, scores={**one.sample.scores, **scores}), video=one.video + b"\0" * len(scores)
    )


def made(folder: Path, *bundles: Bundle, rejects: tuple[Reject, ...] = (), config: Config = ONE_SPLIT) -> str:
    batch = judged(Store(root=str(folder.parent / f"store {folder.name} {len(bundles)}")), bundles)
    build(Batch(items=batch.items, rejects=rejects), folder, config)
    return str(folder)


A, B, C = (bundle(source=f"{name}.mp4") for name in "abc")


def reject(reason: str) -> Reject:
    return Reject(source="z.mp4", clip="", stage="probe", reason=reason, fault=False)


def test_what_each_clip_became(tmp_path):
    one = made(tmp_path / "one", A, scored(B, coverage=0.8), C, rejects=(reject("no frames"),))
    review = replace(
        scored(B, coverage=0.5, blur=0.1),
        sample=replace(B.sample, verdict="review", reasons=("doubt",), scores={"coverage": 0.5}),
    )
    two = made(tmp_path / "two", bundle(source="d.mp4"), review, C)
    found = compare(read_version(one), read_version(two))
    assert [row["key"] for row in found.added] == [bundle(source="d.mp4").clip.key]
    assert [row["key"] for row in found.removed] == [A.clip.key]
    (changed,) = found.changed
    assert changed.key == B.clip.key
    assert changed.fields == {"verdict": ["accepted", "review"], "reasons": [[], ["doubt"]]}
    assert changed.scores["coverage"] == [0.8, 0.5]
    assert found.verdicts == {"accepted -> review": 1}
    assert found.reasons == {"probe: no frames": [1, 0]}
    assert found.by_source["b.mp4"] == {"added": 0, "removed": 0, "changed": 1}
    assert found.by_split == {"train": {"added": 1, "removed": 1, "changed": 1}}
    lines = told(found).splitlines()
    assert lines[1] == "clips    1 added, 1 removed, 0 renamed, 1 changed"
    assert any(
        line.startswith(f"~ {B.clip.key}  verdict: accepted -> review; reasons: none -> doubt") for line in lines
    )


SCORES = [
    pytest.param({"coverage": 0.7}, {"coverage": 0.705}, {}, id="within the tolerance"),
    pytest.param({"coverage": 0.7}, {"coverage": 0.72}, {"coverage": [0.7, 0.72]}, id="beyond it"),
    pytest.param({"blur": float("nan")}, {"blur": float("nan")}, {}, id="nobody knows, twice"),
    pytest.param({"new": 0.0}, {}, {"new": [0.0, None]}, id="a score that is no more"),
]


@pytest.mark.parametrize(("before", "after", "changed"), SCORES)
def test_scores_change_beyond_the_tolerance(tmp_path, before, after, changed):
    one, two = made(tmp_path / "one", scored(A, **before)), made(tmp_path / "two", scored(A, **after))
    found = compare(read_version(one), read_version(two))
    assert [change.scores for change in found.changed] == ([changed] if changed else [])


def test_a_renamed_source_is_not_another(tmp_path):
    renamed = replace(A, clip=replace(A.clip, key=f"other-{A.clip.key.split('-', 1)[1]}", source="other.mp4"))
    renamed = replace(renamed, sample=replace(A.sample, key=renamed.clip.key))
    found = compare(read_version(made(tmp_path / "one", A, B)), read_version(made(tmp_path / "two", renamed, B)))
    assert found.renamed == [[A.clip.key, renamed.clip.key]]
    assert (found.added, found.removed, found.same) == ([], [], False)


def test_versions_of_one_dataset(tmp_path, capsys):
    out = made(tmp_path / "out", A)
    assert main([out]) == 2
    assert "want two versions to compare, got 1 kept" in capsys.readouterr().err
    made(tmp_path / "out", A, B)
    made(tmp_path / "out", A, B, C)
    assert main([out, "--json"]) == 1
    plain = json.loads(capsys.readouterr().out)
    assert (plain["generations"], [row["key"] for row in plain["added"]]) == ([2, 3], [C.clip.key])
    assert plain["shards"] == {"added": 1, "removed": 0, "kept": 2}
    assert main([f"{out}@1", out]) == 1
    assert "clips    2 added, 0 removed" in capsys.readouterr().out
    assert main([f"{out}@3", out]) == 0
    assert "nothing differs" in capsys.readouterr().out


def test_samples_that_only_moved_are_counted(tmp_path):
    one = made(tmp_path / "one", A)
    made(tmp_path / "one", A, B)
    made(tmp_path / "one", A, B, config=replace(ONE_SPLIT, reshard=True))
    found = compare(read_version(f"{one}@2"), read_version(f"{one}@3"))
    assert (found.added, found.removed, found.changed, found.moved) == ([], [], [], 2)
    assert not found.same


MANY = 30


def test_a_long_list_is_cut_unless_all_is_asked_for(tmp_path, capsys):
    clip = {"one": [bundle(source=f"{at}.mp4", frames=5) for at in range(MANY)], "two": [A]}
    one, two = (made(tmp_path / name, *some) for name, some in clip.items())
    assert main([one, two]) == 1
    assert f"  and {MANY - 20} more (--all)" in capsys.readouterr().out
    assert main([one, two, "--all"]) == 1
    assert capsys.readouterr().out.count("\n- ") == MANY


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["{out}/nowhere", "{out}"], "got no dataset.json there"),
        (["{out}@7", "{out}"], "want a version that is kept, got versions 1"),
        (["{out}", "{out}", "--tolerance", "-1"], "want 0 or more"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path, capsys, given, said):
    out = made(tmp_path / "out", A)
    try:
        code = main([text.format(out=out) for text in given])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_a_damaged_table_is_no_difference(tmp_path, capsys):
    out = made(tmp_path / "out", A)
    path = Path(out) / "index.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    assert main([out, f"{out}@1"]) == 2
    assert "python -m datasets.verify" in capsys.readouterr().err

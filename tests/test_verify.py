"""python -m datasets.verify: silent on what is right, and damage of every kind gets its file and member named."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets import index
from datasets.masks import Masks
from datasets.members import Bundle, encode_masks, encode_sample
from datasets.shards import read_sidecar, scan_samples, write_shard
from datasets.store import Store
from datasets.verify import main, verify
from datasets.verify_sample import check_sample
from datasets.video import write_depth
from tasks.shard import Config
from tests.build_samples import EXTRA, FPS, bundle, judged
from tests.test_shard_task import build

SHARD = "shards/train-000000.tar"
SIDECAR = "shards/train-000000.json"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four accepted samples in two shards, one in review, from both routes."""
    folder = tmp_path_factory.mktemp("verify")
    write_depth(folder / "depth.mkv", [np.full((96, 128), 1000 + t, np.uint16) for t in range(20)], FPS)
    extra = {
        **EXTRA,
        "amodal.npz": encode_masks(bundle().people.mask),
        "depth.mkv": (folder / "depth.mkv").read_bytes(),
    }
    clips = [bundle(source=f"{name}.mp4") for name in "abc"]
    scene = bundle(source="scene.npz", extra=extra)
    batch = judged(
        Store(root=str(folder / "store")),
        [*clips, scene, bundle(source="r.mp4", verdict="review")],
        motions={scene.clip.key: ["walk"]},
    )
    build(batch, folder / "out", Config(target_bytes=70_000, val_fraction=0, test_fraction=0))
    (folder / "out" / "report").mkdir()
    (folder / "out" / "report" / "index.html").write_text("a page")
    return folder / "out"


@pytest.fixture
def out(good: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(good, tmp_path / "out")
    return tmp_path / "out"


def test_what_is_right_is_right(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(good)]) == 0
    assert capsys.readouterr().out.startswith(f"{good}: all right in 3 shards, 5 samples, 100 frames, ")
    assert main([str(good), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["samples"], said["problems"]) == (True, 5, [])


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--jso", "a"], ["/nowhere/at/all"]])
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    assert code == 2


def members_of(shard: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(shard) as archive:
        return {info.name: info for info in archive.getmembers()}


@pytest.mark.parametrize("member", ["json", "mp4", "pose.npz", "mask.npz", "ref.png"])
@pytest.mark.parametrize("where", ["header", "first", "middle", "last"])
def test_one_flipped_bit_names_shard_and_member(out: Path, member: str, where: str) -> None:
    name, info = next((n, i) for n, i in members_of(out / SHARD).items() if n.endswith(f".{member}"))
    at = {
        "header": info.offset + 3,
        "first": info.offset_data,
        "middle": info.offset_data + info.size // 2,
        "last": info.offset_data + info.size - 1,
    }[where]
    data = bytearray((out / SHARD).read_bytes())
    data[at] ^= 0x10
    (out / SHARD).write_bytes(data)
    problems = verify(out).problems
    assert any(problem.file == SHARD and problem.member == name for problem in problems), problems
    assert {problem.file for problem in problems} <= {SHARD, index.INDEX}


def test_no_flip_anywhere_in_a_shard_goes_unseen_or_ends_in_a_traceback(out: Path) -> None:
    whole = (out / SHARD).read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(whole), 12):
        data = bytearray(whole)
        data[at] ^= 1 << int(rng.integers(8))
        (out / SHARD).write_bytes(data)
        assert SHARD in {problem.file for problem in verify(out).problems}


@pytest.mark.parametrize("keep", [0, 100, 5000, -1, -512, -1024])
def test_a_cut_shard_is_named_and_its_neighbours_are_still_checked(out: Path, keep: int) -> None:
    data = (out / SHARD).read_bytes()
    (out / SHARD).write_bytes(data[:keep] if keep else b"")
    checked = verify(out)
    assert any(problem.file == SHARD for problem in checked.problems)
    assert checked.samples >= 3


def edit_json(path: Path, change: Callable[[dict], None]) -> None:
    about = json.loads(path.read_bytes())
    change(about)
    path.write_text(json.dumps(about, sort_keys=True, indent=1) + "\n")


def edit_index(out: Path, change: Callable[[list[dict]], None]) -> None:
    """Change the table, and make dataset.json vouch for it: only what it says is off."""
    table = pq.read_table(out / index.INDEX)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), out / index.INDEX)
    info = index.read_dataset(out)
    assert info
    files = {**info.files, index.INDEX: index.sha256((out / index.INDEX).read_bytes())}
    (out / index.DATASET).write_bytes(index.encode_dataset(replace(info, files=files)))


def row(**changes: object) -> Callable[[Path], None]:
    """Change the first row of the index."""
    return lambda out: edit_index(out, lambda rows: rows[0].update(changes))


def other_split(rows: list[dict]) -> None:
    rows[1].update(source=rows[0]["source"], split="test")


FAULTS = [
    pytest.param(lambda out: (out / SHARD).unlink(), SHARD, "No such file", id="a shard gone"),
    pytest.param(lambda out: (out / SIDECAR).unlink(), SIDECAR, "sidecar", id="no sidecar"),
    pytest.param(
        lambda out: edit_json((out / SIDECAR), lambda a: a.update(count=7)), SIDECAR,
        "count 2 as in dataset.json, got 7", id="a sidecar that miscounts",
    ),
    pytest.param(
        lambda out: (out / SIDECAR).write_bytes(b"\xff{"), SIDECAR, "want the sidecar",
        id="a sidecar that is no JSON",
    ),
    pytest.param(lambda out: (out / "dataset.json").unlink(), "dataset.json", "no such file", id="nothing committed"),
    pytest.param(
        lambda out: edit_json(out / "dataset.json", lambda a: a.update(generation=2)), "dataset.json", "changed",
        id="dataset.json edited",
    ),
    pytest.param(lambda out: (out / "index.parquet").unlink(), "index.parquet", "No such file", id="no index"),
    pytest.param(lambda out: (out / "index.parquet").write_bytes(b"PAR1"), "index.parquet", "parquet", id="no parquet"),
    pytest.param(lambda out: (out / "rejects.parquet").unlink(), "rejects.parquet", "No such file", id="no rejects"),
    pytest.param(lambda out: (out / "README.md").unlink(), "README.md", "card", id="no card"),
    pytest.param(lambda out: (out / "notes.txt").touch(), "notes.txt", "only files", id="a file of nobody's"),
    pytest.param(
        lambda out: shutil.copy(out / SHARD, out / "shards" / "train-000009.tar"), "train-000009.tar", "only files",
        id="a shard that is not committed",
    ),
    pytest.param(row(offset=512), "index.parquet", "offset", id="offset"),
    pytest.param(row(size=1), "index.parquet", "size", id="size"),
    pytest.param(
        row(num_people=9), "index.parquet", "num_people", id="people"
    ),
    pytest.param(
        row(score_coverage=0.1), "index.parquet", "score_coverage",
        id="a score",
    ),
    pytest.param(lambda out: edit_index(out, lambda rows: rows.pop()), "index.parquet", "got none", id="a row gone"),
    pytest.param(
        lambda out: edit_index(out, lambda rows: rows.append(rows[0])), "index.parquet", "once", id="a row twice"
    ),
    pytest.param(
        row(key="../up"), "index.parquet", "legal", id="an illegal key"
    ),
    pytest.param(lambda out: edit_index(out, other_split), "index.parquet", "one split", id="source in two splits"),
    pytest.param(lambda out: edit_index(out, lambda rows: rows.pop()), "dataset.json", "counts", id="counts"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "file", "said"), FAULTS)
def test_each_fault_is_named(
    out: Path, spoil: Callable[[Path], object], file: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(out)
    assert main([str(out)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(file in line and said in line for line in lines), lines


def overlapping(one: Bundle) -> bytes:
    masks = [one.people.mask.counts(i) for i in range(40)]
    masks[7] = masks[27] = Masks.encode([np.ones((96, 128), bool)], size=(96, 128)).counts(0)
    return encode_masks(Masks.from_counts(masks, size=(96, 128)))


def unfinished(one: Bundle) -> bytes:
    masks = [one.people.mask.counts(i) for i in range(40)]
    masks[3] = masks[3][:-2]
    return encode_masks(Masks.from_counts(masks, size=(96, 128)))


@pytest.mark.parametrize(
    ("changes", "member", "said"),
    [
        pytest.param(lambda one: {"mask.npz": overlapping(one)}, "mask.npz", "frame 7.*overlap", id="masks overlap"),
        pytest.param(lambda one: {"mask.npz": unfinished(one)}, "mask.npz", "rle", id="a mask outside of its size"),
        pytest.param(
            lambda one: {"mp4": bundle(frames=12).video}, "mp4", "frames 20 as in json, got 12", id="too few frames"
        ),
        pytest.param(lambda one: {"mp4": bundle(size=(64, 64)).video}, "mp4", "size", id="another size"),
        pytest.param(lambda one: {"mp4": one.video[: len(one.video) // 2]}, "mp4", "want", id="half a video"),
        pytest.param(lambda one: {"ref.png": one.reference[:200]}, "ref.png", "decoded", id="half a picture"),
        pytest.param(lambda one: {"scene.npz": b"PK"}, "scene.npz", "npz", id="no npz"),
        pytest.param(lambda one: {"depth.mkv": b"x" * 99}, "depth.mkv", "decoded", id="no depth"),
        pytest.param(
            lambda one: {"amodal.npz": encode_masks(Masks.from_counts([b""] * 40, size=(96, 128)))}, "amodal.npz",
            "no smaller", id="amodal masks smaller than modal ones",
        ),
    ],
)  # fmt: skip
def test_members_that_do_not_agree_are_named(changes: Callable[[Bundle], dict], member: str, said: str) -> None:
    one = bundle()
    assert check_sample(encode_sample(one))[1] == []
    _, problems = check_sample({**encode_sample(one), **changes(one)})
    assert len(problems) == 1
    assert problems[0][0] == member
    assert re.search(said, problems[0][1])


def test_poses_out_of_range_are_named() -> None:
    one = bundle()
    box = one.people.box.copy()
    box[0, 0, 0] = np.nan
    visible = one.people.visible + np.float32(1)
    _, problems = check_sample(encode_sample(replace(one, people=replace(one.people, box=box, visible=visible))))
    assert [member for member, _ in problems] == ["pose.npz", "pose.npz"]


def test_a_shard_under_a_wrong_verdict_or_with_a_foreign_member_is_named(out: Path) -> None:
    path = out / "review" / "train-000000.tar"
    one = bundle(source="r.mp4")
    write_shard(path, [(one.clip.key, read_sidecar(path).samples[0].digest, encode_sample(one))])
    said = [str(problem) for problem in verify(out).problems]
    assert any("verdict" in line for line in said), said
    with path.open("r+b") as file:
        _, entries = next(scan_samples(file))
        file.seek(entries[0].offset)
        header = bytearray(file.read(512))
        header[:100] = b"../../evil.json".ljust(100, b"\0")
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        file.seek(entries[0].offset)
        file.write(header)
    said = [str(problem) for problem in verify(out).problems]
    assert any("../../evil.json" in line for line in said), said

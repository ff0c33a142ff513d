"""Training reads a dataset at an s3:// address, through two worker processes, as it reads one in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from model.config import to_json  # noqa: E402
from model.train import main  # noqa: E402
from tests.s3_server import S3, mirrored  # noqa: E402
from tests.small_runs import small_run, write_shards  # noqa: E402


def losses(shards: str, out: Path, capsys: pytest.CaptureFixture[str]) -> list[float]:
    """Train three steps; the loss of each."""
    out.mkdir(parents=True)
    (out / "config.json").write_text(to_json(small_run(steps=3, log_every=1, workers=2)))
    assert main(["--shards", shards, "--out", str(out), "--resume", "--threads", "1", "--json"]) == 0
    capsys.readouterr()
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_training_from_an_address_is_training_from_a_folder(
    s3: S3, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, bucket = write_shards(tmp_path / "data"), s3.bucket()
    mirrored(folder, f"{bucket}/data")
    before = s3.requests(f"{bucket[5:]}/data")
    there = losses(f"{bucket}/data", tmp_path / "there", capsys)
    count = s3.requests(f"{bucket[5:]}/data") - before
    assert len(there) == 3
    assert there == losses(str(folder), tmp_path / "here", capsys)
    assert count["LIST"] == 0, "the index says where everything is"
    assert count["GET"] < 60

"""model.training --resume: the curve of an uninterrupted run, whatever stopped the first; what does not fit is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from model import training  # noqa: E402
from model.config import to_json  # noqa: E402
from model.run_folder import RunError, RunFolder  # noqa: E402
from tests.small_runs import curve, small_run, tensors, write_shards  # noqa: E402

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("resume"))


@pytest.mark.parametrize(
    "train",
    [
        pytest.param({"save_every": 3, "log_every": 2}, id="within an epoch, and within a line of the log"),
        pytest.param({"save_every": 3, "accumulate": 2, "checkpointing": True}, id="two batches a step"),
        pytest.param({"save_every": 3, "workers": 0, "precision": "bf16"}, id="no workers, bfloat16"),
        pytest.param({"save_every": 100}, id="before the first state: from the start"),
    ],
)
def test_a_resumed_run_has_the_curve_of_an_uninterrupted_one(
    shards: Path, tmp_path: Path, train: dict[str, Any]
) -> None:
    run = small_run(steps=6, **train)
    whole = training.run(run, shards=shards, out=tmp_path / "whole")

    class Enough(Exception):
        pass

    def stop(line: Any) -> None:
        if line.step >= 4:
            raise Enough

    part = tmp_path / "part"
    with pytest.raises(Enough):
        training.run(run, shards=shards, out=part, progress=stop)
    assert (RunFolder(part).latest() or (0,))[0] == (0 if train["save_every"] == 100 else 3)
    again = training.run(run, shards=shards, out=part, resume=True)
    assert again.began_at == (0 if train["save_every"] == 100 else 3)
    assert curve(part) == curve(tmp_path / "whole")
    one, other = tensors(part), tensors(tmp_path / "whole")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert again.epochs == whole.epochs


def test_a_run_goes_on_beyond_its_end(shards: Path, tmp_path: Path) -> None:
    training.run(small_run(steps=6), shards=shards, out=tmp_path / "whole")
    training.run(small_run(steps=4), shards=shards, out=tmp_path / "part")
    training.run(small_run(steps=6), shards=shards, out=tmp_path / "part", resume=True)
    assert curve(tmp_path / "part") == curve(tmp_path / "whole")
    done = training.run(small_run(steps=6), shards=shards, out=tmp_path / "part", resume=True)
    assert (done.steps, done.began_at) == (6, 6)


def test_a_killed_run_resumes_to_the_very_curve(shards: Path, tmp_path: Path) -> None:
    """kill -9 of the command, within an epoch and after a state; then on to its end."""
    run, out = small_run(steps=16, save_every=3), tmp_path / "part"
    training.run(run, shards=shards, out=tmp_path / "whole")
    out.mkdir()
    (out / "config.json").write_text(to_json(run))
    command = [sys.executable, "-m", "model.train", "--shards", str(shards), "--out", str(out), "--resume"]
    begun = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 300
    while len(RunFolder(out).log_lines()) < 5 and begun.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(begun.pid, signal.SIGKILL)
    begun.communicate()
    assert begun.returncode == -signal.SIGKILL
    assert 5 <= len(RunFolder(out).log_lines()) < 16
    done = training.run(run, shards=shards, out=out, resume=True)
    assert done.steps == 16
    assert 3 <= done.began_at < 16
    assert curve(out) == curve(tmp_path / "whole")
    one, other = tensors(out), tensors(tmp_path / "whole")
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_other_shards_do_not_resume(shards: Path, tmp_path: Path) -> None:
    training.run(small_run(steps=2), shards=shards, out=tmp_path / "run")
    others = write_shards(tmp_path / "others", samples=4)
    with pytest.raises(RunError, match="--resume wants the shards, processes and workers that the run began with"):
        training.run(small_run(steps=4), shards=others, out=tmp_path / "run", resume=True)


@pytest.mark.parametrize("spoil", ["tensors", "place"])
def test_a_spoilt_state_is_named(shards: Path, tmp_path: Path, spoil: str) -> None:
    training.run(small_run(steps=2), shards=shards, out=tmp_path / "run")
    file = next((tmp_path / "run" / "state").glob(f"*/{spoil}-*"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(RunError, match="step-00000002"):
        training.run(small_run(steps=4), shards=shards, out=tmp_path / "run", resume=True)


def test_what_a_kill_left_half_is_cleared_away(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    training.run(small_run(steps=2), shards=shards, out=out)
    # Between the two renames of a new pipeline, in the middle of a state, and in the middle of a line.
    (out / "pipeline").rename(out / ".pipeline.before")
    (out / "state" / ".step-00000004.part").mkdir()
    (out / ".pipeline.part").mkdir()
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 3, "loss": 1.0, "norm": 1.0, "lr": 1.0}) + '\n{"step": 4, "lo')
    assert training.run(small_run(steps=2), shards=shards, out=out, resume=True).steps == 2
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == [".lock"]
    assert (out / "pipeline" / "model_index.json").is_file()
    assert [path.name for path in (out / "state").iterdir()] == ["step-00000002"]
    assert [step for step, *_ in curve(out)] == [1, 2]

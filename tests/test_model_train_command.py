"""python -m model.train: what it prints, and each way to give it something that it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from model.config import to_json  # noqa: E402
from model.run_folder import RunFolder  # noqa: E402
from model.train import main  # noqa: E402
from tests.small_runs import small_run, write_shards  # noqa: E402
from tests.test_stream import damage  # noqa: E402


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("command"))


def begun(folder: Path) -> Path:
    """A folder that holds a small run's configuration and no step yet."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(to_json(small_run(steps=3, log_every=2, workers=0)))
    return folder


def test_a_run_says_what_it_made_and_what_comes_next(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = begun(tmp_path / "run")
    command = ["--shards", str(shards), "--out", str(out), "--resume", "--threads", "1"]
    assert main([*command, "--set", "train.sample_every=9"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == [line for line in said.err.splitlines() if line.startswith("step ")]
    assert [line.split(":")[0] for line in said.err.splitlines()] == ["step 2 of 3", "step 3 of 3"]
    first, _, generate, curves = said.out.splitlines()
    assert first.startswith(f"{out}: 3 steps in ")
    key = next(iter(sorted(one.stem for one in (out / "samples").glob("*.mp4"))))
    assert key == "step-00000003"
    assert f"python -m model.generate --checkpoint {out} --shards {shards} --key s" in generate
    assert curves.endswith(f"tensorboard --logdir {out}/log")
    # The same with more steps, as one object; what was said at first is kept.
    assert main([*command, "--set", "train.steps=5", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["steps"], summary["began_at"], summary["out"]) == (5, 3, str(out))
    assert RunFolder(out).config().train.steps == 5
    # A preset that is said again must be that of the run.
    assert main([*command, "--preset", "tiny"]) == 2
    assert "network.size=[32, 32]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(["--preset", "big"], "--preset: want one of ['small', 'svd'", id="preset"),
        pytest.param([], "--preset: want one of", id="no preset"),
        pytest.param(["--preset", "tiny", "--set", "train.step=3"], "--set train.step=3: want FIELD", id="field"),
        pytest.param(["--preset", "tiny", "--set", "train.steps=0"], "train.steps: want 1 or more, got 0", id="steps"),
        pytest.param(["--preset", "tiny", "--set", "train.lr=-1"], "train.lr: want 0 or more, got -1.0", id="rate"),
        pytest.param(["--preset", "tiny", "--set", "train.dropout=2"], "train.dropout: want 0 to 0.667", id="share"),
        pytest.param(["--resume"], "config.json: want a run's configuration", id="nothing to resume"),
        pytest.param(["--preset", "tiny", "--resume"], "want a run to resume, got no config.json", id="resume"),
        pytest.param(["--preset", "tiny", "--split", "val"], "want samples of split 'val'", id="split"),
        pytest.param(["--preset", "tiny"], "want clips of", id="clips too short"),
        pytest.param(
            ["--preset", "svd", "--set", "train.precision=fp16"], "want bf16 or no with train.parallel=fsdp", id="fsdp"
        ),
    ],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_2(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    stride = ["--set", "train.stride=[9, 9]"] if problem == "want clips of" else []
    assert main(["--shards", str(shards), "--out", str(tmp_path / "run"), *arguments, *stride]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert problem in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] in ([], ["run", ".lock"])


def test_damage_stops_with_exit_code_1_when_asked_to(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, out = damage(shards, tmp_path, "mp4"), begun(tmp_path / "run")
    command = ["--shards", str(copy), "--out", str(out), "--resume", "--set", "train.steps=6"]
    assert main([*command, "--on-error", "stop"]) == 1
    assert "train-000001.tar: s" in capsys.readouterr().err
    assert main(command) == 0
    said = capsys.readouterr()
    assert "1 damaged samples skipped" in said.out
    assert "1 damaged skipped" in said.err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    assert "python -m model.train --shards out/demo --preset tiny --out runs/tiny" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit_:
        main(["--shards"])
    assert exit_.value.code == 2
    assert "error: " in capsys.readouterr().err

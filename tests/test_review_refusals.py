"""The review command: what cannot be said, damaged files, and its help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.corrections import FILE, read_corrections
from tests.review_command import Said
from tests.reviewed_runs import DrawnRun
from tests.tiny_runs import ROOT


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> DrawnRun:
    run = DrawnRun(tmp_path_factory.mktemp("errors"))
    run.build()
    return run


WRONG: list = [
    pytest.param("accept wolk-{tail}", "no such key; did you mean walk-", id="unknown key"),
    pytest.param("drop {key} 4", "PERSON 4: want 1 to 3, the people of", id="a person that is not there"),
    pytest.param("kind {key} 0 robot", "PERSON 0: want 1 to 3", id="people count from 1"),
    pytest.param("kind {key} 1 cyborg", "invalid choice: 'cyborg'", id="no such kind"),
    pytest.param("swap {key} 2 2 --from 9", "want two different people, got 2 twice", id="A is B"),
    pytest.param("swap {key} 1 2 --from 40", "--from 40: want a frame of", id="from a frame past the end"),
    pytest.param("swap {key} 1 2 --from -1", "--from -1: want a frame of", id="from a frame before the start"),
    pytest.param("swap {key} 1 2 --from 9 --to 9", "--to 9: want a frame after --from 9", id="to before from"),
    pytest.param("swap {key} 1 2 --from 9 --to 41", "up to 40, got 41", id="to past the end"),
    pytest.param("swap {key} 1 2 --from 0", "want a part of the clip", id="all of the clip"),
    pytest.param("swap {key} 1 2", "--from", id="no frame"),
    pytest.param("swap {key} 1 --from 3", "required: B;", id="one person to exchange"),
    pytest.param("swap {key} --from 3", "required: A, B;", id="nobody to exchange"),
    pytest.param("swap {key} 1 two --from 3", "invalid int value", id="a person's name"),
    pytest.param("undo {key}", "want a word that stands, got none", id="nothing to undo"),
    pytest.param("undo", "want KEY or --last, got neither", id="undo of what"),
    pytest.param("undo {key} --last", "got both", id="undo of two"),
    pytest.param("bless {key}", "invalid choice: 'bless'", id="no such word"),
]


@pytest.mark.parametrize(("said", "told"), WRONG)
def test_what_cannot_be_said_is_refused(place: DrawnRun, review: Callable[..., Said], said: str, told: str) -> None:
    key = place.keys[0]
    done = review(place.out, *said.format(key=key, tail=key.partition("-")[2]).split())
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert told in done.err
    assert not (place.out / FILE).exists()


def test_where_there_is_no_dataset(tmp_path: Path, review: Callable[..., Said]) -> None:
    for arguments in ((tmp_path / "none",), (tmp_path / "none", "accept", "x"), (tmp_path, "accept", "x")):
        done = review(*arguments)
        assert done.code == 2
        assert "check the path" in done.err
        assert done.out == ""
    assert not (tmp_path / "none").exists()


def test_a_damaged_file_is_named_and_nothing_is_built_from_it(
    place: DrawnRun, review: Callable[..., Said], tmp_path: Path
) -> None:
    file = tmp_path / "words.jsonl"
    assert review(place.out, "reject", place.keys[0], "--corrections", file).code == 0
    file.write_text(file.read_text() + '{"word": "rej\n')
    for done in (
        review(place.out, "--corrections", file),
        review(place.out, "accept", place.keys[0], "--corrections", file),
    ):
        assert done.code == 2
        assert f"{file}: line 2: want a word that flows.review wrote" in done.err
        assert "remove the line" in done.err
    with pytest.raises(ValueError, match="line 2"):
        place.build(file=str(file))


def test_as_a_command_of_its_own(place: DrawnRun, tmp_path: Path) -> None:
    file = tmp_path / "words.jsonl"
    command = [
        sys.executable,
        "-m",
        "flows.review",
        str(place.out),
        "reject",
        place.keys[0],
        "--corrections",
        str(file),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [word.word for word in read_corrections(file)] == ["reject"]


def test_help_has_examples(review: Callable[..., Said]) -> None:
    done = review("--help")
    assert done.code == 0
    for word in ("accept", "reject", "swap", "drop", "kind", "undo"):
        assert f"python -m flows.review out/mine {word} " in done.out
    assert "exit code: 0;" in done.out

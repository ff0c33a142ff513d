"""The file that keeps a person's words: read as they were said, damage named, written whole by many at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.corrections import (
    Correction,
    CorrectionsError,
    append_correction,
    read_corrections,
    standing,
)
from tests.test_corrections import crossing, swap_word, word
from tests.tiny_runs import ROOT


def test_words_are_read_as_they_were_said(tmp_path: Path) -> None:
    file, shown = tmp_path / "c.jsonl", crossing()
    said = [
        word("accept", shown, who="ä", note="line\nbreak"),
        swap_word(shown, 1, 2, 17, 20),
        word("kind", shown, people=(2,), kind="robot", when="2026-01-01T00:00:00+00:00"),
        word("accept", shown, who="ä", note="line\nbreak"),
    ]
    kept = [append_correction(file, lambda words, one=one: one) for one in said]  # type: ignore[misc]
    assert read_corrections(file) == tuple(kept)
    assert len(file.read_text().splitlines()) == 4
    assert len({one.id for one in kept}) == 4, "the same word twice is two words"
    append_correction(file, lambda words: word("undo", undoes=kept[1].id))
    assert standing(read_corrections(file)) == (kept[0], kept[2], kept[3])
    assert read_corrections(tmp_path / "none.jsonl") == ()


def test_who_says_it_changes_no_key() -> None:
    assert word("reject", who="a", note="b", when="c").id == word("reject").id
    assert word("reject").id != word("accept").id


DAMAGE: list = [
    pytest.param(lambda lines: [lines[0], lines[1][:40]], "line 2: want a word that flows.review", id="cut short"),
    pytest.param(lambda lines: [lines[0].replace('t": 17', 't": 18')], "line 1: want the words that id", id="changed"),
    pytest.param(lambda lines: [lines[0], "", lines[1]], "line 2: want a word", id="an empty line"),
    pytest.param(lambda lines: [lines[0], lines[0]], "line 2: want each word once, got line 1 again", id="repeated"),
    pytest.param(lambda lines: [lines[1]], "line 1: want an undo of a line above", id="an undo of nothing"),
    pytest.param(lambda lines: ['{"format": 2}'], "line 1: want format 1, got 2", id="another format"),
    pytest.param(lambda lines: ["[]"], "line 1: want a word", id="no object"),
    pytest.param(lambda lines: [lines[0].replace('"key"', '"kay"')], "unknown field kay", id="an unknown field"),
    pytest.param(lambda lines: [lines[0].replace("[1, 2]", "[1, 1]")], "swap of people", id="one person twice"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "told"), DAMAGE)
def test_a_damaged_line_is_named(tmp_path: Path, damage: Callable[[list[str]], list[str]], told: str) -> None:
    file = tmp_path / "c.jsonl"
    first = append_correction(file, lambda words: swap_word(crossing(), 1, 2, 17))
    append_correction(file, lambda words: word("undo", undoes=first.id))
    file.write_text("\n".join(damage(file.read_text().splitlines())) + "\n")
    before = file.read_bytes()
    with pytest.raises(CorrectionsError, match="line") as caught:
        read_corrections(file)
    assert told in str(caught.value)
    assert str(file) in str(caught.value)
    with pytest.raises(CorrectionsError):
        append_correction(file, lambda words: word("reject"))
    assert file.read_bytes() == before


def test_a_line_edited_by_hand_may_lack_its_end(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    append_correction(file, lambda words: word("reject"))
    file.write_text(file.read_text().rstrip("\n"))
    append_correction(file, lambda words: word("accept"))
    assert [one.word for one in read_corrections(file)] == ["reject", "accept"]
    file.write_text("")
    assert read_corrections(file) == ()


def test_a_refused_word_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    def refuse(words: tuple[Correction, ...]) -> Correction:
        raise KeyError("no")

    with pytest.raises(KeyError):
        append_correction(tmp_path / "c.jsonl", refuse)
    assert not (tmp_path / "c.jsonl").exists()


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    append_correction(tmp_path / "link.jsonl", lambda words: word("reject"))
    assert (tmp_path / "link.jsonl").is_symlink()
    assert len(read_corrections(tmp_path / "real.jsonl")) == 1


WRITER = """
import sys
from datasets.corrections import Correction, append_correction
for _ in range(int(sys.argv[3])):
    append_correction(sys.argv[1], lambda words: Correction(word="reject", clip="c", key="k", who=sys.argv[2]))
"""


def writer(file: Path, who: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(file), who, str(count)], cwd=ROOT)


def test_many_writers_at_once_lose_no_word(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    writers = [writer(file, str(i), 15) for i in range(3)]
    assert [one.wait(60) for one in writers] == [0, 0, 0]
    words = read_corrections(file)
    assert sorted(one.who or "" for one in words) == sorted("012" * 15)
    assert [one.nth for one in words] == list(range(45))


def test_a_killed_writer_leaves_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    for _ in range(2):
        before, process, end = len(read_corrections(file)), writer(file, "x", 100000), time.monotonic() + 60
        while len(read_corrections(file)) < before + 5 and time.monotonic() < end:
            time.sleep(0.005)
        process.kill()
        process.wait(30)
    assert len(read_corrections(file)) >= 10
    append_correction(file, lambda words: word("accept"))
    assert json.loads(file.read_text().splitlines()[-1])["word"] == "accept"

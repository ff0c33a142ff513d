"""The review loop: what is in review, what a person says of it, and what the next build makes of that."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.corrections import FILE, read_corrections, remove_corrections
from datasets.records import Event
from datasets.verify import verify
from tasks import judge
from tasks.ops.exchange import exchange, without
from tests.review_command import Said, made, verdicts
from tests.reviewed_runs import FRAMES, DrawnRun

HALF = FRAMES // 2


@pytest.fixture
def drawn(tmp_path: Path) -> DrawnRun:
    """Two clips, in each of which two people are exchanged where they meet; both are in review."""
    run = DrawnRun(tmp_path)
    run.build()
    return run


# --- the list


def test_the_list_says_what_why_and_where(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    told = review(drawn.out)
    assert told.code == 0
    for key in drawn.keys:
        assert f"{key}  (" in told.out
        assert f"python -m flows.review {drawn.out} accept {key}" in told.out
        assert f"python -m flows.review {drawn.out} swap {key} 1 2 --from " in told.out
    assert "  why   who is who is unsure in 0.15 of the frames > 0.05: at 0.68 s\n" in told.out
    assert "look  0.68 to 0.92 s, frames 17 to 22: 1 and 2" in told.out
    plain = review(drawn.out, "--json").plain
    assert [clip["key"] for clip in plain["clips"]] == sorted(drawn.keys)
    assert plain["clips"][0]["look"][0] | {"frame": 0} == {
        "start_s": 0.68, "stop_s": 0.92, "frames": [17, 23], "people": [1, 2], "frame": 0, "stranger": False,
    }  # fmt: skip


def test_a_stranger_is_told_and_nobody_is_to_be_exchanged(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    found = tuple(Event(kind="doubt", start=t, stop=t + 3, people=(), note="nobody's") for t in (5, 20))
    drawn.bind_anew(lambda people: replace(people, events=found))
    drawn.build()
    told = review(drawn.out).out
    why = "somebody who is none of the people is found in 0.15 of the frames > 0.05: at 0.20 s, at 0.80 s"
    assert told.count(f"  why   {why}\n") == len(drawn.keys)
    assert "look  0.20 to 0.32 s, frames 5 to 7: somebody who is none of the people\n" in told
    assert "who is who" not in told
    assert " swap " not in told


def test_every_command_that_it_gives_can_be_run(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    for clip in review(drawn.out, "--json").plain["clips"]:
        for command in clip["commands"]:
            assert review(*command.split()[3:]).code == 0, command


def test_with_nothing_in_review_it_says_so(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    for key in drawn.keys:
        assert review(drawn.out, "accept", key).code == 0
    told = review(drawn.out).out
    assert "said  accept: heeded by the next build" in told
    assert "\nheeded by the next build:" not in told, "what is said beside a clip in review is not said again"
    drawn.build()
    told = review(drawn.out)
    assert (told.code, told.out) == (0, f"{drawn.out}: nothing is in review\n")
    assert review(drawn.out, "--json").plain["clips"] == []


def test_what_the_next_build_heeds_of_other_clips_is_told(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    one, other = sorted(drawn.keys)
    for key in (one, other):
        assert review(drawn.out, "accept", key).code == 0
    drawn.build()
    assert review(drawn.out, "undo", one).code == 0
    assert review(drawn.out, "drop", other, 2).code == 0
    told = review(drawn.out)
    assert told.out == (
        f"{drawn.out}: nothing is in review\n\nheeded by the next build:\n"
        f"  {one}: accept is taken back\n  {other}: drop 2\n"
    )
    assert [word["taken_back"] for word in review(drawn.out, "--json").plain["waiting"]] == [True, False]
    drawn.build()
    assert "heeded by the next build" not in review(drawn.out).out


# --- the loop


def test_an_accepted_clip_goes_into_the_shards_alone(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    first, second = drawn.keys
    before = drawn.bundle(first)
    assert review(drawn.out, "accept", first, "--who", "ann", "--note", "looked twice").code == 0
    drawn.build()
    assert drawn.ran == {"refine": 0, "identify": 0, "judge": 1}
    assert verdicts(drawn.out) == {first: "accepted", second: "review"}
    assert list(drawn.out.glob("shards/*.tar"))
    assert verify(drawn.out).problems == ()
    after = drawn.bundle(first)
    assert after.sample.reasons == ()
    assert np.array_equal(after.people.box, before.people.box), "what ships is what was looked at"
    (word,) = read_corrections(drawn.out / FILE)
    assert after.sample.provenance["corrections"] == word.id
    assert (word.who, word.note) == ("ann", "looked twice")


def test_a_swap_exchanges_them_in_the_shard_and_promotes_the_clip(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    first, second = drawn.keys
    assert review(drawn.out, "swap", first, 1, 2, "--from", HALF).code == 0
    drawn.build()
    assert drawn.ran == {"refine": 1, "identify": 1, "judge": 1}
    assert verdicts(drawn.out) == {first: "accepted", second: "review"}
    assert verify(drawn.out).problems == ()
    right, got = drawn.people, drawn.bundle(first).people
    for name in ("present", "flag"):
        assert np.array_equal(getattr(got, name), getattr(right, name))
    assert np.allclose(got.box, right.box, atol=1 / 64)
    assert np.allclose(got.keypoint, right.keypoint, atol=1 / 64)
    assert np.array_equal(got.mask.rle, right.mask.rle)
    assert got.confidence.min() == 1
    assert "a person's word: exchanged from here on" in [event.note for event in got.events]


LATER: list = [
    pytest.param(lambda p: p, id="one that is right"),
    pytest.param(lambda p: exchange(p, 0, 1, HALF + 2), id="one that exchanges them two frames later"),
    pytest.param(lambda p: exchange(p, 0, 2, HALF), id="one that takes the third for one of them"),
    pytest.param(lambda p: replace(p, box=p.box + np.float32(1.5)), id="one with other boxes"),
]


@pytest.mark.parametrize("later", LATER)
def test_a_later_binder_is_held_to_a_swap(drawn: DrawnRun, review: Callable[..., Said], later: Any) -> None:
    first = drawn.keys[0]
    assert review(drawn.out, "swap", first, 1, 2, "--from", HALF).code == 0
    drawn.build()
    drawn.bind_anew(later)
    drawn.build()
    assert verdicts(drawn.out)[first] == "accepted"
    assert np.allclose(drawn.bundle(first).people.box, drawn.people.box, atol=1.6)


def test_a_swap_stands_where_the_machine_repairs_too(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    first, second = drawn.keys
    drawn.build(repair=True)
    shown = drawn.bundle(first).people
    assert review(drawn.out, "swap", first, 1, 2, "--from", HALF).code == 0
    drawn.build(repair=True)
    got = drawn.bundle(first).people
    assert np.array_equal(got.box[[0, 1], HALF:], shown.box[[1, 0], HALF:])
    assert np.array_equal(got.box[:, :HALF], shown.box[:, :HALF])
    assert np.array_equal(drawn.bundle(second).people.box, shown.box)


def test_what_no_later_binder_can_hold_to_is_in_review_again(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    first, second = drawn.keys
    assert review(drawn.out, "swap", first, 1, 2, "--from", HALF).code == 0
    assert review(drawn.out, "accept", second).code == 0
    drawn.build()
    assert set(verdicts(drawn.out).values()) == {"accepted"}
    drawn.bind_anew(lambda people: without(exchange(people, 1, 2, HALF), 2))
    drawn.build()
    assert set(verdicts(drawn.out).values()) == {"review"}
    told = review(drawn.out).out
    assert f"a correction no longer fits: swap 1 2 from frame {HALF}" in told
    assert "a correction no longer fits: accept" in told
    for key in drawn.keys:
        assert review(drawn.out, "accept", key).code == 0
    drawn.build()
    assert set(verdicts(drawn.out).values()) == {"accepted"}, "accepted as it is now"


def test_an_accept_outlasts_other_rules(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    for key in drawn.keys:
        review(drawn.out, "accept", key)
    drawn.build(limits=judge.Config(min_people=7, min_sharpness=0.9))
    assert set(verdicts(drawn.out).values()) == {"accepted"}


def test_a_rejected_clip_is_gone_and_comes_back(drawn: DrawnRun, review: Callable[..., Said], tmp_path: Path) -> None:
    first, second = drawn.keys
    before = made(drawn.out)
    assert review(drawn.out, "reject", first).code == 0
    batch = drawn.build()
    assert [(reject.clip, reject.reason, reject.fault) for reject in batch.rejects] == [
        (first, "a person's word", False)
    ]
    assert verdicts(drawn.out) == {second: "review"}
    told = review(drawn.out, "accept", first)
    assert told.code == 2
    assert "rejected by a person's word" in told.err
    assert review(drawn.out, "undo", first).code == 0
    drawn.build()
    assert verdicts(drawn.out) == {first: "review", second: "review"}
    drawn.elsewhere(tmp_path / "again").build()
    assert made(drawn.out) == before


def test_an_undo_says_what_it_took_back_and_every_word_its_line(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    first, second = drawn.keys
    assert review(drawn.out, "accept", second).code == 0
    assert review(drawn.out, "swap", first, 1, 2, "--from", HALF).code == 0
    assert f"{first}: undo of swap 1 2 from frame {HALF}: line 3 of " in review(drawn.out, "undo", "--last").out
    assert remove_corrections(drawn.out / FILE, lambda word: word.key == first) == 2
    assert f"{second}: undo of accept: line 2 of " in review(drawn.out, "undo", second).out


def test_undone_words_leave_the_bytes_of_none(tmp_path: Path, review: Callable[..., Said]) -> None:
    plain = DrawnRun(tmp_path / "a")
    plain.build()
    drawn = DrawnRun(tmp_path / "b")
    drawn.build()
    first, second = drawn.keys
    words: list[tuple[object, ...]] = [
        ("swap", first, 1, 2, "--from", HALF),
        ("drop", second, 3),
        ("kind", first, 1, "robot"),
        ("accept", first),
    ]
    for said in words:
        assert review(drawn.out, *said).code == 0
    for _ in words:
        assert review(drawn.out, "undo", "--last").code == 0
    assert review(drawn.out, "undo", "--last").code == 2, "nothing is left"
    drawn.build()
    assert made(drawn.out) == made(plain.out)
    assert len(read_corrections(drawn.out / FILE)) == 2 * len(words), "the file keeps the story"


def test_a_dropped_person_is_gone_and_kinds_are_said(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    first, second = drawn.keys
    assert review(drawn.out, "drop", first, 3).code == 0
    assert review(drawn.out, "kind", first, 2, "robot").code == 0
    assert review(drawn.out, "kind", second, 3, "robot").code == 0
    drawn.build()
    assert drawn.ran == {"refine": 1, "identify": 2, "judge": 2}
    one, two = drawn.bundle(first), drawn.bundle(second)
    assert one.cast.kind == ("human", "robot")
    assert one.cast.kind_reason[1] == "a person's word"
    assert one.cast.kind_confidence[1] == 1
    assert two.cast.kind[2] == "robot"
    assert one.people.num_people == 2
    covered = [sum(int(drawn.people.mask_at(2, t).sum()) for t in (0, FRAMES - 1))]
    assert covered[0] > 0
    assert not any((one.people.mask_at(p, 0) & drawn.people.mask_at(2, 0)).any() for p in (0, 1))
    assert verify(drawn.out).problems == ()


def test_words_may_lie_elsewhere(drawn: DrawnRun, review: Callable[..., Said], tmp_path: Path) -> None:
    file = tmp_path / "words.jsonl"
    assert review(drawn.out, "accept", drawn.keys[0], "--corrections", file).code == 0
    assert not (drawn.out / FILE).exists()
    assert f"--corrections {file}" in review("--corrections", file, drawn.out).out
    drawn.build()
    assert set(verdicts(drawn.out).values()) == {"review"}
    drawn.build(file=str(file))
    assert verdicts(drawn.out)[drawn.keys[0]] == "accepted"


def test_words_on_another_cut_are_told_of(drawn: DrawnRun, review: Callable[..., Said]) -> None:
    assert review(drawn.out, "accept", drawn.keys[0]).code == 0
    line = json.loads((drawn.out / FILE).read_text())
    assert line["word"] == "accept"
    other = DrawnRun(drawn.out.parent / "other", names=("barn",))
    other.build()
    (other.out / FILE).write_bytes((drawn.out / FILE).read_bytes())
    told = review(other.out)
    assert "said of clips that are not in the dataset now" in told.out
    assert drawn.keys[0] in told.out

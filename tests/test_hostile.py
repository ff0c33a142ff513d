"""The corpus of bad input: every case becomes what it must; nothing hangs, crashes, reads or asks elsewhere.

The whole of it through the real command, networks and all, is `python -m tests.hostile`.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile import building
from tests.hostile.case import Canary
from tests.make_videos import numbered, write_video


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Canary, list[str]]]:
    root = tmp_path_factory.mktemp("hostile")
    with building.watched(root) as (canary, asked):
        yield root, canary, asked


def as_expected(report: building.Report, asked: list[str], least: int) -> None:
    assert not report.trouble
    assert not asked
    wrong = [f"{r.case.name}: want {r.case.outcome} ({r.case.text}), got {r.got}: {r.reason}" for r in report.wrong]
    assert not wrong, "\n".join(wrong)
    assert len(report.results) >= least


def test_videos(place) -> None:
    root, canary, asked = place
    as_expected(building.read_footage(root, canary), asked, 85)


def test_motions_and_scenes(place, prefect_server) -> None:
    root, canary, asked = place
    as_expected(building.motion(prefect_server, root, canary), asked, 60)


def test_datasets(place) -> None:
    root, canary, asked = place
    as_expected(building.datasets_of(root, canary), asked, 25)


def test_commands(place) -> None:
    root, _, asked = place
    video = write_video(root / "plain.mp4", numbered(3))
    as_expected(building.commands(root, video), asked, 15)


def test_a_wrong_outcome_is_seen(place) -> None:
    root, _, _ = place
    case = building.videos.Case("text", "a.mp4", lambda path: None, "rejected", "something else")
    for got, reason in (("accepted", "something else"), ("rejected", "another"), ("unseen", "")):
        assert building.Report([building.Result(case, got, reason)]).wrong
    with building.watched(root / "again") as (canary, asked):
        with pytest.raises(OSError, match="404"):
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{canary.address}/x")
        canary.file.with_suffix(".stolen").touch()
    assert len(asked) == 2

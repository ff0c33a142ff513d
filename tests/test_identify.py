"""Clips of a source -> Cast: the same names for the same people, kinds, and a person's word above both."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from datasets.index import DatasetInfo
from datasets.records import Cast, Clip, Segments, load_record, save_record
from datasets.store import Store
from datasets.video import VideoWriter
from tasks.batch import Batch, Env, Item
from tasks.clips import cast_of
from tasks.identify import Config, identify
from tasks.ops.dataset_card import dataset_card
from tasks.ops.hints import check_hints, hinted_kind
from tasks.ops.identities import name_people, own_threshold
from tests import tiny_weights
from tests.draw_tracks import SIZE, Figure, draw, look_vector, picture, walk
from tests.test_bind import bound

T = 10


def looks(*clips: list[int | None]) -> list[list[np.ndarray | None]]:
    """Looks by number, of clips of people."""
    return [[None if look is None else look_vector(look) for look in clip] for clip in clips]


@pytest.mark.parametrize(
    ("clips", "names"),
    [
        pytest.param([[0, 1]], [["p0001", "p0002"]], id="one clip"),
        pytest.param([[0, 1], [1, 0]], [["p0001", "p0002"], ["p0002", "p0001"]], id="the same two, other way round"),
        pytest.param([[0], [1], [0]], [["p0001"], ["p0002"], ["p0001"]], id="two people, one comes back"),
        pytest.param([[0, 0]], [["p0001", "p0002"]], id="dressed alike in one clip: two people all the same"),
        pytest.param(
            [[0, 0], [0, 0]],
            [["p0001", "p0002"], ["p0001", "p0002"]],
            id="dressed alike in two clips: never one cluster",
        ),
        pytest.param([[0, None], [0]], [["p0001", "p0002"], ["p0001"]], id="one never looked at"),
        pytest.param([[], [0]], [[], ["p0001"]], id="a clip without people"),
    ],
)
def test_names(clips: list[list[int | None]], names: list[list[str]]) -> None:
    named = name_people(looks(*clips), threshold=0.45)
    assert [list(clip.identity) for clip in named] == names


def turned(degrees: float) -> np.ndarray:
    """A look at an angle to the first."""
    angle = np.radians(degrees)
    return np.array([np.cos(angle), np.sin(angle), 0.0, 0.0])


def test_who_stands_side_by_side_tells_how_unlike_two_people_are() -> None:
    """A newcomer 43 degrees off (0.27) is one of them by the general threshold, and none by the source's own."""
    pair, newcomer = [turned(0), turned(47)], [turned(90)]
    assert own_threshold([pair, newcomer], 0.45) == pytest.approx(0.75 * (1 - np.cos(np.radians(47))))
    named = name_people([pair, newcomer, [turned(4), turned(50)]], threshold=0.45)
    assert [one.identity for one in named] == [("p0001", "p0002"), ("p0003",), ("p0001", "p0002")]
    alone = name_people([[turned(0)], [turned(43)]], threshold=0.45)
    assert [one.identity for one in alone] == [("p0001",), ("p0001",)], "nobody to compare with"
    assert own_threshold([[turned(0), turned(90)]], 0.45) == 0.45


def test_in_a_source_of_look_alikes_nobody_is_sure() -> None:
    alike = name_people([[turned(0), turned(15)], [turned(2), turned(17)]], threshold=0.45)
    apart = name_people([[turned(0), turned(60)], [turned(2), turned(62)]], threshold=0.45)
    assert max(one.confidence.max() for one in alike) < 0.3
    assert min(one.confidence.min() for one in apart) > 0.9


def test_name_confidence() -> None:
    sure = name_people(looks([0, 1], [0, 1]), threshold=0.45)
    assert min(clip.confidence.min() for clip in sure) > 0.8
    alike = name_people(looks([0, 0], [0, 0]), threshold=0.45)
    assert max(clip.confidence.max() for clip in alike) < 0.2, "nobody can tell twins apart"
    unseen = name_people(looks([0, None], [0, 1]), threshold=0.45)
    assert unseen[0].confidence[1] == 0
    assert name_people(looks([0, 1]), threshold=0.45)[0].confidence.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("hints", "kind"),
    [
        ({"a.mp4": {"*": "robot"}}, "robot"),
        ({"a-1": {"2": "robot"}}, "robot"),
        ({"a-1": {"1": "robot"}}, None),
        ({"a.mp4": {"p0002": "robot"}, "a-1": {"2": "human"}}, "human"),
        ({"b.mp4": {"*": "robot"}}, None),
    ],
)
def test_hints(hints: dict[str, dict[str, str]], kind: str | None) -> None:
    assert hinted_kind(check_hints(hints), source="a.mp4", key="a-1", person=1, identity="p0002") == kind


@pytest.mark.parametrize(
    ("hints", "error"),
    [
        ("{a.mp4: {1: cyborg}}", "want one of human, robot, got 'cyborg'"),
        ("{a.mp4: {0: robot}}", "number from 1"),
        ("{a.mp4: robot}", "want a mapping of person to kind"),
        ("{a.mp4: {1: robot}", "identify.hints: "),
        ("nowhere.yaml", "want a YAML or JSON file"),
    ],
)
def test_bad_hints(hints: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Config(hints=hints)


def clip_item(store: Store, folder: Path, start: int, figures: list[Figure]) -> Item:
    """A drawn clip of one source as it is after bind."""
    scene = draw(figures)
    key = f"walk-12345678-{start:08d}"

    def shots(out: Path) -> None:
        with VideoWriter(out / f"{start:08d}.mp4", fps=Fraction(25), size=SIZE) as writer:
            for t in range(T):
                writer.write(picture(figures, t))
        clip = Clip(
            key=key, source="walk.mp4", sha256="12345678" * 8, file=f"{start:08d}.mp4", start=start, frames=T,
            fps=Fraction(25), size=SIZE, audio=False, licence="",
        )  # fmt: skip
        save_record(clip, out / f"{start:08d}.npz")

    def record(value: object, name: str) -> object:
        return lambda out: save_record(value, out / name)

    made = {
        "shots": store.make("shots", f"aa{start:030d}", shots)[0],
        "segment": store.make("segment", f"bb{start:030d}", record(scene.segments, "segments.npz"))[0],  # type: ignore[arg-type]
        "refine": store.make("refine", f"cc{start:030d}", record(bound(scene, frames=T), "people.npz"))[0],  # type: ignore[arg-type]
    }
    return Item(key=key, source="walk.mp4", path="", part=f"{start:08d}", frames=T, artifacts=made)


@pytest.fixture
def env(tmp_path: Path) -> Env:
    """An environment with test-made weights."""
    return Env(
        store=Store(str(tmp_path / "store")), weights=str(tiny_weights.write(tmp_path, ["yunet"])), download=False
    )


def people(first: int, second: int) -> list[Figure]:
    """Two people of these looks."""
    return [
        Figure(x=walk(50, 60, T), look=first, pieces=[(0, T)]),
        Figure(x=walk(150, 140, T), look=second, pieces=[(0, T)]),
    ]


def test_the_stage_over_a_source(env: Env, tmp_path: Path) -> None:
    items = (clip_item(env.store, tmp_path, 0, people(0, 1)), clip_item(env.store, tmp_path, 100, people(1, 2)))
    done = identify.fn(Batch(items=items), Config(), env)
    assert not done.rejects
    casts = [cast_of(item) for item in done.items]
    assert [cast.identity for cast in casts] == [("p0001", "p0002"), ("p0002", "p0003")]
    again = identify.fn(Batch(items=items), Config(), env)
    assert [item.artifacts["identify"] for item in again.items] == [item.artifacts["identify"] for item in done.items]
    assert again.costs[-1].reused == 2


def test_a_cast_depends_on_every_clip_of_its_source(env: Env, tmp_path: Path) -> None:
    first, second = clip_item(env.store, tmp_path, 0, people(0, 1)), clip_item(env.store, tmp_path, 100, people(1, 2))
    alone = identify.fn(Batch(items=(first,)), Config(), env).items[0]
    both = identify.fn(Batch(items=(first, second)), Config(), env).items[0]
    assert alone.artifacts["identify"].key != both.artifacts["identify"].key
    others = identify.fn(Batch(items=(first, replace(second, source="other.mp4"))), Config(), env).items
    beside = next(item for item in others if item.key == first.key)
    assert beside.artifacts["identify"].key == alone.artifacts["identify"].key


def test_a_persons_word_wins_wherever_its_file_lies(env: Env, tmp_path: Path) -> None:
    item = clip_item(env.store, tmp_path, 0, people(0, 1))
    hints = tmp_path / "hints.yaml"
    hints.write_text("walk.mp4: {2: robot}\n")
    by_file = identify.fn(Batch(items=(item,)), Config(hints=str(hints)), env).items[0]
    cast = cast_of(by_file)
    assert cast.kind[1] == "robot"
    assert cast.kind_confidence[1] == 1
    assert cast.kind_reason[1] == "a person's word"
    assert cast.kind_reason[0] != "a person's word"
    inline = identify.fn(Batch(items=(item,)), Config(hints=json.dumps({"walk.mp4": {"2": "robot"}})), env).items[0]
    assert inline.artifacts["identify"].key == by_file.artifacts["identify"].key


def test_a_broken_clip_does_not_take_the_others_along(env: Env, tmp_path: Path) -> None:
    good = clip_item(env.store, tmp_path, 0, people(0, 1))
    bad = clip_item(env.store, tmp_path, 100, people(0, 1))
    (Path(bad.artifacts["segment"].path) / "segments.npz").write_bytes(b"not a record")
    done = identify.fn(Batch(items=(good, bad)), Config(), env)
    assert [item.key for item in done.items] == [good.key]
    assert [reject.clip for reject in done.rejects] == [bad.key]
    assert done.rejects[0].fault
    assert load_record(Cast, done.items[0].folder("identify") / "cast.npz").identity == ("p0001", "p0002")


def test_kinds_of_the_robot_clip(shared: Path) -> None:
    """The human and the robot of real footage, told apart by the real face finder."""
    from tests.real_clip import light_clip

    clip = light_clip(shared, "humanrob_01", start=0, frames=10)
    assert isinstance(clip.segments, Segments)
    assert clip.cast.kind == ("human", "robot")
    assert clip.cast.kind_confidence.min() > 0.6


def test_the_card_counts_distinct_identities() -> None:
    """p0001 of one source is in two clips; that of another source is somebody else."""
    casts = [("a", ("p0001", "p0002")), ("a", ("p0001",)), ("b", ("p0001", "p0002"))]
    rows = [
        {
            "verdict": "accepted", "licence": "", "num_people": len(names), "num_frames": 50, "duration_s": 2.0,
            "source_sha256": group, "split_group": group, "split": "train", "kinds": ["human"] * len(names),
            "identities": list(names), "reasons": [],
        }
        for group, names in casts
    ]  # fmt: skip
    info = DatasetInfo(format=1, name="x", generation=1, configuration="", counts={}, files={}, shards=())
    card = dataset_card(info, rows, [], {})
    assert "| identities | 4 | 0 |" in card
    assert "### Identities\n\n4 distinct. " in card
    assert "| clips a person is in | identities |\n| --- | --- |\n| 1 | 3 |\n| 2 | 1 |" in card

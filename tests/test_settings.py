"""`--set STAGE.FIELD=VALUE`: what each type takes, what is said of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import ClassVar, Literal

import pytest

from flows.errors import UsageError
from flows.settings import digest, known, override, stages


@dataclass(frozen=True, kw_only=True)
class Cut:
    min_s: float = 1.0
    most: int = 4
    side: int | None = None
    audio: bool = True
    name: str = "plain"
    way: Literal["pairs", "each"] = "pairs"
    level: Literal[1, 2, 3] = 1
    size: tuple[int, int] = (96, 96)
    looks: tuple[Literal["dressed", "robot"], ...] = ("dressed",)
    rate: Fraction = Fraction(30)
    place: float | str = 0.5
    maybe: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.min_s <= 0:
            raise ValueError(f"cut.min_s: want more than 0, got {self.min_s}")


@dataclass(frozen=True, kw_only=True)
class Judge:
    min_people: int = 2


@dataclass(frozen=True, kw_only=True)
class Config:
    route: ClassVar[str] = "footage"
    cut: Cut = field(default_factory=Cut)
    judge: Judge = field(default_factory=Judge)


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        pytest.param("cut.min_s=2.5", "min_s", 2.5, id="number"),
        pytest.param("cut.min_s=3", "min_s", 3.0, id="whole number for a number"),
        pytest.param("cut.most=-7", "most", -7, id="whole number"),
        pytest.param("cut.side=512", "side", 512, id="optional, given"),
        pytest.param("cut.side=none", "side", None, id="optional, none"),
        pytest.param("cut.audio=off", "audio", False, id="false"),
        pytest.param("cut.audio=YES", "audio", True, id="true in capitals"),
        pytest.param("cut.name=a=b, c", "name", "a=b, c", id="text with an equals sign and a comma"),
        pytest.param("cut.name=", "name", "", id="empty text"),
        pytest.param("cut.way=each", "way", "each", id="choice"),
        pytest.param("cut.level=2", "level", 2, id="choice of numbers"),
        pytest.param("cut.size=128, 64", "size", (128, 64), id="pair"),
        pytest.param(
            "cut.looks=robot,dressed,robot", "looks", ("robot", "dressed", "robot"), id="any number of choices"
        ),
        pytest.param("cut.looks=", "looks", (), id="an empty row"),
        pytest.param("cut.rate=30000/1001", "rate", Fraction(30000, 1001), id="fraction"),
        pytest.param("cut.place=left", "place", "left", id="number or text, text"),
        pytest.param("cut.place=2", "place", 2.0, id="number or text, number"),
        pytest.param("cut.maybe=1,2", "maybe", (1.0, 2.0), id="optional pair"),
        pytest.param(" cut.most = 9 ", "most", 9, id="blanks around"),
    ],
)
def test_a_setting_takes_the_type_of_its_field(setting, name, value):
    changed = override(Config(), [setting])
    assert getattr(changed.cut, name) == value
    assert type(getattr(changed.cut, name)) is type(value)
    assert changed == replace(Config(), cut=replace(Cut(), **{name: value}))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        pytest.param(
            "cut.min_z=1", ["did you mean cut.min_s (a number)", "most (a whole number)"], id="field misspelt"
        ),
        pytest.param("cutt.min_s=1", ["cut, judge", "'cutt'", "did you mean cut.min_s"], id="stage misspelt"),
        pytest.param("cut.zzzzzzzz=1", ["no field 'zzzzzzzz'", "way (one of pairs, each)"], id="nothing near"),
        pytest.param("cut.way=solo", ["one of pairs, each", "'solo'"], id="no such choice"),
        pytest.param("cut.way=", ["one of pairs, each", "''"], id="empty choice"),
        pytest.param("cut.most=2.5", ["a whole number", "'2.5'"], id="a fraction of a whole number"),
        pytest.param("cut.min_s=nan", ["a number", "'nan'"], id="not a number"),
        pytest.param("cut.min_s=inf", ["a number", "'inf'"], id="infinity"),
        pytest.param("cut.audio=maybe", ["true or false", "'maybe'"], id="neither true nor false"),
        pytest.param("cut.size=1,2,3", ["2 values", "'1,2,3'"], id="three of two"),
        pytest.param("cut.side=tall", ["a whole number or none", "'tall'"], id="optional, wrong"),
        pytest.param("cut.rate=1/0", ["a fraction", "'1/0'"], id="division by zero"),
        pytest.param("cut.min_s=-1", ["want more than 0"], id="the stage's own check"),
        pytest.param("cut.min_s", ["STAGE.FIELD=VALUE", "cut.min_s=1.0"], id="no value"),
        pytest.param("min_s=1", ["STAGE.FIELD=VALUE"], id="no stage"),
        pytest.param("", ["STAGE.FIELD=VALUE"], id="nothing"),
        pytest.param("route.min_s=1", ["cut, judge"], id="a field that is no stage"),
    ],
)
def test_what_is_wrong_is_said_with_what_was_wanted(setting, said):
    with pytest.raises(UsageError) as error:
        override(Config(), [setting])
    for words in said:
        assert words in str(error.value)


def test_later_settings_win_and_the_digest_follows():
    changed = override(Config(), ["cut.most=5", "judge.min_people=3", "cut.most=4"])
    assert (changed.cut.most, changed.judge.min_people) == (4, 3)
    assert digest(changed) != digest(Config())
    assert digest(override(changed, ["judge.min_people=2"])) == digest(Config())


def test_every_preset_can_be_set_field_by_field():
    from flows.presets import PRESETS

    for name, preset in PRESETS.items():
        config = preset()
        assert stages(config)[-1] == "shard", name
        for path, takes, value in known(config):
            assert takes, path
            text = ",".join(map(str, value)) if isinstance(value, tuple) else "none" if value is None else str(value)
            assert override(config, [f"{path}={text}"]) == config, path


@pytest.mark.parametrize(
    ("preset", "settings", "fits"),
    [
        pytest.param("light", [], True, id="light as it is"),
        pytest.param("pairfs-4k", [], True, id="whole-body as it is"),
        pytest.param("light", ["pose.estimator=rtmw-l-384"], False, id="one of the two estimators changed"),
        pytest.param(
            "light", ["pose.estimator=rtmw-l-384", "refine.estimator=rtmw-l-384"], True, id="both of them changed"
        ),
        pytest.param(
            "light", ["pose.estimator=rtmw-l-384", "refine.estimator=none"], True, id="contacts not posed again"
        ),
    ],
)
def test_poses_are_made_again_with_the_same_skeleton(preset, settings, fits):
    from flows.presets import PRESETS

    config = override(PRESETS[preset](), settings)
    if fits:
        config.check()
    else:
        with pytest.raises(ValueError, match=r"refine\.estimator: want .*coco133.*--set refine.estimator=rtmw-l-384"):
            config.check()

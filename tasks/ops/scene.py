"""YAML or JSON text <-> Scene: who performs what and where, and which cameras look on.

World: right-handed, Y up, metres, floor at y = 0. A heading is degrees about Y: 0 faces +Z, 90 faces +X.
"""

from __future__ import annotations

import dataclasses
import json
import math
import reprlib
import types
import typing
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal

import yaml

from datasets.plain import to_plain

Look = Literal["dressed", "plain", "robot"]
CameraKind = Literal["static", "pan", "orbit", "handheld"]
Gender = Literal["neutral", "female", "male"]
MAX_TEXT = 1 << 20  # bytes of a scene file
MAX_PERFORMERS = 32
_MAX_MERGED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformerSpec:
    """One performer: the motion, where it starts, and how the body looks."""

    motion: str  # file or folder, relative to the scene file's folder, with forward slashes
    person: int = 0  # which person of a motion of several
    position: tuple[float, float] | None = None  # x, z of the pelvis at the start, metres; None: where the file has it
    heading_deg: float | None = None  # facing at the start; None: as the file has it
    shape_seed: int | None = None  # body shape; None: the motion's own betas, a mean body without SMPL's files
    gender: Gender | None = None  # of the body; None: the motion's
    look: Look = "dressed"
    clothes_seed: int = 0  # colours and cut of the clothes; equal seeds give look-alikes
    start_s: float = 0.0  # time in the motion that the scene begins at


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSpec:
    """One camera. What is None is chosen so that everyone stays in the picture."""

    kind: CameraKind = "static"
    seed: int = 0  # light, background, and whatever of the camera is not given
    fov_deg: float = 40.0  # vertical field of view
    azimuth_deg: float | None = None  # where it stands, seen from the performers: 0 on the +Z side, 90 on the +X side
    distance_m: float | None = None  # from the middle of the performance
    height_m: float | None = None  # above the floor
    aim: tuple[float, float, float] | None = None  # x, y, z looked at; None: the people, who then stay in the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Performers on one floor, and the cameras that see them; one clip a camera."""

    name: str
    performers: tuple[PerformerSpec, ...]
    cameras: tuple[CameraSpec, ...] = (CameraSpec(),)
    seed: int = 0  # background and light of the place
    duration_s: float | None = None  # None: as long as the shortest motion from its start; a shorter motion is repeated


_POSITIVE = (1e-3, 3600.0)
_SEED = (0, 2**63 - 1)
# Closed ranges of the numbers, by the field's last name.
_RANGES: dict[str, tuple[float, float]] = {
    "person": (0, 1000), "position": (-1000.0, 1000.0), "heading_deg": (-3600.0, 3600.0), "shape_seed": _SEED,
    "clothes_seed": _SEED, "seed": _SEED, "start_s": (0.0, 86400.0), "fov_deg": (5.0, 120.0),
    "azimuth_deg": (-3600.0, 3600.0), "distance_m": (0.3, 1000.0), "height_m": (0.02, 100.0), "duration_s": _POSITIVE,
    "aim": (-1000.0, 1000.0),
}  # fmt: skip


def parse_scene(text: str, where: str = "scene", *, name: str = "") -> Scene:
    """A Scene from YAML text (JSON is YAML). `name` is used when the text gives none.

    Raises ValueError with the field's path, what was wanted, what was there, and the known choices.
    """
    if len(text.encode()) > MAX_TEXT:
        raise ValueError(f"{where}: want at most {MAX_TEXT} bytes of scene, got {len(text.encode())}")
    try:
        data = yaml.load(text, Loader=_UniqueKeys)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{where}: want YAML or JSON, got {' '.join(str(error).split())}") from error
    if isinstance(data, dict) and name:
        data = {"name": name, **data}
    scene = _build(Scene, data, where, "")
    _check(scene, where)
    return scene


def scene_to_json(scene: Scene) -> str:
    """The canonical JSON of a scene: equal scenes give equal text, and parse_scene gives the scene back."""
    plain = to_plain(scene)
    for camera in plain["cameras"]:
        # A field younger than the format is left out where it says nothing: content keys of older scenes stay.
        if camera["aim"] is None:
            del camera["aim"]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def scene_from_json(text: str) -> Scene:
    """The scene of its canonical JSON."""
    return parse_scene(text, "scene")


def one_camera_each(scene: Scene) -> tuple[Scene, ...]:
    """The scene once for each camera, with only that camera: what becomes one clip."""
    return tuple(replace(scene, cameras=(camera,)) for camera in scene.cameras)


def _check(scene: Scene, where: str) -> None:
    if not 1 <= len(scene.performers) <= MAX_PERFORMERS:
        raise ValueError(f"{where}: performers: want 1 to {MAX_PERFORMERS}, got {len(scene.performers)}")
    if not scene.cameras:
        raise ValueError(f"{where}: cameras: want at least one, got none; leave the key out for a static one")
    if not scene.name.strip():
        raise ValueError(f"{where}: name: want a name, got {scene.name!r}")
    for i, performer in enumerate(scene.performers):
        if not inside(performer.motion):
            raise ValueError(
                f"{where}: performers[{i}].motion: want a path inside the scene file's folder, got {performer.motion!r}"
            )


def inside(motion: str) -> bool:
    """Whether a performer's motion lies in the scene file's folder, as its text says."""
    path = PurePosixPath(motion)
    return bool(motion) and "\0" not in motion and not path.is_absolute() and ".." not in path.parts


def _build(hint: Any, value: Any, where: str, path: str) -> Any:
    """A value of a type hint from plain data; the inverse of to_plain that names the field that is off."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    at = f"{where}: {path}" if path else where
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _build(next(a for a in arguments if a is not type(None)), value, where, path)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{at}: want one of {', '.join(arguments)}, got {value!r}")
        return value
    if dataclasses.is_dataclass(hint):
        return _build_record(typing.cast(type, hint), value, where, path)
    if origin is tuple:
        many = arguments[-1] is Ellipsis
        if not isinstance(value, list) or not (many or len(value) == len(arguments)):
            raise ValueError(f"{at}: want a list{'' if many else f' of {len(arguments)} numbers'}, got {_shown(value)}")
        hints = [arguments[0]] * len(value) if many else arguments
        return tuple(_build(h, v, where, f"{path}[{i}]") for i, (h, v) in enumerate(zip(hints, value, strict=True)))
    if hint is str:
        if not isinstance(value, str):
            raise ValueError(f"{at}: want text, got {_shown(value)}")
        return value
    return _number(hint, value, at, path)


def _build_record(kind: type, value: Any, where: str, path: str) -> Any:
    at = f"{where}: {path}" if path else where
    if not isinstance(value, dict):
        raise ValueError(f"{at}: want a mapping of fields, got {_shown(value)}")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in value:
        if key not in fields:
            raise ValueError(f"{at}: {key!r} is not a field; known: {', '.join(fields)}")
    for key, field in fields.items():
        if key not in value and field.default is dataclasses.MISSING:
            raise ValueError(f"{at}: want the field {key!r}, got {', '.join(map(str, value)) or 'none'}")
    dot = f"{path}." if path else ""
    return kind(**{key: _build(hints[key], item, where, f"{dot}{key}") for key, item in value.items()})


def _number(hint: type, value: Any, at: str, path: str) -> int | float:
    low, high = _RANGES[path.rsplit(".")[-1].split("[")[0]]
    kinds = (int,) if hint is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        raise ValueError(f"{at}: want {'a whole number' if hint is int else 'a number'}, got {_shown(value)}")
    if not low <= value <= high:
        raise ValueError(f"{at}: want {low:g} to {high:g}, got {value!r}")
    return hint(value)


def _shown(value: Any) -> str:
    # A list may hold itself a thousand times over: repr would write out each.
    text = reprlib.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _UniqueKeys(yaml.SafeLoader):
    """Plain YAML, but a key that stands twice is an error: one of the two would be lost in silence."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put in what `<<` names. Raises yaml.YAMLError where mappings that name each other grow without end."""
        super().flatten_mapping(node)
        if len(node.value) > _MAX_MERGED:
            raise yaml.constructor.ConstructorError(
                None, None, f"want at most {_MAX_MERGED} fields merged by <<", node.start_mark
            )

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node. Raises yaml.YAMLError for a doubled key."""
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        doubled = sorted(key for key, times in keys.items() if times > 1)
        if doubled:
            raise yaml.constructor.ConstructorError(None, None, f"the key {doubled[0]!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)

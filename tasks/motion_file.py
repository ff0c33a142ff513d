"""What `motion` does behind the fence: motion and scene files read, and written as our own records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets.records import Motion, save_record
from tasks.backends.motion_files import is_motion_file, load_motion, source_of
from tasks.ops.compose import length_s
from tasks.ops.scene import MAX_TEXT, PerformerSpec, Scene, parse_scene, scene_to_json

SCENE_SUFFIXES = (".yaml", ".yml", ".json")


def read_motion_into(path: Path, out: Path, *, name: str) -> None:
    """Read the motion at `path`, which its run calls `name`, into the file `out`. Raises ValueError."""
    save_record(load_motion(path, source=name), out)


def read_scene_into(path: Path, out: Path, *, name: str, file: str, scene_file: str) -> None:
    """Read a scene into `scene_file` of the folder `out`, each performer's motion into `file` of its folder 0, 1, ...

    Raises ValueError, OSError.
    """
    scene = read_scene(path, name)
    for i, performer in enumerate(scene.performers):
        folder = out / str(i)
        folder.mkdir()
        source = (Path(name).parent / performer.motion).as_posix()
        read = load_motion(path.parent / performer.motion, source=source)
        _check_performer(performer, read, f"{name}: performers[{i}]")
        save_record(read, folder / file)
    (out / scene_file).write_text(scene_to_json(scene))


def names_in_scene(path: Path) -> list[str]:
    """The motions that a scene's performers name. Raises ValueError, OSError."""
    return [performer.motion for performer in read_scene(path).performers]


def motion_sources_of(paths: Sequence[Path]) -> list[str | None]:
    """For each array file the source that it is, or is a part of; None for one of another kind."""
    return [str(source_of(path)) if is_motion_file(path) or not path.is_file() else None for path in paths]


def read_scene(path: str | Path, where: str = "") -> Scene:
    """The scene of a YAML or JSON file. Raises ValueError with the field that is off, OSError for one not readable."""
    path = Path(path)
    if path.stat().st_size > MAX_TEXT:
        raise ValueError(f"{where or path}: want at most {MAX_TEXT} bytes of scene, got {path.stat().st_size}")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where or path}: want UTF-8 text, got {error.reason} at byte {error.start}") from error
    return parse_scene(text, where or str(path), name=path.stem)


def _check_performer(performer: PerformerSpec, read: Motion, where: str) -> None:
    people = read.pose.shape[0]
    if performer.person >= people:
        raise ValueError(f"{where}.person: want below {people}, the people in {read.source}, got {performer.person}")
    if performer.start_s >= length_s(read):
        got = performer.start_s
        raise ValueError(f"{where}.start_s: want below {length_s(read):.2f} s, the length of {read.source}, got {got}")

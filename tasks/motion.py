"""Motion or scene file -> Motion records; Motions -> scene items: what is danced, by whom, where, and who looks on.

The stage reads one source: a motion file (or the files of one motion), or a scene file with the motions that it names.
`compose` then turns what was read into items for `render`, one a camera.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.npz import write_npz
from datasets.records import Artifact, Motion, load_record, save_record
from datasets.store import Store, write_atomic
from tasks.backends.motion_files import group_of, load_motion
from tasks.backends.smplx import body_digest
from tasks.batch import Batch, Env, Item, Reject, Stage
from tasks.ops import choreography
from tasks.ops.compose import Looks, Plan, compose_alone, compose_pair, length_s, partners, scene_digest
from tasks.ops.scene import (
    MAX_TEXT,
    PerformerSpec,
    Scene,
    one_camera_each,
    parse_scene,
    scene_from_json,
    scene_to_json,
)
from tasks.probe import sha256_of

VERSION = 1
FILE, SCENE_FILE = "motion.npz", "scene.json"
SCENE_SUFFIXES = (".yaml", ".yml", ".json")
_BALANCE_FPS = 30  # only for balancing batches


@dataclass(frozen=True, kw_only=True)
class Config:
    """How motions become scenes. Scene files say all of it themselves, but for the body models."""

    compose: Literal["pairs", "each"] = "pairs"  # single-person motions become duets, or are rendered alone
    partners: int = 1  # partners drawn for each single motion
    cameras: int = 2  # clips of each composed scene
    looks: Looks = "dressed"
    match: bool = False  # look-alikes: equal bodies and clothes
    min_s: float = 2.0  # shorter single motions are repeated
    max_s: float = 10.0  # longer motions are cut
    body_models: str | None = None  # folder of official SMPL, SMPL-H or SMPL-X files; None: the default body
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.min_s <= self.max_s:
            raise ValueError(f"motion: want 0 < min_s <= max_s, got {self.min_s} and {self.max_s}")
        if self.partners < 1 or self.cameras < 1:
            raise ValueError(f"motion: want partners and cameras of 1 or more, got {self.partners} and {self.cameras}")
        if self.seed < 0:
            raise ValueError(f"motion.seed: want 0 or more, got {self.seed}")


def check(config: Config) -> None:
    """Raise ValueError for a folder of body models that is not there or holds none."""
    if config.body_models is not None:
        body_digest(config.body_models, [("smpl", "neutral")])


def source_item(path: str | Path, source: str, store: Store) -> Item:
    """The item of a motion or scene file: `source` is its name under its root, `path` where it lies now.

    Its part holds the sha256 of all that is read for it: the file, its group, or a scene and the motions that it names.
    Raises OSError for a file that cannot be read.
    """
    path = Path(path)
    return Item(key=source, source=source, path=os.fspath(path), part=f"{_sha256(path, store)} {source}")


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Read a motion into motion.npz, or a scene into scene.json and a folder 0, 1, ... for each performer's motion."""
    path = Path(item.path)
    if path.suffix.lower() not in SCENE_SUFFIXES:
        save_record(load_motion(path, source=item.source), out / FILE)
        return
    scene = read_scene(path, item.source)
    for i, performer in enumerate(scene.performers):
        folder = out / str(i)
        folder.mkdir()
        source = (Path(item.source).parent / performer.motion).as_posix()
        read = load_motion(path.parent / performer.motion, source=source)
        _check_performer(performer, read, f"{item.source}: performers[{i}]")
        save_record(read, folder / FILE)
    (out / SCENE_FILE).write_text(scene_to_json(scene))


STAGE = Stage(name="motion", version=VERSION, inputs=(), compute=compute)


@task(name="motion", cache_policy=NO_CACHE, persist_result=False)
def motion(batch: Batch, config: Config, env: Env) -> Batch:
    """Motion and scene files -> Motion records."""
    return STAGE.run(batch, config, env)


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


def compose(batch: Batch, config: Config, split: Callable[[str], str] = lambda sha256: "") -> Batch:
    """Items of motions and scenes that were read -> items of scenes with one camera each, for `render`.

    A scene item: part = the scene's canonical JSON, artifacts motion.0, motion.1, ... for its performers in order, and
    `body`, whose key says what the bodies are made from (its path is the folder of official models; empty for the
    default body). `split` says for a motion's sha256 to which split it will go: partners come from the same one, for a
    duet across two would tie both, and through chains of duets the whole dataset, to one split.
    Raises ValueError when config.body_models has no body for a motion.
    """
    check(config)
    rejects, out, singles = list(batch.rejects), list[Item](), list[tuple[Item, Motion]]()
    plan = Plan(
        seed=config.seed, partners=config.partners, cameras=config.cameras, min_s=config.min_s, max_s=config.max_s,
        looks=config.looks, match=config.match,
    )  # fmt: skip
    for item in batch.items:
        folder = item.folder("motion")
        if (folder / SCENE_FILE).exists():
            out += _of_scene_file(item, config)
            continue
        read = load_record(Motion, folder / FILE)
        if read.pose.shape[0] == 1 and config.compose == "pairs":
            singles.append((item, read))
            continue
        try:
            scenes = compose_alone(read, plan, name=Path(item.source).stem)
        except ValueError as refusal:
            rejects.append(Reject(source=item.source, clip="", stage="motion", reason=str(refusal), fault=False))
            continue
        for scene in scenes:
            out += _items(scene, [item] * len(scene.performers), [read] * len(scene.performers), config)
    for name_of_split in sorted({split(read.sha256) for _, read in singles}):
        here = [(item, read) for item, read in singles if split(read.sha256) == name_of_split]
        for i, j in partners([read.sha256 for _, read in here], plan.seed, plan.partners):
            (one, first), (other, second) = here[i], here[j]
            name = f"{Path(one.source).stem}-{Path(other.source).stem}"
            for scene in compose_pair(first, second, plan, name=name):
                out += _items(scene, [one, other], [first, second], config)
    return Batch(items=tuple(out), rejects=tuple(rejects), costs=batch.costs)


def scene_of(item: Item) -> Scene:
    """The scene of a scene item, with its one camera."""
    return scene_from_json(item.part)


def motions_of(item: Item) -> list[Motion]:
    """The motions of a scene item, one a performer."""
    return [load_record(Motion, item.folder(f"motion.{i}") / FILE) for i in range(len(scene_of(item).performers))]


def sha256_of_scene(item: Item) -> str:
    """What stands for the source file's sha256 of a scene item: over its motions' and the scene without its cameras."""
    return scene_digest(scene_of(item), [read.sha256 for read in motions_of(item)])


def write_demo_motions(folder: str | Path, seed: int = 0) -> list[Path]:
    """Write the demo's choreography: AMASS files and the scene files that use them. Returns the scene files.

    The same seed gives the same bytes; files that are there with these bytes are left alone.
    """
    return [write_scene(Path(folder) / f"{name}.json", files, scene) for name, files, scene in choreography.demo(seed)]


def write_scene(path: Path, files: Mapping[str, Mapping[str, np.ndarray]], scene: Scene) -> Path:
    """Write a scene file and, beside it, the AMASS files that it uses. Returns `path`.

    Files that are there with the same bytes are left alone.
    """
    for file, arrays in files.items():
        buffer = io.BytesIO()
        write_npz(buffer, arrays)
        _write_once(path.parent / file, buffer.getvalue())
    _write_once(path, scene_to_json(scene).encode())
    return path


def _sha256(path: Path, store: Store) -> str:
    if path.suffix.lower() not in SCENE_SUFFIXES:
        try:
            files = group_of(path)
        except ValueError:
            return hashlib.sha256(b"no motion").hexdigest()  # the stage will say what is off
        return _combined([(file.name, sha256_of(file, store)) for file in files])
    digests = [("scene", sha256_of(path, store))]
    try:
        performers = read_scene(path).performers
    except ValueError:
        return digests[0][1]  # the stage will say what is off
    for performer in performers:
        try:
            named = [(performer.motion, sha256_of(file, store)) for file in group_of(path.parent / performer.motion)]
        except (ValueError, OSError):
            named = [(performer.motion, "missing")]  # the stage will say so
        digests += named
    return _combined(digests)


def _combined(digests: Sequence[tuple[str, str]]) -> str:
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in digests).encode()).hexdigest()


def _of_scene_file(item: Item, config: Config) -> list[Item]:
    folder, artifact = item.folder("motion"), item.artifacts["motion"]
    scene = scene_from_json((folder / SCENE_FILE).read_text())
    parts, reads = [], []
    for i in range(len(scene.performers)):
        path = folder / str(i)
        parts.append(replace(item, artifacts={"motion": Artifact(key=f"{artifact.key}.{i}", path=str(path))}))
        reads.append(load_record(Motion, path / FILE))
    return _items(scene, parts, reads, config)


def _items(scene: Scene, parts: Sequence[Item], reads: Sequence[Motion], config: Config) -> list[Item]:
    """One item a camera. Its key holds a digest of the motions and the scene, and the camera's number."""
    digest = scene_digest(scene, [read.sha256 for read in reads])
    people = list(zip(scene.performers, reads, strict=True))
    body = body_digest(config.body_models, [(r.model, p.gender or r.gender[p.person]) for p, r in people])
    artifacts = {f"motion.{i}": part.artifacts["motion"] for i, part in enumerate(parts)}
    artifacts["body"] = Artifact(key=body, path=config.body_models or "")
    fps = reads[0].fps
    start = round(scene.performers[0].start_s * float(fps))
    duration = scene.duration_s or min(length_s(r) - p.start_s for p, r in people)
    out = []
    for number, single in enumerate(one_camera_each(scene)):
        name = f"{_slug(scene.name)}-c{number}" if len(scene.cameras) > 1 else _slug(scene.name)
        out.append(
            Item(
                key=f"{name}-{digest[:8]}-{start:08d}",
                source=" + ".join(dict.fromkeys(part.source for part in parts)),
                path=parts[0].path,
                part=scene_to_json(single),
                frames=max(1, round(duration * _BALANCE_FPS)),
                artifacts=artifacts,
            )
        )
    return out


def _check_performer(performer: PerformerSpec, read: Motion, where: str) -> None:
    people = read.pose.shape[0]
    if performer.person >= people:
        raise ValueError(f"{where}.person: want below {people}, the people in {read.source}, got {performer.person}")
    if performer.start_s >= length_s(read):
        got = performer.start_s
        raise ValueError(f"{where}.start_s: want below {length_s(read):.2f} s, the length of {read.source}, got {got}")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:60] or "scene"


def _write_once(path: Path, data: bytes) -> None:
    """Write a file unless it is there with these bytes: an unchanged file keeps its time, and so its noted sha256."""
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)

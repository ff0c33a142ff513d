"""Motion or scene file -> Motion records; Motions -> scene items: what is danced, by whom, where, and who looks on.

The stage reads one source: a motion file (or the files of one motion), or a scene file with the motions that it names.
`compose` then turns what was read into items for `render`, one a camera.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.npz import write_npz
from datasets.records import Artifact, Motion, load_record
from datasets.store import Store, write_atomic
from tasks.backends.motion_files import group_of
from tasks.backends.sandbox import Limits
from tasks.backends.smplx import body_digest
from tasks.batch import Batch, Env, Item, Reject, Stage
from tasks.fence import Crashed, Fence, check_limits, limit
from tasks.motion_file import SCENE_SUFFIXES, motion_sources_of, names_in_scene, read_motion_into, read_scene_into
from tasks.ops import choreography
from tasks.ops.compose import (
    Looks,
    Plan,
    compose_alone,
    compose_pair,
    in_order,
    length_s,
    partners,
    scene_digest,
    still,
)
from tasks.ops.scene import Scene, inside, one_camera_each, scene_from_json, scene_to_json
from tasks.probe import forget_sha256, sha256_of
from tasks.source_files import motion_here

VERSION = 1
FILE, SCENE_FILE = "motion.npz", "scene.json"
_BALANCE_FPS = 30  # only for balancing batches
_S_PER_MB = 1.0
# For a scene's names alone.
_LOOK = Limits(budget_s=60, memory_mb=4096)


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
    budget_s: float = limit(120.0)  # for reading a file, and 1 s more for each MB; then it is given up
    memory_mb: int = limit(8192)  # for reading it

    def __post_init__(self) -> None:
        if not 0 < self.min_s <= self.max_s:
            raise ValueError(f"motion: want 0 < min_s <= max_s, got {self.min_s} and {self.max_s}")
        if self.partners < 1 or self.cameras < 1:
            raise ValueError(f"motion: want partners and cameras of 1 or more, got {self.partners} and {self.cameras}")
        if self.seed < 0:
            raise ValueError(f"motion.seed: want 0 or more, got {self.seed}")
        check_limits("motion", self.budget_s, self.memory_mb)


def check(config: Config) -> None:
    """Raise ValueError for a folder of body models that is not there or holds none."""
    if config.body_models is not None:
        body_digest(config.body_models, [("smpl", "neutral")])


def source_item(path: str | Path, source: str, store: Store) -> Item:
    """The item of a motion or scene file: `source` is its name under its root, `path` where it lies now.

    Its part holds the sha256 of all that is read for it: the file, its group, or a scene and the motions that it names.
    Raises OSError for a file that cannot be read.
    """
    return Item(key=source, source=source, path=os.fspath(path), part=f"{_sha256(_here(path), store)} {source}")


def contents(path: str | Path, store: Store) -> tuple[str, ...]:
    """The sha256 of each motion that a scene file uses, as that motion's own item has it; none where it is no scene."""
    path = _here(path)
    if path.suffix.lower() not in SCENE_SUFFIXES:
        return ()
    there = [one for name in dict.fromkeys(motions_named(path)) if (one := path.parent / name).exists()]
    return tuple(_sha256(one, store) for one in there)


def forget_sha256s(path: str | Path, store: Store) -> None:
    """Forget what is remembered of a source's files; see tasks.probe.forget_sha256."""
    for file in files_of(_here(path)):
        forget_sha256(file, store)


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Read a motion into motion.npz, or a scene into scene.json and a folder 0, 1, ... for each performer's motion.

    Behind the fence, which opens the files of the motion, or those that the scene names, and no other.
    """
    path = Path(item.path)
    files = files_of(path)
    megabytes = sum(os.path.getsize(file) for file in files if os.path.isfile(file)) / 1e6
    fence = Fence(
        stage="motion",
        name=Path(item.source).name,
        limits=Limits(budget_s=config.budget_s + _S_PER_MB * megabytes, memory_mb=config.memory_mb),
        # A folder is read to see which files in it make one motion.
        reads=(*map(str, files), *dict.fromkeys(str(file.parent) for file in files)),
        writes=(str(out),),
    )
    if path.suffix.lower() in SCENE_SUFFIXES:
        fence.call(read_scene_into, path, out, name=item.source, file=FILE, scene_file=SCENE_FILE)
    else:
        fence.call(read_motion_into, path, out / FILE, name=item.source)


def files_of(path: Path) -> list[Path]:
    """The files that a source is read from: a scene's are the scene and the motions that it names, where they are."""
    if path.suffix.lower() in SCENE_SUFFIXES:
        named = [path.parent / name for name in motions_named(path)]
        return [path, *(file for one in named for file in _group(one))]
    return _group(path)


def motions_named(path: Path) -> list[str]:
    """The motions that a scene file names, in order of its performers; none where it is no good: its stage says why."""
    fence = Fence(stage="motion", name=path.name, limits=_LOOK, reads=(str(path),))
    try:
        named = fence.call(names_in_scene, path)
    except (ValueError, OSError, Crashed):
        return []
    return [str(name) for name in named if inside(str(name))]


def sources_among(paths: Sequence[Path]) -> dict[Path, Path]:
    """Those of array files that are motion: file -> its source, which is it, or its folder, or the first of its group.

    What cannot be read is among them: its stage says why. Read behind the fence, all in one call.
    """
    if not paths:
        return {}
    # Of an npz only the names are read.
    megabytes = sum(p.stat().st_size for p in paths if p.is_file() and p.suffix.lower() != ".npz") / 1e6
    limits = replace(_LOOK, budget_s=_LOOK.budget_s + 0.05 * len(paths) + _S_PER_MB * megabytes)
    fence = Fence(stage="motion", name=paths[0].name, limits=limits, reads=tuple(map(str, paths)))
    try:
        found = fence.call(motion_sources_of, list(paths))
        return {path: Path(str(source)) for path, source in zip(paths, found, strict=True) if source is not None}
    except (Crashed, ValueError):
        if len(paths) == 1:
            return {paths[0]: paths[0]}
        return {path: source for one in paths for path, source in sources_among([one]).items()}


def _group(path: Path) -> list[Path]:
    try:
        return group_of(path)
    except (ValueError, OSError):
        return []  # the stage will say what is off


def here(path: str) -> str:
    """A source's path on this machine, with all files that it is read from."""
    return motion_here(path, motions_named)


def _here(path: str | Path) -> Path:
    return Path(here(str(path)))


STAGE = Stage(name="motion", version=VERSION, inputs=(), compute=compute, here=here)


@task(name="motion", cache_policy=NO_CACHE, persist_result=False)
def motion(batch: Batch, config: Config, env: Env) -> Batch:
    """Motion and scene files -> Motion records."""
    return STAGE.run(batch, config, env)


def compose(
    batch: Batch, config: Config, split: Callable[[str], str] = lambda sha256: "", keep: Collection[str] = ()
) -> Batch:
    """Items of motions and scenes that were read -> items of scenes with one camera each, for `render`.

    A scene item: part = the scene's canonical JSON, artifacts motion.0, motion.1, ... for its performers in order, and
    `body`, whose key says what the bodies are made from (its path is the folder of official models; empty for the
    default body). `split` says for a motion's sha256 to which split it will go: partners come from the same one, for a
    duet across two would tie both, and through chains of duets the whole dataset, to one split. `keep` names duets
    ("a.npz + b.npz") that are there already and stay, whoever else came: motions that are added take none away.
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
        shas = [read.sha256 for _, read in here]
        stay = still([item.source for item, _ in here], shas, keep)
        for i, j in in_order({*partners(shas, plan.seed, plan.partners), *stay}):
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
    return [load_record(Motion, item.file(f"motion.{i}", FILE)) for i in range(len(scene_of(item).performers))]


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
    for name in motions_named(path):
        try:
            named = [(name, sha256_of(file, store)) for file in group_of(path.parent / name)]
        except (ValueError, OSError):
            named = [(name, "missing")]  # the stage will say so
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
        part = Artifact(key=f"{artifact.key}.{i}", path=f"{artifact.path}/{i}")
        parts.append(replace(item, artifacts={"motion": part}))
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


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:60] or "scene"


def _write_once(path: Path, data: bytes) -> None:
    """Write a file unless it is there with these bytes: an unchanged file keeps its time, and so its noted sha256."""
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)

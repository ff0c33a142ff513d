"""Motions, a Scene with one camera -> Clip, People, Cast: the performance filmed, and the exact truth about every
frame of it.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.members import encode_masks
from datasets.npz import write_npz
from datasets.records import Cast, Clip, Motion, save_record
from datasets.video import VideoWriter, write_depth
from tasks.backends.performer import perform, scene_frames
from tasks.backends.pyrender import MAX_PEOPLE, Style, raster
from tasks.batch import Batch, Env, Item, Refused, Stage
from tasks.motion import motions_of, scene_of, sha256_of_scene
from tasks.ops.backdrop import Place, build_place
from tasks.ops.camera import Track, project
from tasks.ops.camera_path import plan_camera, surroundings
from tasks.ops.drawn import Frame
from tasks.ops.performance import Performance
from tasks.ops.robot import as_robot
from tasks.ops.scene import PerformerSpec, Scene
from tasks.ops.surface import prepare
from tasks.ops.truth import gather, inside_share
from tasks.ops.visibility import Seen, body_size, observe
from tasks.ops.wardrobe import dress_cast

VERSION = 1
# Frames whose rigid robot parts, or pixels, are held at a time.
_CHUNK = 64


@dataclass(frozen=True, kw_only=True)
class Config:
    """How scenes are filmed. Motion, cameras, bodies and clothes are the scene's own."""

    width: int = 512
    height: int = 512
    fps: int = 30
    seed: int = 0  # added to the scene's own: other floors, backdrops and light over the same scenes
    crf: int = 20  # H.264 quality, as in the shards
    gop: int = 12
    textures: bool = True
    shadows: bool = True
    depth: bool = True  # write depth.mkv

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if not 32 <= value <= 4096 or value % 2:
                raise ValueError(f"render.{name}: want an even number of pixels from 32 to 4096, got {value}")
        if not 1 <= self.fps <= 240:
            raise ValueError(f"render.fps: want 1 to 240 frames a second, got {self.fps}")
        if not 0 <= self.crf <= 51 or self.gop < 1 or self.seed < 0:
            got = f"{self.crf}, {self.gop}, {self.seed}"
            raise ValueError(f"render: want crf 0 to 51, gop of 1 or more, seed of 0 or more, got {got}")

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) pixels."""
        return self.height, self.width


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shot:
    """A scene made ready to be filmed."""

    scene: Scene
    cast: tuple[Performance, ...]  # as they move; robots are made of these, chunk by chunk
    track: Track
    place: Place

    @property
    def num_frames(self) -> int:
        """T."""
        return self.cast[0].num_frames


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Film the item's scene into `out`: clip, people, cast, body parameters, cameras, amodal masks, depth."""
    scene, motions = scene_of(item), motions_of(item)
    if len(scene.performers) > MAX_PEOPLE:
        raise Refused(f"want at most {MAX_PEOPLE} performers, got {len(scene.performers)}")
    shot = stage_shot(scene, motions, item.artifacts["body"].path or None, config)
    seen, inside, coco = _film(shot, config, out)
    people, amodal = gather(seen, inside, size=config.size, fps=Fraction(config.fps))
    save_record(people, out / "people.npz")
    (out / "amodal.npz").write_bytes(encode_masks(amodal))
    _save_bodies(shot, motions, out / "smpl.npz")
    _save_scene(shot, coco, item.part, out / "scene.npz")
    save_record(_cast(shot), out / "cast.npz")
    save_record(_clip(item, shot, config), out / "clip.npz")


class SceneStage(Stage):
    """A stage whose inputs are as many as its scene has performers."""

    def key(self, item: Item, config: object, env: Env, extra: Sequence[str] = ()) -> str:
        """The content key over the performers' motions, in order, and the bodies' own digest."""
        performers = len(scene_of(item).performers)
        names = [*(f"motion.{i}" for i in range(performers)), "body"]
        return super().key(item, config, env, [*extra, *(f"{name}={item.artifacts[name].key}" for name in names)])


STAGE = SceneStage(name="render", version=VERSION, inputs=(), compute=compute)


@task(name="render", cache_policy=NO_CACHE, persist_result=False)
def render(batch: Batch, config: Config, env: Env) -> Batch:
    """Scenes with one camera -> clips with exact people."""
    return STAGE.run(batch, config, env)


def stage_shot(scene: Scene, motions: Sequence[Motion], body_models: str | None, config: Config) -> Shot:
    """Bodies, camera and place of a scene. Raises ValueError for motions or body models that do not fit it."""
    fps = Fraction(config.fps)
    cast = perform(scene, motions, body_models=body_models, fps=fps, frames=scene_frames(scene, motions, fps))
    joints = np.stack([body.joint for body in cast])
    camera = scene.cameras[0]
    track = plan_camera(camera, joints, fps=config.fps, size=config.size)
    radius, centre = surroundings(track, joints)
    seed = int(np.random.default_rng((config.seed, scene.seed, camera.seed)).integers(2**31))
    return Shot(scene=scene, cast=cast, track=track, place=build_place(seed, radius, centre, textures=config.textures))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """One frame of a shot, drawn and understood."""

    frame: Frame
    seen: Seen
    inside: np.ndarray  # (P,) share of each body that is inside the picture, hidden or not
    coco: np.ndarray  # (P, 17, 3) world joints, with the face points of the look


def draw(shot: Shot, config: Config) -> Iterator[Moment]:
    """Every frame of a shot in order. What is in memory besides the bodies does not grow with their number."""
    first = [_looked(body, spec, slice(0, 1)) for body, spec in zip(shot.cast, shot.scene.performers, strict=True)]
    surfaces = [prepare(body.faces, body.region, body.rest_vertex, body.rest_joint) for body in first]
    spread = [np.unique(surface.caster) for surface in surfaces]
    sizes = [body_size(body.rest_joint) for body in first]
    palettes = dress_cast(shot.scene.performers)
    with raster(config.size, surfaces, palettes, shot.place, Style(shadows=config.shadows)) as drawn:
        for start in range(0, shot.num_frames, _CHUNK):
            part = slice(start, min(start + _CHUNK, shot.num_frames))
            cast = [_looked(body, spec, part) for body, spec in zip(shot.cast, shot.scene.performers, strict=True)]
            views = [shot.track.at(frame) for frame in range(part.start, part.stop)]
            moments = (([body.vertices[i] for body in cast], view) for i, view in enumerate(views))
            for i, (frame, view) in enumerate(zip(drawn.frames(moments), views, strict=True)):
                coco = np.stack([body.coco[i] for body in cast])
                inside = [
                    inside_share(*project(body.vertices[i, points], view.intrinsics, view.extrinsics), config.size)
                    for body, points in zip(cast, spread, strict=True)
                ]
                yield Moment(frame=frame, seen=observe(frame, coco, view, sizes), inside=np.array(inside), coco=coco)


def _looked(body: Performance, spec: PerformerSpec, part: slice) -> Performance:
    """Some frames of a performance, with the surface of the performer's look."""
    names = ("vertices", "joint", "coco", "transform", "pose", "trans")
    piece = replace(body, **{name: getattr(body, name)[part] for name in names})
    return as_robot(piece) if spec.look == "robot" else piece


def _film(shot: Shot, config: Config, out: Path) -> tuple[list[Seen], np.ndarray, np.ndarray]:
    """Draw the shot into clip.mp4 and depth.mkv as it goes; the truth of all frames, shares inside (P, T), coco."""
    fps = Fraction(config.fps)
    seen: list[Seen] = []
    inside: list[np.ndarray] = []
    coco: list[np.ndarray] = []
    with VideoWriter(out / "clip.mp4", fps=fps, size=config.size, crf=config.crf, gop=config.gop) as video:

        def depths() -> Iterator[np.ndarray]:
            for moment in draw(shot, config):
                video.write(moment.frame.color)
                seen.append(moment.seen)
                inside.append(moment.inside)
                coco.append(moment.coco)
                yield moment.frame.depth

        if config.depth:
            write_depth(out / "depth.mkv", depths(), fps)
        else:
            deque(depths(), maxlen=0)
    return seen, np.stack(inside, axis=1), np.stack(coco, axis=1)


def _clip(item: Item, shot: Shot, config: Config) -> Clip:
    return Clip(
        key=item.key, source=item.source, sha256=sha256_of_scene(item), file="clip.mp4", start=0,
        frames=shot.num_frames, fps=Fraction(config.fps), size=config.size, audio=False, licence="",
    )  # fmt: skip


def _cast(shot: Shot) -> Cast:
    performers = shot.scene.performers
    names: list[str] = []
    for body, spec in zip(shot.cast, performers, strict=True):
        name = _identity(body, spec)
        alike = sum(other.startswith(name) for other in names)
        names.append(f"{name}-{alike + 1}" if alike else name)  # twins are two people
    return Cast(
        kind=tuple("robot" if spec.look == "robot" else "human" for spec in performers),
        kind_confidence=np.ones(len(names), np.float32),
        kind_reason=("rendered",) * len(names),
        identity=tuple(names),
        identity_confidence=np.ones(len(names), np.float32),
    )


def _identity(body: Performance, spec: PerformerSpec) -> str:
    """A name for a performer: equal for the same body in the same clothes, in whatever scene."""
    plain = json.dumps([body.model, spec.look, spec.clothes_seed, body.betas.tobytes().hex()])
    return f"performer-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def _save_bodies(shot: Shot, motions: Sequence[Motion], path: Path) -> None:
    """Body parameters, person by person, for two models may number their joints and betas differently."""
    arrays: dict[str, np.ndarray] = {}
    for p, (body, motion, spec) in enumerate(zip(shot.cast, motions, shot.scene.performers, strict=True)):
        arrays |= {f"pose_{p}": body.pose, f"trans_{p}": body.trans, f"betas_{p}": body.betas}
        arrays |= {f"model_{p}": np.array(body.model), f"gender_{p}": np.array(motion.gender[spec.person])}
    write_npz(path, arrays)


def _save_scene(shot: Shot, coco: np.ndarray, text: str, path: Path) -> None:
    """Cameras (OpenCV's conventions), 3-D joints in the world, light, and the scene's own JSON as bytes."""
    arrays = {
        "intrinsics": shot.track.intrinsics, "extrinsics": shot.track.extrinsics, "coco": coco,
        "joint": np.stack([body.joint for body in shot.cast]), "to_light": shot.place.to_light,
        "json": np.frombuffer(text.encode(), np.uint8),
    }  # fmt: skip
    write_npz(path, arrays)

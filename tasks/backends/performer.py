"""Scene, Motion -> Performance: every performer at the render's rate, in place, dressed, feet on the floor."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np

from datasets.records import Motion
from tasks.backends.smplx import NUM_BETAS, Body, find_body, load_body, surface
from tasks.ops import body_build, floor, retime
from tasks.ops.body_regions import Dress, cut_of, dress
from tasks.ops.performance import Performance
from tasks.ops.scene import PerformerSpec, Scene

BLEND_S = 0.4  # cross-fade where a motion begins again
# COCO-17 from the 24 joints: shoulders, elbows, wrists, hips, knees, ankles; nose, eyes and ears are vertices.
_COCO_JOINTS = (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)


def scene_frames(scene: Scene, motions: Sequence[Motion], fps: Fraction) -> int:
    """Frames of a scene at a rate: its duration, or what is left of its shortest motion."""
    duration = scene.duration_s
    if duration is None:
        duration = min(
            (motion.pose.shape[1] - 1) / float(motion.fps) - spec.start_s
            for spec, motion in zip(scene.performers, motions, strict=True)
        )
    return max(1, math.floor(duration * fps + 1e-6))


def perform(
    scene: Scene, motions: Sequence[Motion], *, body_models: str | Path | None, fps: Fraction, frames: int
) -> tuple[Performance, ...]:
    """Every performer of a scene over `frames` frames; motions are aligned with scene.performers.

    A motion that ends earlier begins again where it has come to. Raises ValueError for a performer that the motion has
    not, a start past its end, or a body model that is not there.
    """
    if len(motions) != len(scene.performers):
        raise ValueError(f"{scene.name}: want {len(scene.performers)} motions, one a performer, got {len(motions)}")
    cast = [_Part(spec, motion, body_models) for spec, motion in zip(scene.performers, motions, strict=True)]
    for part in cast:
        part.move(fps, frames)
    _stand(cast, float(fps))
    return tuple(part.performance() for part in cast)


class _Part:
    """One performer on the way from specification to performance."""

    def __init__(self, spec: PerformerSpec, motion: Motion, body_models: str | Path | None) -> None:
        people, frames = motion.pose.shape[:2]
        if spec.person >= people:
            raise ValueError(f"{motion.source}: want a person below {people}, got person {spec.person}")
        end_s = (frames - 1) / float(motion.fps)
        if spec.start_s >= end_s:
            raise ValueError(f"{motion.source}: want a start_s below its length, {end_s:.2f} s, got {spec.start_s}")
        self.spec, self.motion = spec, motion
        gender = spec.gender or motion.gender[spec.person]
        self.body = load_body(find_body(body_models, motion.model, gender))
        self.betas = _betas(spec, motion, self.body, gender)
        self.rest, self.joint = self.body.shaped(self.betas)

    def move(self, fps: Fraction, frames: int) -> None:
        """Pose and trans at the render's rate, in place; the surface, still at the motion's own height."""
        spec, rate = self.spec, float(self.motion.fps)
        pose = self.motion.pose[spec.person].astype(np.float64)
        trans = self.motion.trans[spec.person].astype(np.float64)
        first = round(spec.start_s * rate)
        needed = math.ceil((frames - 1) / float(fps) * rate) + 1
        pose, trans = retime.repeat(pose[first:], trans[first:], needed, blend=round(BLEND_S * rate))
        pose, trans = retime.sample(pose, trans, rate, np.arange(frames) / float(fps))
        pose = self._at_ease(retime.retarget(pose, self.motion.model, self.body.kind))
        pelvis = self.joint[0].astype(np.float64)
        pose, trans = retime.place(pose, trans, pelvis, spec.position, spec.heading_deg)
        self.pose, self.trans = pose.astype(np.float32), trans.astype(np.float32)
        self.vertices = surface(self.body, self.pose, self.trans, self.betas)

    def _at_ease(self, pose: np.ndarray) -> np.ndarray:
        """Fingers relaxed where the motion has none."""
        if self.body.kind == "smpl" or pose[:, -30:].any():
            return pose
        pose = pose.copy()
        pose[:, -30:] = self.body.relaxed
        return pose

    def lower(self, height: np.ndarray) -> None:
        """Take a height (T,) off every frame."""
        self.trans[:, 1] -= height.astype(np.float32)
        self.vertices[:, :, 1] -= height.astype(np.float32)[:, None]

    def performance(self) -> Performance:
        """The finished record."""
        body, clothes = self.body, _dress(self.body, self.spec.clothes_seed)
        transform = retime.transforms(
            self.pose.astype(np.float64), self.trans.astype(np.float64), self.joint.astype(np.float64), body.parents
        )
        transform = body.pick(transform).astype(np.float32)
        joint = np.ascontiguousarray(transform[:, :, :3, 3])
        head = self.vertices[:, body.head_points]
        return Performance(
            vertices=clothes.extend(self.vertices), faces=clothes.faces, region=clothes.region, joint=joint,
            coco=np.concatenate([head, joint[:, _COCO_JOINTS]], axis=1), transform=transform,
            rest_joint=body.pick(self.joint).astype(np.float32), rest_vertex=clothes.extend(self.rest[None])[0],
            pose=self.pose, trans=self.trans, betas=self.betas, model=body.name,
        )  # fmt: skip


def _stand(cast: Sequence[_Part], fps: float) -> None:
    """Bring feet to the floor: people of one file together, for one may carry the other; all others alone."""
    groups: dict[str, list[_Part]] = {}
    for i, part in enumerate(cast):
        together = part.motion.pose.shape[0] > 1 and part.spec.position is None
        groups.setdefault(part.motion.sha256 if together else f"alone {i}", []).append(part)
    for parts in groups.values():
        found = [floor.lowest(part.vertices, fps) for part in parts]
        heights = floor.corrections([low for low, _ in found], [speed for _, speed in found], fps)
        for part, height in zip(parts, heights, strict=True):
            part.lower(height)


def _betas(spec: PerformerSpec, motion: Motion, body: Body, gender: str) -> np.ndarray:
    own = motion.betas[spec.person][:NUM_BETAS]
    if body.official:
        if spec.shape_seed is None:
            return np.pad(own, (0, NUM_BETAS - len(own))).astype(np.float32)
        rng = np.random.default_rng((spec.shape_seed, 0xB0D1))
        return np.clip(rng.normal(0, 0.8, NUM_BETAS), -2, 2).astype(np.float32)
    if spec.shape_seed is None and not own.any():
        mean = np.zeros(NUM_BETAS, np.float32)
        mean[0] = {"male": 0.9, "female": -0.9}.get(gender, 0.0)
        return mean
    # Betas of SMPL say nothing on another body, but they tell people apart: unlike betas, unlike bodies.
    seed = zlib.crc32(own.tobytes()) if spec.shape_seed is None else spec.shape_seed
    return body_build.sample_betas(seed, gender)


@lru_cache(maxsize=64)
def _dress(body: Body, seed: int) -> Dress:
    joint = body.pick(body.regressor @ body.template)
    return dress(
        body.template, body.faces, body.weights, joint, body.template[body.head_points], body.eyes, cut_of(seed)
    )

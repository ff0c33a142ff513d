"""Performance -> the same moves by a humanoid robot: rigid parts hung on the joints, nothing that bends."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tasks.ops.body_regions import BROWS, EYES, HAIR, LIPS, LOWER, SHIRT, SHOES, SKIN
from tasks.ops.performance import JOINTS, Performance
from tasks.ops.solids import Mesh, ball, capsule, lathe, moved, rounded_box

_AT = {name: i for i, name in enumerate(JOINTS)}
# Distance from ankle to head joint of a body of 1.7 m; parts are sized by it.
_TALL_M = 1.45
_FACE = 5  # of COCO's joints: nose, eyes, ears


def as_robot(body: Performance) -> Performance:
    """The performance with a robot's surface and face points; joints, pose and transforms stay the body's."""
    parts, face = _parts(body.rest_joint.astype(float), body.rest_vertex.astype(float))
    vertices, faces, region, joint = [], [], [], []
    start = 0
    for where, what, (points, triangles) in parts:
        vertices.append(points)
        faces.append(triangles + start)
        region.append(np.full(len(triangles), what, np.uint8))
        joint.append(np.full(len(points), _AT[where]))
        start += len(points)
    rest, owner = np.concatenate(vertices).astype(np.float32), np.concatenate(joint)
    coco = body.coco.copy()
    head = _AT["head"]
    coco[:, :_FACE] = _carry(body, face.astype(np.float32), np.full(_FACE, head))
    return replace(
        body,
        vertices=_carry(body, rest, owner),
        faces=np.concatenate(faces).astype(np.int32),
        region=np.concatenate(region),
        rest_vertex=rest,
        coco=coco,
    )


def _carry(body: Performance, rest: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Rest points (N, 3), each moved with its joint: (T, N, 3) float32."""
    out = np.empty((body.num_frames, len(rest), 3), np.float32)
    for joint in np.unique(owner):
        mine = owner == joint
        local = rest[mine] - body.rest_joint[joint]
        turn, shift = body.transform[:, joint, :3, :3], body.transform[:, joint, :3, 3]
        out[:, mine] = local @ turn.transpose(0, 2, 1) + shift[:, None]
    return out


Part = tuple[str, int, Mesh]  # joint that moves it, region, mesh at rest


@dataclass(frozen=True, slots=True)
class _Kit:
    """Makes parts in the measures of a body of 1.7 m, sized to this one."""

    size: float

    def point(self, at: np.ndarray, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
        """A point beside another."""
        return at + self.size * np.array([x, y, z])

    def box(self, at: np.ndarray, sides: tuple[float, float, float], radius: float) -> Mesh:
        """A box with rounded edges around a point."""
        return moved(rounded_box([self.size * side for side in sides], self.size * radius), at)

    def rod(self, start: np.ndarray, stop: np.ndarray, first: float, last: float) -> Mesh:
        """A limb with round ends."""
        return capsule(start, stop, self.size * first, self.size * last)

    def knob(self, at: np.ndarray, radius: float) -> Mesh:
        """A ball."""
        return ball(at, self.size * radius)


def _parts(joint: np.ndarray, skin: np.ndarray) -> tuple[list[Part], np.ndarray]:
    """Every part of a robot in a body's place, from joints (24, 3) and surface (V, 3) at rest; and its face (5, 3)."""
    at = {name: joint[i] for name, i in _AT.items()}
    kit = _Kit(float(at["head"][1] - 0.5 * (at["left_ankle"][1] + at["right_ankle"][1])) / _TALL_M)
    parts, face = _head(at["head"], kit)
    parts += _trunk(at, kit)
    for side in ("left_", "right_"):
        parts += _leg(at, side, kit, skin)
        parts += _arm(at, side, kit)
    return parts, face


def _head(joint: np.ndarray, kit: _Kit) -> tuple[list[Part], np.ndarray]:
    middle = kit.point(joint, 0, 0.075, 0.02)
    visor = kit.point(middle, 0, 0.01, 0.087)
    eyes = [kit.point(visor, x, 0, 0.02) for x in (0.032, -0.032)]
    meshes = [
        (HAIR, kit.box(middle, (0.17, 0.235, 0.21), 0.06)),
        (EYES, kit.box(visor, (0.15, 0.075, 0.05), 0.024)),
        (LIPS, kit.box(kit.point(middle, 0, -0.07, 0.1), (0.07, 0.018, 0.02), 0.008)),
        (BROWS, kit.rod(kit.point(middle, 0.097, 0.02, -0.01), kit.point(middle, 0.097, 0.15, -0.02), 0.006, 0.004)),
        *((BROWS, kit.knob(eye, 0.011)) for eye in eyes),
    ]
    for side in (0.085, -0.085):
        disc = [(0.0, 0.035 * kit.size), (1.0, 0.03 * kit.size)]
        meshes.append((LOWER, lathe(kit.point(middle, side), kit.point(middle, 1.26 * side), disc)))
    ears = [kit.point(middle, x) for x in (0.105, -0.105)]
    face = [kit.point(visor, 0, -0.025, 0.026), *(kit.point(eye, 0, 0, 0.009) for eye in eyes), *ears]
    return [("head", region, mesh) for region, mesh in meshes], np.stack(face)


def _trunk(at: dict[str, np.ndarray], kit: _Kit) -> list[Part]:
    shoulder, hip = (0.5 * (at["left_" + name] + at["right_" + name]) for name in ("shoulder", "hip"))
    wide = float(abs(at["left_shoulder"][0] - at["right_shoulder"][0])) / kit.size
    chest = kit.point(0.45 * at["spine3"] + 0.55 * shoulder, 0, -0.035, 0.005)
    plate = kit.point(chest, 0, 0.01, 0.1)
    pelvis, waist, spine = 0.6 * at["pelvis"] + 0.4 * hip, at["spine1"], at["spine2"]
    neck = kit.rod(kit.point(at["neck"], 0, -0.02), kit.point(at["head"], 0, 0.01), 0.05, 0.045)
    return [
        ("spine3", SKIN, kit.box(chest, (0.86 * wide, 0.3, 0.2), 0.055)),
        ("spine3", SHIRT, kit.box(plate, (0.5 * wide, 0.16, 0.03), 0.014)),
        ("spine3", BROWS, kit.knob(kit.point(plate, 0.12 * wide, 0.03, 0.012), 0.014)),
        ("spine3", SHIRT, kit.box(kit.point(chest, 0, 0, -0.1), (0.45 * wide, 0.2, 0.07), 0.03)),
        ("spine2", LOWER, kit.rod(kit.point(spine, 0, -0.03), kit.point(chest, 0, -0.1), 0.085, 0.09)),
        ("spine1", SHIRT, kit.rod(kit.point(waist, 0, -0.02), spine, 0.1, 0.092)),
        ("pelvis", SKIN, kit.box(pelvis, (0.29, 0.17, 0.19), 0.055)),
        ("pelvis", SHIRT, kit.box(kit.point(pelvis, 0, 0, 0.095), (0.12, 0.08, 0.03), 0.014)),
        ("neck", LOWER, neck),
    ]


def _leg(at: dict[str, np.ndarray], side: str, kit: _Kit, skin: np.ndarray) -> list[Part]:
    hip, knee, ankle, foot = (at[side + name] for name in ("hip", "knee", "ankle", "foot"))
    down, shin = knee - hip, ankle - knee
    # The shoe fills the room of the body's own foot, whose sole was brought to the floor.
    own = skin[(skin[:, 1] < ankle[1]) & (skin[:, 0] * ankle[0] > 0)]
    sole, heel, tip = own[:, 1].min(), own[:, 2].min(), own[:, 2].max()
    bend = min(float(foot[2]) + 0.01 * kit.size, float(tip) - 0.05 * kit.size)
    shoe = np.array([ankle[0], sole + 0.035 * kit.size, 0.5 * (heel + bend)])
    toe = np.array([foot[0], sole + 0.03 * kit.size, 0.5 * (bend + tip) - 0.01 * kit.size])
    return [
        (side + "hip", LOWER, kit.knob(hip, 0.085)),
        (side + "hip", SKIN, kit.rod(hip + 0.16 * down, hip + 0.84 * down, 0.088, 0.068)),
        (side + "knee", LOWER, kit.knob(knee, 0.064)),
        (side + "knee", SHIRT, kit.box(kit.point(knee, 0, 0, 0.055), (0.08, 0.1, 0.04), 0.018)),
        (side + "knee", SKIN, kit.rod(knee + 0.2 * shin, knee + 0.82 * shin, 0.066, 0.05)),
        (side + "ankle", LOWER, kit.knob(ankle, 0.046)),
        (side + "ankle", SHOES, kit.box(shoe, (0.098, 0.07, (bend - heel) / kit.size), 0.025)),
        (side + "foot", SHOES, kit.box(toe, (0.095, 0.06, (tip - bend) / kit.size + 0.02), 0.025)),
    ]


def _arm(at: dict[str, np.ndarray], side: str, kit: _Kit) -> list[Part]:
    collar, shoulder, elbow, wrist, hand = (
        at[side + name] for name in ("collar", "shoulder", "elbow", "wrist", "hand")
    )
    upper, fore = elbow - shoulder, wrist - elbow
    out = (hand - wrist) / np.linalg.norm(hand - wrist) * kit.size
    palm, knuckles, tips = wrist + 0.075 * out, wrist + 0.12 * out, wrist + 0.185 * out
    parts = [
        (side + "collar", LOWER, kit.rod(collar, shoulder, 0.05, 0.05)),
        (side + "shoulder", SHIRT, kit.knob(shoulder, 0.078)),
        (side + "shoulder", SKIN, kit.rod(shoulder + 0.2 * upper, shoulder + 0.84 * upper, 0.054, 0.047)),
        (side + "elbow", LOWER, kit.knob(elbow, 0.05)),
        (side + "elbow", SKIN, kit.rod(elbow + 0.2 * fore, elbow + 0.84 * fore, 0.052, 0.04)),
        (side + "wrist", LOWER, kit.knob(wrist, 0.037)),
        (side + "wrist", SHOES, kit.box(palm, (0.1, 0.035, 0.085), 0.016)),
    ]
    for z in (-0.028, 0.0, 0.028):
        parts.append((side + "hand", SHOES, kit.rod(kit.point(knuckles, z=z), kit.point(tips, z=z), 0.013, 0.011)))
    thumb = kit.rod(kit.point(wrist + 0.05 * out, z=0.04), kit.point(wrist + 0.1 * out, z=0.07), 0.014, 0.012)
    return [*parts, (side + "wrist", SHOES, thumb)]

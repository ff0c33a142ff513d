"""A path on the floor, a heading, a gaze -> SMPL joint angles of somebody who walks it: planted feet, swinging arms.

Y up, metres, radians; arrays over T frames. Feet are planned first and stay where they are put; legs are solved to
reach them, so feet do not skate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

# A walker of middle height at rest: joints relative to their parents, left side; the right mirrors x.
HIP = np.array([0.108, -0.041, 0.014])
THIGH = np.array([0.035, -0.389, 0.033])  # hip to knee
SHIN = np.array([0.041, -0.429, -0.027])  # knee to ankle
BALL = np.array([0.0, -0.049, 0.148])  # ankle to the ball of the foot
ANKLE_M = 0.076  # height of the ankle of a flat foot
PELVIS_M = 0.928  # height of the pelvis while standing
CROUCH_M = 0.034  # lower by this at a metre a second, so that legs reach a stride
TRACK_M = 0.085  # feet to either side of the line walked
STEPS_S = 1.95  # steps a second
SWING = 0.78  # share of a step that the foot is in the air
SMPLH_JOINTS = 52
BOW = 0.75  # radians that hips, and as much again the spine, bend forward for each metre of a crouch
HANGS_M = 0.15  # held this high, feet have left the floor and legs hang


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What somebody does: arrays over T frames at a rate."""

    fps: float
    path: np.ndarray  # (T, 2) x, z of the pelvis
    heading: np.ndarray  # (T,) 0 faces +Z, a quarter turn +X; continuous
    gaze: np.ndarray  # (T,) direction looked in, as heading
    reach: np.ndarray  # (T, 2) 0..1 how far the left and right arm are raised to the side
    phase: float = 0.0  # 0..2, which foot swings first and when
    energy: float = 1.0  # of arms and hips
    drop: np.ndarray | None = None  # (T,) metres that the hips go down: a crouch, heels off the floor, back bent
    rise: np.ndarray | None = None  # (T,) metres that somebody holds this one off the floor, legs hanging


def walk(moves: Walk) -> tuple[np.ndarray, np.ndarray]:
    """Joint angles of SMPL-H (T, 52, 3) and pelvis places (T, 3), Y up."""
    frames = len(moves.path)
    time = np.arange(frames) / moves.fps
    beat = moves.phase + STEPS_S * time
    speed = np.linalg.norm(np.gradient(moves.path, 1 / moves.fps, axis=0), axis=1)
    stride = np.clip(speed / 1.0, 0, 1.2)
    feet = [_foot(moves, side, time) for side in (0, 1)]
    pelvis = np.stack(
        [moves.path[:, 0], PELVIS_M - stride * (CROUCH_M + 0.016 * np.cos(2 * np.pi * beat)), moves.path[:, 1]],
        axis=1,
    )
    # The body sways over the foot that stands, and turns its hips with the leg that swings.
    sway = 0.018 * np.cos(np.pi * (beat + 0.5)) * moves.energy
    pelvis[:, [0, 2]] += sway[:, None] * np.stack([np.cos(moves.heading), -np.sin(moves.heading)], axis=1)
    twist = 0.1 * stride * np.sin(np.pi * (beat + 0.5)) * moves.energy
    bow = 0.03 * stride
    if moves.drop is not None:
        # Who crouches sits back and bends forward over the feet.
        bow = bow + BOW * moves.drop
        pelvis[:, 1] -= moves.drop
        pelvis[:, [0, 2]] -= (0.35 * moves.drop)[:, None] * _ahead(moves.heading)
    if moves.rise is not None:
        pelvis[:, 1] += moves.rise
    root = _about("y", moves.heading + twist) * _about("x", bow)
    pose = np.zeros((frames, SMPLH_JOINTS, 3))
    pose[:, 0] = root.as_rotvec()
    for side, foot in enumerate(feet):
        _solve_leg(pose, side, root, pelvis, foot)
    _upper_body(pose, moves, beat, stride, twist)
    if moves.drop is not None:
        pose[:, [3, 6, 9], 0] += (BOW * moves.drop / 3)[:, None]
        pose[:, [12, 15], 0] -= (0.5 * BOW * moves.drop)[:, None]  # the eyes stay on the room
    if moves.rise is not None:
        _hang_legs(pose, moves.rise)
    return pose, pelvis


def _ahead(heading: np.ndarray) -> np.ndarray:
    """The direction (T, 2) x, z of a heading (T,)."""
    return np.stack([np.sin(heading), np.cos(heading)], axis=1)


def _hang_legs(pose: np.ndarray, rise: np.ndarray) -> None:
    """Let go of the floor: the legs of somebody held up bend at the knees, one more than the other."""
    free = np.clip(rise / HANGS_M, 0, 1)
    for side, (thigh, shin) in enumerate(((-0.2, 0.9), (-0.35, 1.3))):
        for joint, angle in ((1 + side, thigh), (4 + side, shin), (7 + side, 0.4), (10 + side, 0.0)):
            hanging = _about("x", np.full(len(rise), angle))
            pose[:, joint] = _mix(Rotation.from_rotvec(pose[:, joint]), hanging, free).as_rotvec()


@dataclass(frozen=True, slots=True)
class _Foot:
    ankle: np.ndarray  # (T, 3)
    heading: np.ndarray  # (T,)
    pitch: np.ndarray  # (T,) toes down is positive


def _foot(moves: Walk, side: int, time: np.ndarray) -> _Foot:
    """The left (0) or right (1) foot over time: it stands, rolls off its toes, swings, and lands heel first."""
    period = 2 / STEPS_S
    # The foot lands at these times; each time it stands until the other has landed and it lifts.
    first = -((moves.phase + side) % 2) / STEPS_S - period
    lands = np.arange(first, time[-1] + 3 * period, period)
    swing = SWING / STEPS_S
    spots, turns = zip(*(_spot(moves, side, land + (period - swing) / 2) for land in lands), strict=True)
    index = np.clip(np.searchsorted(lands, time, side="right") - 1, 0, len(lands) - 2)
    since = time - lands[index]
    lift = period - swing
    share = np.clip((since - lift) / swing, 0, 1)
    ease = share**3 * (10 - 15 * share + 6 * share**2)
    spots, turns = np.array(spots), np.array(turns)
    ground = spots[index] + ease[:, None] * (spots[index + 1] - spots[index])
    heading = turns[index] + ease * (turns[index + 1] - turns[index])
    length = np.linalg.norm(spots[index + 1] - spots[index], axis=1)
    roll = np.clip(length / 0.8, 0.15, 1)
    # Toe-off: the heel comes up in the last third of standing and goes on into the swing; then the toes come up.
    rise = np.clip((since / lift - 0.62) / 0.38, 0, 1) ** 2 * (share <= 0)
    pitch = roll * np.where(share > 0, 0.75 * _bump(share, 0.0, 0.55, 0.75), 0.75 * rise)
    pitch -= roll * 0.24 * _bump(share, 0.7, 1.0, 0.24) + roll * 0.24 * np.clip(1 - since / (0.18 * lift), 0, 1)
    if moves.drop is not None:
        pitch = pitch + 1.2 * moves.drop  # the shin leans over more than an ankle bends
    height = 0.035 * roll * np.sin(np.pi * share) ** 2
    # While it rolls, the foot turns about its ball (toes down) or its heel (toes up), which stays on the floor.
    pivot = np.where(pitch[:, None] > 0, BALL, [0.0, -ANKLE_M, -0.05])
    turn = _about("y", heading)
    flat = np.stack([ground[:, 0], np.full(len(time), ANKLE_M), ground[:, 1]], axis=1)
    ankle = flat + turn.apply(pivot - _about("x", pitch).apply(pivot))
    ankle[:, 1] += height
    return _Foot(ankle=ankle, heading=heading, pitch=pitch)


def _bump(share: np.ndarray, start: float, stop: float, peak: float) -> np.ndarray:
    """1 at the start of a stretch falling smoothly to 0 at its stop when start is 0; else rising to 1 at the stop."""
    x = np.clip((share - start) / (stop - start), 0, 1)
    smooth = x * x * (3 - 2 * x)
    return (1 - smooth) * (share < stop) if start == 0 else smooth


def _spot(moves: Walk, side: int, when: float) -> tuple[np.ndarray, float]:
    """Where a foot stands whose stance is centred on a time: beside the path there, turned as the body is."""
    last = (len(moves.path) - 1) / moves.fps
    held = float(np.clip(when, 0, last))
    grid = np.arange(len(moves.path)) / moves.fps
    at = np.array([np.interp(held, grid, moves.path[:, k]) for k in range(2)])
    edge = 0 if when < held else -1
    if when != held:
        # Before the first and after the last frame the walk goes straight on.
        pair = moves.path[:2] if edge == 0 else moves.path[-2:]
        at = at + (when - held) * moves.fps * (pair[1] - pair[0])
    heading = float(np.interp(held, grid, moves.heading))
    outward = TRACK_M * (1 if side == 0 else -1)
    toes_out = 0.1 if side == 0 else -0.1
    return at + outward * np.array([np.cos(heading), -np.sin(heading)]), heading + toes_out


def _solve_leg(pose: np.ndarray, side: int, root: Rotation, pelvis: np.ndarray, foot: _Foot) -> None:
    """Angles of hip, knee, ankle and toes that bring the ankle to its place, the knee bent forwards."""
    flip = np.array([1.0 if side == 0 else -1.0, 1, 1])
    thigh, shin = THIGH * flip, SHIN * flip
    hip = pelvis + root.apply(HIP * flip)
    upper, lower = np.linalg.norm(thigh), np.linalg.norm(shin)
    reach = foot.ankle - hip
    distance = np.clip(np.linalg.norm(reach, axis=1), 0.3, 0.998 * (upper + lower))
    down = reach / np.linalg.norm(reach, axis=1, keepdims=True)
    # The knee points between where the body and the foot point.
    ahead = root.apply([0.0, 0.0, 1.0]) + np.stack(
        [np.sin(foot.heading), 0 * foot.heading, np.cos(foot.heading)], axis=1
    )
    ahead -= (ahead * down).sum(axis=1, keepdims=True) * down
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    along = (upper**2 + distance**2 - lower**2) / (2 * distance)
    out = np.sqrt(np.maximum(upper**2 - along**2, 0))
    knee = along[:, None] * down + out[:, None] * ahead
    ankle = distance[:, None] * down
    thigh_turn = _between(thigh, knee, ahead)
    shin_turn = _between(shin, ankle - knee, ahead)
    foot_turn = _about("y", foot.heading) * _about("x", foot.pitch)
    pose[:, 1 + side] = (root.inv() * thigh_turn).as_rotvec()
    pose[:, 4 + side] = (thigh_turn.inv() * shin_turn).as_rotvec()
    pose[:, 7 + side] = (shin_turn.inv() * foot_turn).as_rotvec()
    pose[:, 10 + side, 0] = -0.8 * np.clip(foot.pitch, 0, None)


def _upper_body(pose: np.ndarray, moves: Walk, beat: np.ndarray, stride: np.ndarray, twist: np.ndarray) -> None:
    """Spine against the hips, head to the gaze, arms in step with the other leg or raised to the side."""
    look = np.mod(moves.gaze - moves.heading + np.pi, 2 * np.pi) - np.pi
    # Nobody's head turns all the way: what is behind is not looked at, and passing behind must not whip the head over.
    behind = np.clip((np.pi - np.abs(look)) / 1.2, 0, 1)
    look = np.clip(look, -1.15, 1.15) * behind * behind * (3 - 2 * behind)
    look = ndimage.gaussian_filter1d(look, 0.08 * moves.fps, mode="nearest")
    for joint, share in ((3, 0.1), (6, 0.12), (9, 0.12)):
        pose[:, joint, 1] = share * look - 0.55 * twist
        pose[:, joint, 0] = 0.02 * stride
    pose[:, 12, 1], pose[:, 15, 1] = 0.25 * look, 0.3 * look
    for side, sign in ((0, 1.0), (1, -1.0)):
        swing = sign * 0.42 * stride * np.sin(np.pi * (beat + 0.5)) * moves.energy
        hang = _about("x", -0.08 + swing) * _about("z", -sign * 1.25)
        raised = _about("y", -sign * 0.35) * _about("z", sign * 0.12)
        reach = moves.reach[:, side]
        pose[:, 16 + side] = _mix(hang, raised, reach).as_rotvec()
        pose[:, 13 + side, 2] = sign * 0.18 * reach
        bend = 0.38 + 0.3 * np.clip(-swing, 0, None)
        pose[:, 18 + side, 1] = -sign * (bend * (1 - reach) + 0.3 * reach)


def _about(axis: str, angle: np.ndarray | float) -> Rotation:
    direction = np.eye(3)["xyz".index(axis)]
    return Rotation.from_rotvec(np.asarray(angle, float)[..., None] * direction)


def _mix(first: Rotation, second: Rotation, share: np.ndarray) -> Rotation:
    away = (first.inv() * second).as_rotvec()
    return first * Rotation.from_rotvec(away * share[:, None])


def _between(rest: np.ndarray, bone: np.ndarray, ahead: np.ndarray) -> Rotation:
    """The rotations that take a rest bone to `bone` (T, 3) and the body's front towards `ahead` (T, 3)."""

    def frame(down: np.ndarray, front: np.ndarray) -> np.ndarray:
        down = down / np.linalg.norm(down, axis=-1, keepdims=True)
        front = front - (front * down).sum(axis=-1, keepdims=True) * down
        front = front / np.linalg.norm(front, axis=-1, keepdims=True)
        return np.stack([np.cross(front, down), front, down], axis=-1)

    return Rotation.from_matrix(frame(bone, ahead) @ frame(rest, np.array([0.0, 0.0, 1.0])).T)

"""CameraSpec, joints of everyone -> Track: a seeded camera that keeps everyone in the picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter1d

from tasks.ops.camera import Track, look_at, pinhole, project
from tasks.ops.scene import CameraSpec

# Flesh, hair and hands reach this far beyond the joints.
_BODY_M = 0.14
_MARGIN = 0.06  # of the picture's height and width that stays free on each side
_FRAMES_INSIDE = 0.95  # share of the frames in which everyone is wholly inside
_FRAMES_IN_HAND = 0.75  # the same of a camera held by hand, which loses people now and then
_NEAREST_M, _FARTHEST_M = 1.6, 80.0
_TURN_DEG_S = 22.0  # an orbit's fastest turn
_LATE_S = 0.25  # that a hand is behind the people whom it follows
_LOOK_FRAMES = 240  # frames at most that framing looks at


def plan_camera(spec: CameraSpec, joints: np.ndarray, *, fps: float, size: tuple[int, int]) -> Track:
    """The camera over all frames of joints (P, T, J, 3), world metres. size (h, w).

    A `static` camera looks at the middle of the whole performance, a `pan` turns after the people from where it
    stands, an `orbit` circles them, a `handheld` one turns after them late and too far, zooms and trembles. What the
    spec leaves open is drawn from its seed; the distance is the least at which, in 95 % of the frames (75 % of a
    handheld camera's), everyone fits with a margin. A spec with an aim looks there, whoever leaves the picture.
    """
    rng = np.random.default_rng((spec.seed, 0xCA3))
    drawn_azimuth, drawn_height = rng.uniform(0, 360), rng.uniform(0.8, 2.1)
    turn = rng.uniform(60, 150) * rng.choice([-1.0, 1.0])
    sway, phase = rng.uniform(0.02, 0.05), rng.uniform(0, 2 * np.pi)
    frames = joints.shape[1]
    target = _target(spec.kind, joints, fps) if spec.aim is None else np.tile(np.array(spec.aim, float), (frames, 1))
    azimuth = np.full(frames, drawn_azimuth if spec.azimuth_deg is None else spec.azimuth_deg)
    if spec.kind == "orbit":
        turn = np.clip(turn, -_TURN_DEG_S * frames / fps, _TURN_DEG_S * frames / fps)
        azimuth = azimuth + turn * np.linspace(-0.5, 0.5, frames)
    height = drawn_height if spec.height_m is None else spec.height_m
    intrinsics = np.broadcast_to(pinhole(spec.fov_deg, size), (frames, 3, 3)).copy()
    hand = _hand(spec.seed, frames, fps) if spec.kind == "handheld" else np.zeros((frames, 3))
    intrinsics[:, [0, 1], [0, 1]] *= np.exp(hand[:, 2:])

    turns = spec.kind in ("pan", "handheld") and spec.aim is None
    stand = np.broadcast_to(_middle(joints), target.shape) if turns else target
    outward = np.stack([np.sin(np.radians(azimuth)), np.zeros(frames), np.cos(np.radians(azimuth))], axis=1)
    side = np.stack([outward[:, 2], np.zeros(frames), -outward[:, 0]], axis=1)
    swing = np.sin(2 * np.pi * np.arange(frames) / max(frames, 6 * fps) + phase) * (sway if spec.kind == "pan" else 0)

    def track(distance: float, shift: tuple[float, float]) -> Track:
        """The camera at this distance, its aim shifted to its right and up by metres."""
        eye = stand * [1, 0, 1] + distance * outward
        eye[:, 1] = height
        aim = target + side * (shift[0] + distance * (swing + hand[:, 0]))[:, None] + [0, shift[1], 0]
        aim[:, 1] += distance * hand[:, 1]
        return Track(intrinsics=intrinsics, extrinsics=look_at(eye, aim))

    shown = np.unique(np.linspace(0, frames - 1, min(frames, _LOOK_FRAMES)).round().astype(int))
    enough = _FRAMES_IN_HAND if spec.kind == "handheld" else _FRAMES_INSIDE
    distance, shift = spec.distance_m or _FARTHEST_M, (0.0, 0.0)

    def fits(far: float) -> float:
        return _inside(track(far, shift), joints, shown, size)

    for _ in range(0 if spec.aim else 1 if spec.distance_m else 3):
        if spec.distance_m is None:
            distance = _least(fits, enough)
        shift = _centred(track(distance, shift), joints, shown, shift)
    if spec.distance_m is None:
        distance = _least(fits, enough)
    return track(distance, shift)


def _hand(seed: int, frames: int, fps: float) -> np.ndarray:
    """What a hand does to a camera, (T, 3): turns sideways and up as shares of the distance, log of the zoom.

    Slow swings of some degrees, a tremble of 4 to 7 Hz, and a zoom that breathes.
    """
    rng = np.random.default_rng((seed, 0x4A4D))
    time = np.arange(frames) / fps
    out = np.zeros((frames, 3))
    for column, (size, slow_hz, tremble) in enumerate(
        ((0.07, (0.3, 0.55), 0.0022), (0.02, (0.4, 0.8), 0.0022), (0.12, (0.2, 0.4), 0.0))
    ):
        hz, phase = rng.uniform(*slow_hz), rng.uniform(0, 2 * np.pi, 5)
        swing = np.sin(2 * np.pi * hz * time + phase[0]) + 0.35 * np.sin(2 * np.pi * 2.3 * hz * time + phase[1])
        shake = sum(np.sin(2 * np.pi * f * time + p) for f, p in zip(rng.uniform(4, 7, 3), phase[2:], strict=True))
        out[:, column] = size * rng.uniform(0.8, 1.2) * swing + tremble * shake
    return out


def _least(inside: Callable[[float], float], enough: float) -> float:
    """The least distance at which everyone is inside for a share of the frames."""
    near, far = _NEAREST_M, _FARTHEST_M
    for _ in range(20):
        middle = 0.5 * (near + far)
        near, far = (near, middle) if inside(middle) >= enough else (middle, far)
    return far


def _centred(track: Track, joints: np.ndarray, frames: np.ndarray, shift: tuple[float, float]) -> tuple[float, float]:
    """The shift of the aim, metres right and up, that brings the people's extent to the middle of the picture."""
    intrinsics, extrinsics = track.intrinsics[frames], track.extrinsics[frames]
    at, depth = project(joints[:, frames], intrinsics[None, :, None], extrinsics[None, :, None])
    ahead = depth > _NEAREST_M / 4
    if not ahead.any():
        return shift
    low, high = np.percentile(at[ahead], 1, axis=0), np.percentile(at[ahead], 99, axis=0)
    off = (0.5 * (low + high) - intrinsics[0, :2, 2]) * np.median(depth[ahead]) / intrinsics[0, 0, 0]
    return shift[0] + float(off[0]), shift[1] - float(off[1])


def _middle(joints: np.ndarray) -> np.ndarray:
    """The middle (3,) of the room that everyone takes up over the whole performance, a few stray frames left out."""
    points = joints.reshape(-1, 3)
    return 0.5 * (np.percentile(points, 2, axis=0) + np.percentile(points, 98, axis=0))


def _target(kind: str, joints: np.ndarray, fps: float) -> np.ndarray:
    """What the camera looks at, (T, 3)."""
    frames = joints.shape[1]
    if kind == "static":
        return np.broadcast_to(_middle(joints), (frames, 3)).astype(float)
    now = 0.5 * (joints.min((0, 2)) + joints.max((0, 2))).astype(float)
    if kind == "handheld":
        late = np.maximum(np.arange(frames) - round(_LATE_S * fps), 0)
        slow = gaussian_filter1d(now, sigma=0.35 * fps, axis=0, mode="nearest")[late]
        return slow * [1, 0, 1] + _middle(joints) * [0, 1, 0]
    # A camera has weight: it follows the people's middle as it is over a second or two.
    return gaussian_filter1d(now, sigma=(0.7 if kind == "pan" else 1.2) * fps, axis=0, mode="nearest")


def _inside(track: Track, joints: np.ndarray, frames: np.ndarray, size: tuple[int, int]) -> float:
    """The share of these frames in which every joint, and the flesh around it, is inside the margin."""
    h, w = size
    at, depth = project(
        joints[:, frames], track.intrinsics[frames][None, :, None], track.extrinsics[frames][None, :, None]
    )
    reach = _BODY_M * track.intrinsics[frames, 0, 0][None, :, None] / np.maximum(depth, 1e-6)
    fits = depth > 0.3
    with np.errstate(invalid="ignore"):
        fits &= (at[..., 0] - reach >= _MARGIN * w) & (at[..., 0] + reach <= (1 - _MARGIN) * w)
        fits &= (at[..., 1] - reach >= _MARGIN * h) & (at[..., 1] + reach <= (1 - _MARGIN) * h)
    return float(fits.all((0, 2)).mean())


def surroundings(track: Track, joints: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Radius and centre (x, z) of a backdrop that holds camera and people: metres."""
    x, _, z = _middle(joints)
    eyes = -np.einsum("tji,tj->ti", track.extrinsics[:, :3, :3], track.extrinsics[:, :3, 3])
    points = np.concatenate([eyes[:, [0, 2]], joints.reshape(-1, 3)[:, [0, 2]]])
    reach = np.linalg.norm(points - [x, z], axis=1).max()
    return float(np.clip(1.15 * reach + 1.5, 5.0, 90.0)), (float(x), float(z))

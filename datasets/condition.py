"""Keypoints, masks -> pictures that condition a generator: one rasteriser for preview, training and generation."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from datasets.masks import Masks
from datasets.records import HIDDEN, UNKNOWN
from datasets.skeleton import Skeleton
from datasets.skeleton import skeleton as named

# People by index: Okabe & Ito's colour-blind-safe set (jfly.uni-koeln.de/color), strongest contrasts first, then grey.
PALETTE = np.array(
    [
        [86, 180, 233],  # sky blue
        [230, 159, 0],  # orange
        [204, 121, 167],  # reddish purple
        [0, 158, 115],  # bluish green
        [213, 94, 0],  # vermillion
        [240, 228, 66],  # yellow
        [0, 114, 178],  # blue
        [170, 170, 170],  # grey
    ],
    np.uint8,
)
# A joint below this is not drawn; DWPose draws from 0.3.
MIN_SCORE = 0.3
# Limbs lie darker under their joints, as OpenPose and DWPose draw them (their canvas is multiplied by 0.6).
_LIMB_LIGHT = 0.6
# Keypoints are drawn in 1/16 pixels, so that slow motion does not step.
_SHIFT = 4

# OpenPose's 18 body colours (CMU, BODY_18), by its own joint order.
_RAINBOW = [
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
]  # fmt: skip
# COCO joint -> OpenPose joint; the last entry is the neck, which COCO lacks: it is put between the shoulders.
_OPENPOSE = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10, 1)
_NECK = 17
# OpenPose's limbs in its colour order, as COCO joints and the neck.
_BODY_LIMBS = (
    (_NECK, 6), (_NECK, 5), (6, 8), (8, 10), (5, 7), (7, 9), (_NECK, 12), (12, 14), (14, 16), (_NECK, 11), (11, 13),
    (13, 15), (_NECK, 0), (0, 2), (2, 4), (0, 1), (1, 3),
)  # fmt: skip
_FEET, _FACE, _HANDS = range(17, 23), range(23, 91), range(91, 133)


def person_color(person: int) -> tuple[int, int, int]:
    """The RGB colour of person `person`; beyond the palette's length the colours come again, darker.

    >>> person_color(0), person_color(8)
    ((86, 180, 233), (52, 108, 140))
    """
    turn, at = divmod(person, len(PALETTE))
    red, green, blue = (PALETTE[at].astype(float) * 0.6**turn).round().astype(int).tolist()
    return red, green, blue


def draw_pose(
    keypoint: np.ndarray,
    score: np.ndarray,
    flag: np.ndarray | None,
    skeleton: str | Skeleton,
    size: tuple[int, int],
    *,
    color: Sequence[int] | None = None,
    hidden: float = 1.0,
    min_score: float = MIN_SCORE,
    canvas: np.ndarray | None = None,
    paper: int = 0,
) -> np.ndarray:
    """One person's pose as an RGB picture on black, (h, w, 3) uint8.

    `keypoint` (J, 2) in pixels of this picture, `score` (J,) 0..1, `flag` (J,) COCO's or None for all visible. Without
    a `color` each limb has OpenPose's own; with one the whole person has that. Joints with flag 1 and their limbs are
    drawn faint: `hidden` parts of their colour and the rest `paper`, 0 for a black picture, 255 for a white one. A
    joint with flag 0, below `min_score`, or not finite is left out with its limbs. With `canvas`, draws over that
    picture in place. Line width follows the size: 4 pixels at 512, as DWPose.
    Raises ValueError when the arrays do not have the skeleton's shape.
    """
    layout = named(skeleton) if isinstance(skeleton, str) else skeleton
    joints = len(layout.joints)
    if keypoint.shape != (joints, 2) or score.shape != (joints,):
        raise ValueError(f"draw_pose: want {layout.name} keypoints ({joints}, 2), got {keypoint.shape}, {score.shape}")
    picture = np.zeros((*size, 3), np.uint8) if canvas is None else canvas
    if picture.shape != (*size, 3) or picture.dtype != np.uint8:
        raise ValueError(f"draw_pose.canvas: want {(*size, 3)} uint8, got {picture.shape} {picture.dtype}")
    point, light = _points(keypoint, score, flag, hidden, min_score, size)
    width = max(1, round(min(size) / 128))
    if joints == 133:
        _draw_details(picture, layout, point, light, color, width, paper)
    _draw_body(picture, point, light, color, width, paper)
    return picture


def pose_maps(
    keypoint: np.ndarray,
    score: np.ndarray,
    flag: np.ndarray | None,
    skeleton: str,
    *,
    window: tuple[float, float, float, float],
    size: tuple[int, int],
    color: Sequence[Sequence[int]] | None = None,
    hidden: float = 1.0,
    min_score: float = MIN_SCORE,
) -> np.ndarray:
    """Pose pictures of P people over T frames, (P, T, h, w, 3) uint8, each person alone on black.

    `keypoint` (P, T, J, 2) in clip pixels; `window` xyxy is the part of the clip (whole: (0, 0, width, height)) that is
    stretched over `size` (h, w), as the frames and `mask_maps` are. `color` gives one colour a person instead of
    OpenPose's.
    """
    layout = named(skeleton)
    people, frames = keypoint.shape[:2]
    moved = fit_points(keypoint, window, size)
    maps = np.zeros((people, frames, *size, 3), np.uint8)
    for p in range(people):
        one = None if color is None else color[p]
        for t in range(frames):
            seen = None if flag is None else flag[p, t]
            draw_pose(
                moved[p, t], score[p, t], seen, layout, size,
                color=one, hidden=hidden, min_score=min_score, canvas=maps[p, t],
            )  # fmt: skip
    return maps


def mask_maps(
    masks: Masks, index: np.ndarray, *, window: tuple[float, float, float, float], size: tuple[int, int]
) -> np.ndarray:
    """The masks at `index` (any shape, such as (P, T); -1 is empty) at training size, (*index.shape, h, w) uint8.

    Values are the covered share of each pixel, 0..255, for the same `window` and `size` as `pose_maps`.
    """
    maps = np.zeros((*index.shape, *size), np.uint8)
    x0, y0, x1, y1 = (round(v) for v in window)
    h, w = masks.size
    if not (0 <= x0 < x1 <= w and 0 <= y0 < y1 <= h):
        raise ValueError(f"mask_maps.window: want xyxy inside ({w}, {h}), got {window}")
    for at in np.ndindex(*index.shape):
        i = int(index[at])
        if i < 0 or masks.offset[i] == masks.offset[i + 1]:
            continue
        part = np.ascontiguousarray(masks.decode(i)[y0:y1, x0:x1]).view(np.uint8)
        # INTER_AREA averages when shrinking; enlarging keeps hard edges.
        way = cv2.INTER_AREA if part.shape[0] >= size[0] else cv2.INTER_LINEAR
        maps[at] = cv2.resize(part * 255, (size[1], size[0]), interpolation=way)
    return maps


def fit_points(keypoint: np.ndarray, window: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """Keypoints (..., 2) of the clip as pixels of a picture of `size` (h, w) that shows `window` xyxy of it, float32.

    >>> fit_points(np.array([[50.0, 50.0]]), (0, 0, 100, 100), (10, 20)).tolist()
    [[10.0, 5.0]]
    """
    x0, y0, x1, y1 = window
    scale = np.array([size[1] / (x1 - x0), size[0] / (y1 - y0)])
    return ((keypoint - np.array([x0, y0])) * scale).astype(np.float32)


def tint(picture: np.ndarray, mask: np.ndarray, color: Sequence[int], strength: float = 0.45) -> None:
    """Blend a colour over the masked pixels of an RGB picture (h, w, 3) uint8, in place. `mask` is (h, w) bool."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    if not w:
        return
    part, inside = picture[y : y + h, x : x + w], mask[y : y + h, x : x + w]
    flat = np.empty_like(part)
    flat[:] = np.asarray(color, np.uint8)
    np.copyto(part, cv2.addWeighted(part, 1 - strength, flat, strength, 0), where=inside[..., None])


def _points(
    keypoint: np.ndarray,
    score: np.ndarray,
    flag: np.ndarray | None,
    hidden: float,
    min_score: float,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Fixed-point joints, the neck as the last, (J + 1, 2) int32, and the light of each, (J + 1,): 0 is not drawn."""
    light = np.where((score >= min_score) & np.isfinite(keypoint).all(axis=1), 1.0, 0.0)
    if flag is not None:
        light = np.where(flag == UNKNOWN, 0.0, np.where(flag == HIDDEN, light * hidden, light))
    both = np.concatenate([keypoint, (keypoint[5:6] + keypoint[6:7]) / 2])
    light = np.append(light, min(light[5], light[6]))
    # Far outside, a point says no more than its direction, and cv2's fixed-point arithmetic would overflow.
    reach = 8 * max(size)
    both = np.clip(np.where(light[:, None] > 0, both, 0), -reach, reach)
    return np.round(both * (1 << _SHIFT)).astype(np.int32), light


def _draw_body(
    picture: np.ndarray, point: np.ndarray, light: np.ndarray, color: Sequence[int] | None, width: int, paper: int
) -> None:
    neck = len(point) - 1
    for limb, (a, b) in enumerate(_BODY_LIMBS):
        shade = _RAINBOW[limb] if color is None else color
        _line(picture, point, light, (neck if a == _NECK else a, b), shade, _LIMB_LIGHT, width, paper)
    for joint in range(18):
        at = neck if joint == _NECK else joint
        if light[at] > 0:
            shade = _RAINBOW[_OPENPOSE[joint]] if color is None else color
            _dot(picture, point[at], _shade(shade, light[at], paper), width)


def _draw_details(
    picture: np.ndarray,
    layout: Skeleton,
    point: np.ndarray,
    light: np.ndarray,
    color: Sequence[int] | None,
    width: int,
    paper: int,
) -> None:
    """Feet, hands and face, thinner than the body and under it."""
    thin = max(1, width // 2)
    for a, b in layout.limbs:
        if b in _FEET:
            # A foot continues the shin above it: limb 11 is the left one's colour, 8 the right one's.
            shade = _RAINBOW[11 if a == 15 else 8] if color is None else color
            _line(picture, point, light, (a, b), shade, _LIMB_LIGHT, thin, paper)
        elif a in _HANDS and b in _HANDS:
            shade = _FINGERS[(b - 91) % 21 - 1] if color is None else color
            _line(picture, point, light, (a, b), shade, 1.0, thin, paper)
    for joint in (*_HANDS, *_FACE):
        if light[joint] > 0:
            plain = (0, 0, 255) if joint in _HANDS else (255, 255, 255)
            _dot(picture, point[joint], _shade(plain if color is None else color, light[joint], paper), thin)


def _line(
    picture: np.ndarray,
    point: np.ndarray,
    light: np.ndarray,
    limb: tuple[int, int],
    color: Sequence[int],
    share: float,
    width: int,
    paper: int,
) -> None:
    a, b = limb
    dimmest = min(light[a], light[b])
    if dimmest > 0:
        shade = _shade([share * c for c in color], dimmest, paper)
        cv2.line(picture, _xy(point[a]), _xy(point[b]), shade, width, cv2.LINE_AA, _SHIFT)


def _dot(picture: np.ndarray, point: np.ndarray, color: tuple[float, ...], radius: int) -> None:
    cv2.circle(picture, _xy(point), radius << _SHIFT, color, -1, cv2.LINE_AA, _SHIFT)


def _xy(point: np.ndarray) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _shade(color: Sequence[float], light: float, paper: int) -> tuple[float, ...]:
    return tuple(float(round(float(c) * light + paper * (1 - light))) for c in color)


def _hues(count: int) -> list[tuple[int, int, int]]:
    """`count` full colours round the wheel, as DWPose colours finger bones (hsv_to_rgb of [i / n, 1, 1])."""
    wheel = np.array([[[round(180 * i / count), 255, 255] for i in range(count)]], np.uint8)
    return [tuple(rgb) for rgb in cv2.cvtColor(wheel, cv2.COLOR_HSV2RGB)[0].tolist()]


_FINGERS = _hues(20)

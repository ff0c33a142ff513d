"""Motion of one clip, looks of another: everyone's poses and masks moved to where and how large their double stands.

For driving person i and their double j in the reference image, by the limbs and torso joints seen of both:

    s = sum of limb lengths of j / sum of limb lengths of i        x' = s (x - c_i) + c_j

where c is the middle of the torso, i is measured in the driving clip's own reference frame, and s and c hold for the
whole clip. P people, J joints, n frames; coordinates are pixels from the picture's edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from datasets.condition import MIN_SCORE
from model.stream import PER_PERSON

Align = Literal["each", "together", "none"]
# COCO's body joints come first in every layout of datasets.skeleton.
_LIMBS = np.array(
    [(5, 6), (11, 12), (5, 11), (6, 12), (5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)]
)
_TORSO = [5, 6, 11, 12]
# With fewer limbs seen of both, the boxes around what is seen tell more.
_LEAST_LIMBS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """x' = scale x + shift."""

    scale: float
    shift: np.ndarray  # (2,) float64 pixels

    def points(self, xy: np.ndarray) -> np.ndarray:
        """Points (..., 2), moved."""
        return (xy * self.scale + self.shift).astype(np.float32)

    def masks(self, mask: np.ndarray) -> np.ndarray:
        """Masks (n, h, w) bool, moved within their picture."""
        # cv2 counts from the middle of the first pixel.
        x, y = self.shift + (self.scale - 1) / 2
        matrix = np.array([[self.scale, 0, x], [0, self.scale, y]])
        size = mask.shape[2], mask.shape[1]
        moved = [cv2.warpAffine(one.astype(np.uint8) * 255, matrix, size, flags=cv2.INTER_LINEAR) for one in mask]
        return np.stack(moved) > 127 if moved else mask


def transferred(
    driving: Mapping[str, Any], look: Mapping[str, Any], who: Mapping[int, int], *, align: Align = "each"
) -> dict[str, Any]:
    """The driving sample with the people, picture and faces of another's last frame for its reference frame.

    Both are `clip_sample`s of one size, reference frame last. `who` says which person of `look` each driving person
    becomes; whoever it does not name is left out. With "each" all are moved apart from each other, which suits the
    reference image best; "together" moves all by one similarity, so that hands that hold each other still do; "none"
    moves nobody. Where masks come to lie over each other, who stands lower in the picture is in front. Raises
    ValueError for people who are not there, twice the same double, or somebody who is not seen in a reference frame.
    """
    _check(driving, look, who)
    people, doubles = list(who), list(who.values())
    ways = alignments(driving, look, who, align=align)
    out = dict(driving)
    for name in PER_PERSON:
        out[name] = driving[name][people]
    for name in ("mask", "face_mask"):
        for at, way in enumerate(ways):
            out[name][at, :-1] = way.masks(out[name][at, :-1])
    front = _exclusive(out["mask"][:, :-1])
    out["mask"][:, :-1] = front
    out["face_mask"][:, :-1] &= front
    for name in ("keypoint", "box"):
        for at, way in enumerate(ways):
            pairs = out[name][at, :-1].reshape(len(out["frame"]) - 1, -1, 2)
            out[name][at, :-1] = way.points(pairs).reshape(out[name][at, :-1].shape)
    height, width = out["mask"].shape[-2:]
    outside = ((out["keypoint"] < 0) | (out["keypoint"] >= (width, height))).any(axis=-1)
    out["flag"][outside] = 0
    out["box"] = np.clip(out["box"], 0, np.array([width, height, width, height], np.float32))
    return _with_reference(out, look, doubles)


def left_to_right(driving: Mapping[str, Any], look: Mapping[str, Any]) -> dict[int, int]:
    """Whose double is who when both reference frames are read from left to right.

    People of `look` who are over are nobody's double. Raises ValueError when `look` has fewer people than `driving`.
    """
    first, second = _order(driving), _order(look)
    if len(first) > len(second):
        raise ValueError(
            f"{look['key']}: want a reference with {len(first)} people seen, got {len(second)}; say who is who, and "
            "leave people out"
        )
    return dict(sorted(zip(first, second, strict=False)))


def alignments(
    driving: Mapping[str, Any], look: Mapping[str, Any], who: Mapping[int, int], *, align: Align
) -> list[Similarity]:
    """How each driving person of `who` is moved."""
    if align == "none":
        return [Similarity(scale=1.0, shift=np.zeros(2))] * len(who)
    scales, froms, tos = [], [], []
    for person, double in who.items():
        scale, here, there = _measure(driving, person, look, double)
        scales.append(scale)
        froms.append(here)
        tos.append(there)
    if align == "together":
        scale = float(np.exp(np.mean(np.log(scales))))
        shift = np.mean(tos, axis=0) - scale * np.mean(froms, axis=0)
        return [Similarity(scale=scale, shift=shift)] * len(who)
    if align != "each":
        raise ValueError(f"align: want each, together or none, got {align!r}")
    return [Similarity(scale=s, shift=there - s * here) for s, here, there in zip(scales, froms, tos, strict=True)]


def _measure(
    driving: Mapping[str, Any], person: int, look: Mapping[str, Any], double: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, and where the middle of the body is in each of the two reference frames."""
    here, there = (one["keypoint"][at, -1, :17].astype(float) for one, at in ((driving, person), (look, double)))
    seen = _seen(driving, person) & _seen(look, double)
    limbs = _LIMBS[seen[_LIMBS].all(axis=1)]
    torso = [joint for joint in _TORSO if seen[joint]]
    if len(limbs) >= _LEAST_LIMBS and len(torso) >= 2:
        was, now = (np.linalg.norm(xy[limbs[:, 0]] - xy[limbs[:, 1]], axis=1).sum() for xy in (here, there))
        if was > 0 and now > 0:
            return float(now / was), here[torso].mean(axis=0), there[torso].mean(axis=0)
    was_box, now_box = _box(driving, person), _box(look, double)
    scale = float((now_box[3] - now_box[1]) / (was_box[3] - was_box[1]))
    return scale, was_box.reshape(2, 2).mean(axis=0), now_box.reshape(2, 2).mean(axis=0)


def _seen(sample: Mapping[str, Any], person: int) -> np.ndarray:
    """Which body joints are known in the reference frame, (17,) bool."""
    return (sample["score"][person, -1, :17] >= MIN_SCORE) & (sample["flag"][person, -1, :17] > 0)


def _box(sample: Mapping[str, Any], person: int) -> np.ndarray:
    """Around a person's mask in the reference frame, xyxy. Raises ValueError when it is empty."""
    rows, columns = (np.flatnonzero(sample["mask"][person, -1].any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError(
            f"{sample['key']}: want person {person} seen in frame {sample['frame'][-1]}, the reference, got nobody; "
            "take another frame, or leave the person out"
        )
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def _order(sample: Mapping[str, Any]) -> list[int]:
    """Who has a mask in the reference frame, by its middle from left to right."""
    mask = sample["mask"][:, -1]
    middle = {person: np.nonzero(one)[1].mean() for person, one in enumerate(mask) if one.any()}
    return sorted(middle, key=lambda person: middle[person])


def _exclusive(mask: np.ndarray) -> np.ndarray:
    """Masks (P, n, h, w) bool, each pixel to whom of those who cover it stands lowest in the picture."""
    height = mask.shape[2]
    rows = np.where(mask.any(axis=3), np.arange(height), -1).max(axis=2)  # (P, n)
    nearest = np.where(mask, rows[:, :, None, None], -1)
    # Of two who stand equally low, the first: no pixel is anybody's twice.
    return mask & (np.arange(len(mask))[:, None, None, None] == nearest.argmax(axis=0)[None])


def _with_reference(out: dict[str, Any], look: Mapping[str, Any], doubles: Sequence[int]) -> dict[str, Any]:
    """The sample with the last frame of `look` in the place of its own."""
    for name in PER_PERSON:
        if name == "face_embedding":
            out[name] = look[name][doubles]
        elif look[name].shape[2:] == out[name].shape[2:]:
            out[name][:, -1] = look[name][doubles, -1]
        else:
            # Another keypoint layout; nobody draws the pose of a reference frame.
            out[name][:, -1] = 0
    out["video"] = np.concatenate([out["video"][:-1], look["video"][-1:]])
    out["frame"] = np.append(out["frame"][:-1], look["frame"][-1])
    return out


def _check(driving: Mapping[str, Any], look: Mapping[str, Any], who: Mapping[int, int]) -> None:
    if driving["mask"].shape[2:] != look["mask"].shape[2:]:
        raise ValueError(f"transfer: want pictures of one size, got {driving['mask'].shape} and {look['mask'].shape}")
    if not who:
        raise ValueError("who: want one person or more, got none")
    for sample, named in ((driving, list(who)), (look, list(who.values()))):
        people = len(sample["present"])
        wrong = [person for person in named if not 0 <= person < people]
        if wrong:
            raise ValueError(f"{sample['key']}: want people 0..{people - 1}, got {wrong[0]}")
    if len(set(who.values())) != len(who):
        raise ValueError(f"who: want each double once, got {dict(who)}")

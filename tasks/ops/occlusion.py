"""Masks and skeletons of one frame -> exclusive masks, visible shares, flags: who is in front of whom."""

from __future__ import annotations

import cv2
import numpy as np

from datasets.records import HIDDEN, UNKNOWN, VISIBLE
from tasks.ops.body import body_scale, draw_body
from tasks.ops.mask_ops import box_of, drop_specks
from tasks.ops.pose_binding import at_keypoints

_SEEN = 0.2
# A body this much nearer, in torso lengths, decides; within it the person who stands lower in the picture is in front.
_NEARER = 0.12


def exclusive(
    masks: np.ndarray, box: np.ndarray, keypoint: np.ndarray, score: np.ndarray, certain: np.ndarray
) -> np.ndarray:
    """Masks of which no two share a pixel, (N, h, w) bool.

    masks (N, h, w) bool, box (N, 4), keypoint (N, J, 2), score (N, J); certain (N,) bool: masks that were seen and not
    interpolated: they keep what an uncertain one claims too. Else a pixel goes to whoever's drawn body is nearer;
    where that is even, to whoever's feet are lower, which on a floor is nearer to the camera.
    """
    out = masks.copy()
    for n in np.flatnonzero(~certain):
        out[n] &= ~out[certain].any(0)
    claims = np.add.reduce(out, 0, dtype=np.int16)
    if claims.max(initial=0) < 2:
        return out
    contested = claims > 1
    who = np.flatnonzero((out & contested).any((1, 2)))
    x0, y0, x1, y1 = box_of(contested).astype(int).tolist()
    cost = np.full((len(who), y1 - y0, x1 - x0), np.inf)
    front = np.argsort(np.argsort(-_foot(box[who], keypoint[who], score[who])))
    for i, n in enumerate(who):
        distance = _distance(keypoint[n], score[n], box[n], (y0, x0, y1, x1), masks.shape[1:])
        cost[i] = np.where(out[n, y0:y1, x0:x1], distance + _NEARER * front[i], np.inf)
    winner = cost.argmin(0)
    inner = contested[y0:y1, x0:x1]
    for i, n in enumerate(who):
        out[n, y0:y1, x0:x1] &= ~inner | (winner == i)
        left, top, right, bottom = box_of(out[n]).astype(int).tolist()
        own = out[n, top:bottom, left:right]
        own[:] = drop_specks(own)
    return out


def _foot(box: np.ndarray, keypoint: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(N,) the y of each person's lower foot: of the ankles where they are seen, else of the box."""
    ankle = np.where(score[:, 15:17] >= _SEEN, keypoint[:, 15:17, 1], -np.inf).max(1)
    return np.where(np.isfinite(ankle), ankle, box[:, 3] - 0.05 * (box[:, 3] - box[:, 1]))


def _distance(
    keypoint: np.ndarray, score: np.ndarray, box: np.ndarray, window: tuple[int, ...], size: tuple[int, int]
) -> np.ndarray:
    """Distance of a window's pixels to a person's drawn body, in torso lengths; without a pose to the box's
    upright axis."""
    y0, x0, y1, x1 = window
    scale = body_scale(keypoint, score, box, _SEEN)
    body = draw_body(keypoint, score, scale, size, girth=0.8, min_score=_SEEN)
    if not body.any():
        middle = round(float(box[0] + box[2]) / 2)
        top, bottom = int(box[1]), max(int(box[3]), int(box[1]) + 1)
        body[max(top, 0) : bottom, np.clip(middle, 0, size[1] - 1)] = True
    if not body.any():
        return np.full((y1 - y0, x1 - x0), 1e3)
    # What lies outside the window counts too: the transform runs over the box of both.
    drawn = box_of(body).astype(int).tolist()
    left, top, right, bottom = min(x0, drawn[0]), min(y0, drawn[1]), max(x1, drawn[2]), max(y1, drawn[3])
    far = (~body[top:bottom, left:right]).view(np.uint8)
    distance = cv2.distanceTransform(far, cv2.DIST_L2, 3)
    return distance[y0 - top : y1 - top, x0 - left : x1 - left] / scale


def visible_shares(
    masks: np.ndarray, claimed: np.ndarray, box: np.ndarray, keypoint: np.ndarray, score: np.ndarray
) -> np.ndarray:
    """(N,) the share of each body that is seen: its mask over its mask and what of it others hide.

    masks (N, h, w) exclusive; claimed (N, h, w) before they were: what a person lost to another is hidden, and so
    is what of the drawn body lies in another's mask.
    """
    shares = np.zeros(len(masks))
    taken = masks.any(0)
    for n, mask in enumerate(masks):
        area = np.count_nonzero(mask)
        if not area:
            continue
        scale = body_scale(keypoint[n], score[n], box[n], _SEEN)
        body = draw_body(keypoint[n], score[n], scale, mask.shape, girth=0.8, min_score=_SEEN)
        # What others have taken is not in this mask: they share no pixel.
        hidden = np.count_nonzero((body | claimed[n]) & (taken ^ mask))
        shares[n] = area / (area + hidden)
    return shares


def flags(masks: np.ndarray, who: np.ndarray, keypoint: np.ndarray, score: np.ndarray, slack: int) -> np.ndarray:
    """COCO's flags, (P, J) uint8: 2 in the own mask and scored, 1 behind another's mask, 0 unknown.

    masks (N, h, w) bool of the people `who` (N,); keypoint (P, J, 2), score (P, J) of everyone. A joint counts as
    in the own mask when a pixel of it lies within `slack` on either axis, and nobody else's mask holds the joint.
    """
    inside = at_keypoints(masks, keypoint)
    out = np.full(score.shape, UNKNOWN, np.uint8)
    for p in range(len(keypoint)):
        out[p, inside[p, who != p].any(0)] = HIDDEN
    for mask, p in zip(masks, who, strict=True):
        near = _near(mask, keypoint[p], slack)
        own = inside[p, who == p].any(0) | (near & (out[p] != HIDDEN))
        out[p, own & (score[p] >= _SEEN)] = VISIBLE
    return out


def _near(mask: np.ndarray, keypoint: np.ndarray, slack: int) -> np.ndarray:
    """(J,) bool: whether a mask has a pixel within `slack` of a joint that lies in the frame, on either axis."""
    h, w = mask.shape
    x, y = np.floor(keypoint[:, 0]).astype(int), np.floor(keypoint[:, 1]).astype(int)
    within = (x >= 0) & (y >= 0) & (x < w) & (y < h)
    step = np.arange(-slack, slack + 1)
    rows, columns = np.clip(y[:, None] + step, 0, h - 1), np.clip(x[:, None] + step, 0, w - 1)
    return mask[rows[:, :, None], columns[:, None, :]].any((1, 2)) & within

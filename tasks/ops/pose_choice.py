"""Two poses of each person and frame -> one: joint by joint, and over the whole clip at once.

A pose from the whole picture follows the body where its mask is cut short; a pose from the person alone does not lie on
somebody else. Which is right is seen in time. Exactly the best sequence of choices is found for every joint (Viterbi):
joints move as little as may be, the networks' own certainty counts, and so does whose mask holds the pose. Where both
say nearly the same their mean is the better estimate.
"""

from __future__ import annotations

import itertools

import numpy as np

from datasets.records import People
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.pose_binding import held

_DOUBT = 0.2  # what a joint without any certainty costs, in body sizes of way
_ASTRAY = 0.4  # and one of a pose that others' masks hold wholly, and the own not at all
_FAR = 0.3  # body sizes: no way counts more
_NEAR = 0.06  # body sizes: two poses of a joint closer than this are one
_LEAST = 0.02  # weight of a joint of no certainty in their mean
_SAME = 0.03  # body sizes: two people's poses closer than this are one pose
_SEEN = 0.2


def choose_joints(
    keypoint: np.ndarray, score: np.ndarray, astray: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (T, J, 2) and scores (T, J) of one person out of two poses a frame.

    keypoint (2, T, J, 2); score (2, T, J): the first with scores of 0 is the best guess there is, the second is none;
    astray (2, T) 0..1: how far a pose lies on somebody else; size (T,) the body's size in pixels.
    """
    _, frames, joints = score.shape
    there = np.asarray((score > 0).any(-1))
    price = _DOUBT * (1 - score) + _ASTRAY * astray[..., None]
    price[1, ~there[1]] = np.inf
    best, back = price[:, 0], np.zeros((frames, 2, joints), np.int8)
    for t in range(1, frames):
        # Ways are measured in the size of the frame that is come to: a size that changes is no way.
        unit = max(float(size[t]), 1.0)
        way = np.linalg.norm(keypoint[:, None, t - 1] - keypoint[None, :, t], axis=-1) / unit
        through = best[:, None] + np.minimum(way, _FAR)  # (before, now, J)
        back[t] = through.argmin(0)
        best = through.min(0) + price[:, t]
    taken = np.zeros((frames, joints), np.int8)
    taken[-1] = best.argmin(0)
    for t in range(frames - 1, 0, -1):
        taken[t - 1] = np.take_along_axis(back[t], taken[t][None], 0)[0]
    one = np.where((taken == 1)[..., None], keypoint[1], keypoint[0])
    sure = np.where(taken == 1, score[1], score[0])
    both = np.asarray(there.all(0))[:, None] & (
        np.linalg.norm(keypoint[0] - keypoint[1], axis=-1) < _NEAR * size[:, None]
    )
    weight = np.maximum(score, _LEAST)
    mean = (keypoint * weight[..., None]).sum(0) / weight.sum(0)[..., None]
    return np.where(both[..., None], mean, one).astype(np.float32), np.where(both, score.max(0), sure)


def astray(people: People, keypoint: np.ndarray, score: np.ndarray, where: np.ndarray, crops: MaskCrops) -> np.ndarray:
    """(P, T) 0..1 at `where` (P, T), 0 elsewhere: how far a pose lies on somebody else.

    keypoint (P, T, J, 2), score (P, T, J); crops of the people's masks. It is 0 while another's mask holds at most
    half more of the seen joints than the own does: hidden joints lie in the masks of those who hide them. A pose that
    is another's seen twice is wholly astray.
    """
    out = np.zeros(where.shape)
    index = np.arange(where.size).reshape(where.shape)
    for t in np.flatnonzero(where.any(0)):
        window = crops.window(index[:, t])
        masks = crops.stack(index[:, t], window)
        corner = np.array(window[:2], np.float32)
        share = held(keypoint[:, t] - corner, score[:, t], masks)
        own = np.diagonal(share).copy()
        np.fill_diagonal(share, 0)
        more = np.clip(2 * (share.max(1) - own) - 1, 0, 1)
        more[_twice(keypoint[:, t], score[:, t], own, people.box[:, t])] = 1.0
        out[:, t] = np.where(where[:, t], more, 0)
    return out


def _twice(keypoint: np.ndarray, score: np.ndarray, own: np.ndarray, box: np.ndarray) -> list[int]:
    """People of one frame whose pose is another's: of two equal poses the one that the own mask holds less of.

    keypoint (P, J, 2), score (P, J), own (P,) share of joints in the own mask, box (P, 4).
    """
    out = []
    seen = score >= _SEEN
    for p, q in itertools.combinations(np.flatnonzero(seen.sum(1) >= 4).tolist(), 2):
        both = seen[p] & seen[q]
        size = float(np.minimum(box[p, 2:] - box[p, :2], box[q, 2:] - box[q, :2]).max())
        if both.sum() >= 4 and np.median(np.linalg.norm(keypoint[p] - keypoint[q], axis=-1)[both]) < _SAME * size:
            out.append(p if own[p] < own[q] else q)
    return out

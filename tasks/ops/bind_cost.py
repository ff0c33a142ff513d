"""How unlikely it is, in nats, that one track is followed by another, starts, ends, or is nobody's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.masks import Masks
from datasets.records import Poses
from tasks.ops.body import bone_lengths
from tasks.ops.mask_ops import box_of
from tasks.ops.tracks import Track, poses_at

_SEEN = 0.2  # keypoint score from which a joint counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The scales of the evidence. Lengths are in heights of the person, times in seconds."""

    still: float = 0.06  # spread of where a box is from one frame to the next
    speed: float = 0.7  # growth of that spread with each second unseen
    slow_down_s: float = 0.3  # a velocity is believed for about so long
    most_motion: float = 10.0  # nats; no distance says more than this
    look_same: float = 0.75  # cosine between two looks at one person, usually (two people: about 0.4)
    look_spread: float = 0.13  # and how far it falls short of that
    most_look: float = 6.0
    size: float = 0.25  # spread of the log of the height
    most_size: float = 3.0
    pose: float = 0.10  # spread of the joints from one frame to the next
    most_pose: float = 5.0
    bones: float = 0.25  # spread of the log of bone lengths over the height
    most_bones: float = 2.0
    overlap: float = 2.0  # nats for two masks that should overlap and do not
    unseen: float = 0.5  # nats a second unseen
    enter_edge: float = 1.0  # coming or going through the frame's edge
    enter_middle: float = 4.0  # or in the middle of the picture
    person: float = 6.0  # one more person in the clip
    nobody: float = 1.0  # a track that is nobody's, whatever its length
    nobody_s: float = 24.0  # and for each second of it, times the detector's score, when it stands apart
    nobody_part: float = 0.3  # share of that for boxes that lie wholly within another's


def link_cost(
    a: Track, b: Track, *, fps: float, poses: Poses, masks: Masks, costs: Costs, most_gap_s: float | None = None
) -> float:
    """Nats against `b` being the same person as `a`, next seen. Infinite when they overlap in time."""
    gap = b.start - a.stop
    if gap < 0 or (most_gap_s is not None and gap > most_gap_s * fps):
        return float("inf")
    wait_s = (gap + 1) / fps
    total = _motion(a, b, fps, costs) + _look(a, b, costs) + costs.unseen * gap / fps
    change = np.log(_height(b.box[:5]) / _height(a.box[-5:]))
    total += min(0.5 * (change / costs.size) ** 2, costs.most_size)
    total += _bones(a, b, poses, costs)
    if wait_s <= 0.25:
        total += _pose(a, b, fps, poses, costs) + _overlap(a, b, masks, costs)
    return float(total)


def start_cost(track: Track, size: tuple[int, int], costs: Costs) -> float:
    """Nats against someone's first sight being this track."""
    return _border(track.start == 0, track.box[0], size, costs)


def end_cost(track: Track, frames: int, size: tuple[int, int], costs: Costs) -> float:
    """Nats against someone's last sight being this track."""
    return _border(track.stop == frames, track.box[-1], size, costs)


def nobody_cost(track: Track, fps: float, costs: Costs) -> float:
    """Nats against a track being nobody's: a ghost, a part of another, a reflection."""
    share = costs.nobody_part + (1 - costs.nobody_part) * track.apart
    return costs.nobody + costs.nobody_s * float((track.score * share).sum()) / fps


def at_edge(box: np.ndarray, size: tuple[int, int], share: float = 0.02) -> bool:
    """Whether a box touches the left, right or lower edge of the frame, through which people come and go."""
    h, w = size
    return bool(box[0] <= share * w or box[2] >= (1 - share) * w or box[3] >= (1 - share) * h)


def _border(at_clip_end: bool, box: np.ndarray, size: tuple[int, int], costs: Costs) -> float:
    if at_clip_end:
        return 0.0
    return costs.enter_edge if at_edge(box, size) else costs.enter_middle


def _height(box: np.ndarray) -> float:
    return float(np.median(box[:, 3] - box[:, 1]))


def velocity(frame: np.ndarray, box: np.ndarray, most: int = 8) -> np.ndarray:
    """Pixels a frame of a box's centre over its last frames, (2,): the slope of a least-squares line; 0 for one
    frame."""
    frame, box = frame[-most:], box[-most:]
    if len(frame) < 3:
        return np.zeros(2)
    centre = (box[:, :2] + box[:, 2:]) / 2
    t = frame - frame.mean()
    return (t[:, None] * (centre - centre.mean(0))).sum(0) / (t**2).sum()


def _motion(a: Track, b: Track, fps: float, costs: Costs) -> float:
    """Constant velocity, slowing down, forward from a and backward from b; the mean of both errors counts.

    Negative log of a 2-D normal density against that of a perfect hit from one frame to the next.
    """
    wait = b.start - a.stop + 1
    decay = costs.slow_down_s * fps
    run = decay * (1 - np.exp(-wait / decay))
    end, begin = (a.box[-1, :2] + a.box[-1, 2:]) / 2, (b.box[0, :2] + b.box[0, 2:]) / 2
    forward = end + velocity(a.frame, a.box) * run - begin
    backward = begin + velocity(-b.frame[::-1], b.box[::-1]) * run - end
    height = np.sqrt(_height(a.box[-5:]) * _height(b.box[:5]))
    error2 = (np.hypot(*forward) ** 2 + np.hypot(*backward) ** 2) / 2 / height**2
    spread = costs.still + costs.speed * wait / fps
    return min(error2 / (2 * spread**2) + 2 * np.log(spread / costs.still) * 0.5, costs.most_motion)


def _look(a: Track, b: Track, costs: Costs) -> float:
    if a.look is None or b.look is None:
        return 0.0
    short = max(costs.look_same - float(a.look @ b.look), 0.0)
    return min(0.5 * (short / costs.look_spread) ** 2, costs.most_look)


def _pose(a: Track, b: Track, fps: float, poses: Poses, costs: Costs) -> float:
    """How far the joints jump beyond the box's own motion."""
    (from_point, from_score), (to_point, to_score) = poses_at(poses, a, -1), poses_at(poses, b, 0)
    seen = (from_score >= _SEEN) & (to_score >= _SEEN)
    if seen.sum() < 4:
        return 0.0
    wait = b.start - a.stop + 1
    moved = to_point[seen] - from_point[seen] - velocity(a.frame, a.box) * wait
    spread = (costs.pose + costs.speed * wait / fps) * _height(a.box[-5:])
    error = float(np.median(np.hypot(moved[:, 0], moved[:, 1])))
    return min(0.5 * (error / spread) ** 2, costs.most_pose)


def _bones(a: Track, b: Track, poses: Poses, costs: Costs) -> float:
    """Do the longest sights of each bone agree: seen from any side, a bone is at most as long as it is."""
    length = []
    for track in (a, b):
        bones = bone_lengths(poses.keypoint[track.row], poses.score[track.row], _SEEN)
        if (np.isfinite(bones).sum(0) >= 5).sum() < 4:
            return 0.0
        many = np.isfinite(bones).sum(0) >= 5
        best = np.full(bones.shape[1], np.nan)
        best[many] = np.nanpercentile(bones[:, many], 80, axis=0)
        length.append(best)
    both = np.isfinite(length[0]) & np.isfinite(length[1])
    if both.sum() < 4:
        return 0.0
    change = float(np.median(np.abs(np.log((length[1][both] + 1) / (length[0][both] + 1)))))
    return min(0.5 * (change / costs.bones) ** 2, costs.most_bones)


def _overlap(a: Track, b: Track, masks: Masks, costs: Costs) -> float:
    """Masks a few frames apart, laid on each other's box centre, should overlap where they lie and in shape."""
    i, j = int(a.segment[-1]), int(b.segment[0])
    if i < 0 or j < 0:
        return 0.0
    one, two = masks.decode(i), masks.decode(j)
    if not one.any() or not two.any():
        return 0.0
    region = np.stack([box_of(one), box_of(two)])
    x0, y0 = np.floor(region[:, :2].min(0)).astype(int)
    x1, y1 = np.ceil(region[:, 2:].max(0)).astype(int)
    one, two = one[y0:y1, x0:x1], two[y0:y1, x0:x1]
    return costs.overlap * (1 - float((one & two).sum() / max((one | two).sum(), 1)))
